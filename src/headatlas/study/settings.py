"""The settings of a study, all checked before a model is loaded, and their two presets.

`strict` is the default; `paper` reproduces the published choices of arXiv 2603.20662 where they are known (elbow on the
paper's probe, gold tokens, scale by 0.001, alpha 0.1).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from headatlas.errors import HeadAtlasError
from headatlas.registry import Registry, near

Preset = Literal["strict", "paper"]

Strength = Annotated[float, Field(gt=0, allow_inf_nan=False)]

OWN_OPTIONS = ("model", "data", "n", "seed", "preset", "quick", "dtype", "quantization", "revision")
"""Settings that have an option of their own on the command line; the others are given by `--set`."""


SHOWN = 8
"""Changed settings that `repr` shows."""


FAST = ("specificity", "ablation", "attention", "linear", "paper")
"""The scorers of a quick study."""

FULL = ("backup", *FAST, "multihead")
"""The scorers of a study."""

FINDERS = ("backup", "specificity")
"""The best scorers on worlds whose heads are known (docs/grading.md), the best first."""


class Settings(BaseModel):
    """The settings of a study; shares are in 0..1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(min_length=1)
    data: str = Field("scenes", min_length=1)
    n: int = Field(750, ge=8)
    seed: int = Field(0, ge=0)
    preset: Preset = "strict"
    quick: bool = False
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """Of the weights; None: the checkpoint's own, or float32 for a half precision checkpoint on a CPU."""
    quantization: Literal["8bit", "4bit"] | None = None
    revision: str | None = None
    """Branch, tag or commit of the model, if that is a Hugging Face id."""
    scorers: tuple[str, ...] = Field(FULL, min_length=1)
    """Names of registered scorers; the first is the one whose heads activation methods act on. A quick study leaves out
    `backup` and `multihead`, which also ablate many heads at once."""
    judged: tuple[str, ...] = ()
    """Names of the scorers whose heads are ablated, steered and judged. Empty: the first of `FINDERS` that is among the scorers,
    and the paper's, or all scorers if none is. The others only score and select."""
    tokens: Literal["gold", "predict", "last", "first", "all"] = "predict"
    towers: tuple[Literal["L", "V", "X", "C", "all"], ...] = Field(("L",), min_length=1)
    """Towers whose heads are ablated one by one beside each other: language model, vision tower, cross-attention, connector, or
    `all` that the model has. All else in a study is about the language model."""
    selector: str = "functional"
    """Name of the registered selector that chooses the heads to intervene on."""
    twin: bool = True
    """Whether the untrained twin is scored, too; heads must then score above all of its heads."""
    detector: str = "ground_truth"
    """Name of the registered detector that finds the things a question is about, or `name:source`, such as `file:boxes.jsonl`."""
    probe: Literal["strict", "paper"] = "strict"
    probe_null: int = Field(20, ge=1)
    """Null refits of the paper's probe; its null is pooled over heads."""
    linear_null: int = Field(200, ge=1)
    """Permutations of the linear probe's null."""
    head_share: float = Field(0.1, gt=0, le=1)
    """Largest share of all heads that is ablated or steered as one set; a larger set breaks any model."""
    operation: str = "mean"
    """Name of the registered operation of the damage matrix, the dose curve and the matched random sets."""
    n_random: int = Field(100, ge=1)
    """Random head sets with which an effect on a spatial function is compared, or as many as exist. With fewer than 39 the
    claims are not testable."""
    n_control_questions: int | None = Field(150, ge=1)
    """Ablation and steering, with their random controls, are evaluated on this many questions of split E; None: on all."""
    doses: tuple[PositiveInt, ...] = Field((1, 3, 8), min_length=1)
    """Numbers of heads of the dose curve."""
    n_random_dose: int = Field(3, ge=1)
    """Random sets for each dose."""
    alphas: tuple[Strength, ...] = Field((0.1, 0.5, 1.0, 2.0, 4.0), min_length=1)
    """Strengths of steering tried on split T, in standard deviations along the direction."""
    n_steer: int = Field(4, ge=1)
    """Number of label-shuffled directions, and of random head sets, with which steering is compared."""
    n_directions: int = Field(40, ge=1)
    """Random directions with which steering is compared. With fewer than 39 the claim is not testable."""
    methods: tuple[str, ...] = ("gain",)
    """Names of registered activation methods that the study judges; `all` and `none` are possible, too."""
    n_method_controls: int = Field(2, ge=1)
    """Number of fits of each control of an activation method, each with other random numbers."""
    n_method_fit: int = Field(200, ge=1)
    """Questions of split P, at most, on which activation methods take gradients."""
    positive_control: bool = True
    """Whether the methods are also judged on the model with heads that were made latent, where a cure is known to exist."""
    n_bootstrap: int = Field(10_000, ge=100)
    batch_size: int = Field(16, ge=1)
    n_examples: int = Field(10, ge=0)

    def __repr__(self) -> str:
        default = type(self).model_fields
        changed = {k: v for k, v in self if k not in ("model", "data", "n", "seed") and v != default[k].default}
        text = ", ".join(f"{name}={value!r}" for name, value in list(changed.items())[:SHOWN])
        return f"<Settings: {self.model} on {self.data}, n={self.n}, seed={self.seed}; {text or 'all others default'}>"

    __str__ = __repr__

    @field_validator("scorers", "judged", "doses", "alphas", "methods", "towers", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        """A list may be given as text, `0.5,1`, or as a single value."""
        if isinstance(value, str):
            return [part.strip() for part in value.strip("[]() ").split(",") if part.strip()]
        return value if isinstance(value, (list, tuple)) else [value]

    @field_validator("methods", mode="after")
    @classmethod
    def _methods(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Replace `all` and `none` by the names that they mean."""
        from headatlas.latent import method_names

        try:
            return method_names(value)
        except HeadAtlasError as error:
            raise ValueError(str(error)) from error

    @field_validator("scorers", "judged", "doses", "alphas", "towers", mode="after")
    @classmethod
    def _once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        for item in value:
            if value.count(item) > 1:
                raise ValueError(f"must name each value once, got {item!r} {value.count(item)} times")
        return value

    @field_validator("scorers", "judged", "selector", "detector", "operation", mode="after")
    @classmethod
    def _registered(cls, value: Any, info: Any) -> Any:
        registry = _registry(str(info.field_name))
        for name in (value,) if isinstance(value, str) else value:
            try:
                registry[name.partition(":")[0] if info.field_name == "detector" else name]
            except HeadAtlasError as error:
                raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _judged_are_scored(self) -> Settings:
        missing = [name for name in self.judged if name not in self.scorers]
        if missing:
            raise ValueError(f"judged must be among scorers ({', '.join(self.scorers)}), got {missing[0]!r}")
        return self


def judged_by_default(scorers: Sequence[str]) -> tuple[str, ...]:
    """Those of some scorers whose heads a study judges if `judged` is empty."""
    finder = next((name for name in FINDERS if name in scorers), "")
    return tuple(name for name in scorers if name in (finder, "paper")) or tuple(scorers)


def _registry(setting: str) -> Registry[Any]:
    """The registry of the names that a setting may have; None for other settings."""
    from headatlas.intervention import OPERATIONS
    from headatlas.latent import DETECTORS
    from headatlas.scoring import SCORERS, SELECTORS

    return {
        "scorers": SCORERS,
        "judged": SCORERS,
        "selector": SELECTORS,
        "detector": DETECTORS,
        "operation": OPERATIONS,
    }[setting]


_PRESETS: dict[str, dict[str, Any]] = {
    "strict": {},
    "paper": {
        "tokens": "gold",
        "selector": "elbow",
        "twin": False,
        "scorers": ("paper", "linear", "ablation"),
        "probe": "paper",
        "operation": "scale",
        "alphas": (0.1,),
    },
}

_QUICK: dict[str, Any] = {
    "n": 120,
    "scorers": FAST,
    "probe_null": 3,
    "linear_null": 50,
    "n_random": 5,
    "n_steer": 2,
    "n_directions": 4,
    "doses": (1, 3),
    "n_control_questions": 30,
    "n_random_dose": 1,
    "alphas": (0.5, 2.0),
    "methods": (),
    "positive_control": False,
    "n_method_controls": 1,
    "n_method_fit": 96,
    "n_bootstrap": 1000,
}


def make_settings(model: str, *, preset: str = "strict", quick: bool = False, **chosen: Any) -> Settings:
    """The settings of a preset, with `quick` (small numbers, for a first look) and what the user chose in their place.

    Raises:
        HeadAtlasError: an unknown preset or setting, a value out of range, or a name that is not registered.
    """
    if preset not in _PRESETS:
        raise HeadAtlasError(f"preset must be one of {', '.join(_PRESETS)}; got {preset!r}{near(preset, [*_PRESETS])}")
    values = (_QUICK if quick else {}) | _PRESETS[preset] | _given(chosen)
    return _valid({"model": model, "preset": preset, "quick": quick, **values})


def change_settings(kept: Settings, **chosen: Any) -> Settings:
    """Settings with what the user chose in their place; raises as `make_settings`."""
    return _valid(kept.model_dump() | _given(chosen))


def read_setting(text: str) -> tuple[str, Any]:
    """Read `name=value`: `n_random=20`, `alphas=0.5,1` or `alphas=[0.5, 1]`, `operation=zero`, `n_control_questions=null`.

    The value is read as JSON, or as text if it is not JSON.

    Raises:
        HeadAtlasError: no `=`, no such setting, or one that has an option of its own.
    """
    name, equals, value = text.partition("=")
    name, value = name.strip(), value.strip()
    others = [field for field in Settings.model_fields if field not in OWN_OPTIONS]
    if name in OWN_OPTIONS:
        raise HeadAtlasError(f"setting {text!r} has an option of its own, use {_option(name)}")
    if not equals or name not in others:
        raise HeadAtlasError(
            f"setting must be NAME=VALUE with a name of {', '.join(others)}; got {text!r}{near(name, others)}"
        )
    try:
        return name, json.loads(value)
    except (json.JSONDecodeError, RecursionError):
        return name, value


def command_of(settings: Settings, out: str | Path) -> str:
    """The command that starts or continues a study with these settings in `out`, for messages.

    It leaves out what the preset and `--quick` imply, and the batch size, which changes no result.
    """
    usual = make_settings(settings.model, preset=settings.preset, quick=settings.quick).model_dump(mode="json")
    words = ["headatlas", "study", settings.model]
    words += [] if settings.preset == "strict" else ["--preset", settings.preset]
    words += ["--quick"] if settings.quick else []
    for name, value in settings.model_dump(mode="json").items():
        if name not in ("model", "preset", "quick", "batch_size") and value != usual[name]:
            words += [f"--{name}", str(value)] if name in OWN_OPTIONS else ["--set", f"{name}={json.dumps(value)}"]
    return shlex.join([*words, "--out", str(out)])


def _option(name: str) -> str:
    return "the argument MODEL, or --model" if name == "model" else f"--{name}"


def _given(chosen: dict[str, Any]) -> dict[str, Any]:
    """Without the options that were left out on the command line. (For other settings None is a value.)"""
    return {name: value for name, value in chosen.items() if value is not None or name not in OWN_OPTIONS}


def _valid(values: dict[str, Any]) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            names = list(Settings.model_fields)
            raise HeadAtlasError(
                f"setting must be one of {', '.join(names)}; got {name!r}{near(name, names)}"
            ) from error
        given, wanted = values.get(name), first["msg"].removeprefix("Value error, ")
        if not name:  # two settings that contradict each other
            raise HeadAtlasError(f"setting {wanted}") from error
        if "; got" in wanted:  # the message of a registry
            raise HeadAtlasError(f"setting {name!r}: {wanted}") from error
        allowed = first.get("ctx", {}).get("expected", "") if first["type"] == "literal_error" else ""
        hint = near(str(given), re.findall("'([^']*)'", str(allowed)))
        raise HeadAtlasError(f"setting {name!r}: {wanted[:1].lower() + wanted[1:]}, got {given!r}{hint}") from error
