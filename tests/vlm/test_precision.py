"""Half precision and layers spread over devices: reads and edits keep to each layer's dtype and device."""

import pytest
import torch

from headatlas.activations import capture
from headatlas.errors import HeadAtlasError
from headatlas.heads import HeadSet, ZReader, mean, scale, zero
from headatlas.proof.processor import write_checkpoint
from headatlas.vlm import conversation, encode, generate, load_vlm, read
from headatlas.vlm.forward import logits_at

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
FAMILIES = ("qwen2_5_vl", "gemma3", "mllama")
HALF = ("bfloat16", "float16")


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, tmp_path_factory):
    return write_checkpoint(request.param, tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_is_kept_and_stored_in_single(folder, dtype, tiny_questions, tmp_path):
    vlm = load_vlm(folder, device="cpu", dtype=dtype)
    half = getattr(torch, dtype)
    assert vlm.dtype == half
    assert vlm.heads.tower("L")[0].module.weight.dtype == half
    chats = [conversation(question) for question in tiny_questions[:2]]
    batch = encode(vlm, chats)
    heads = HeadSet(vlm.heads.heads("L"))
    with ZReader(vlm.heads) as reader:
        bare = logits_at(vlm, batch, batch.predict_mask(), range(2))
    assert bare.dtype == torch.float32
    assert {z.dtype for z in reader.z.values()} == {half}
    with vlm.edit(scale(heads, 1.0)):
        assert torch.equal(logits_at(vlm, batch, batch.predict_mask(), range(2)), bare)
    values = torch.full(vlm.heads.padded("L"), 0.5)  # float32, cast where it is used
    with vlm.edit(mean(heads, values), scope="answer"):
        edited = logits_at(vlm, batch, batch.predict_mask(), range(2), reader)
    assert not torch.equal(edited, bare)
    assert {z.dtype for z in reader.z.values()} == {half}
    with vlm.edit(zero(heads)):
        said = generate(vlm, [conversation(question, upto=1) for question in tiny_questions[:2]], max_new_tokens=2)
    assert len(said) == 2
    kept = capture(vlm, tiny_questions[:2], tokens="gold", out=tmp_path / "acts").z("gold")
    assert str(kept.dtype).endswith("float32")


@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_says_about_what_single_says(folder, dtype, tiny_questions):
    chats = [conversation(question) for question in tiny_questions[:2]]
    single, half = (load_vlm(folder, device="cpu", dtype=kind) for kind in ("float32", dtype))
    a, b = ([r.logprob for row in read(vlm, chats) for r in row] for vlm in (single, half))
    assert b == pytest.approx(a, rel=0.05, abs=0.5)


def test_layers_on_disk_are_read_and_edited_like_those_in_memory(tmp_path, tiny_questions):
    """What one machine without a GPU can show of `device_map`: weights that are not there before the layer runs."""
    folder = write_checkpoint("qwen2_5_vl", tmp_path / "model")
    plain = load_vlm(folder, device="cpu")
    first = "model.language_model.layers.0"
    rest = {f"model.language_model.{name}": "cpu" for name in ("layers.1", "norm", "rotary_emb", "embed_tokens")}
    spread = load_vlm(
        folder,
        device_map={first: "disk", **rest, "model.visual": "cpu", "lm_head": "cpu"},
        options={"offload_folder": str(tmp_path / "disk")},
    )
    assert spread.model.get_submodule(first).self_attn.o_proj.weight.is_meta
    assert spread.device == torch.device("cpu")
    assert spread.fingerprint == plain.fingerprint
    chats = [conversation(question) for question in tiny_questions[:3]]
    heads = HeadSet(plain.heads.heads("L")[:3])
    values = torch.randn(plain.heads.padded("L"), generator=torch.Generator().manual_seed(0))
    for scope in ("all", "image", "answer"):
        said = []
        for vlm in (plain, spread):
            batch = encode(vlm, chats)
            with vlm.edit(mean(heads, values), scope=scope):
                said.append(logits_at(vlm, batch, batch.predict_mask(), range(3)))
        torch.testing.assert_close(said[0], said[1])
    opened = [conversation(question, upto=1) for question in tiny_questions[:2]]
    assert generate(plain, opened, max_new_tokens=3) == generate(spread, opened, max_new_tokens=3)


def test_placing_mistakes_are_one_clear_line(tiny_vlm_dir):
    with pytest.raises(HeadAtlasError, match="device and device_map must not be given both"):
        load_vlm(tiny_vlm_dir, device="cpu", device_map="auto")
    with pytest.raises(HeadAtlasError, match=r"quantization must be '8bit', '4bit' or .*, got '3bit'"):
        load_vlm(tiny_vlm_dir, quantization="3bit")
    with pytest.raises(HeadAtlasError, match="CUDA devices only"):
        load_vlm(tiny_vlm_dir, device="cpu", quantization="4bit")


def test_further_options_reach_the_loader(tiny_vlm_dir):
    vlm = load_vlm(tiny_vlm_dir, device="cpu", options={"attn_implementation": "eager"})
    assert vlm.model.config.text_config._attn_implementation == "eager"
