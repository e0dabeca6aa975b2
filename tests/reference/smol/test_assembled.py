"""Models that ship in parts around SmolLM2."""

import pytest

from headatlas import shipped
from headatlas.errors import HeadAtlasError
from headatlas.heads import zero
from headatlas.reference.made_once import RECORD
from headatlas.reference.smol.assembled import assembled, parts_digest
from headatlas.vlm import load_vlm

GET = "headatlas reference get smollm2"


@pytest.fixture
def parts(tmp_path):
    """A folder with the two files of a model's parts; what is in them is not read before the base is there."""
    folder = tmp_path / "weights" / "ref-smol"
    folder.mkdir(parents=True)
    (folder / "parts.json").write_text("{}\n")
    (folder / "parts.safetensors").write_bytes(bytes(8))
    (folder / "README.md").write_text("# ref-smol\n")
    return folder


def missing_base(cache):
    return f"the family smol needs the language model SmolLM2, which is not in {cache / 'smollm2'}: run `{GET}`"


def test_without_the_base_nothing_is_made(cache, parts):
    for call in (assembled, shipped.complete, load_vlm):
        with pytest.raises(HeadAtlasError) as caught:
            call(parts)
        assert str(caught.value) == missing_base(cache)
    assert not cache.exists()


def test_names_of_models_in_parts(cache, parts, monkeypatch):
    monkeypatch.setattr(shipped, "WEIGHTS", parts.parent)
    assert shipped.in_parts() == ("ref-smol",)
    assert shipped.names() == ()
    assert shipped.known() == ("ref-smol", *shipped.worlds())
    assert shipped.own_folder("ref-smol") == parts
    for call in (load_vlm, shipped.path):
        with pytest.raises(HeadAtlasError) as caught:
            call("ref-smol")
        assert str(caught.value) == missing_base(cache)
    for call in (load_vlm, shipped.path):
        with pytest.raises(HeadAtlasError, match="ref-smol"):
            call("ref-smal")


def test_complete_folders_are_left_alone():
    assert {shipped.path(name) for name in shipped.names()} == {shipped.own_folder(name) for name in shipped.names()}
    assert not set(shipped.names()) & set(shipped.in_parts())


@pytest.mark.parametrize("name", ["parts.json", "parts.safetensors"])
def test_other_parts_are_another_model(parts, name):
    before = parts_digest(parts)
    assert before == parts_digest(parts)
    (parts / "README.md").write_text("another card\n")
    assert parts_digest(parts) == before
    (parts / name).write_bytes((parts / name).read_bytes() + b" ")
    assert parts_digest(parts) != before
    (parts / name).unlink()
    with pytest.raises(HeadAtlasError, match=f"must hold parts.json and parts.safetensors, but {name} is missing"):
        parts_digest(parts)


@pytest.mark.base
def test_parts_and_smollm2_answer_text_as_smollm2_does(tmp_path):
    """Untrained parts: the VLM, put together, says word for word what SmolLM2 says, and loads without HeadAtlas."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from headatlas.reference.exports import export
    from headatlas.reference.families import family_named
    from headatlas.reference.smol.base import load_base
    from headatlas.reference.smol.figures import agreement

    family = family_named("smol")
    parts = tmp_path / "parts"
    tokenizer = family.tokenizer()
    family.export(family.model(tokenizer, family.shape, 0), family.processor(tokenizer, family.shape), parts)
    assert sum(file.stat().st_size for file in parts.iterdir()) <= 16e6
    vlm = load_vlm(parts, device="cpu")
    assert vlm.heads.shape == (30, 9)
    base, tokenizer = load_base()
    prompts = ("What is the capital of France?", "Name a color.", "Is seven a prime number?")
    for prompt in prompts:
        chat = [{"role": "user", "content": prompt}]
        texts = [
            reader.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
            for reader in (tokenizer, vlm.processor)
        ]
        assert texts[0] == texts[1]
    found = agreement(vlm.model, base, tokenizer, prompts)
    assert sum(right for right, _ in found) >= 0.98 * sum(n for _, n in found)
    out = export(str(parts), tmp_path / "out")
    assert RECORD not in {file.name for file in out.iterdir()}
    plain = AutoModelForImageTextToText.from_pretrained(out, dtype=torch.float32)
    AutoProcessor.from_pretrained(out)
    wanted = vlm.model.state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in plain.state_dict().items())


def test_what_ships_of_ref_smol():
    """The card's figures reach what the model is for; without the picture they do not."""
    import pandas as pd

    folder = shipped.own_folder("ref-smol")
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 16e6
    figures = pd.read_csv(folder / "figures.csv").set_index(["way", "group"])["accuracy"]
    for group, least in {"spatial_perception": 0.85, "relational_reasoning": 0.75, "final": 0.7}.items():
        assert figures["own", group] >= least
        assert figures["own", group] - figures["own_no_image", group] >= 0.2
    assert f"{figures['plain', 'tokens']:.2f}" in (folder / "README.md").read_text()


@pytest.mark.base
def test_ref_smol_sees_and_still_speaks():
    from headatlas import HeadSet, evaluate, find_heads
    from headatlas.reference.smol.base import load_base
    from headatlas.reference.smol.figures import agreement, in_free_words
    from headatlas.scenes.build import symbolic

    vlm = load_vlm("ref-smol", device="cpu")
    assert vlm.heads.shape == find_heads(vlm.model).shape == (30, 9)
    questions = [made.rendered() for made in symbolic(40, "E", 11)]
    blind = [question.model_copy(update={"images": ()}) for question in questions]
    shares = [
        evaluate(vlm, asked, mode="forced", context="gold").groupby("function")["correct"].mean()["spatial_perception"]
        for asked in (questions, in_free_words(questions), blind)
    ]
    assert min(shares[:2]) >= 0.7
    assert shares[2] <= 0.5
    with vlm.edit(zero(HeadSet(vlm.heads.heads("L")))):
        ablated = evaluate(vlm, questions[:8], mode="forced", context="gold")
    assert ablated["correct"].mean() <= 0.4
    prompts = ("What is the capital of France?", "Name a color.", "Is seven a prime number?")
    found = agreement(vlm.model, *load_base(), prompts)
    assert sum(right for right, _ in found) >= 0.6 * sum(n for _, n in found)
