"""Write the results of all families as a Markdown page and as lines for a terminal."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from headatlas.proof.prove import FamilyReport

CHECKS = (
    "sum",
    "heads",
    "zero",
    "no-op",
    "ragged left",
    "ragged right",
    "cache",
    "kernel",
    "attention",
    "attention edit",
)
MARKS = {"holds": "holds", "fails": "**fails**", "not applicable": "n/a"}

_HEAD = """# Every VLM family, checked

This page is generated: `headatlas models table` makes it from the measurements of `headatlas models check --all --json`.

For each family of `AutoModelForImageTextToText` a tiny model with random weights is built from the family's own configuration
class: small, but with every kind of layer the family mixes, grouped queries, and a head size other than width / heads where the
family has one. Pictures go through the family's own image processor where that can make small ones. Every head of every site is
then checked in float32:

* **sum**: the sum over heads of W_O's columns times z, plus the bias, equals the output of the projection.
* **heads**: silencing head h inside the attention kernel (torch's own call) sets slice h of z to zero and changes no other slice.
  This shows, independently of HeadAtlas, how many heads there are and in which order. "Without norm": a norm over all heads
  follows the kernel, so that each head scales the others; it was removed for this check, and edits act after it.
* **zero**: the logits with a head edited to zero equal those with its columns of W_O set to zero; both differ from the bare
  model's.
* **no-op**: hooks without effect leave the logits bit for bit the same.
* **ragged left, right**: rows of different length in one padded batch, each with its own edit, equal each row run separately.
* **cache**: greedy decoding under an edit gives the same tokens and logits with a KV cache as without.
* **kernel**: the calls of the attention kernel and the configuration are the same with hooks as without.
* **attention**: attention rows of every head and query, read beside the model's own kernel, sum to 1 (less a sink's share); a . V
  equals the kernel's output; they equal the weights of the family's own eager code, if it has one; and reading leaves the logits
  bit for bit the same. The column is about the language model; other towers that cannot be read are named.
* **attention edit**: edits without effect leave the logits bit for bit the same; a bias, a factor and a block on one key at one
  head of each layer give the logits of the family's own eager code with the same change at the input of its softmax.

Differences up to 1e-4 of the largest value compared count as rounding; an effect must be 50 times larger than the difference, or
the check fails. "n/a" means that a check is not applicable, with the reason; mostly, the bare model of transformers already gives
different results. Towers: `L` language model, `V` vision, `X` cross-attention, `E` text encoder, `C` connector (Q-former,
resampler). A layer that runs several times in one forward (inkling2_loop) is one site: an edit acts on every pass, and z is read
from the last. If a family gates its heads before W_O (qwen3_5, step3p7, inkling2 and others), z is the gated output.
"""


def markdown(reports: Sequence[FamilyReport], about: dict[str, Any]) -> str:
    """The whole page, ending in a newline."""
    counts = Counter(report.status for report in reports)
    versions = ", ".join(f"{name} {version}" for name, version in about.get("versions", {}).items())
    took = f", {about['seconds']:.0f} s in all" if about.get("seconds") else ""
    lines = [_HEAD]
    lines.append(
        f"**{counts['proven']} of {len(reports)} families proven** ({summary(counts)}), with {versions}{took}.\n"
    )
    lines.append(_attention(reports))
    lines.append("| family | class | sites | status | " + " | ".join(CHECKS) + " |")
    lines.append("|---|---|---|---|" + "---|" * len(CHECKS))
    for report in reports:
        cells = [report.family, report.model or "", _sites(report), report.status]
        lines.append("| " + " | ".join([*cells, *(_cell(report, check) for check in CHECKS)]) + " |")
    lines += _processors(reports)
    lines += ["", "## Reasons and remarks", ""]
    for report in reports:
        remarks = list(dict.fromkeys(_remarks(report)))
        if remarks:
            lines.append(f"* **{report.family}**: " + "; ".join(_plain(remark) for remark in remarks))
    lines += ["", "## Attention that is not addressed", ""]
    lines += [f"* **{report.family}**: {_skipped(report)}" for report in reports if report.skipped]
    return "\n".join(lines) + "\n"


def _attention(reports: Sequence[FamilyReport]) -> str:
    """How many families' language models have their attention read, and edited."""
    counts = [sum(_cell(report, check).startswith("holds") for report in reports) for check in CHECKS[-2:]]
    return f"Attention rows are proven in {counts[0]} of {len(reports)} families, attention edits in {counts[1]}.\n"


_PROCESSOR_HEAD = """
## Real processors

The families in common use are also checked with their own processor class: a small tokenizer with the family's special tokens,
the published chat template and a small random model are saved as a checkpoint and loaded by `load_vlm`. Three ragged CogVSR
conversations with pictures of different sizes, and one without a picture, go through `encode`, `read` and `generate`:

* **image tokens**: number of image positions in the text, for pictures of two sizes (width x height in pixels).
* **spans**: answers whose tokens decode to them, with padding on either side; and how many end in an end-of-turn token.
* **located**: the image positions are exactly those at which the language model gets embeddings other than those of its tokens.
* **scope image**: zeroing every head at these positions changes z of the first layer there and nowhere else, and changes the
  answers; refused if the picture reaches the text by cross-attention.
* **sides, alone, steps**: largest difference of the logits (as a share of the largest) between left and right padding, between a
  row in a batch and the row alone, and between one pass over all steps and one pass for each step.
* **cache**: number of generated tokens that differ without a KV cache.
"""


def _processors(reports: Sequence[FamilyReport]) -> list[str]:
    checked = [report for report in reports if report.processor]
    if not checked:
        return []
    columns = ("image token", "image tokens", "spans", "located", "scope image", "sides", "alone", "steps", "cache")
    lines = [_PROCESSOR_HEAD, f"**{sum(not r.processor['problem'] for r in checked)} of {len(checked)} hold.**", ""]
    lines += ["| family | processor | " + " | ".join(columns) + " |", "|---|---|" + "---|" * len(columns)]
    for report in checked:
        result = report.processor
        sizes = ", ".join(f"{size}: {n}" for size, n in result["image_tokens"].items())
        spans = f"{result['spans']}, {result['ends']} end" if result["spans"] else ""
        differences = [_difference(result["differences"].get(name)) for name in ("sides", "alone", "steps")]
        wrong = result["differences"].get("cache")
        cells = [
            report.family, result["processor"], f"`{result['placeholder']}`" if result["placeholder"] else "none", sizes, spans,
            result["located"], result["scope_image"], *differences, "" if wrong is None else f"{wrong:.0f}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    broken = [f"* **{r.family}**: {_plain(r.processor['problem'])}" for r in checked if r.processor["problem"]]
    return [*lines, *(["", "What does not hold:", "", *broken] if broken else [])]


def _difference(value: float | None) -> str:
    return "" if value is None else f"{value:.0e}" if value else "0"


def summary(counts: Counter[str]) -> str:
    """`75 proven, 3 refused`, commonest first."""
    return ", ".join(f"{n} {status}" for status, n in counts.most_common())


def line(report: FamilyReport) -> str:
    """One family in one line of plain text."""
    reasons = [report.reason, f"real inputs: {report.processor['problem']}" if report.processor.get("problem") else ""]
    reason = "".join(f"  {text}" for text in reasons if text)
    return f"{report.family:24} {report.status:16} {_sites(report):52} {report.seconds:6.1f} s{reason}"


def _sites(report: FamilyReport) -> str:
    parts = []
    for tower, result in report.towers.items():
        sizes = ", ".join(f"{heads}x{d_head}" for heads, d_head in result["sizes"])
        parts.append(f"{tower} {result['layers']}: {sizes}")
    return "; ".join(parts)


def _cell(report: FamilyReport, check: str) -> str:
    results = [c for c in report.checks if c["check"] == check]
    if not results:
        return ""
    verdicts = {c["verdict"] for c in results}
    if check.startswith("attention"):
        verdicts = {c["verdict"] for c in results if c["tower"] == "L" or c["verdict"] == "fails"}
    verdict = "fails" if "fails" in verdicts else "holds" if "holds" in verdicts else "not applicable"
    largest = max((c["difference"] for c in results if c["difference"] is not None), default=None)
    number = "" if largest is None or verdict == "not applicable" else f" {largest:.0e}" if largest else " 0"
    suffix = ", without norm" if any("without the norm" in c["reason"] for c in results) else ""
    other = sorted(c["tower"] for c in results if c["tower"] not in ("", "L") and c["verdict"] == "not applicable")
    without = f", not {', '.join(other)}" if other and check.startswith("attention") and verdict == "holds" else ""
    return MARKS[verdict] + number + suffix + without


def _remarks(report: FamilyReport) -> list[str]:
    own = [report.reason] if report.reason else []
    remarks = [f"{c['check']} {c['tower']}".strip() + f": {c['reason']}" for c in report.checks if c["reason"]]
    return own + [remark for remark in remarks if not remark.endswith(": sdpa")]


def _skipped(report: FamilyReport) -> str:
    """Every reason once, with its first module and the number of further ones."""
    modules: dict[str, list[str]] = {}
    for skipped in report.skipped:
        module, _, reason = skipped.partition(": ")
        modules.setdefault(reason, []).append(module)
    counts = ((reason, names[0], len(names)) for reason, names in modules.items())
    parts = (f"{first}{f' and {n - 1} more' if n > 1 else ''}: {reason}" for reason, first, n in counts)
    return "; ".join(map(_plain, parts))


def _plain(text: str) -> str:
    """Text as one line of Markdown, whatever an error message contains."""
    return " ".join(text.replace("|", "/").replace("<", "&lt;").split())
