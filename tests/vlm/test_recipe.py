"""Head recipes: saved, loaded, applied, merged into plain checkpoints and exported for peft."""

import json
from contextlib import suppress

import pytest
import torch
from command_line import headatlas
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

import headatlas as ha
from headatlas.errors import HeadAtlasError
from headatlas.heads import Edit, HeadSet, attend, scale
from headatlas.vlm import HeadRecipe, evaluate, load_vlm
from headatlas.vlm.identity import weights_digest


def logprobs(vlm, questions):
    return evaluate(vlm, questions)["logprob"]


@pytest.fixture
def gains():
    return scale(HeadSet("L0.H1 L1.H3"), 3.0), scale(HeadSet("L1.H0"), 0.25)


@pytest.fixture
def recipe(tiny_vlm, gains):
    return HeadRecipe.of(tiny_vlm, "gain", gains, settings={"strength": 1.0})


@pytest.fixture
def low_rank(tiny_vlm):
    """An update of one value and one output projection."""
    generator = torch.Generator().manual_seed(0)
    layers = {
        name: module
        for name, module in tiny_vlm.model.named_modules()
        if name.endswith(("1.self_attn.v_proj", "1.self_attn.o_proj"))
    }
    layers = {name: module for name, module in layers.items() if "vision" not in name}
    return {
        name: (torch.randn(2, m.in_features, generator=generator), torch.randn(m.out_features, 2, generator=generator))
        for name, m in layers.items()
    }


def test_what_is_loaded_is_what_was_saved(tiny_vlm, tiny_questions, gains, recipe, low_rank, tmp_path):
    shift = torch.randn(2, 4, 6)
    full = HeadRecipe.of(
        tiny_vlm, "several", (*gains, Edit(HeadSet("L0.H0"), 0.5, shift, "gate"), attend(HeadSet("L1.H1"), "image", 2.0)),
        low_rank=low_rank, settings={"heads": ["L1.H2"]},
    )  # fmt: skip
    again = HeadRecipe.load(full.save(tmp_path / "a.recipe"))
    assert again.fingerprint == full.fingerprint
    assert str(again.heads) == "L0.H1 L1.H3 L1.H0 L0.H0 L1.H1 L1.H2"
    assert "L0.H1" in (tmp_path / "a.recipe" / "README.md").read_text()
    with full.applied(tiny_vlm):
        wanted = logprobs(tiny_vlm, tiny_questions)
    with again.applied(tiny_vlm):
        assert (logprobs(tiny_vlm, tiny_questions) == wanted).all()
    assert not (logprobs(tiny_vlm, tiny_questions) == wanted).any()


def test_a_model_is_loaded_with_it(tiny_vlm, tiny_vlm_dir, tiny_questions, recipe, gains, tmp_path):
    folder = recipe.save(tmp_path / "gain.recipe")
    vlm = load_vlm(str(tiny_vlm_dir), device="cpu", recipe=folder)
    with tiny_vlm.edit(*gains):
        assert (logprobs(vlm, tiny_questions) == logprobs(tiny_vlm, tiny_questions)).all()
    assert vlm.fingerprint != tiny_vlm.fingerprint, "caches must not take it for the plain model"
    assert vlm.loaded_with == {"recipe": str(folder)}
    with pytest.raises(HeadAtlasError, match="has a recipe already"):
        vlm.keep_recipe(recipe)
    vlm.drop_recipe()
    assert vlm.fingerprint == tiny_vlm.fingerprint


def test_a_recipe_of_another_model_is_refused(tiny_vlm, recipe, tmp_path):
    folder = recipe.save(tmp_path / "gain.recipe")
    with pytest.raises(HeadAtlasError, match=r"made for .* and 'ref-llava' is another model: .*weights"):
        load_vlm("ref-llava", device="cpu", recipe=folder)
    weight = next(tiny_vlm.model.parameters())
    with torch.no_grad():
        kept = weight.clone()
        weight.add_(1e-3)
        with pytest.raises(HeadAtlasError, match="another model: weights"), recipe.applied(tiny_vlm):
            pass
        weight.copy_(kept)


def test_a_recipe_of_another_dtype_says_how_to_load_and_load_vlm_takes_its_dtype(tiny_vlm_dir, tmp_path):
    vlm = load_vlm(tiny_vlm_dir, dtype="bfloat16")
    folder = HeadRecipe.of(vlm, "gain", [scale(HeadSet("L0.H1"), 3.0)]).save(tmp_path / "half.recipe")
    with pytest.raises(HeadAtlasError, match=r"another model: dtype .*; load it with dtype='bfloat16'"):
        load_vlm(tiny_vlm_dir, dtype="float32", recipe=folder)
    assert load_vlm(tiny_vlm_dir, recipe=folder).dtype == torch.bfloat16
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    asked = headatlas("answer", tiny_vlm_dir, tmp_path / "red.png", "what is it?", "--recipe", folder, "--compare")
    assert asked.output.startswith("without")


@pytest.mark.parametrize("what", ["gain", "low_rank"])
def test_merged_it_is_a_plain_checkpoint(tiny_vlm, tiny_questions, recipe, low_rank, tmp_path, what):
    digest = weights_digest(tiny_vlm.model)
    kept = recipe if what == "gain" else HeadRecipe.of(tiny_vlm, "lora", low_rank=low_rank)
    folder = kept.merge(tiny_vlm, tmp_path / "merged")
    assert weights_digest(tiny_vlm.model) == digest
    with kept.applied(tiny_vlm):
        wanted = plain_logits(tiny_vlm.model, tiny_vlm.processor, tiny_questions[0])
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    torch.testing.assert_close(
        plain_logits(model, AutoProcessor.from_pretrained(folder), tiny_questions[0]), wanted, rtol=1e-4, atol=1e-4
    )
    assert not torch.allclose(plain_logits(tiny_vlm.model, tiny_vlm.processor, tiny_questions[0]), wanted, atol=1e-2)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks transformers for it
@pytest.mark.parametrize("what", ["gain", "low_rank"])
def test_exported_it_is_an_adapter_that_peft_loads(
    tiny_vlm, tiny_vlm_dir, tiny_questions, recipe, low_rank, tmp_path, what
):
    peft = pytest.importorskip("peft")
    digest, names = weights_digest(tiny_vlm.model), [name for name, _ in tiny_vlm.model.named_modules()]
    kept = recipe if what == "gain" else HeadRecipe.of(tiny_vlm, "lora", low_rank=low_rank)
    folder = kept.export_peft(tiny_vlm, tmp_path / "adapter")
    assert weights_digest(tiny_vlm.model) == digest
    assert [name for name, _ in tiny_vlm.model.named_modules()] == names
    with kept.applied(tiny_vlm):
        wanted = plain_logits(tiny_vlm.model, tiny_vlm.processor, tiny_questions[0])
    base = AutoModelForImageTextToText.from_pretrained(tiny_vlm_dir).eval()
    adapted = peft.PeftModel.from_pretrained(base, str(folder)).eval()
    made = plain_logits(adapted, tiny_vlm.processor, tiny_questions[0])
    torch.testing.assert_close(made, wanted, rtol=1e-4, atol=1e-4)


def test_what_is_no_change_of_weights_is_not_merged(tiny_vlm, tmp_path):
    looks = HeadRecipe.of(tiny_vlm, "attention", (attend(HeadSet("L1.H1"), "image", 2.0),))
    adds = HeadRecipe.of(tiny_vlm, "steering", (Edit(HeadSet("L0.H0"), 1.0, torch.ones(2, 4, 6)),))
    there = HeadRecipe.of(tiny_vlm, "gain", (scale(HeadSet("L0.H0"), 2.0),), scope="answer")
    for kept, why in ((looks, "changes attention"), (adds, "has no bias"), (there, "at 'answer' positions")):
        with pytest.raises(HeadAtlasError, match=why):
            kept.merge(tiny_vlm, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    for kept in (looks, adds, there):
        with pytest.raises(HeadAtlasError):
            kept.export_peft(tiny_vlm, tmp_path / "adapter")


def test_weights_are_restored_when_saving_fails(tiny_vlm, recipe, tmp_path, monkeypatch):
    digest = weights_digest(tiny_vlm.model)
    monkeypatch.setattr("headatlas.vlm.recipe._save", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        recipe.merge(tiny_vlm, tmp_path / "merged")
    assert weights_digest(tiny_vlm.model) == digest


def test_mistakes_are_one_line(tiny_vlm, recipe, tmp_path):
    with pytest.raises(HeadAtlasError, match="nothing to keep"):
        HeadRecipe.of(tiny_vlm, "gain")
    with pytest.raises(HeadAtlasError, match="is no recipe"):
        HeadRecipe.load(tmp_path / "absent")
    folder = recipe.save(tmp_path / "r")
    with pytest.raises(HeadAtlasError, match=r"must be a folder, got the file .*recipe\.json'"):
        HeadRecipe.load(folder / "recipe.json")
    record = json.loads((folder / "recipe.json").read_text())
    record["edits"][0]["factor"] = 4.0
    (folder / "recipe.json").write_text(json.dumps(record))
    with pytest.raises(HeadAtlasError, match="damaged: its numbers"):
        HeadRecipe.load(folder)
    for key in record:
        for odd in ({k: v for k, v in record.items() if k != key}, record | {key: 3}, record | {key: ["x"]}):
            (folder / "recipe.json").write_text(json.dumps(odd))
            with suppress(HeadAtlasError):  # any other error is a fault
                HeadRecipe.load(folder)
    (folder / "recipe.json").write_text("{")
    with pytest.raises(HeadAtlasError, match="cannot be read"):
        HeadRecipe.load(folder)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    with pytest.raises(HeadAtlasError, match="holds something else"):
        recipe.save(tmp_path / "full")
    with pytest.raises(HeadAtlasError, match="new or an empty folder"):
        recipe.merge(tiny_vlm, tmp_path / "full")
    assert ha.HeadRecipe is HeadRecipe


@torch.no_grad()
def plain_logits(model, processor, question):
    """Logits of a question's prompt by transformers alone."""
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question.text}]}]
    text = processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    return model(**processor(text=text, images=list(question.images), return_tensors="pt")).logits


def test_safetensors_alone_are_written(recipe, tmp_path):
    folder = recipe.save(tmp_path / "r")
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "recipe.json", "recipe.safetensors"]
    assert load_file(folder / "recipe.safetensors") == {}
