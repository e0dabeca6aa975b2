"""SmolLM2 with a small CLIP tower in front: LLaVA around a pretrained language model, which learns by updates of low rank."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    LlamaForCausalLM,
    LlavaForConditionalGeneration,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ProcessorMixin,
)

from headatlas.cogvsr.schema import Question
from headatlas.reference.build import Shape
from headatlas.reference.families.llava import Llava
from headatlas.reference.form import Form
from headatlas.reference.losses import at_places
from headatlas.reference.patches import PATCH_FIELDS
from headatlas.reference.smol import base
from headatlas.reference.smol.encoder import PieceEncoder
from headatlas.reference.smol.model import (
    IMAGE,
    RANK,
    SCALE,
    add_updates,
    put_base,
    trained_state,
    update_parameters,
    with_image_token,
    without_updates,
    write_parts,
)
from headatlas.reference.smol.plain import plain_answers
from headatlas.reference.tokens import Encoder, Row
from headatlas.scenes.wording import reword
from headatlas.scenes.world import DEPTHS
from headatlas.shipped import path

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
"""SmolLM2's own system message, which its chat template writes where the user gives none."""

REWORDED = 0.5
"""Share of the training questions that are asked in other words than the templates'."""


MIX = {
    "quiz": 0.34, "own": 0.22, "more": 0.26, "listing": 0.06, "plain": 0.05, "direct": 0.04, "blind_more": 0.02, "caption": 0.01
}  # fmt: skip
"""Probability of each kind of batch in stages 3 and 4. The base can already read and knows opposite sides, so most batches train
looking, and few are without a picture."""


class SmolForm(Form):
    """SmolLM2's chat form."""

    @property
    def template(self) -> str:
        """SmolLM2's own chat template, which also takes messages of several parts, pictures among them."""
        return (
            "{% for message in messages %}"
            "{% if loop.first and message['role'] != 'system' %}"
            f"{{{{ '{_escaped(self.opening)}' }}}}"
            "{% endif %}"
            "{{ '<|im_start|>' + message['role'] + '\\n' }}"
            "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
            "{% for part in message['content'] %}"
            f"{{{{ '{_escaped(self.placeholder)}' if part['type'] == 'image' else part['text'] }}}}"
            "{% endfor %}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}"
            "{{ '<|im_start|>assistant\\n' if add_generation_prompt else '' }}"
        )


def _escaped(text: str) -> str:
    return text.replace("\n", "\\n")


class Smol(Llava):
    """The base comes from outside (`headatlas reference get smollm2`); tower, projector and updates are what ships."""

    name = "smol"
    shipped = "ref-smol"
    base = "smollm2"
    form = SmolForm(
        specials=("<|im_start|>", "<|im_end|>", IMAGE), opening=f"<|im_start|>system\n{SYSTEM}<|im_end|>\n",
        user="<|im_start|>user\n", assistant="<|im_start|>assistant\n", end="<|im_end|>", after="\n", closes_user=True,
        pad="<|im_end|>", image=IMAGE, picture=("", "\n"), placeholder=f"{IMAGE}\n",
    )  # fmt: skip
    shape = Shape(width=576, layers=30, heads=9, kv_heads=3, mlp=1536, max_length=8192)
    settings: ClassVar[Mapping[str, Any]] = {
        "steps": (400, 500, 200, 1285), "horizons": (400, 750, 2000, 1285), "warmups": (30, 30, 20, 50),
        "rates": (2e-3, 9e-4, 9e-4, 9e-4), "tokens": 12288, "vision_batch": 128, "freeze": 0.0, "feature_norm": None,
        "weight_decay": 0.0, "n_scenes": 8000, "n_held_out": 64,
        "lookup": ((0.5, {"listing": 1.0}), (1.0, {"listing": 0.3, "quiz": 0.7})),
        "whole": ((1.0, MIX),), "finish": ((1.0, MIX),),
    }  # fmt: skip
    minutes = 380.0
    """Estimated from 1.9 seconds a step of 2,048 tokens on two cores; the shipped model took seven minutes on a GPU."""
    decoder = "SmolLM2-135M-Instruct (a Llama), with updates of low rank merged into its linear layers"

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Return SmolLM2's tokenizer with the token of the picture's cells."""
        return with_image_token(copy.deepcopy(self._base()[1]))

    def encoder(self, tokenizer: PreTrainedTokenizerFast, shape: Shape) -> Encoder:
        """Return what turns conversations into training rows."""
        return PieceEncoder(tokenizer, self.form, shape.image_tokens)

    def reword(self, question: Question, rng: random.Random) -> Question:
        """Return half of the questions in other words than the templates', so that the words are free."""
        return reword(question, rng, "train") if rng.random() < REWORDED else question

    def more_rows(self, encoder: Encoder, folder: Path) -> dict[str, list[Row]]:
        """Return plain conversations with the base's answers, which preserve its English."""
        assert isinstance(encoder, PieceEncoder)
        model, tokenizer = self._base()
        answers = plain_answers(model, tokenizer, folder / "plain.json")
        return {"plain": [encoder.plain(prompt, answer) for prompt, answer in answers]}

    def config(self, shape: Shape, vocabulary: int, end: int, pad: int, tokenizer: PreTrainedTokenizerFast) -> Any:
        """Return LLaVA's configuration around SmolLM2's."""
        config = super().config(shape, vocabulary, end, pad, tokenizer)
        text = self._base()[0].config.to_dict()
        text |= {"vocab_size": vocabulary, "eos_token_id": end, "pad_token_id": pad}
        config.text_config = type(config.text_config)(**text)
        return config

    def model(self, tokenizer: PreTrainedTokenizerFast, shape: Shape, seed: int) -> PreTrainedModel:
        """Return LLaVA with SmolLM2's weights, ref-llava's vision tower, a new projector, and updates that are zero."""
        model = super().model(tokenizer, shape, seed)
        assert isinstance(model, LlavaForConditionalGeneration)
        put_base(model, self._base()[0])
        tower = model.get_submodule("model.vision_tower")
        if shape.vision_width == Llava.shape.vision_width:
            shipped = load_file(path(Llava.shipped) / "model.safetensors")
            names = {name.split("vision_tower.")[1]: name for name in shipped if "vision_tower." in name}
            tower.load_state_dict({name: shipped[stored].float() for name, stored in names.items()})
        add_updates(model, seed)
        return model

    def patch_heads(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, shape: Shape) -> nn.Module:
        """Return the distance of each patch from the words that describe it."""
        del shape
        return PatchWords(model, tokenizer)

    def vision_parameters(self, model: PreTrainedModel) -> list[nn.Parameter]:
        """Return the parameters of the vision tower."""
        return list(model.get_submodule("model.vision_tower").parameters())

    def seeing_parameters(self, model: PreTrainedModel) -> list[nn.Parameter]:
        """Return the parameters of the projector: ref-llava's tower sees already."""
        return list(model.get_submodule("model.multi_modal_projector").parameters())

    def language_parameters(self, model: PreTrainedModel) -> list[nn.Parameter]:
        """Return the parameters of updates and projector."""
        return [*update_parameters(model), *model.get_submodule("model.multi_modal_projector").parameters()]

    def state(self, model: PreTrainedModel) -> dict[str, Tensor]:
        """Return tower, projector and updates."""
        return trained_state(model)

    def special_loss(
        self,
        model: PreTrainedModel,
        kind: str,
        states: Float[Tensor, "B T E"],
        weights: Float[Tensor, "B T"],
        again: Callable[[], Tensor],
    ) -> Tensor | None:
        """Return, for plain text, the mean KL divergence (nats) of the model's next-token probabilities from the base's."""
        if kind != "plain":
            return None
        rows, columns = weights[:, 1:].nonzero(as_tuple=True)
        with torch.no_grad(), without_updates(model):
            wanted = model.lm_head(at_places(again(), rows, columns)).float().log_softmax(-1)  # type: ignore[operator]
        got = model.lm_head(at_places(states, rows, columns)).float().log_softmax(-1)  # type: ignore[operator]
        return F.kl_div(got, wanted, log_target=True, reduction="batchmean")

    def export(self, model: PreTrainedModel, processor: ProcessorMixin, folder: Path) -> None:
        """Write the parts that ship (`smol.model.write_parts`)."""
        del processor
        write_parts(model, folder, {"base": self.base, "base_sha256": base.SHA256, "rank": RANK, "scale": SCALE})

    @staticmethod
    @lru_cache(1)
    def _base() -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
        """The base, float32 on the CPU, which nothing here changes."""
        return base.load_base()


class PatchWords(nn.Module):
    """The loss of stage 1: each projected patch should say the words that describe its cell, all at once.

    The target of a patch is the mean embedding plus `STRENGTH` / sqrt(number of fields) times the sum, over the fields of its
    cell, of what their words' embeddings add to that mean. Embeddings have a large part in common; summed up as they are, it
    would drown the rest.
    """

    mean: Tensor

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast):
        super().__init__()
        words = model.get_input_embeddings().weight.detach()  # type: ignore[union-attr]
        mean = words.mean(0)
        self.register_buffer("mean", mean, persistent=False)
        for i, (field, values) in enumerate(PATCH_FIELDS.items()):
            table = torch.stack([self._added(words - mean, tokenizer, _said(field, value)) for value in values])
            self.register_buffer(f"field{i}", table, persistent=False)

    @staticmethod
    def _added(words: Tensor, tokenizer: PreTrainedTokenizerFast, text: str) -> Tensor:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        return words[ids].sum(0) if ids else torch.zeros_like(words[0])

    def target(self, labels: UInt8[Tensor, "B P fields"]) -> Float[Tensor, "B P E"]:
        """Return the target vector of each patch."""
        total = torch.zeros(*labels.shape[:2], len(self.mean), device=labels.device)
        count = torch.zeros_like(total[..., 0])
        for i in range(len(PATCH_FIELDS)):
            wanted = labels[..., i].long()
            known = (wanted != 255).float()
            table = getattr(self, f"field{i}")
            total = total + table[wanted.clamp(max=len(table) - 1)] * known[..., None]
            count = count + known
        return self.mean + STRENGTH * total / count.sqrt()[..., None]

    def forward(
        self, features: Float[Tensor, "B P E"], labels: UInt8[Tensor, "B P fields"]
    ) -> tuple[Float[Tensor, ""], dict[str, Any]]:
        """Return the squared distance as a share of the targets' variance around their mean, which is also what is measured."""
        target = self.target(labels)
        spread = (target - target.mean((0, 1))).square().mean()
        error = (features.float() - target).square().mean() / spread
        return error, {"error": error.detach()}


STRENGTH = 2.0
"""How much longer a patch's target is than that of a single word."""

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


def _said(field: str, value: Any) -> str:
    """The words for one value of a field of `PATCH_FIELDS`; "empty" for a cell without a thing.

    Rows are ordinals and columns digits, because a sum of words does not say which number belongs to which.
    """
    if field == "thing":
        return f" {value or 'empty'}"
    if field == "row":
        return f" {ORDINALS[value - 1]}"
    if field == "depth":
        return f" {DEPTHS[value]}"
    if field == "frame":
        return {None: "", True: " inside", False: " outside"}[value]
    if field == "column":
        return str(value)
    return f" {value}" if value else ""
