"""Gemma 3: a SigLIP tower, patches averaged 2 x 2, and a language model with sliding and full attention in turn.

Image tokens attend to each other in both directions; queries and keys are normalized; d_head is not width / heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Int64
from torch import Tensor, nn
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessor,
    Gemma3Processor,
    Gemma3TextConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)

from headatlas.reference.build import Shape, token_id
from headatlas.reference.families.base import Family
from headatlas.reference.form import Form

START, END, SOFT = "<start_of_image>", "<end_of_image>", "<image_soft_token>"
TURN, TURN_END = "<start_of_turn>", "<end_of_turn>"

WINDOW = 64
"""Tokens that a sliding layer sees; a conversation has about 200."""

QUIET = 0.05
"""Initial scale of the norms after attention and MLP blocks. At 1, each of the twelve blocks of a new Gemma would add a vector
five times as long as a word's embedding, and the picture's features would be lost beside them."""


class Gemma3(Family):
    """Every second layer has sliding attention (in the large models, five of six layers)."""

    name = "gemma3"
    shipped = "ref-gemma"
    form = Form(
        specials=("<pad>", "<eos>", "<bos>", TURN, TURN_END, START, END, SOFT),
        opening="<bos>", bos="<bos>", user=f"{TURN}user\n", assistant=f"{TURN}model\n", end=TURN_END, after="\n",
        closes_user=True, pad="<pad>", image=SOFT, picture=(f"\n\n{START}", f"{END}\n\n"), placeholder=START,
        named={"boi_token": START, "eoi_token": END, "image_token": SOFT},
    )  # fmt: skip
    shape = Shape(patch_size=12, merge=2, kv_heads=4)
    settings: ClassVar[Mapping[str, Any]] = {"steps": (1500, 1500, 2500, 4000), "horizons": (1500, 1500, 4300, 4000)}
    """Fewer steps than ref-llava: a step takes twice as long, and lookups are learned earlier (.92 of the words of held-out lists
    after 400 steps of stage 2)."""
    model_class = Gemma3ForConditionalGeneration
    tower = "SigLIP ViT (2 x 2 patches averaged)"
    decoder = f"Gemma 3 (sliding layers of {WINDOW} tokens and full ones in turn)"
    last = ("model.multi_modal_projector.mm_input_projection_weight",)

    def processor(self, tokenizer: PreTrainedTokenizerFast, shape: Shape) -> Gemma3Processor:
        """Return Gemma 3's processor. Resampling is bicubic, as with all reference VLMs, which share their pictures."""
        size = {"height": shape.image_size, "width": shape.image_size}
        return Gemma3Processor(
            image_processor=Gemma3ImageProcessor(size=size, resample=3), tokenizer=tokenizer,
            chat_template=self.form.template, image_seq_length=shape.image_tokens,
        )  # fmt: skip

    def config(self, shape: Shape, vocabulary: int, end: int, pad: int, tokenizer: PreTrainedTokenizerFast) -> Any:
        """Return Gemma 3's configuration, with heads half as wide again as `width / heads`."""
        vision = SiglipVisionConfig(
            image_size=shape.image_size, patch_size=shape.patch_size, hidden_size=shape.vision_width,
            num_hidden_layers=shape.vision_layers, num_attention_heads=shape.vision_heads,
            intermediate_size=4 * shape.vision_width, vision_use_head=False,
        )  # fmt: skip
        d_head = 3 * shape.width // shape.heads // 2
        text = Gemma3TextConfig(
            vocab_size=vocabulary, hidden_size=shape.width, intermediate_size=shape.mlp, num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads or shape.heads, head_dim=d_head,
            query_pre_attn_scalar=d_head, sliding_window=WINDOW, max_position_embeddings=shape.max_length,
            layer_types=["full_attention" if i % 2 else "sliding_attention" for i in range(shape.layers)],
            # With d_head 24 the usual base of a million would leave most dimensions almost constant.
            rope_parameters={
                kind: {"rope_type": "default", "rope_theta": 10_000.0}
                for kind in ("full_attention", "sliding_attention")
            },
            bos_token_id=token_id(tokenizer, "<bos>"), eos_token_id=end, pad_token_id=pad, tie_word_embeddings=True,
        )  # fmt: skip
        start, last, soft = (token_id(tokenizer, token) for token in (START, END, SOFT))
        return Gemma3Config(
            vision_config=vision, text_config=text, mm_tokens_per_image=shape.image_tokens, tie_word_embeddings=True,
            boi_token_index=start, eoi_token_index=last, image_token_index=soft,
        )  # fmt: skip

    @torch.no_grad()
    def begin(self, model: PreTrainedModel) -> None:
        """Draw the projection, which would start at zero, and turn the blocks' last norms down to `QUIET`."""
        projection = model.get_parameter(self.last[0])
        nn.init.normal_(projection, std=projection.shape[0] ** -0.5)
        for name, parameter in model.named_parameters():
            if name.endswith(("post_attention_layernorm.weight", "post_feedforward_layernorm.weight")):
                parameter.fill_(QUIET - 1)  # the norm multiplies by 1 + weight

    def context(
        self, model: PreTrainedModel, ids: Int64[Tensor, "B T"], at: int | None, shape: Shape
    ) -> dict[str, Any]:
        """Return both kinds of mask, bool `[1, 1, T, T]`; None for a plain causal one."""
        del model
        place = torch.arange(ids.shape[1])
        seen = place[None] <= place[:, None]
        if at is not None:
            picture = (place >= at) & (place < at + shape.image_tokens)
            seen = seen | (picture[None] & picture[:, None])
        near = place[None] > place[:, None] - WINDOW
        full = seen[None, None] if at is not None else None
        return {"attention_mask": {"full_attention": full, "sliding_attention": (seen & near)[None, None]}}
