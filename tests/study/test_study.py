import json
import shutil

import numpy as np
import pytest

from headatlas.activations import Activations, capture
from headatlas.cluster import Local
from headatlas.cogvsr import CogVSR
from headatlas.errors import HeadAtlasError
from headatlas.study import make_settings
from headatlas.study.continuing import GIVEN
from headatlas.study.stages import STAGES, run_stage
from headatlas.study.study import Study


@pytest.fixture(scope="module")
def data(tiny_questions):
    return CogVSR.from_questions(tiny_questions)


def given(data):
    return make_settings("tiny", n=8, data=f"{GIVEN}{data.fingerprint}")


def study(out, vlm, data, **options):
    return Study(given(data), out, vlm=vlm, data=data, **options)


def test_activations_and_answers_go_to_the_store_by_the_workers(tiny_vlm, data, tmp_path):
    store, workers = f"memory://{tmp_path.name}", Local()
    begun = study(tmp_path / "run", tiny_vlm, data, workers=workers, store=store)
    begun.begin()
    STAGES["capture"].run(begun)
    plain = capture(tiny_vlm, data, begun.acts.tokens, out=tmp_path / "plain")
    np.testing.assert_array_equal(Activations.open(f"{store}/capture").z(), plain.z())
    runner = begun.runner()
    assert (runner.workers, str(runner.cache)) == (workers, f"{store}/answers")
    assert not (tmp_path / "run" / "capture").exists()
    # A later command finds them without being told.
    later = study(tmp_path / "run", tiny_vlm, data)
    np.testing.assert_array_equal(later.acts.z(), plain.z())
    with pytest.raises(HeadAtlasError, match="leave the store out"):
        study(tmp_path / "run", tiny_vlm, data, store="memory://another")


def test_a_run_without_a_store_keeps_them_itself(tiny_vlm, data, tmp_path):
    begun = study(tmp_path / "run", tiny_vlm, data)
    assert begun.runner().cache.local == tmp_path / "run" / "answers"
    begun.begin()
    with pytest.raises(HeadAtlasError, match="keeps its activations in 'the run directory'"):
        study(tmp_path / "run", tiny_vlm, data, store="memory://another")


def test_nothing_is_written_before_a_run_begins(tiny_vlm, tiny_questions, tmp_path):
    lacking = CogVSR.from_questions([question for question in tiny_questions if question.split != "T"])
    opened = study(tmp_path / "run", tiny_vlm, lacking)
    with pytest.raises(HeadAtlasError, match="no question in split T"):
        run_stage(opened, "data")
    with pytest.raises(HeadAtlasError, match="needs the files of"):
        run_stage(study(tmp_path / "run", tiny_vlm, lacking), "score")
    assert not (tmp_path / "run").exists()


def test_a_run_of_a_model_in_another_state_says_what_differs(tiny_vlm, data, tmp_path, monkeypatch):
    study(tmp_path / "run", tiny_vlm, data).begin()
    now = {**tiny_vlm.identity, "chat_template": "another", "fingerprint": "x"}
    monkeypatch.setattr("headatlas.study.continuing.model_record", lambda vlm: now)
    with pytest.raises(HeadAtlasError, match=r'another one \(.*chat_template: .* there, "another" now\)'):
        study(tmp_path / "run", tiny_vlm, data)


def test_a_run_goes_on_with_a_model_whose_folder_was_moved(tiny_vlm_dir, data, tmp_path):
    before, after, out = tmp_path / "before", tmp_path / "after", tmp_path / "run"
    shutil.copytree(tiny_vlm_dir, before)

    def opened(model):
        return Study(given(data).model_copy(update={"model": str(model)}), out, data=data)

    opened(before).begin()
    shutil.copytree(before, after)
    with pytest.raises(HeadAtlasError, match=r"holds a run with model='.*before', this one has model='.*after'"):
        opened(after)  # the first is still there
    shutil.rmtree(before)
    going_on = opened(after)
    assert going_on.settings.model == str(before)
    assert going_on.vlm.name == str(after)
    config = json.loads((after / "config.json").read_text())
    config["text_config"]["rms_norm_eps"] = 0.1
    (after / "config.json").write_text(json.dumps(config))
    with pytest.raises(HeadAtlasError, match=r"before' and got '.*after', which is another one \(config"):
        opened(after).vlm  # noqa: B018


@pytest.mark.parametrize("damage", ["delete", "cut", "other"])
def test_damaged_questions_are_not_read(tiny_vlm, data, tiny_questions, tmp_path, damage):
    out = tmp_path / "run"
    begun = study(out, tiny_vlm, data)
    run_stage(begun, "data")
    (path,) = (out / "data").glob("*.parquet")
    content = path.read_bytes()
    if damage == "other":
        CogVSR.from_questions(list(reversed(tiny_questions))).save(out / "data")
    else:
        path.unlink() if damage == "delete" else path.write_bytes(content[: len(content) // 2])
    # They were passed as an object, so only their owner can give them again.
    with pytest.raises(HeadAtlasError, match="call run_study with the same data again"):
        Study(given(data), out, vlm=tiny_vlm).data  # noqa: B018
    assert run_stage(study(out, tiny_vlm, data), "data")
    assert Study(given(data), out, vlm=tiny_vlm).data.fingerprint == data.fingerprint


@pytest.mark.parametrize(("one_task", "name"), [(True, "this task"), (False, "spatial_perception")])
def test_messages_name_a_function_only_where_questions_do(one_task, name):
    study = object.__new__(Study)
    study.one_task = one_task  # in place of the cached property
    assert study.name_of("spatial_perception") == name
