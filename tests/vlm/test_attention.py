"""`vlm.attention` and attention edits through the VLM: token positions, boxes, pictures, rows, generation and sweeps."""

import numpy as np
import pytest
import torch
from PIL import Image

from headatlas.cogvsr.schema import Box
from headatlas.engine import step_by_step, sweep
from headatlas.errors import HeadAtlasError
from headatlas.heads import AttentionReader, attend, block, scale_attention, zero
from headatlas.vlm import Conversation, Turn, encode, generate, read
from headatlas.vlm.image_tokens import in_box, tokens_of

TEXT = "Is the red car left of the blue arrow?"
BOX = Box(x0=0.55, y0=0.05, x1=0.95, y1=0.45)


def picture(seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def attention(tiny_vlm):
    return tiny_vlm.attention(picture(), TEXT)


def test_rows_are_those_of_the_reader(tiny_vlm, attention):
    batch = encode(tiny_vlm, [Conversation((picture(),), (Turn(TEXT),))], generation_prompt=True)
    with torch.no_grad(), AttentionReader(tiny_vlm.model, tiny_vlm.heads) as reader:
        tiny_vlm.model(**batch.inputs)
    wanted = torch.cat([reader.rows[layer].weights[0, :, -1] for layer in range(2)])
    np.testing.assert_allclose(attention.weights[:, 0], wanted, atol=1e-6)
    assert attention.weights.shape == (8, 1, len(attention.tokens))
    np.testing.assert_allclose(attention.weights.sum(-1), 1, atol=1e-5)
    assert attention.queries == (len(attention.tokens) - 1,)


def test_tokens_and_image_positions(tiny_vlm, attention):
    assert {attention.tokens[k] for k in attention.image_positions} == {"<image>"}
    assert len(attention.image_positions) == 4
    assert TEXT in "".join(attention.tokens)
    rest = [k for k in range(len(attention.tokens)) if k not in attention.image_positions]
    np.testing.assert_allclose(attention.image_mass(), 1 - attention.weights[:, 0, rest].sum(-1), atol=1e-5)


def test_an_answer_adds_the_positions_that_predict_it(tiny_vlm, attention):
    with_answer = tiny_vlm.attention(picture(), TEXT, ["L1.H2"], answer="yes")
    n = len(with_answer.queries)
    assert with_answer.queries[0] == attention.queries[0]
    assert with_answer.queries == tuple(range(with_answer.queries[0], with_answer.queries[0] + n))
    k = len(attention.tokens)
    np.testing.assert_allclose(with_answer.row("L1.H2", 0)[:k], attention.row("L1.H2"), atol=1e-5)


def test_queries_by_position(tiny_vlm):
    whole = tiny_vlm.attention(picture(), TEXT, ["L0.H1"], queries="all")
    some = tiny_vlm.attention(picture(), TEXT, ["L0.H1"], queries=[3, -1])
    assert some.queries == (3, len(whole.tokens) - 1)
    np.testing.assert_allclose(some.weights[0], whole.weights[0][[3, -1]], atol=1e-6)
    assert np.allclose(np.triu(whole.weights[0], 1), 0)


def test_maps_on_the_picture_keep_their_mass(attention):
    maps = attention.on_image()
    assert maps.shape == (8, 2, 2)
    np.testing.assert_allclose(maps.sum((1, 2)), attention.image_mass(), atol=1e-5)
    row = attention.row("L1.H3")[list(attention.image_positions)]
    np.testing.assert_allclose(maps[7].reshape(-1), row, atol=1e-6)
    np.testing.assert_allclose(attention.on_image(size=(8, 8)).sum((1, 2)), attention.image_mass(), atol=1e-5)


def test_mass_in_a_box_counts_tokens_by_their_share(attention):
    quarters = attention.on_image()
    np.testing.assert_allclose(attention.box_mass((0.5, 0, 1, 0.5)), quarters[:, 0, 1], atol=1e-6)
    np.testing.assert_allclose(attention.box_mass((0.5, 0, 0.75, 0.5)), quarters[:, 0, 1] / 2, atol=1e-6)


def test_pictures_and_tables(attention):
    assert attention.overlay("L1.H2").size == (336, 336)
    assert attention.grid(side=40).size == (4 * 44, 2 * 54)
    top = attention.top_tokens("L0.H0", 3)
    assert list(top.weight) == sorted(top.weight, reverse=True)
    assert len(repr(attention).splitlines()) == 1
    assert "8 heads x 1 queries" in repr(attention)


def test_attention_edits_move_the_rows_to_a_box(tiny_vlm, attention):
    with tiny_vlm.edit(attend(["L1.H2"], BOX, 4.0)):
        edited = tiny_vlm.attention(picture(), TEXT)
    assert tiny_vlm.attention(picture(), TEXT).weights == pytest.approx(attention.weights)
    bias = np.zeros(len(attention.tokens), np.float32)
    bias[attention.image_positions[1]] = 4.0  # the top right of 2 x 2
    wanted = np.exp(np.log(attention.row("L1.H2")) + bias)
    np.testing.assert_allclose(edited.row("L1.H2"), wanted / wanted.sum(), atol=1e-5)
    np.testing.assert_allclose(edited.row("L1.H1"), attention.row("L1.H1"), atol=1e-6)


def test_image_keys_and_token_positions(tiny_vlm, attention):
    with tiny_vlm.edit(block(["L0.H1"], "image")):
        assert tiny_vlm.attention(picture(), TEXT).image_mass()[1] == 0
    last = len(attention.tokens) - 1
    with tiny_vlm.edit(block(["L0.H1"], (last,))):
        assert tiny_vlm.attention(picture(), TEXT).row("L0.H1")[last] == 0


def chats():
    texts = (TEXT, "What colour is the car?", "How many circles are above the square? 0 1 2 3 4 5")
    return [Conversation((picture(i),), (Turn(text, "red"), Turn("yes or no?", "no"))) for i, text in enumerate(texts)]


@pytest.mark.parametrize("scope", ["all", "answer", "last", "prompt"])
def test_a_batch_is_each_conversation_alone(tiny_vlm, scope):
    edits = [
        attend(tiny_vlm.heads.heads(), BOX, 3.0),
        scale_attention(["L0.H0"], "image", 0.3),
        block(["L1.H1"], (0, 1)),
    ]
    with tiny_vlm.edit(*edits, scope=scope):
        together = read(tiny_vlm, chats())
        alone = [read(tiny_vlm, [chat])[0] for chat in chats()]
    bare = read(tiny_vlm, chats())
    for row, one, plain in zip(together, alone, bare, strict=True):
        assert [r.logprob for r in row] == pytest.approx([r.logprob for r in one], abs=1e-3)
        assert [r.logprob for r in row] != pytest.approx([r.logprob for r in plain], abs=1e-3)


def test_each_conversation_has_its_own_edits(tiny_vlm):
    rows = [[attend(["L0.H0", "L1.H2"], BOX, 5.0)], [zero(["L1.H1"]), block(["L0.H1"], "image")], []]
    with tiny_vlm.edit(rows=rows):
        together = read(tiny_vlm, chats(), batch_size=2)
    for i, edits in enumerate(rows):
        with tiny_vlm.edit(*edits):
            alone = read(tiny_vlm, chats()[i : i + 1])[0]
        assert [r.logprob for r in together[i]] == pytest.approx([r.logprob for r in alone], abs=1e-3)


@pytest.mark.parametrize("scope", ["all", "image", "prompt", "answer", "last"])
def test_a_sweep_shares_its_bare_pass_with_attention_conditions(tiny_vlm, scope):
    heads = tiny_vlm.heads.heads()
    conditions = [
        [attend(["L0.H0", "L1.H2"], BOX, 5.0, others=-2.0)],
        [zero(["L1.H1"])],
        [block(["L0.H1"], "image"), zero(["L1.H1"])],
        [scale_attention(["L1.H3"], "image", 3.0), block(["L1.H0"], (0, 1, 2))],
        [block(heads, "image")],
        [attend(heads, "image", 0.0)],
    ]
    made = sweep(tiny_vlm, chats(), conditions, scope, batch_size=2)
    assert (made.how, made.reason) == ("branch" if scope in ("answer", "last") else "resume", "")
    for c, edits in enumerate(conditions):
        wanted = [r.logprob for row in step_by_step(tiny_vlm, chats(), edits, scope) for r in row]
        assert made.logprob[c] == pytest.approx(wanted, abs=1e-4)
        if c in (0, 2, 4) or (c < 5 and scope not in ("image", "prompt")):  # 1 and 3 act in the last layer
            assert np.abs(made.logprob[c] - made.bare[0]).max() > 1e-5
    np.testing.assert_array_equal(made.logprob[5], made.bare[0])


@pytest.mark.parametrize("band", [(0,), (1,), (0, 1)])
def test_knockout_of_image_to_question_is_that_by_masks(tiny_vlm, band):
    """The same with masks of our own, given to the attention modules of the band."""
    batch = encode(tiny_vlm, chats())
    inputs = batch.to(tiny_vlm.device, tiny_vlm.dtype)
    length = batch.ids.shape[1]
    allowed = torch.ones(length, length, dtype=torch.bool).tril() & batch.mask[:, None]
    allowed &= ~(~batch.image_mask[:, :, None] & batch.image_mask[:, None])  # words do not see the picture
    mask = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)[:, None]

    def masked(module, args, kwargs):
        return args, kwargs | {"attention_mask": mask}

    layers = tiny_vlm.model.get_decoder().layers
    handles = [layers[i].self_attn.register_forward_pre_hook(masked, with_kwargs=True) for i in band]
    with torch.inference_mode():
        wanted = tiny_vlm.model(**inputs, use_cache=False).logits
        for handle in handles:
            handle.remove()
        bare = tiny_vlm.model(**inputs, use_cache=False).logits
    heads = [head for head in tiny_vlm.heads.heads() if head.layer in band]
    with (
        tiny_vlm.edit(block(heads, "image", queries="text")),
        tiny_vlm.running(batch, [0, 1, 2]),
        torch.inference_mode(),
    ):
        made = tiny_vlm.model(**inputs, use_cache=False).logits
    real = batch.mask
    torch.testing.assert_close(made[real], wanted[real], atol=1e-4, rtol=1e-4)
    assert (made - bare)[real & ~batch.image_mask].abs().max() > 1e-2
    first = [block(heads, "image", queries="text")]
    shared = sweep(tiny_vlm, chats(), [first], "answer")
    again = [r.logprob for row in step_by_step(tiny_vlm, chats(), first, "answer") for r in row]
    assert shared.logprob[0] == pytest.approx(again, abs=1e-4)


def test_generation_under_an_edit_is_decoding_step_by_step(tiny_vlm):
    opened = [
        Conversation((picture(),), (Turn(TEXT),)),
        Conversation((picture(1),), (Turn("What colour is the car? red green"),)),
    ]
    heads = tiny_vlm.heads.heads()
    with tiny_vlm.edit(block(heads, BOX), attend(heads, "image", 2.0)):
        together = generate(tiny_vlm, opened, max_new_tokens=5)
        alone = [generate(tiny_vlm, [chat], max_new_tokens=5)[0] for chat in opened]
    assert together == alone


def test_edits_that_change_nothing_leave_the_answers_bits(tiny_vlm):
    bare = [r.logprob for row in read(tiny_vlm, chats()) for r in row]
    heads = tiny_vlm.heads.heads()
    with tiny_vlm.edit(attend(heads, BOX, 0.0), scale_attention(heads, "image", 1.0), block(heads, ())):
        assert [r.logprob for row in read(tiny_vlm, chats()) for r in row] == bare


def test_the_tokens_of_a_box_are_in_it(tiny_vlm):
    batch = encode(tiny_vlm, chats())
    tokens = tokens_of(tiny_vlm, batch, 1)
    assert in_box(tokens, (0.55, 0.05, 0.95, 0.45)).tolist() == [False, True, False, False]
    assert in_box(tokens, (0.1, 0.1, 0.15, 0.2)).tolist() == [True, False, False, False]
    assert in_box(tokens, (0.0, 0.0, 1.0, 1.0)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda vlm: vlm.attention(picture(), TEXT, queries="answer"), "queries must be 'predict', 'all'"),
        (lambda vlm: vlm.attention(picture(), TEXT, queries=[999]), "query positions must be"),
        (lambda vlm: vlm.attention(picture(), TEXT, ["L0.H9"]), "has 4 heads"),
        (lambda vlm: vlm.attention(picture(), TEXT, ["L0.H1"]).row("L1.H1"), "must be one of those read"),
    ],
)
def test_wrong_requests(tiny_vlm, call, message):
    with pytest.raises(HeadAtlasError, match=message):
        call(tiny_vlm)


def test_wrong_keys_are_refused(tiny_vlm):
    for keys, message in (((999,), "token positions must be"), ((0.5, 0.5, 0.4, 0.9), "box must have")):
        with tiny_vlm.edit(attend(["L0.H0"], keys, 1.0)), pytest.raises(HeadAtlasError, match=message):
            tiny_vlm.attention(picture(), TEXT)


def test_a_picture_that_is_drawn_on_later_stays_as_it_was_read(tiny_vlm):
    picture = Image.new("RGB", (32, 32), "red")
    seen = tiny_vlm.attention(picture, "Is it red?")
    picture.paste("blue", (0, 0, 32, 32))
    assert seen.picture.getpixel((5, 5)) == (255, 0, 0)
