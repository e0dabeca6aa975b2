import pytest

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.intervention import Runner, greedy_set

ROLE, OTHER = Head(1, 0), Head(1, 1)
CANDIDATES = HeadSet([Head(0, 0), OTHER, Head(2, 3), ROLE])


def test_the_planted_head_alone_is_the_minimal_set(runner):
    found = greedy_set(runner, CANDIDATES, "spatial_perception", 0.9, "zero", split="S")
    assert list(found.heads) == [ROLE]
    assert found.share == pytest.approx(1)
    assert found.path["move"].tolist() == ["add"]
    assert found.path["n"].tolist() == [30]
    assert "1 of 4 heads do 100%" in found.heads.reason


def test_heads_that_are_not_needed_are_put_back(data):
    """Either of two heads alone does little, together much, and a third that looked best at first is not needed."""
    import pandas as pd

    a, b, lure = Head(0, 0), Head(0, 1), Head(0, 2)

    class VLM:
        fingerprint = "redundant"

        def __init__(self):
            self.gone = set()

        def edit(self, *edits, scope="all", rows=None):
            from contextlib import contextmanager

            @contextmanager
            def active():
                self.gone = {head for edit in edits for head in edit.heads}
                yield
                self.gone = set()

            return active()

    vlm = VLM()

    def evaluate(vlm, questions, **options):
        loss = 10.0 if {a, b} <= vlm.gone else 2.0 * (lure in vlm.gone) + 0.1 * len({a, b} & vlm.gone)
        rows = [
            {"question": f"q{q}", "step": 0, "function": "spatial_perception", "correct": loss < 5, "logprob": -loss}
            for q in questions
        ]
        return pd.DataFrame(rows)

    found = greedy_set(Runner(vlm, data, evaluate=evaluate), HeadSet([a, b, lure]), "spatial_perception", 0.9, "zero")
    assert set(found.heads) == {a, b}
    assert found.path["move"].tolist() == ["add", "add", "add", "put back"]
    assert found.path["head"].tolist()[0] == found.path["head"].tolist()[-1] == str(lure)


def test_most_caps_the_set(runner):
    found = greedy_set(runner, HeadSet([Head(0, 0), ROLE]), "spatial_perception", 1.0, "zero", split="S", most=1)
    assert list(found.heads) == [ROLE]


def test_mistakes_are_one_line(runner):
    with pytest.raises(HeadAtlasError, match="must not be chosen on split E"):
        greedy_set(runner, CANDIDATES, "spatial_perception", split="E")
    with pytest.raises(HeadAtlasError, match="share must be in"):
        greedy_set(runner, CANDIDATES, "spatial_perception", 1.5, "zero")


def test_heads_that_cost_nothing_make_an_empty_set_that_says_so(runner):
    found = greedy_set(runner, HeadSet([Head(0, 0), Head(2, 2)]), "spatial_perception", 0.5, "zero")
    assert not found.heads
    assert "does not lower the steps of spatial_perception" in found.heads.reason
    assert found.path.empty
