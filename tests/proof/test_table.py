"""The page says of each family what holds, what does not apply and why, whatever an error message contains."""

from headatlas.proof import FamilyReport, markdown
from headatlas.proof.table import CHECKS, line


def result(check, verdict, difference=None, reason="", tower="L"):
    return {"check": check, "tower": tower, "verdict": verdict, "difference": difference, "reason": reason}


PROVEN = FamilyReport(
    "llava",
    "Llava",
    "proven",
    towers={"L": {"layers": 2, "sizes": [[4, 16]], "names": []}},
    checks=[
        result("sum", "holds", 3e-7),
        result("sum", "holds", 0.0, tower="V"),
        result("kernel", "holds", 0.0, "sdpa", ""),
    ],
    skipped=["pool (MultiheadAttention): why", "other: because", "pool2 (MultiheadAttention): why"],
)
FAILS = FamilyReport(
    "odd",
    "Odd",
    "fails",
    "a|b <script>\nc",
    checks=[result("zero", "holds", 0.0), result("zero", "fails", 0.5, "x", "V")],
)


def page():
    return markdown([PROVEN, FAILS], {"versions": {"torch": "2"}, "seconds": 61.0})


def test_counts_versions_and_time_are_told():
    assert "**1 of 2 families proven** (1 proven, 1 fails), with torch 2, 61 s in all." in page()


def test_a_row_has_a_cell_for_each_check():
    row = next(text for text in page().splitlines() if text.startswith("| llava |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:4] == ["llava", "Llava", "L 2: 4x16", "proven"]
    assert len(cells) == 4 + len(CHECKS)
    assert cells[4] == "holds 3e-07"


def test_one_failing_tower_fails_the_cell():
    row = next(text for text in page().splitlines() if text.startswith("| odd |"))
    assert "**fails** 5e-01" in row


def test_a_norm_that_was_removed_is_named_in_the_cell():
    result_without_norm = result("heads", "holds", 0.0, "without the norm over all heads before W_O")
    told = markdown([FamilyReport("kosmos-2", checks=[result_without_norm])], {})
    assert "| holds 0, without norm |" in told


def test_reasons_stay_one_line_of_plain_text():
    told = next(text for text in page().splitlines() if text.startswith("* **odd**"))
    assert "a/b &lt;script> c" in told
    assert "zero V: x" in told
    assert "sdpa" not in page().split("## Reasons")[1]
    assert "pool (MultiheadAttention) and 1 more: why; other: because" in page()


def test_a_line_for_the_terminal():
    assert line(PROVEN).split() == ["llava", "proven", "L", "2:", "4x16", "0.0", "s"]
    assert line(FAILS).endswith("a|b <script>\nc")


def test_real_processors_have_a_table_of_their_own():
    assert "Real processors" not in page()
    holds = {
        "processor": "LlavaProcessor",
        "placeholder": "<|image|>",
        "image_tokens": {"112x112": 16, "196x84": 21},
        "spans": "36/36",
        "ends": 36,
        "located": "text",
        "scope_image": "edits",
        "differences": {"sides": 3e-7, "alone": 0.0, "steps": 4e-7, "cache": 0.0},
        "problem": "",
    }
    broken = {**holds, "problem": "3 of 36 spans | do not"}
    told = markdown([FamilyReport("llava", processor=holds), FamilyReport("odd", processor=broken)], {})
    assert "**1 of 2 hold.**" in told
    row = (
        r"| llava | LlavaProcessor | `<\|image\|>` | 112x112: 16, 196x84: 21 | 36/36, 36 end | text | edits | 3e-07 | "
    )
    assert row in told
    assert "* **odd**: 3 of 36 spans / do not" in told
    assert line(FamilyReport("odd", processor=broken)).endswith("real inputs: 3 of 36 spans | do not")
    assert not FamilyReport("odd", processor=broken).sound
    assert FamilyReport("llava", processor=holds).sound
