"""Time and peak memory as the dataset grows, each size in a process of its own that reads a dataset made beforehand; and time as
the number of swept heads grows."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from table import Line, race

import headatlas as ha
from headatlas.engine import sweep
from headatlas.heads import HeadSet, zero
from headatlas.vlm import VLM, Conversation, conversation
from headatlas.vlm.batch import encode
from headatlas.vlm.data import windows
from headatlas.vlm.pixels import PixelCache
from headatlas.vlm.read import by_length

SIZES = (32, 128, 512, 2048)


def growth(model: str, batch_size: int) -> list[Line]:
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as folder:
        for n in SIZES:
            ha.cogvsr.load("scenes", n=n, seed=9).save(Path(folder) / str(n))
        bare: dict[int, float] = {}
        for what in ("bare", "capture", "sweep"):
            first = 0.0
            for n in SIZES:
                told = _ran(what, model, Path(folder) / str(n), batch_size)
                bare.setdefault(n, told["peak"])
                first = first or told["seconds"]
                ratio = told["peak"] / bare[n]
                note = f"peak memory {told['peak'] / 2**20:.0f} MiB, {ratio:.2f} x bare, {n} questions"
                lines.append(
                    Line("growth", f"{what} x{n // SIZES[0]}", told["seconds"], told["seconds"] / first, None, note)
                )
    return lines


def heads_lines(vlm: VLM, chats: list[Conversation], batch_size: int, rounds: int) -> list[Line]:
    """Sweeps of a quarter, half and all of the heads, spread over the layers, beside no head at all (the bare pass)."""
    heads = list(vlm.heads.heads())
    lines = []
    for scope in ("all", "answer"):
        contenders = {
            f"{len(some)} heads": lambda some=some, scope=scope: sweep(
                vlm, chats, [[zero(HeadSet([head]))] for head in some], scope, batch_size
            )
            for some in ([], heads[::4], heads[::2], heads)
        }
        lines += race(f"heads, scope {scope}", contenders, "0 heads", rounds)
    return lines


def _ran(what: str, model: str, data: Path, batch_size: int) -> dict[str, float]:
    command = [sys.executable, __file__, what, model, str(data), str(batch_size)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout.splitlines()[-1])


def peak_bytes() -> int:
    """The most memory this process has held: on its GPU if it used one, else in RAM."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    # Not getrusage: a new process starts there with the peak of the one that started it.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def measure(what: str, model: str, folder: str, batch_size: int) -> None:
    """Run one of bare, capture, sweep over the dataset in `folder`; print CPU seconds and peak memory."""
    vlm = ha.load_vlm(model)
    data = ha.cogvsr.load(folder)
    conditions = [[zero(HeadSet([head]))] for head in vlm.heads.heads()]
    if what == "bare":  # nothing of HeadAtlas's is kept
        vlm.pixels = PixelCache(0)
    start = time.process_time()
    if what == "capture":
        with tempfile.TemporaryDirectory() as out:
            ha.capture(vlm, data, tokens="predict", out=Path(out) / "acts", batch_size=batch_size)
    else:
        for window in windows(data, 64):
            chats = [conversation(question) for question in window]
            if what == "sweep":
                sweep(vlm, chats, conditions, "answer", batch_size)
                continue
            for rows in by_length(chats, batch_size):
                batch = encode(vlm, [chats[row] for row in rows])
                with torch.inference_mode():
                    vlm.model(**batch.to(vlm.device, vlm.dtype), use_cache=False)
    print(json.dumps({"seconds": time.process_time() - start, "peak": peak_bytes()}))


if __name__ == "__main__":
    measure(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
