"""Damaged model folders: each gives one line, no traceback, no hang, and no request to a hub."""

import json
import os
import pickle
import shutil

import pytest
import torch

from headatlas.errors import HeadAtlasError
from headatlas.vlm.folder import check_folder, hub_name
from headatlas.vlm.load import load_vlm
from headatlas.vlm.template import check_template

JSON = ("config.json", "generation_config.json", "processor_config.json", "tokenizer_config.json", "tokenizer.json")


def unlink(file):
    return lambda folder: (folder / file).unlink()


def write(file, text):
    return lambda folder: (folder / file).write_bytes(text if isinstance(text, bytes) else text.encode())


def truncate(file):
    return lambda folder: (folder / file).write_bytes(
        (folder / file).read_bytes()[: os.path.getsize(folder / file) // 2]
    )


def put(file, *path_and_value):
    *path, value = path_and_value

    def change(folder):
        whole = json.loads((folder / file).read_text())
        inner = whole
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        (folder / file).write_text(json.dumps(whole))

    return change


def index(weight_map):
    def change(folder):
        (folder / "model.safetensors").rename(folder / "part.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))

    return change


def pickled(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": 1}))


def nan_weights(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights[next(key for key in weights if key.endswith("lm_head.weight"))][:] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def stored_as(dtype):
    def change(folder):
        from safetensors.torch import load_file, save_file

        weights = load_file(folder / "model.safetensors")
        key = next(key for key in weights if key.endswith("o_proj.weight"))
        save_file({**weights, key: weights[key].to(dtype)}, folder / "model.safetensors", metadata={"format": "pt"})

    return change


def fifo(folder):
    (folder / "generation_config.json").unlink()
    os.mkfifo(folder / "generation_config.json")


ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{{ 'probe' if loop.last }}{% endfor %}{% endfor %}"

DOUBLING = "{% set n = namespace(s='ab') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}{{ n.s }}"

DAMAGE = {
    **{f"no {file}": unlink(file) for file in ("config.json", "model.safetensors", "tokenizer.json")},
    **{f"{file} ends early": truncate(file) for file in ("config.json", "model.safetensors", "tokenizer.json")},
    **{f"{file} is {text}": write(file, text) for file in JSON for text in ("3", "[1]", "null", '"text"')},
    **{f"{file} is binary": write(file, bytes(range(256))) for file in (*JSON, "model.safetensors")},
    **{f"{file} is empty": write(file, "") for file in (*JSON, "model.safetensors")},
    "nested too deeply": write("config.json", "[" * 100_000),
    "template with an error": write("chat_template.jinja", "{% for %}"),
    "template that refuses": write("chat_template.jinja", "{{ raise_exception('no') }}"),
    "template without an end": write("chat_template.jinja", ENDLESS),
    "template without the text": write("chat_template.jinja", "hello"),
    "binary template": write("chat_template.jinja", bytes(range(128, 256))),
    "model_type is a number": put("config.json", "model_type", 7),
    "text_config is a number": put("config.json", "text_config", 7),
    "vision_config is a list": put("config.json", "vision_config", []),
    "other heads": put("config.json", "text_config", "num_attention_heads", 3),
    "no heads": put("config.json", "text_config", "num_attention_heads", 0),
    "heads in words": put("config.json", "text_config", "num_attention_heads", "four"),
    "more layers": put("config.json", "text_config", "num_hidden_layers", 4),
    "countless layers": put("config.json", "text_config", "num_hidden_layers", 10**9),
    "wider": put("config.json", "text_config", "hidden_size", 64),
    "endless width": put("config.json", "text_config", "hidden_size", 10**12),
    "more words": put("config.json", "text_config", "vocab_size", 10**6),
    "fewer words": put("config.json", "text_config", "vocab_size", 20),
    "huge picture": put("config.json", "vision_config", "image_size", 20_000),
    "negative patches": put("config.json", "vision_config", "patch_size", -1),
    "image token outside": put("config.json", "image_token_index", 10**6),
    "processor of another size": put("processor_config.json", "image_processor", "size", {"height": 64, "width": 64}),
    "processor in words": put("processor_config.json", "image_processor", "image_mean", "grey"),
    "processor of no size": put("processor_config.json", "image_processor", "size", {"height": 0, "width": 0}),
    "processor of an endless size": put(
        "processor_config.json", "image_processor", "size", {"height": 10**9, "width": 10**9}
    ),
    "processor of an endless edge": put("processor_config.json", "image_processor", "size", {"shortest_edge": 10**8}),
    "countless image tokens": put("processor_config.json", "num_additional_image_tokens", 10**10),
    "processor without patches": put("processor_config.json", "patch_size", 0),
    "end of turn in words": put("generation_config.json", "eos_token_id", "end"),
    "end of turn outside": put("generation_config.json", "eos_token_id", 10**7),
    "index without files": index({}),
    "index that is a list": index([1]),
    "index to another folder": index({"lm_head.weight": "../model.safetensors"}),
    "index to a root": index({"lm_head.weight": "/etc/passwd"}),
    "index to a missing file": index({"lm_head.weight": "other.safetensors"}),
    "index with few weights": index({"lm_head.weight": "part.safetensors"}),
    "pickled weights": pickled,
    "weights that are not finite": nan_weights,
    "weights of whole numbers": stored_as(torch.int32),
    "weights of booleans": stored_as(torch.bool),
    "complex weights": stored_as(torch.complex64),
    "fewer layers": put("config.json", "text_config", "num_hidden_layers", 1),
    "endless epsilon": put("config.json", "text_config", "rms_norm_eps", 1e308),
    "template of a power": write("chat_template.jinja", "{{ 9 ** 9 ** 9 }}"),
    "template of a huge text": write("chat_template.jinja", "{{ 'a' * 10000 * 1000000 }}"),
    "template of a wide text": write("chat_template.jinja", "{{ 'a'|center(3000000000) }}"),
    "template of a wide number": write("chat_template.jinja", "{{ '%9999999999d' % 3 }}"),
    "template that doubles": write("chat_template.jinja", DOUBLING),
    "template in parts": lambda folder: (
        (folder / "chat_template.jinja").unlink(),
        put("processor_config.json", "chat_template", {"default": 3})(folder),
    ),
    "a pipe": fifo,
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_an_error_in_one_line_or_harmless(tiny_vlm_dir, tmp_path, damage, tiny_questions):
    folder = shutil.copytree(tiny_vlm_dir, tmp_path / "model")
    DAMAGE[damage](folder)
    said = ""
    try:
        vlm = load_vlm(folder, device="cpu")
        vlm.answer(tiny_questions[0].images[0], "Is it red?", 2)
    except HeadAtlasError as error:
        said = str(error)
    assert said or damage in HARMLESS, f"{damage} was not noticed"
    assert "\n" not in said
    assert len(said) < 500


HARMLESS = ("generation_config.json is empty", "index with few weights")  # the file has all weights


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("recipe.json", "--recipe"),
        ("adapter_config.json", "merge_and_unload"),
        ("run.json", "run directory"),
        ("x", "no config.json"),
    ],
)
def test_what_is_no_model_but_something_else_is_said(file, said, tmp_path):
    (tmp_path / file).write_text("{}")
    with pytest.raises(HeadAtlasError, match=f"is not a model.*{said}"):
        load_vlm(str(tmp_path))


def test_weights_of_another_shape_are_named(tiny_vlm_dir, tmp_path):
    folder = shutil.copytree(tiny_vlm_dir, tmp_path / "model")
    DAMAGE["wider"](folder)
    with pytest.raises(HeadAtlasError, match=r"weights must have the shapes that config.json says, got .*weight"):
        load_vlm(folder, device="cpu")


def test_code_of_a_pickle_never_runs(tiny_vlm_dir, tmp_path):
    folder = shutil.copytree(tiny_vlm_dir, tmp_path / "model")
    (folder / "model.safetensors").unlink()

    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    torch.save({"weight": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(HeadAtlasError, match="must be safetensors, got the pickle"):
        load_vlm(folder, device="cpu")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ref-lava", "did you mean 'ref-llava'"),
        ("llava", "must be a shipped one"),
        ("./nowhere", "must be a folder"),
        ("a/b/c", "must be a folder"),
        ("C:\\models\\x", "must be a folder"),
        ("weights.safetensors", "must be a folder"),
        ("owner/na me", "must be a shipped one"),
        ("own er/../x", "must be a"),
        ("", "must be a shipped name"),
    ],
)
def test_what_is_no_hub_id_is_not_looked_for_on_the_hub(name, says, monkeypatch):
    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", lambda *a, **k: pytest.fail("asked the hub"))
    with pytest.raises(HeadAtlasError, match=says):
        load_vlm(name)


def test_a_hub_id_may_be_looked_for():
    hub_name("Qwen/Qwen2.5-VL-7B-Instruct", ("ref-llava",))


@pytest.mark.parametrize("edge", [144 * 144, 1280 * 28 * 28])
def test_edges_that_count_the_pixels_of_an_area_may_be_large(tiny_vlm_dir, tmp_path, edge):
    """As in Qwen's processors, which are known by the way in which they merge patches."""
    folder = shutil.copytree(tiny_vlm_dir, tmp_path / "model")
    settings = {"size": {"shortest_edge": edge, "longest_edge": edge}, "merge_size": 2}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    check_folder("m", folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": {"shortest_edge": edge}}))
    with pytest.raises(HeadAtlasError, match="size must be a number from 0 to 20000"):
        check_folder("m", folder)


def test_weights_that_the_model_leaves_out_or_that_are_zero_are_said(tiny_vlm_dir, tmp_path, caplog):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_vlm_dir, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    key = next(key for key in weights if key.endswith("o_proj.weight"))
    weights |= {"another.weight": torch.ones(3), key: torch.zeros_like(weights[key])}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    load_vlm(folder, device="cpu")
    assert "1 of its weights are not used, such as 'another.weight'" in caplog.text
    assert "1 of its weights are zero everywhere" in caplog.text


def test_ordinary_templates_may_multiply():
    check_template("m", "{{ '-' * 3 }}{{ f(**options) }}{{ 60 * 60 * n }}{% if a %}**bold**{% endif %}")
    with pytest.raises(HeadAtlasError, match="must be a text"):
        check_template("m", {"default": [1]})
