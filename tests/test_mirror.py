"""The folders of the tests are the rooms of the package, and every room has tests."""

from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "src" / "headatlas"


def folders(root: Path) -> set[str]:
    """The folders below `root` that hold Python files."""
    return {path.parent.relative_to(root).as_posix() for path in root.rglob("*.py")} - {"."}


def test_every_folder_of_tests_is_a_room():
    assert folders(TESTS) - {"helpers", "campaigns"} <= folders(PACKAGE)


def test_every_room_has_tests():
    rooms = {folder.split("/")[0] for folder in folders(PACKAGE)}
    assert rooms == {folder.split("/")[0] for folder in folders(TESTS) - {"helpers", "campaigns"}}
