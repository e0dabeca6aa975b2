import json
import shutil

import pytest
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

from headatlas.errors import HeadAtlasError
from headatlas.families import FAMILIES, Family
from headatlas.reference.build import save as save_model
from headatlas.vlm.load import check_vlm, load_vlm


@pytest.fixture
def copy(tiny_vlm_dir, tmp_path):
    return shutil.copytree(tiny_vlm_dir, tmp_path / "model")


def test_it_is_in_eval_mode_without_gradients_on_the_given_device(tiny_vlm):
    assert not tiny_vlm.model.training
    assert not any(parameter.requires_grad for parameter in tiny_vlm.model.parameters())
    assert tiny_vlm.device == torch.device("cpu")


def test_the_models_own_attention_is_kept(tiny_vlm):
    assert tiny_vlm.model.config.text_config._attn_implementation == "sdpa"


def test_a_small_model_is_loaded_and_written_without_bars_of_transformers(copy, capfd):
    save_model(load_vlm(copy).model, load_vlm(copy).processor, copy)
    assert capfd.readouterr() == ("", "")
    assert transformers.utils.logging.is_progress_bar_enabled()


def test_half_precision_becomes_float32_on_the_cpu_unless_asked_for(copy):
    load_vlm(copy).model.to(torch.bfloat16).save_pretrained(copy)
    assert load_vlm(copy, device="cpu").dtype == torch.float32
    assert load_vlm(copy, device="cpu", dtype="bfloat16").dtype == torch.bfloat16
    assert load_vlm(copy, device="cpu", dtype=torch.float16).dtype == torch.float16
    with pytest.raises(HeadAtlasError, match="dtype must be"):
        load_vlm(copy, dtype="float99")


def test_no_such_model():
    with pytest.raises(HeadAtlasError, match=r"no model at .*must be a folder"):
        load_vlm("/no/such/folder")


def test_no_such_hub_id():
    with pytest.raises(HeadAtlasError, match=r"no model 'nobody/no-such-model': it must be a shipped name"):
        load_vlm("nobody/no-such-model")


def test_a_release_of_transformers_that_cannot_run_the_family_is_named(tiny_vlm_dir, monkeypatch):
    broken = Family("llava", broken={transformers.__version__: "its forward fails"})
    monkeypatch.setitem(FAMILIES._things, "llava", broken)
    with pytest.raises(HeadAtlasError, match=r"cannot run llava \(its forward fails\): install another release"):
        check_vlm(tiny_vlm_dir)


def test_a_text_model_is_not_a_vlm(tmp_path):
    config = LlamaConfig(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=9,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(HeadAtlasError, match=r"not a vision-language model.*got 'llama'"):
        load_vlm(tmp_path)


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(HeadAtlasError, match="is not a model"):
        load_vlm(tmp_path)


def test_a_folder_without_processor(copy):
    for name in ("processor_config.json", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        (copy / name).unlink(missing_ok=True)
    with pytest.raises(HeadAtlasError, match="processor"):
        load_vlm(copy)


def test_weights_that_are_broken_or_missing(copy, tiny_vlm):
    weights = {key: value for key, value in tiny_vlm.model.state_dict().items() if "q_proj" not in key}
    tiny_vlm.model.save_pretrained(copy, state_dict=weights)
    with pytest.raises(HeadAtlasError, match="lacks"):
        load_vlm(copy, device="cpu")
    (copy / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(HeadAtlasError, match="weights cannot be loaded"):
        load_vlm(copy, device="cpu")


def test_a_checkpoint_with_its_own_code_asks_for_trust(copy):
    config = json.loads((copy / "config.json").read_text())
    config["model_type"] = "their_vlm"
    config["auto_map"] = {"AutoConfig": "configuration_their.TheirConfig"}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "configuration_their.py").write_text("raise SystemExit('must not run')\n")
    with pytest.raises(HeadAtlasError, match="trust_remote_code=True"):
        load_vlm(copy)


def test_a_base_checkpoint_has_no_chat_template(copy):
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(HeadAtlasError, match="no chat template"):
        load_vlm(copy)
