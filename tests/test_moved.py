"""Old import paths lead to the new modules, with a warning."""

import subprocess
import sys
from importlib import import_module

import pytest

from headatlas._moved import MOVED, RENAMED, new_name

SCRIPT = """
import sys, warnings
warnings.simplefilter("always")
with warnings.catch_warnings(record=True) as said:
    from headatlas.llm.structured import read_record
    from headatlas.cogvsr.scenes import render
    from headatlas.vlm import reference
    import headatlas.llm
    from headatlas.models.real import write_real
    from headatlas.models.real.build import write_real as also
    from headatlas.vlm.model import as_image
    from headatlas.storage import Folder
from headatlas.annotate.llm import structured
from headatlas import reference as new
from headatlas.proof.processor import write_checkpoint
from headatlas.folder import Folder as NewFolder
from headatlas.pictures import open_picture
assert read_record is structured.read_record
assert write_real is also is write_checkpoint
assert (as_image, Folder) == (open_picture, NewFolder)
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
    assert "headatlas.vlm.model.as_image is now headatlas.pictures.open_picture" in done.stdout


def test_every_renamed_name_leads_somewhere():
    for module, names in RENAMED.items():
        for old, new in names.items():
            home, _, name = new.rpartition(".")
            with pytest.warns(DeprecationWarning, match=f"{old} is now"):
                assert getattr(import_module(module), old) is getattr(import_module(home), name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(import_module("headatlas.stats"), "nothing")  # noqa: B009
