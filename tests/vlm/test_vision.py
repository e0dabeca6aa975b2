import copy

import pytest
import torch

from headatlas.heads import HeadSet, ZReader, zero
from headatlas.latent.methods.gain import scaled
from headatlas.vlm import generate, read
from headatlas.vlm.chat import conversation
from headatlas.vlm.loss import answer_logits, batched
from headatlas.vlm.pixels import image_key
from headatlas.vlm.vision import VisionMemo

from .conftest import families


@pytest.fixture
def chats(tiny_questions):
    return [conversation(question) for question in tiny_questions]


def logprobs(vlm, chats, batch_size=32):
    return [one.logprob for row in read(vlm, chats, batch_size) for one in row]


def test_a_picture_is_seen_once_and_the_answers_stay(tiny_vlm, tiny_questions, chats):
    want = logprobs(tiny_vlm, chats)
    steps = [conversation(question, upto=k) for question in tiny_questions for k in range(len(question.steps))]
    said = generate(tiny_vlm, steps)
    memo = VisionMemo(tiny_vlm)
    with memo.installed():
        assert logprobs(tiny_vlm, chats, 3) == pytest.approx(want, abs=1e-4)
        assert generate(tiny_vlm, steps) == said
        with tiny_vlm.edit(zero(HeadSet(["L0.H1"]))):
            edited = logprobs(tiny_vlm, chats)
    images = {image_key(question.images[0]) for question in tiny_questions}
    assert len(images) <= memo.run <= 2 * len(images)  # generate asks for them with other settings than forward
    assert memo.seen == 2 * len(chats) + len(steps)
    assert edited != pytest.approx(want, abs=1e-3)
    assert "get_image_features" not in tiny_vlm.model.model.__dict__


def test_what_looks_into_the_vision_tower_gets_to_see_it(tiny_vlm, chats):
    memo = VisionMemo(tiny_vlm)
    with memo.installed():
        bare = logprobs(tiny_vlm, chats)
        with tiny_vlm.edit(zero(HeadSet(["V0.H0", "V1.H1"]))):
            edited = logprobs(tiny_vlm, chats)
        with ZReader(tiny_vlm.heads, "V") as reader:
            logprobs(tiny_vlm, chats[:1])
        again = logprobs(tiny_vlm, chats)
    assert edited != pytest.approx(bare, abs=1e-4)
    assert again == pytest.approx(bare, abs=1e-5)
    assert set(reader.z) == {0, 1}


def test_gradients_behind_kept_features_are_those_of_the_whole_model(tiny_vlm, chats):
    (_, batch), *_ = batched(tiny_vlm, chats, 4)

    def gradient():
        theta = torch.zeros(tiny_vlm.heads.shape, requires_grad=True)
        with scaled(tiny_vlm, theta):
            loss = answer_logits(tiny_vlm, batch).nll().mean()
        loss.backward()
        return theta.grad

    want, memo = gradient(), VisionMemo(tiny_vlm)
    with memo.installed():
        logprobs(tiny_vlm, chats, 4)  # kept in inference mode
        run = memo.run
        found = gradient()
        assert memo.run == run
        vision = next(tiny_vlm.model.model.vision_tower.parameters())
        vision.requires_grad_(True)
        try:
            gradient()
            assert vision.grad is not None, "where the vision side learns, it is run"
        finally:
            vision.requires_grad_(False).grad = None
    torch.testing.assert_close(found, want, atol=1e-5, rtol=1e-4)
    assert want.abs().max() > 1e-4


def test_memory_is_bounded(tiny_vlm, chats):
    memo = VisionMemo(tiny_vlm, max_bytes=600)
    with memo.installed():
        want = logprobs(tiny_vlm, chats, 2)
        assert logprobs(tiny_vlm, chats, 2) == pytest.approx(want, abs=1e-5)
    assert 0 < memo.bytes <= 600
    assert memo.run > len(chats)


@torch.no_grad()
@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "gemma3", "idefics3", "mllama"])
def test_families(family):
    """Whatever a family packs its images into, a second look gives the same logits."""
    made = families.tiny(family)

    class Only:
        model, heads = made.model, made.grid

    memo = VisionMemo(Only())
    want = made.model(**made.images).logits
    with memo.installed():
        for _ in range(2):
            torch.testing.assert_close(made.model(**made.images).logits, want)
    assert memo.run <= 2
    assert memo.seen == (0 if family == "mllama" else 2 * max(memo.run, 1))


def test_an_image_drawn_on_and_other_weights_are_seen_anew(tiny_vlm, tiny_questions):
    """The cache depends on the pixels and the weights, not on the image object or the model object."""
    vlm = copy.deepcopy(tiny_vlm)
    question = tiny_questions[0].model_copy(deep=True)
    memo, chat = VisionMemo(vlm), conversation(question)

    def seen():
        with memo.installed():
            return logprobs(vlm, [chat])

    first = seen()
    question.images[0].paste("green", (0, 0, 48, 30))
    drawn = seen()
    assert drawn == pytest.approx(logprobs(vlm, [chat]), abs=1e-5)
    assert drawn != pytest.approx(first, abs=1e-4)
    vlm.model.model.vision_tower.encoder.layers[0].mlp.fc1.weight.data.mul_(3)
    assert seen() == pytest.approx(logprobs(vlm, [chat]), abs=1e-5)
    assert seen() != pytest.approx(drawn, abs=1e-4)
