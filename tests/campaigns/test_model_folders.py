"""67 damaged model folders: one line, or answers that are finite; where the numbers differ, the identity differs too."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from headatlas import shipped
from headatlas.errors import HeadAtlasError
from headatlas.vlm import Conversation, Turn, load_vlm, read

from .conftest import one_line
from .damage import bytes_changed, json_bytes_changed, typo

CASES = 67
EVERY_TIME = 6

CHATS = [Conversation((Image.new("RGB", (96, 96), (200, 30, 30)),), (Turn("Is it red?", "yes"), Turn("So?", "no")))]


def of_json(folder: Path, rng: random.Random) -> None:
    file = rng.choice([path for path in sorted(folder.glob("*.json")) if path.name != "tokenizer.json"])
    file.write_bytes(json_bytes_changed(file.read_bytes(), rng))


def of_config(folder: Path, rng: random.Random) -> None:
    file = folder / "config.json"
    for _ in range(rng.choice((1, 3))):
        file.write_bytes(json_bytes_changed(file.read_bytes(), rng))


def of_tokenizer(folder: Path, rng: random.Random) -> None:
    file = folder / "tokenizer.json"
    file.write_bytes(json_bytes_changed(file.read_bytes(), rng))


def of_bytes(folder: Path, rng: random.Random) -> None:
    file = rng.choice([path for path in sorted(folder.iterdir()) if path.stat().st_size])
    file.write_bytes(bytes_changed(file.read_bytes(), rng))


def of_template(folder: Path, rng: random.Random) -> None:
    file = folder / "chat_template.jinja"
    text = file.read_text()
    file.write_bytes(bytes_changed(text.encode(), rng) if rng.random() < 0.5 else typo(text, rng).encode())


def of_presence(folder: Path, rng: random.Random) -> None:
    file = rng.choice(sorted(folder.iterdir()))
    file.unlink()
    how = rng.randrange(6)
    if how == 1:
        file.touch()
    elif how == 2:
        file.mkdir()
    elif how == 3:
        os.mkfifo(file)
    elif how == 4:
        file.symlink_to(file.name)
    elif how == 5:
        file.symlink_to("/dev/zero")


def of_header(folder: Path, rng: random.Random) -> None:
    """The header of the weights, with a length that fits it or not."""
    file = folder / "model.safetensors"
    data = file.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json_bytes_changed(data[8 : 8 + size], rng)
    length = rng.choice((len(header), len(header), size, 2**62))
    file.write_bytes(struct.pack("<Q", length) + header + data[8 + size :])


def of_weights(folder: Path, rng: random.Random) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    key = rng.choice(sorted(weights))
    how = rng.randrange(8)
    if how == 0:
        del weights[key]
    elif how == 1:
        weights[typo(key, rng)] = weights.pop(key)
    elif how == 2:
        weights[key] = weights[key].flatten()[:-1].clone()
    elif how == 3:
        weights[key] = weights[key].t().contiguous() if weights[key].ndim == 2 else weights[key][None].clone()
    elif how == 4:
        weights[key].flatten()[:] = float(rng.choice(("nan", "inf", "-inf", "3e38")))
    elif how == 5:
        weights[key] = weights[key].to(rng.choice((torch.int8, torch.float64, torch.float16, torch.complex64)))
    elif how == 6:
        weights[key.replace("0", "9") + ".9"] = torch.ones(3)
    else:
        weights = {}
    save_file(weights, file, metadata=rng.choice(({"format": "pt"}, {"format": "tf"}, {"format": "pt"}, None)))


def of_index(folder: Path, rng: random.Random) -> None:
    names = list(load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(names, "model-00001-of-00002.safetensors")}
    data = json_bytes_changed(json.dumps(index).encode(), rng)
    if rng.random() < 0.3:
        data = bytes_changed(data, rng)
    (folder / "model.safetensors.index.json").write_bytes(data)


def of_another(folder: Path, rng: random.Random) -> None:
    """A file of another model in its place."""
    other = shipped.path(rng.choice(("ref-llava", "ref-gemma", "ref-qwen")))
    file = rng.choice([path.name for path in sorted(other.iterdir()) if (folder / path.name).exists()])
    shutil.copy(other / file, folder / file)


KINDS: tuple[Callable[[Path, random.Random], None], ...] = (
    of_json, of_config, of_config, of_tokenizer, of_bytes, of_template, of_presence, of_header, of_weights, of_index, of_another,
)  # fmt: skip


def numbers(vlm) -> list[float]:
    return [one.logprob for row in read(vlm, CHATS) for one in row]


@pytest.fixture(scope="module")
def whole(tiny_vlm_dir):
    """By model: its folder, numbers and identity."""
    found = {}
    for name, folder in {"tiny": tiny_vlm_dir, "ref-qwen": shipped.path("ref-qwen")}.items():
        vlm = load_vlm(folder, device="cpu")
        found[name] = Path(folder), numbers(vlm), vlm.fingerprint
    return found


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_folder_is_refused_or_answers_under_its_own_identity(case, whole, tmp_path):
    rng = random.Random(case)
    source, right, identity = whole["ref-qwen" if case % 4 == 3 else "tiny"]
    folder = Path(shutil.copytree(source, tmp_path / "model"))
    KINDS[case % len(KINDS)](folder, rng)
    try:
        vlm = load_vlm(folder, device="cpu")
        found = numbers(vlm)
        vlm.answer(CHATS[0].images[0], "Is it red?", 2)
    except HeadAtlasError as error:
        one_line(error)
        return
    assert torch.tensor(found).isfinite().all()
    assert found == right or vlm.fingerprint != identity, "other numbers under the same identity"
