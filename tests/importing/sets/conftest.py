"""Real data files if they lie beside the project, small ones written here, and the properties of every derived chain."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from headatlas.answers.parsing import matches
from headatlas.importing import Draft, LeftOut, Origin, open_origin
from headatlas.importing.registry import IMPORTERS

DATA = Path(__file__).resolve().parents[3] / "../shared/data"

Read = Callable[..., tuple[list[Draft], list[LeftOut]]]


@pytest.fixture
def real() -> Callable[[str], Path]:
    def find(name: str) -> Path:
        folder = DATA / name
        if not folder.is_dir():
            pytest.skip(f"no real files of {name}: ../shared/data is not here")
        return folder

    return find


@pytest.fixture
def read() -> Read:
    def run(name: str, source: Path, seed: int = 0) -> tuple[list[Draft], list[LeftOut]]:
        origin: Origin = open_origin(source, seed=seed)
        made = list(IMPORTERS[name].read(origin))
        drafts = [one for one in made if isinstance(one, Draft)]
        assert len({draft.key for draft in drafts}) == len(drafts) or name == "vsr"
        for draft in drafts:
            assert draft.steps[-1].answer == draft.answer
            assert draft.answer_type != "choice" or draft.answer in draft.options
            for step in draft.steps:
                assert matches(step.answer, step.answer, step.answer_type, step.options), (draft.key, step)
        return drafts, [one for one in made if isinstance(one, LeftOut)]

    return run


@pytest.fixture
def derived() -> Callable[[Draft], None]:
    """What every chain derived from a layout holds."""

    def check(draft: Draft) -> None:
        assert 3 <= len(draft.steps) <= 9, draft
        assert len({step.text for step in draft.steps}) == len(draft.steps)
        assert len({step.function for step in draft.steps}) >= 3
        last = draft.steps[-1]
        assert last.functions[-1] == "decision_making"
        assert last.needs_image or last.functions == ("decision_making",)  # what is seen is not only decided
        assert any(step.needs_image for step in draft.steps)

    return check


@pytest.fixture
def table(tmp_path) -> Callable[..., Path]:
    """Write records as JSON (or JSON lines) into a folder with a picture `a.png`; return the folder."""

    def write(records: object, name: str = "records.json") -> Path:
        lines = "\n".join(json.dumps(one) for one in records) if name.endswith("l") else json.dumps(records)  # type: ignore[attr-defined]
        (tmp_path / name).write_text(lines)
        Image.new("RGB", (40, 30), "teal").save(tmp_path / "a.png")
        return tmp_path

    return write
