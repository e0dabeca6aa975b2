"""InternVL: a ViT whose neighbouring patches are merged (pixel shuffle) before the projector, and a Qwen2."""

from __future__ import annotations

from typing import Any

from transformers import (
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    InternVLVisionConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from headatlas.reference.build import Shape, token_id
from headatlas.reference.families.base import SHORTER, Family
from headatlas.reference.form import Form

START, END, CONTEXT, VIDEO = "<img>", "</img>", "<IMG_CONTEXT>", "<video>"


class InternVL(Family):
    """Four patches are merged into one cell. A picture is always a single tile."""

    name = "internvl"
    shipped = "ref-internvl"
    form = Form(
        specials=("<|im_start|>", "<|im_end|>", "<|endoftext|>", START, END, CONTEXT, VIDEO),
        user="<|im_start|>user\n", assistant="<|im_start|>assistant\n", end="<|im_end|>", after="\n", closes_user=True,
        pad="<|endoftext|>", image=CONTEXT, picture=(START, f"{END}\n"), placeholder=f"{CONTEXT}\n",
        named={
            "start_image_token": START, "end_image_token": END, "context_image_token": CONTEXT, "video_token": VIDEO
        },
    )  # fmt: skip
    shape = Shape(patch_size=12, merge=2, kv_heads=4)
    settings = SHORTER
    model_class = InternVLForConditionalGeneration
    tower = "InternViT (2 x 2 patches folded into one by pixel shuffle)"
    decoder = "Qwen2"

    def processor(self, tokenizer: PreTrainedTokenizerFast, shape: Shape) -> InternVLProcessor:
        """Return InternVL's processor, one tile a picture."""
        size = {"height": shape.image_size, "width": shape.image_size}
        pictures = GotOcr2ImageProcessor(size=size, crop_to_patches=True, min_patches=1, max_patches=1)
        return InternVLProcessor(
            image_processor=pictures, tokenizer=tokenizer, video_processor=InternVLVideoProcessor(size=size),
            image_seq_length=shape.image_tokens, chat_template=self.form.template,
        )  # fmt: skip

    def config(self, shape: Shape, vocabulary: int, end: int, pad: int, tokenizer: PreTrainedTokenizerFast) -> Any:
        """Return InternVL's configuration."""
        vision = InternVLVisionConfig(
            image_size=shape.image_size, patch_size=shape.patch_size, hidden_size=shape.vision_width,
            num_hidden_layers=shape.vision_layers, num_attention_heads=shape.vision_heads, attention_bias=True,
            intermediate_size=4 * shape.vision_width,
        )  # fmt: skip
        text = Qwen2Config(
            vocab_size=vocabulary, hidden_size=shape.width, intermediate_size=shape.mlp, num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads or shape.heads,
            max_position_embeddings=shape.max_length, tie_word_embeddings=True,
            bos_token_id=None, eos_token_id=end, pad_token_id=pad,
        )  # fmt: skip
        return InternVLConfig(
            vision_config=vision, text_config=text, image_token_id=token_id(tokenizer, CONTEXT),
            image_seq_length=shape.image_tokens, downsample_ratio=1 / shape.merge, tie_word_embeddings=True,
        )  # fmt: skip
