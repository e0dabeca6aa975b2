"""Attention rows of every head at the positions that predict an answer: time and memory, beside a bare forward and other means.

    python benchmarks/attention.py                          # T = 512 and 2,048; what is installed takes part
    python benchmarks/attention.py --tokens 512 --rounds 9

The model is the language model of a Qwen2.5-VL with random weights (d = 1,024, 16 heads, 2 key heads), so nothing is downloaded.
Fewer layers than a real one has do not change the ratios: every layer costs the same. Contenders: the bare forward with SDPA;
HeadAtlas, whose rows come from beside SDPA; `output_attentions` of the eager code; vlmprobe's `attention.profile` and nnsight,
which both need the eager code. vlmprobe 1.0.1 runs with transformers 5.3 only: use an environment of its own.

Times are CPU time of one thread, contenders taking turns; memory is the peak of a process of its own. Rows are compared with
those of `output_attentions`.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib.util
import multiprocessing
from collections.abc import Callable
from typing import Any

import torch
from growth import peak_bytes
from table import race
from transformers import AutoModelForImageTextToText, Qwen2_5_VLConfig

from headatlas.heads import AttentionReader, HeadGrid, find_heads

Rows = list[torch.Tensor]
Contender = Callable[[], Rows]
TEXT = {
    "hidden_size": 1024, "intermediate_size": 2816, "num_attention_heads": 16, "num_key_value_heads": 2, "vocab_size": 2000,
    "max_position_embeddings": 4096, "rope_parameters": {"rope_type": "default", "mrope_section": [8, 12, 12]},
}  # fmt: skip
VISION = {"depth": 1, "hidden_size": 64, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 1024}


class Race:
    """The contenders at one length."""

    def __init__(self, layers: int, length: int, queries: int) -> None:
        config = Qwen2_5_VLConfig(
            text_config={**TEXT, "num_hidden_layers": layers}, vision_config={**VISION, "fullatt_block_indexes": [0]},
            image_token_id=1, video_token_id=2, vision_start_token_id=3, vision_end_token_id=4,
        )  # fmt: skip
        torch.manual_seed(0)
        self.model: Any = AutoModelForImageTextToText.from_config(config).eval()
        self.ids = torch.randint(10, 2000, (1, length))
        self.queries = torch.zeros(1, length, dtype=torch.bool)
        self.queries[:, -queries:] = True
        self.n = queries
        self.grid: HeadGrid = find_heads(self.model)

    def bare(self) -> Rows:
        self.model(input_ids=self.ids, use_cache=False, logits_to_keep=self.n)
        return []

    def headatlas(self) -> Rows:
        with AttentionReader(self.model, self.grid, queries=self.queries) as reader:
            self.bare()
        return [reader.rows[layer].weights for layer in sorted(reader.rows)]

    def eager(self) -> Rows:
        with self._eager(self.model):
            made = self.model(input_ids=self.ids, use_cache=False, logits_to_keep=self.n, output_attentions=True)
        return [layer[:, :, -self.n :].clone() for layer in made.attentions]

    def vlmprobe(self) -> Contender:
        from vlm_probing import Prober

        model = copy.deepcopy(self.model)
        model.set_attn_implementation("eager")
        method = Prober(model).attention.profile(queries=self.queries, include_attention=True)
        inputs = {"input_ids": self.ids, "attention_mask": torch.ones_like(self.ids)}

        def run() -> Rows:
            attention = method.run(inputs).tensors["attention"]
            return [layer[:, :, -self.n :].clone() for layer in attention]

        return run

    def nnsight(self) -> Contender:
        from nnsight import NNsight

        inner = copy.deepcopy(self.model)
        inner.set_attn_implementation("eager")
        model: Any = NNsight(inner)

        def run() -> Rows:
            with model.trace(input_ids=self.ids, use_cache=False, logits_to_keep=self.n, output_attentions=True):
                rows = []
                for layer in model.model.language_model.layers:
                    rows.append(layer.self_attn.output[1][:, :, -self.n :].save())
                rows = rows.save()
            return list(rows)

        return run

    @contextlib.contextmanager
    def _eager(self, model: Any) -> Any:
        model.set_attn_implementation("eager")
        try:
            yield
        finally:
            model.set_attn_implementation("sdpa")

    def contender(self, name: str) -> Contender:
        made = getattr(self, name)
        return made() if name in ("vlmprobe", "nnsight") else made


def names() -> list[str]:
    peers = [("vlmprobe", "vlm_probing"), ("nnsight", "nnsight")]
    return ["bare", "headatlas", "eager", *(name for name, module in peers if importlib.util.find_spec(module))]


def memory(at: Race, name: str) -> float:
    """MiB that one call adds, in a process of its own, forked before anything else was run."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_peak, args=(at, name, theirs))
    child.start()
    try:
        theirs.close()
        return ours.recv() / 2**20
    except EOFError:
        return float("nan")
    finally:
        child.join()


@torch.inference_mode()
def _peak(at: Race, name: str, pipe: Any) -> None:
    contender = at.contender(name)
    before = peak_bytes()
    contender()
    pipe.send(peak_bytes() - before)


@torch.inference_mode()
def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--queries", type=int, default=16, help="predicting positions")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| T | contender | seconds | x bare | largest difference | MiB beyond the weights |")
    print("|---:|---|---:|---:|---:|---:|")
    for length in options.tokens:
        at = Race(options.layers, length, options.queries)
        peaks = {name: memory(at, name) for name in names()}
        contenders = {name: at.contender(name) for name in names()}
        own = contenders["eager"]()
        off = {}
        for name, call in contenders.items():
            made = call()
            if made:
                off[name] = max(float((a - b).abs().max()) for a, b in zip(made, own, strict=True))
        for line in race(str(length), contenders, "bare", options.rounds, off):
            gap = "" if line.off is None else f"{line.off:.1e}"
            cells = line.name, f"{line.seconds:.2f}", f"{line.ratio:.2f}", gap, f"{peaks[line.name]:.0f}"
            print(f"| {length} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
