"""Qwen2.5-VL: a vision tower with windows and full blocks and a patch merger; M-RoPE and grouped queries in the language model.

Its default system message is left out, because it would add the same ten tokens to every conversation.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from headatlas.reference.build import Shape, token_id
from headatlas.reference.families.base import SHORTER, Family
from headatlas.reference.form import Form

START, IMAGE, END, VIDEO = "<|vision_start|>", "<|image_pad|>", "<|vision_end|>", "<|video_pad|>"
FRAMES = 2
"""Frames that make a patch; a still picture is shown twice."""


class Qwen25VL(Family):
    """Four patches are merged into one cell. Windows are three cells wide; the last block of the tower sees the whole picture."""

    name = "qwen2_5_vl"
    shipped = "ref-qwen"
    form = Form(
        specials=("<|im_start|>", "<|im_end|>", "<|endoftext|>", START, END, IMAGE, VIDEO),
        user="<|im_start|>user\n", assistant="<|im_start|>assistant\n", end="<|im_end|>", after="\n", closes_user=True,
        pad="<|endoftext|>", image=IMAGE, picture=(START, END), placeholder=START + IMAGE + END,
    )  # fmt: skip
    shape = Shape(patch_size=12, merge=2, kv_heads=2)
    settings = SHORTER
    model_class = Qwen2_5_VLForConditionalGeneration
    tower = "Qwen2.5-VL's (windows of three cells, full attention in the last block, patches merged 2 x 2)"
    decoder = "Qwen2.5 with M-RoPE"
    vision = ("model.visual",)
    last = ("model.visual.merger.mlp.2.weight", "model.visual.merger.mlp.2.bias")

    def processor(self, tokenizer: PreTrainedTokenizerFast, shape: Shape) -> Qwen2_5_VLProcessor:
        """Return Qwen2.5-VL's processor; the number of pixels is fixed, so every picture has the same number of patches."""
        area = shape.image_size**2
        sizes: dict[str, Any] = {
            "size": {"shortest_edge": area, "longest_edge": area},
            "patch_size": shape.patch_size,
            "merge_size": shape.merge,
            "temporal_patch_size": FRAMES,
        }
        return Qwen2_5_VLProcessor(
            image_processor=Qwen2VLImageProcessor(**sizes), tokenizer=tokenizer,
            video_processor=Qwen2VLVideoProcessor(**sizes), chat_template=self.form.template,
        )  # fmt: skip

    def config(self, shape: Shape, vocabulary: int, end: int, pad: int, tokenizer: PreTrainedTokenizerFast) -> Any:
        """Return Qwen2.5-VL's configuration."""
        half = shape.width // shape.heads // 2
        side = 3 * half // 8  # of a rotary half: temporal 1/4, height 3/8, width 3/8, as in the large models
        vision = {
            "depth": shape.vision_layers, "hidden_size": shape.vision_width, "num_heads": shape.vision_heads,
            "intermediate_size": 4 * shape.vision_width, "out_hidden_size": shape.width, "patch_size": shape.patch_size,
            "spatial_merge_size": shape.merge, "temporal_patch_size": FRAMES,
            "window_size": 3 * shape.merge * shape.patch_size, "fullatt_block_indexes": [shape.vision_layers - 1],
        }  # fmt: skip
        text = {
            "vocab_size": vocabulary, "hidden_size": shape.width, "intermediate_size": shape.mlp,
            "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads or shape.heads, "max_position_embeddings": shape.max_length,
            "bos_token_id": None, "eos_token_id": end, "pad_token_id": pad, "tie_word_embeddings": True,
            # With d_head 16 the usual base of a million would leave most dimensions almost constant.
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [half - 2 * side, side, side]
            },
        }  # fmt: skip
        return Qwen2_5_VLConfig(
            vision_config=vision, text_config=text, tie_word_embeddings=True,
            image_token_id=token_id(tokenizer, IMAGE), video_token_id=token_id(tokenizer, VIDEO),
            vision_start_token_id=token_id(tokenizer, START), vision_end_token_id=token_id(tokenizer, END),
        )  # fmt: skip

    def begin(self, model: PreTrainedModel) -> None:
        """Compute the patch embedding as a matrix product, to which it is equal: on a CPU the gradient of the 3-D convolution
        takes longer than the rest of the tower. Only this object's forward changes; weights and saved files stay the same.
        """
        embed: Any = model.get_submodule("model.visual.patch_embed")

        def forward(patches: Tensor) -> Tensor:
            weight = embed.proj.weight
            return F.linear(patches.to(weight.dtype), weight.flatten(1))

        embed.forward = forward

    def inputs(self, pixels: Float[Tensor, "B 3 S S"], shape: Shape) -> dict[str, Tensor]:
        """Return patches `[B * patches, 3 * FRAMES * P * P]`, those of a cell together, and each picture's grid."""
        batch, colors, size, _ = pixels.shape
        side, cells = shape.patch_size, size // (shape.patch_size * shape.merge)
        split = pixels.view(batch, colors, cells, shape.merge, side, cells, shape.merge, side)
        patches = split.permute(0, 2, 5, 3, 6, 1, 4, 7).unsqueeze(6).expand(-1, -1, -1, -1, -1, -1, FRAMES, -1, -1)
        grid = torch.tensor([[1, size // side, size // side]]).repeat(batch, 1)
        return {"pixel_values": patches.reshape(-1, colors * FRAMES * side * side), "image_grid_thw": grid}

    def context(
        self, model: PreTrainedModel, ids: Int64[Tensor, "B T"], at: int | None, shape: Shape
    ) -> dict[str, Any]:
        """Return M-RoPE's positions `[3, 1, T]`, the same for all rows, as the picture is always in the same place."""
        if at is None:
            return {}
        kinds = torch.zeros_like(ids[:1], dtype=torch.int)
        kinds[:, at : at + shape.image_tokens] = 1
        side = shape.image_size // shape.patch_size
        find: Any = model.model.get_rope_index  # type: ignore[union-attr]
        positions, _ = find(ids[:1], kinds, image_grid_thw=torch.tensor([[1, side, side]]))
        return {"position_ids": positions}
