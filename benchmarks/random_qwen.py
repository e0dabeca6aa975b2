"""A Qwen2.5-VL of any size with random weights and a processor made on the spot: no download.

Its tokenizer is trained on the words of the questions at hand, its chat template is a plain one. What it answers is noise;
what a pass costs is what a pass of this shape costs.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import torch

from headatlas.vlm import VLM, load_vlm

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
LAYERS = {"small": (14, 6), "3b": (36, 32), "7b": (28, 32)}
HEADS = {"small": (16, 2), "3b": (16, 2), "7b": (28, 4)}
WIDTHS = {"small": (1024, 2816), "3b": (2048, 11008), "7b": (3584, 18944)}
VISION = {
    "small": (512, 1024, 8, (2, 5)),
    "3b": (1280, 3420, 16, (7, 15, 23, 31)),
    "7b": (1280, 3420, 16, (7, 15, 23, 31)),
}
VOCABULARY = {"small": 16384, "3b": 151936, "7b": 152064}
SHAPES = tuple(LAYERS)
"""`small`: about 0.25 G parameters, what a CPU can be asked for; `3b`, `7b`: the true shapes."""


def shapes(shape: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Text and vision sizes as Qwen2.5-VL's configuration names them."""
    hidden, between = WIDTHS[shape]
    heads, keys = HEADS[shape]
    wide, inner, vision_heads, full = VISION[shape]
    text = {"hidden_size": hidden, "intermediate_size": between, "num_hidden_layers": LAYERS[shape][0]}
    text |= {"num_attention_heads": heads, "num_key_value_heads": keys}
    vision = {"depth": LAYERS[shape][1], "hidden_size": wide, "intermediate_size": inner, "num_heads": vision_heads}
    return text, vision | {"fullatt_block_indexes": list(full)}


def build(shape: str, texts: list[str], dtype: torch.dtype, device: str) -> tuple[Any, Any]:
    """Return model and processor, made on `device`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        PreTrainedTokenizerFast,
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
    )
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<|endoftext|>", eos_token="<|im_end|>", additional_special_tokens=SPECIAL[1:]
    )
    ids = dict(zip(SPECIAL, tokenizer.convert_tokens_to_ids(SPECIAL), strict=True))
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=TEMPLATE,
    )
    (text, vision), vocabulary = shapes(shape), VOCABULARY[shape]
    d_head = text["hidden_size"] // text["num_attention_heads"]
    config = Qwen2_5_VLConfig(
        text_config={
            **text, "vocab_size": vocabulary, "max_position_embeddings": 4096, "bos_token_id": None,
            "eos_token_id": ids["<|im_end|>"], "pad_token_id": ids["<|endoftext|>"], "tie_word_embeddings": shape != "7b",
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6,
                                "mrope_section": [d_head // 8, 3 * d_head // 16, 3 * d_head // 16]},
        },
        vision_config={**vision, "out_hidden_size": text["hidden_size"]},
        image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"], vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=shape != "7b",
    )  # fmt: skip
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = Qwen2_5_VLForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    return model, processor


def make(folder: Path, shape: str, texts: list[str], device: str | None = None) -> VLM:
    """The model, written to `folder` and loaded, in float32; on a GPU as it was made there, in bfloat16, and not written."""
    if torch.cuda.is_available() and device != "cpu":
        model, processor = build(shape, texts, torch.bfloat16, device or "cuda")
        return VLM(f"random Qwen2.5-VL ({shape})", model.eval().requires_grad_(False), processor)
    if not (folder / "config.json").exists():
        with contextlib.redirect_stderr(io.StringIO()):
            for part in build(shape, texts, torch.float32, "cpu"):
                part.save_pretrained(folder)
    return load_vlm(folder, device=device, dtype=torch.float32)
