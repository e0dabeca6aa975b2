"""Check one family: build its small model, make inputs, run every check, and report the results."""

import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import torch
import transformers

from headatlas.errors import HeadAtlasError
from headatlas.families.family import family_of
from headatlas.heads import TOWERS, HeadGrid, find_heads
from headatlas.printing import brief
from headatlas.proof.build import tiny_model
from headatlas.proof.checks import (
    Result,
    check_cache,
    check_heads,
    check_kernel,
    check_no_op,
    check_ragged,
    check_rows,
    check_sum,
    check_zero,
    worst,
)
from headatlas.proof.checks.sequences import error_text
from headatlas.proof.checks.sites import watch
from headatlas.proof.inputs import InputMaker
from headatlas.proof.processor import check_processor

Status = Literal["proven", "language proven", "fails", "refused"]


@dataclass
class FamilyReport:
    """The results of one family's checks.

    Attributes:
        family: its model type.
        model: the class that was built.
        status: `proven` (every check of every tower holds or does not apply), `language proven` (the same without the vision
            tower, for the reason given), `fails`, or `refused` (nothing could be checked, for the reason given).
        reason: why the status is not `proven`.
        towers: for each tower its `layers`, its `sizes` (pairs heads, d_head) and the `names` of its sites.
        skipped: attention-like modules that are not addressed, each with its reason.
        checks: one result for each check and tower.
        inputs: `image` or `text`: what the checks ran on.
        processor: results with its own processor (`ProcessorReport` as a dictionary); empty for a family checked without one.
        seconds: duration of the checks.
    """

    family: str
    model: str = ""
    status: Status = "refused"
    reason: str = ""
    towers: dict[str, dict[str, Any]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    inputs: str = ""
    processor: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    __repr__ = brief

    @property
    def sound(self) -> bool:
        """Whether no check failed, those with the family's own processor included."""
        return self.status != "fails" and not self.processor.get("problem")

    def to_json(self) -> dict[str, Any]:
        """The same as a dictionary of plain values."""
        return asdict(self)


def check_family(family: str, seed: int = 0) -> FamilyReport:
    """Build a small model of `family`, run every check on it and report. Failures are reported, not raised."""
    report = FamilyReport(family)
    start = time.perf_counter()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # transformers warns about tiny configurations
        _check(report, seed)
    if family_of(family).tiny_processor is not None:
        report.processor = check_processor(family, seed).to_json()
    report.seconds = round(time.perf_counter() - start, 2)
    return report


def _check(report: FamilyReport, seed: int) -> None:
    tiny = family_of(report.family).tiny_model
    if tiny.refused:
        report.reason = tiny.refused
        return
    try:
        model = tiny_model(report.family, seed)
        report.model = type(model).__name__
        grid = find_heads(model)
    except HeadAtlasError as error:
        report.reason = str(error)
        return
    except Exception as error:
        report.reason = f"no tiny model could be built: {error_text(error)}"
        return
    grid = _without_idle(grid, tiny.idle)
    report.skipped = list(grid.skipped)
    report.towers = {tower: _tower(grid, tower) for tower in TOWERS if grid.tower(tower)}
    maker = InputMaker(model, report.family, tiny, seed)
    text, pictures = _runs(model, maker), ""
    try:
        pictures = _runs(model, maker.with_images())
    except Exception as error:
        pictures = error_text(error)
    if pictures:
        maker = InputMaker(model, report.family, tiny, seed)
        if text:
            both = text if text == pictures else f"{text} (text); {pictures} (with a picture)"
            report.reason = f"transformers {transformers.__version__} does not run the bare model: {both}"
            return
    report.inputs = "text" if pictures else "image"
    if pictures:
        grid = _called(model, grid, maker)
    try:
        report.checks = [result.to_json() for result in _results(model, grid, maker, tiny.discrete)]
    except Exception as error:
        report.status, report.reason = "fails", f"a check raised an error: {error_text(error)}"
        return
    failed = [c for c in report.checks if c["verdict"] == "fails"]
    unread = [c["tower"] for c in report.checks if c["check"] == "zero" and c["verdict"] != "holds"]
    if "L" in unread:
        report.status, report.reason = "fails", "no layer of the language model reaches the logits"
    elif failed:
        report.status = "fails"
        report.reason = "; ".join(f"{c['check']} {c['tower']}: {c['reason']}" for c in failed)
    elif pictures and report.towers.keys() - {site.tower for site in grid.sites}:
        report.status, report.reason = "language proven", f"no image inputs could be made: {pictures}"
    elif tiny.vision_unproven:
        report.status, report.reason = "language proven", tiny.vision_unproven
    elif unread:
        report.status = "language proven"
        report.reason = f"the effect of single heads of tower {', '.join(unread)} on the logits could not be compared"
    else:
        report.status = "proven"
    if report.status == "proven" and pictures:
        report.reason = f"checked on text alone: {pictures}"
    if report.status == "proven" and "V" not in report.towers:
        report.reason = "; ".join([*filter(None, [report.reason]), "the family has no vision tower with heads"])


def _runs(model: Any, maker: InputMaker) -> str:
    """Why a forward pass gives no finite logits; "" if it does."""
    try:
        logits = model(**maker([0])).logits
    except Exception as error:
        return error_text(error)
    return "" if bool(torch.isfinite(logits).all()) else "the logits are not finite"


def _called(model: Any, grid: HeadGrid, maker: InputMaker) -> HeadGrid:
    """The grid with the sites that a forward pass without an image calls."""
    inputs = maker([0])
    seen = watch(lambda: model(**inputs).logits, grid)
    return HeadGrid(tuple(s for s in grid.sites if s.tower == "L" or s in seen), grid.language, grid.skipped)


def _without_idle(grid: HeadGrid, idle: Mapping[str, str]) -> HeadGrid:
    """The grid without the sites of modules declared idle, which are listed as skipped with the reason."""
    reasons = tuple(f"{path}: {reason}" for path, reason in idle.items())
    addressed = tuple(s for s in grid.sites if not s.owner.startswith(tuple(f"{path}." for path in idle)))
    return HeadGrid(addressed, grid.language, grid.skipped + reasons)


def _results(model: Any, grid: HeadGrid, maker: InputMaker, discrete: bool) -> list[Result]:
    inputs = maker([0])

    def forward() -> torch.Tensor:
        return model(**inputs).logits

    results: list[Result] = []
    for name, check in (
        ("sum", check_sum(forward, grid)),
        ("heads", check_heads(forward, model, grid)),
        ("zero", check_zero(forward, model, grid)),
    ):
        each = [result for _, result in check]
        for tower in TOWERS:
            if members := [result for result in each if result.tower == tower]:
                result = worst(name, tower, members)
                if discrete and (name, tower, result.verdict) == ("zero", "V", "fails") and result.difference == 0:
                    reason = f"pictures become discrete codes, and not every head changes one: {result.reason}"
                    result = replace(result, verdict="not applicable", reason=reason)
                results.append(result)
    results.append(check_no_op(forward, model, grid))
    results += [check_ragged(model, grid, maker, side) for side in ("left", "right")]
    results += [check_cache(model, grid, maker), check_kernel(model, grid, inputs)]
    for tower in TOWERS:
        if grid.tower(tower):
            results += check_rows(forward, model, grid, tower)
    return results


def _tower(grid: HeadGrid, tower: Any) -> dict[str, Any]:
    sites = grid.tower(tower)
    sizes = sorted({(site.n_heads, site.d_head) for site in sites})
    return {"layers": len(sites), "sizes": [list(size) for size in sizes], "names": [site.name for site in sites]}
