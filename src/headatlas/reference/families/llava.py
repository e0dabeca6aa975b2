"""LLaVA: CLIP's vision tower, a projector of two layers, a Llama."""

from __future__ import annotations

from typing import Any

from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from headatlas.reference.build import Shape, token_id
from headatlas.reference.families.base import Family
from headatlas.reference.form import Form


def clip_pictures(size: int) -> CLIPImageProcessor:
    """Return CLIP's image processor: resize, crop to `size` pixels a side, mean and deviation 0.5."""
    return CLIPImageProcessor(
        size={"shortest_edge": size},
        crop_size={"height": size, "width": size},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )


class Llava(Family):
    """A patch is one cell of the board."""

    name = "llava"
    shipped = "ref-llava"
    form = Form(
        specials=("<|user|>", "<|assistant|>", "<|end|>", "<|pad|>", "<image>"),
        user="<|user|>", assistant="<|assistant|>", end="<|end|>", pad="<|pad|>",
        image="<image>", picture=("", "\n"), placeholder="<image>\n",
    )  # fmt: skip
    shape = Shape()
    model_class = LlavaForConditionalGeneration
    tower = "CLIP ViT"
    decoder = "Llama"

    def processor(self, tokenizer: PreTrainedTokenizerFast, shape: Shape) -> LlavaProcessor:
        """Return LLaVA's processor with CLIP's image processor."""
        # CLIP's class token is counted and then dropped ("default"), so there is one more token.
        return LlavaProcessor(
            image_processor=clip_pictures(shape.image_size), tokenizer=tokenizer, patch_size=shape.patch_size,
            num_additional_image_tokens=1, vision_feature_select_strategy="default", chat_template=self.form.template,
            image_token=self.form.image,
        )  # fmt: skip

    def config(self, shape: Shape, vocabulary: int, end: int, pad: int, tokenizer: PreTrainedTokenizerFast) -> Any:
        """Return LLaVA's configuration."""
        vision = CLIPVisionConfig(
            image_size=shape.image_size, patch_size=shape.patch_size, hidden_size=shape.vision_width,
            num_hidden_layers=shape.vision_layers, num_attention_heads=shape.vision_heads,
            intermediate_size=4 * shape.vision_width, projection_dim=shape.vision_width, hidden_act="quick_gelu",
        )  # fmt: skip
        text = LlamaConfig(
            vocab_size=vocabulary, hidden_size=shape.width, intermediate_size=shape.mlp, num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads or shape.heads,
            max_position_embeddings=shape.max_length, tie_word_embeddings=True,
            bos_token_id=None, eos_token_id=end, pad_token_id=pad,
        )  # fmt: skip
        return LlavaConfig(
            vision_config=vision, text_config=text, image_token_index=token_id(tokenizer, self.form.image),
            image_seq_length=shape.image_tokens, vision_feature_layer=-1, vision_feature_select_strategy="default",
            tie_word_embeddings=True,
        )  # fmt: skip
