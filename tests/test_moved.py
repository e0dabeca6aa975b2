"""Old import paths lead to the new modules, and say so."""

import subprocess
import sys

import pytest

from headatlas._moved import MOVED, new_name

SCRIPT = """
import sys, warnings
warnings.simplefilter("always")
with warnings.catch_warnings(record=True) as said:
    from headatlas.llm.structured import read_record
    from headatlas.cogvsr.scenes import render
    from headatlas.vlm import reference
    import headatlas.llm
from headatlas.annotate.llm import structured
from headatlas import reference as new
assert read_record is structured.read_record
assert reference.path("ref-llava") == new.path("ref-llava")
print([str(one.message) for one in said if one.category is DeprecationWarning])
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("headatlas.models.real.build", MOVED["headatlas.models.real"] + ".build"),
        ("headatlas.models.table", "headatlas.proof.table"),
        ("headatlas.vlm", None),
        ("headatlas.reference", None),
    ],
)
def test_the_longest_match_counts(old, new):
    assert new_name(old) == new


def test_old_paths_work_with_a_warning():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert "headatlas.llm.structured is now headatlas.annotate.llm.structured" in done.stdout
