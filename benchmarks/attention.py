"""Cost of reading attention rows beside the model's own kernel, against a bare forward and eager attention outputs.

    python benchmarks/attention.py [--tokens 512 2048] [--layers 12] [--repeats 5]

A random Llama-like LLaVA is built, so nothing is downloaded. Printed per length: milliseconds of the bare forward, of reading
all heads at 16 predicting positions, of `output_attentions` with eager code, and the largest difference of the rows.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from transformers import CONFIG_MAPPING, AutoModelForImageTextToText

from headatlas.heads import AttentionReader, find_heads


def model_of(layers: int) -> torch.nn.Module:
    """A LLaVA with random weights: d = 512, 16 heads, 8 key heads."""
    text = {
        "model_type": "llama", "vocab_size": 1000, "hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": layers,
        "num_attention_heads": 16, "num_key_value_heads": 8, "max_position_embeddings": 4096,
    }  # fmt: skip
    vision = {
        "model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": 28, "patch_size": 14, "projection_dim": 16,
    }  # fmt: skip
    torch.manual_seed(0)
    config = CONFIG_MAPPING["llava"](text_config=text, vision_config=vision, image_token_index=5)
    return AutoModelForImageTextToText.from_config(config).eval()


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    """Median time of a call, after one to warm up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


@torch.inference_mode()
def main() -> None:
    """Print one line a length."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    model = model_of(options.layers)
    grid = find_heads(model)
    print("tokens  bare ms  rows ms  ratio  eager ms  ratio  largest difference")
    for length in options.tokens:
        ids = torch.randint(10, 1000, (1, length))
        queries = torch.zeros(1, length, dtype=torch.bool)
        queries[:, -16:] = True

        def bare(ids: torch.Tensor = ids) -> object:
            return model(input_ids=ids, use_cache=False, logits_to_keep=16)

        def rows(ids: torch.Tensor = ids, queries: torch.Tensor = queries) -> dict[int, torch.Tensor]:
            with AttentionReader(model, grid, queries=queries) as reader:
                model(input_ids=ids, use_cache=False, logits_to_keep=16)
            return {layer: read.weights for layer, read in reader.rows.items()}

        plain = milliseconds(bare, options.repeats)
        read = milliseconds(rows, options.repeats)
        weights = rows()
        model.set_attn_implementation("eager")
        try:
            eager = milliseconds(
                lambda ids=ids: model(input_ids=ids, output_attentions=True, logits_to_keep=16), options.repeats
            )
            own = model(input_ids=ids, output_attentions=True, logits_to_keep=16).attentions
        finally:
            model.set_attn_implementation("sdpa")
        gap = max(float((weights[i] - own[i][:, :, -16:]).abs().max()) for i in weights)
        line = f"{length:6d} {plain:8.0f} {read:8.0f} {read / plain:6.2f} {eager:9.0f} {eager / plain:6.2f}  {gap:.1e}"
        print(line)


if __name__ == "__main__":
    main()
