"""Decompose a whole dataset, and write the new dataset with lists of its steps and of the questions that failed.

Every reply is stored in `replies.sqlite` of the work folder: a run that was killed continues, and a repeated run costs nothing.
The dataset is written last, atomically.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from headatlas.annotate.decompose.ask import DECOMPOSE, VERIFY, Chain, NotDecomposed, Rules, decompose_one
from headatlas.annotate.llm import LLM, CallFailed, Endpoint, ReplyCache, Usage, each, run, stoppable
from headatlas.cogvsr.schema import Question, Step
from headatlas.cogvsr.store import CogVSR
from headatlas.errors import HeadAtlasError
from headatlas.printing import brief
from headatlas.progress import Progress
from headatlas.storage import beside


@dataclass(frozen=True)
class Failure:
    """A question that is not in the result."""

    question: str
    """Its id."""
    reasons: tuple[str, ...]
    """What was wrong with each draft."""
    steps: tuple[Step, ...] = ()
    """Those steps of its last draft that had the right form."""


@dataclass
class Outcome:
    """The result of `decompose`."""

    chains: dict[str, Chain] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    """Ids of the questions that had several steps already, and keep them."""
    failures: list[Failure] = field(default_factory=list)
    usage: dict[str, Usage] = field(default_factory=dict)
    """Calls and tokens of this run, by model."""
    totals: dict[str, dict[str, int]] = field(default_factory=dict)
    """Calls and tokens of all runs with this cache, by model: `{model: {calls, prompt_tokens, completion_tokens}}`."""
    cost: float | None = None
    """US dollars of all runs; None if the price of a model is not known."""

    __repr__ = brief

    def report(self) -> dict[str, Any]:
        """The counts as plain values, for JSON."""
        return {
            "decomposed": len(self.chains),
            "steps": sum(len(chain.steps) for chain in self.chains.values()),
            "kept": len(self.kept),
            "failed": len(self.failures),
            "dropped_repeats": sum(len(chain.dropped) for chain in self.chains.values()),
            "prompts": {"decompose": DECOMPOSE.version, "verify": VERIFY.version},
            "this_run": {model: asdict(usage) for model, usage in self.usage.items()},
            "all_runs": self.totals,
            "cost_usd": self.cost,
        }


def decompose(
    data: CogVSR,
    endpoint: Endpoint,
    out: str | Path,
    verifier: Endpoint | None = None,
    verify: bool = True,
    rules: Rules | None = None,
    everything: bool = False,
    work: str | Path | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
    pause: float = 1.0,
) -> Outcome:
    """Write a dataset in which every question that had a single step has a chain of steps.

    Args:
        data: questions with their answers. Those with several steps (from ground truth, from people) keep theirs.
        endpoint: the model that writes the steps.
        out: folder of the new dataset. Questions that fail are not in it; they are listed in the work folder.
        verifier: the model that answers every step blind; None for the one that writes.
        verify: False leaves the blind check out. The checks by rule are always run.
        rules: numbers of steps and drafts, size of images.
        everything: decompose questions that have several steps too.
        work: folder of the cache and the lists; None for `out` with ".decompose" appended.
        limit: only the first so many questions of the dataset.
        progress: see `headatlas.progress`.
        pause: as `LLM`.

    Returns:
        Chains, failures and costs. The work folder holds `replies.sqlite` (the cache), `steps.jsonl` (who wrote and who
        verified each step), `failures.jsonl` (id, reasons, last draft) and `report.json` (counts, tokens, dollars).

    Raises:
        EndpointDown: the endpoint cannot be used. Replies so far are kept: run it again.
        HeadAtlasError: nothing to decompose, another process uses the work folder, or no question was decomposed.
        Stopped: Ctrl-C or SIGTERM; the message says how to continue.
    """
    rules = rules or Rules()
    out = Path(out)
    work = Path(work) if work is not None else beside(out, ".decompose")
    ids = data.ids[:limit]
    chosen = set(ids)
    single = {q.id: everything or len(q.steps) < 2 for q in data.without_images() if q.id in chosen}
    todo = [i for i, name in enumerate(ids) if single[name]]
    outcome = Outcome(kept=tuple(name for name in ids if not single[name]))
    if not todo:
        raise HeadAtlasError(
            f"nothing to decompose: all {len(ids)} questions of {data.name} have several steps already; "
            "--all (everything=True) decomposes them again"
        )
    replies = work / "replies.sqlite"
    message = (
        f"stopped; all replies so far are in {replies}: run the same command again to go on, nothing is paid for twice"
    )
    with ReplyCache(replies) as cache, stoppable(message):
        run(
            lambda: _all(
                data, todo, endpoint, verifier if verify else None, verify, rules, cache, outcome, progress, pause
            )
        )
        outcome.totals = cache.totals()
        outcome.cost = _cost(outcome.totals, endpoint, verifier)
        # Replies arrive in any order; the lists have the order of the dataset.
        place = {name: i for i, name in enumerate(ids)}
        outcome.failures.sort(key=lambda failure: place[failure.question])
        outcome.chains = {name: outcome.chains[name] for name in ids if name in outcome.chains}
        _write_lists(work, outcome)
        if not outcome.chains:
            first = outcome.failures[0]
            raise HeadAtlasError(
                f"none of {len(todo)} questions was decomposed; {first.question!r}: {first.reasons[-1]} "
                f"(all in {work / 'failures.jsonl'})"
            )
        kept = set(outcome.kept)
        steps = {q.id: q.steps for q in data.without_images() if q.id in kept}
        data.with_steps({**steps, **{name: chain.steps for name, chain in outcome.chains.items()}}, out)
    return outcome


async def _all(
    data: CogVSR,
    todo: list[int],
    endpoint: Endpoint,
    verifier: Endpoint | None,
    verify: bool,
    rules: Rules,
    cache: ReplyCache,
    outcome: Outcome,
    progress: Progress | None,
    pause: float,
) -> None:
    async with LLM(endpoint, cache, pause) as writer, LLM(verifier or endpoint, cache, pause) as second:
        checker = None if not verify else second if verifier is not None else writer
        outcome.usage[endpoint.model] = writer.usage
        if checker is second:
            outcome.usage[f"{second.endpoint.model} (verifier)"] = second.usage

        async def one(found: Question | Failure) -> None:
            if isinstance(found, Failure):
                outcome.failures.append(found)
            else:
                try:
                    outcome.chains[found.id] = await decompose_one(found, writer, checker, rules)
                except NotDecomposed as error:
                    outcome.failures.append(Failure(found.id, tuple(error.reasons), tuple(error.steps)))
                except CallFailed as error:
                    outcome.failures.append(Failure(found.id, (str(error),)))
            if progress:
                progress("decomposing", len(outcome.chains) + len(outcome.failures), len(todo))

        await each(_questions(data, todo), one, 2 * endpoint.concurrency)


def _questions(data: CogVSR, todo: list[int]) -> Iterator[Question | Failure]:
    """The questions with their images, decoded one at a time; a failure for each whose image cannot be read."""
    for i in todo:
        try:
            yield data[i]
        except HeadAtlasError as error:
            yield Failure(data.ids[i], (str(error),))


def _cost(totals: dict[str, dict[str, int]], *endpoints: Endpoint | None) -> float | None:
    prices = {endpoint.model: endpoint.prices for endpoint in endpoints if endpoint is not None}
    costs = [
        Usage(prompt_tokens=counts["prompt_tokens"], completion_tokens=counts["completion_tokens"]).cost(
            prices.get(model)
        )
        for model, counts in totals.items()
    ]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def _write_lists(work: Path, outcome: Outcome) -> None:
    steps = [
        {"question": name, "step": i, **step.model_dump(), "written_by": chain.model, "prompt": DECOMPOSE.version,
         "drafts": chain.tries, "verified_by": chain.verified_by, "dropped": chain.dropped}
        for name, chain in outcome.chains.items()
        for i, step in enumerate(chain.steps)
    ]  # fmt: skip
    failures = [
        {"question": f.question, "reasons": f.reasons, "steps": [step.model_dump() for step in f.steps]}
        for f in outcome.failures
    ]
    for name, rows in (("steps.jsonl", steps), ("failures.jsonl", failures)):
        _replace(work / name, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    _replace(work / "report.json", json.dumps(outcome.report(), indent=1) + "\n")


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
