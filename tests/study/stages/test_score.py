"""What the stage `score` writes of a scorer that another package registered."""

import numpy as np
import pytest

from headatlas.cogvsr import CogVSR
from headatlas.intervention import Runner
from headatlas.results import RESULTS, validate
from headatlas.scoring import SCORERS, Scores, scorer
from headatlas.study import make_settings
from headatlas.study.claims import judge
from headatlas.study.continuing import GIVEN
from headatlas.study.stages import run_stage
from headatlas.study.stages.score import scorers_table, scores_table
from headatlas.study.study import Study


@pytest.fixture
def mine():
    @scorer("mine", title="my scorer", unit="cats")
    def mine(inputs):
        """How many cats a head sees. Needs cats."""
        return Scores("mine", np.arange(8.0 * 6).reshape(8, 2, 3))

    yield SCORERS["mine"]
    SCORERS.remove("mine")


def test_a_scorer_from_outside_brings_its_own_names(mine):
    table = validate("scorers", scorers_table(["linear", "mine"]))
    assert table["scorer"].tolist() == ["linear", "mine"]
    assert tuple(table.iloc[1, 1:]) == ("my scorer", "Mine", "How many cats a head sees.", "cats", "")


def test_the_claims_call_it_by_its_name(mine):
    tables = {"scorers": scorers_table(["mine"])}
    claims = judge(lambda name: tables.get(name, RESULTS[name].empty()), ["mine"])
    assert "by my scorer" in claims[0].sentence


def test_scores_are_one_row_a_function_and_head(mine):
    table = validate("scores", scores_table(mine.function(None)))
    assert len(table) == 48
    assert table["p"].isna().all()
    assert table["value"].tolist() == list(range(48))


def test_scorers_that_ablate_share_their_answers(tiny_vlm, tiny_questions, tmp_path, monkeypatch):
    """Each head is ablated once, whatever number of scorers asks for it, and the answers outlive the process."""
    data = CogVSR.from_questions(tiny_questions)
    settings = make_settings(
        "tiny", n=8, data=f"{GIVEN}{data.fingerprint}", scorers=("specificity", "ablation"), twin=False
    )
    study = Study(settings, tmp_path / "run", vlm=tiny_vlm, data=data)
    passes, shared = [], Runner._shared_passes
    monkeypatch.setattr(
        Runner, "_shared_passes", lambda self, some, split: passes.extend(some) or shared(self, some, split)
    )
    for stage in ("data", "capture", "score"):
        run_stage(study, stage)
    heads = int(np.prod(tiny_vlm.heads.shape))
    assert len(passes) == heads
    assert len(list((tmp_path / "run" / "answers").glob("*.parquet"))) == heads + 1  # and the unedited model
