"""The family around a pretrained language model, here with a small one of random weights and a tokenizer of word pieces."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from headatlas.errors import HeadAtlasError
from headatlas.reference.families import FAMILIES
from headatlas.reference.families.smol import STRENGTH, PatchWords
from headatlas.reference.losses import hidden
from headatlas.reference.patches import PATCH_FIELDS, patch_labels
from headatlas.reference.recipe import Recipe
from headatlas.reference.smol import base, plain
from headatlas.reference.smol.assembled import assemble
from headatlas.reference.smol.model import (
    IMAGE,
    SCALE,
    LowRankLinear,
    load_trained,
    merge_updates,
    read_parts,
    trained_state,
    update_parameters,
    without_updates,
    write_parts,
)
from headatlas.reference.tokens import CAPTION_REQUEST
from headatlas.reference.train import Trainer
from headatlas.scenes.build import symbolic
from headatlas.scenes.caption import caption
from headatlas.vlm import load_vlm
from headatlas.vlm.chat import Conversation, Turn, conversation, messages, render

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<unused{i}>" for i in range(14))]
PICTURE = (Image.new("RGB", (384, 384)),)


@pytest.fixture(scope="module")
def small_base():
    """A Llama of random weights with grouped queries, and a byte-level tokenizer trained on scenes."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    texts = [step.text + "\n" + step.answer for made in symbolic(60, "train", 1) for step in made.question.steps]
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|im_end|>")
    tokenizer.chat_template = FAMILIES["smol"].form.template
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=2,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).eval()
        torch.nn.init.normal_(model.model.embed_tokens.weight, std=0.3)
    return model, tokenizer


@pytest.fixture(scope="module")
def smol(small_base):
    """The family, with the small base in place of SmolLM2."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(FAMILIES["smol"]), "_base", staticmethod(lambda: small_base))
        patch.setattr(plain, "TRAIN_PROMPTS", ("Is ice cold?", "Name a fruit."))
        patch.setattr(plain.plain_answers, "__defaults__", (plain.TRAIN_PROMPTS,))
        yield FAMILIES["smol"]


@pytest.fixture(scope="module")
def shape(smol):
    return replace(
        smol.shape, vision_width=16, vision_layers=1, vision_heads=2, width=48, layers=2, heads=6, kv_heads=2, mlp=64
    )


@pytest.fixture(scope="module")
def words(smol):
    return smol.tokenizer()


@pytest.fixture
def model(smol, words, shape):
    return smol.model(words, shape, 3).eval()


def _disturb(model):
    """Give every update a value."""
    torch.manual_seed(1)
    for parameter in update_parameters(model):
        parameter.data.normal_(std=0.3)


def _text_logits(model, words, text="Is ice cold?"):
    ids = words(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model(input_ids=ids).logits


def test_rows_equal_what_the_processor_makes_of_the_conversation(smol, words, shape):
    encoder, processor = smol.encoder(words, shape), smol.processor(words, shape)

    def ids(chat):
        text = render(processor, [messages(chat)], False)
        images = [list(chat.images)] if chat.images else None
        return processor(text=text, images=images, return_tensors="np")["input_ids"][0].tolist()

    for made in symbolic(18, "train", 5):
        question = made.question
        row = encoder.steps(question)
        assert row.ids.tolist() == ids(conversation(question, images=PICTURE))
        assert encoder.without_image(row).ids.tolist() == ids(conversation(question, images=()))
        assert encoder.direct(question).ids.tolist() == ids(conversation(question, images=PICTURE, direct=True))
        told = encoder.caption(made.scene)
        assert told.ids.tolist() == ids(Conversation(PICTURE, (Turn(CAPTION_REQUEST, caption(made.scene)),)))
        n = len(made.scene.things)
        assert encoder.n_things(told) == n
        for rewritten in (encoder.things(told, np.arange(n)), encoder.listing(told, np.arange(n)[::-1])):
            assert rewritten.ids.tolist() == words(words.decode(rewritten.ids), add_special_tokens=False)["input_ids"]
        listed = encoder.listing(told, np.arange(n))
        learned = words.decode(listed.ids[listed.marks > 0]).split()
        thing = sorted(made.scene.things, key=lambda t: (t.row, t.column))[0]
        assert learned[:4] == [thing.size, thing.texture, str(thing.row), str(thing.column)]


def test_half_of_the_training_questions_are_reworded(smol):
    import random

    rng = random.Random(0)
    questions = [made.question for made in symbolic(200, "train", 5)]
    changed = [smol.reword(question, rng).text != question.text for question in questions]
    assert 70 < sum(changed) < 130


def test_before_training_text_is_the_bases(model, words, small_base):
    found, wanted = _text_logits(model, words), _text_logits(small_base[0], words)
    torch.testing.assert_close(found[..., : wanted.shape[-1]], wanted, rtol=0, atol=0)
    # The new token is as likely as those that the base never says.
    image = words.convert_tokens_to_ids(IMAGE)
    assert image == found.shape[-1] - 1
    torch.testing.assert_close(found[..., image], wanted[..., 3:17].mean(-1), rtol=1e-4, atol=1e-4)


def test_updates_switch_off_and_merge(model, words, small_base):
    plain_logits = _text_logits(model, words)
    _disturb(model)
    updated = _text_logits(model, words)
    assert (updated - plain_logits).abs().max() > 0.01
    with without_updates(model):
        torch.testing.assert_close(_text_logits(model, words), plain_logits, rtol=0, atol=0)
    first = next(module for module in model.modules() if isinstance(module, LowRankLinear))
    weight = first.base.weight + SCALE * first.up @ first.down
    merge_updates(model)
    assert not any(isinstance(module, LowRankLinear) for module in model.modules())
    assert any(torch.equal(parameter, weight) for parameter in model.parameters())
    torch.testing.assert_close(_text_logits(model, words), updated, rtol=1e-4, atol=1e-4)


def test_plain_text_costs_what_it_differs_from_the_base(smol, model, words, shape, tmp_path):
    encoder = smol.encoder(words, shape)
    row = smol.more_rows(encoder, tmp_path)["plain"][0]
    assert encoder.image not in row.ids
    ids = torch.from_numpy(row.ids).long()[None]
    weights = torch.from_numpy(row.marks > 0).float()[None]

    def states():
        return hidden(smol, model, ids, None, shape)

    same = smol.special_loss(model, "plain", states(), weights, states)
    assert float(same.detach()) == pytest.approx(0, abs=1e-6)
    _disturb(model)
    loss = smol.special_loss(model, "plain", states(), weights, states)
    assert float(loss.detach()) > 1e-4
    loss.backward()
    assert all(p.grad is not None for p in update_parameters(model))
    assert model.get_input_embeddings().weight.grad is None
    with torch.no_grad():
        at = weights[0, 1:].nonzero().flatten()
        got = model(input_ids=ids).logits[0, at].log_softmax(-1)
        with without_updates(model):
            wanted = model(input_ids=ids).logits[0, at].log_softmax(-1)
    assert float(loss.detach()) == pytest.approx(float((wanted.exp() * (wanted - got)).sum(-1).mean()), rel=1e-3)
    assert smol.special_loss(model, "own", states(), weights, states) is None


def test_stored_answers_are_those_of_the_prompts(small_base, tmp_path):
    store = tmp_path / "plain.json"
    first = plain.plain_answers(*small_base, store, ("Is ice cold?", "Name a fruit."))
    assert plain.plain_answers(*small_base, store, ("Is ice cold?", "Name a fruit.")) == first
    other = plain.plain_answers(*small_base, store, ("Is ice cold?", "Name a tree."))
    assert [prompt for prompt, _ in other] == ["Is ice cold?", "Name a tree."]


def test_a_patch_should_be_the_words_of_its_cell(model, words):
    scene = next(symbolic(1, "train", 3)).scene
    labels = torch.from_numpy(patch_labels(scene))[None]
    thing = scene.things[0]
    table = model.get_input_embeddings().weight

    mean = table.mean(0)

    def said(text):
        return (table[words(text, add_special_tokens=False)["input_ids"]] - mean).sum(0)

    ordinal = ("first", "second", "third", "fourth", "fifth", "sixth")[thing.row - 1]
    depth = ("near", "middle", "far")[thing.depth]
    texts = [f" {thing.cls}", f" {thing.color}", f" {thing.texture}", f" {thing.size}", f" {depth}", f" {ordinal}"]
    texts += [str(thing.column), f" {scene.place}"] + ([f" {thing.facing}"] if thing.facing else [])
    texts += [f" {'inside' if scene.region.holds(thing.row, thing.column) else 'outside'}"] if scene.region else []
    cell = (thing.row - 1) * 6 + thing.column - 1
    assert int((labels[0, cell] != 255).sum()) == len(PATCH_FIELDS)
    wanted = mean + STRENGTH * sum(said(text) for text in texts) / len(PATCH_FIELDS) ** 0.5
    heads = PatchWords(model, words)
    target = heads.target(labels)
    torch.testing.assert_close(target[0, cell], wanted, rtol=1e-4, atol=1e-5)
    assert float(heads(target, labels)[0]) == 0
    assert float(heads(target.mean((0, 1)).expand_as(target), labels)[0]) == pytest.approx(1)


@pytest.fixture(scope="module")
def run(smol, shape, trained, tiny_recipe, tmp_path_factory):
    """A finished run on the scenes that were rendered for the LLaVA run, and what it exported."""
    scenes, work = tmp_path_factory.mktemp("scenes"), tmp_path_factory.mktemp("smol")
    for folder in ("pool", "held_out"):
        shutil.copytree(trained.work / folder, scenes / folder)
    settings = {name: Recipe.of("smol").__dict__[name] for name in ("freeze", "feature_norm", "whole", "finish")}
    recipe = replace(tiny_recipe, family="smol", shape=shape, **settings)
    trainer = Trainer(recipe, work, scenes=scenes)
    trainer.run()
    trainer.export(work / "parts")
    return trainer, scenes


def test_training_moves_the_parts_and_nothing_else(run, smol, words, shape):
    trainer, _ = run
    fresh = smol.model(words, shape, trainer.recipe.seed).state_dict()
    parts = trained_state(trainer.model)
    still = [name for name, value in trainer.model.state_dict().items() if torch.equal(value, fresh[name])]
    assert {name for name in fresh if name not in parts} <= set(still)
    assert [name for name in still if name in parts and "post_layernorm" not in name] == []
    assert load_file(trainer.work / "checkpoint" / "model.safetensors").keys() == parts.keys()


def test_stage_1_fits_the_projector_and_nothing_else(run, smol, words, shape, tmp_path):
    trainer, scenes = run
    shutil.copy(trainer.work / "plain.json", tmp_path)
    first = Trainer(trainer.recipe, tmp_path, scenes=scenes)
    first.run(until=trainer.recipe.steps[0])
    fresh = smol.model(words, shape, trainer.recipe.seed).state_dict()
    moved = {name for name, value in first.model.state_dict().items() if not torch.equal(value, fresh[name])}
    assert moved == {name for name in fresh if "multi_modal_projector" in name}


def test_a_killed_run_ends_the_same(run, tmp_path):
    trainer, scenes = run
    shutil.copy(trainer.work / "plain.json", tmp_path)
    for steps in (2, 4):
        Trainer(trainer.recipe, tmp_path, scenes=scenes).run(until=steps)
    last = Trainer(trainer.recipe, tmp_path, scenes=scenes)
    assert not last.finished
    last.run()
    for name, value in trained_state(trainer.model).items():
        torch.testing.assert_close(trained_state(last.model)[name], value, rtol=0, atol=0)


def test_parts_and_base_make_an_ordinary_model(run, tmp_path):
    trainer, _ = run
    parts, out = trainer.work / "parts", tmp_path / "whole"
    out.mkdir()
    family = type(FAMILIES["smol"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(family, "shape", trainer.recipe.shape)
        assemble(parts, out)
        facts = json.loads((parts / "parts.json").read_text())
        (parts / "parts.json").write_text(json.dumps(facts | {"base_sha256": "0" * 64}))
        with pytest.raises(HeadAtlasError, match=f"base_sha256 must be '{base.SHA256}', got '0000"):
            assemble(parts, tmp_path / "other")
        (parts / "parts.json").write_text(json.dumps(facts))
    model, processor = AutoModelForImageTextToText.from_pretrained(out), AutoProcessor.from_pretrained(out)
    chat = conversation(next(symbolic(1, "E", 4)).rendered())
    batch = processor(text=render(processor, [messages(chat)], False), images=[list(chat.images)], return_tensors="pt")
    trainer.model.eval().set_attn_implementation("sdpa")
    with torch.no_grad():
        torch.testing.assert_close(model(**batch).logits, trainer.model(**batch).logits, rtol=2e-2, atol=2e-2)
    vlm = load_vlm(out)
    assert vlm.heads.shape == (2, 6)


def test_updates_are_stored_in_steps_of_each_direction(model, tmp_path):
    _disturb(model)
    up, down = (next(p for name, p in model.named_parameters() if name.endswith(end)) for end in (".up", ".down"))
    up.data[:, 0], down.data[1] = 100 * up.data[:, 0], 0.0  # one large direction, one that is not used
    write_parts(model, tmp_path, {"rank": 16})
    read = read_parts(tmp_path)
    for name, tensor in trained_state(model).items():
        assert read[name].dtype == torch.float32
        if name.endswith((".up", ".down")):
            largest = tensor.abs().amax(int(name.endswith(".down")), keepdim=True)
            assert ((read[name] - tensor).abs() <= largest / 254 * 1.0001).all()
        else:
            torch.testing.assert_close(read[name], tensor, rtol=1e-3, atol=1e-6)
    load_trained(model, read)


def test_parts_of_another_model_are_refused(model, run):
    state = trained_state(run[0].model)
    name = next(iter(state))
    with pytest.raises(HeadAtlasError, match="1 are missing or differ, such as"):
        load_trained(model, {key: value for key, value in state.items() if key != name})
    load_trained(model, state)
    torch.testing.assert_close(trained_state(model)[name], state[name], rtol=0, atol=0)
