import os
import pickle

import pytest
from cluster_tasks import double, fail, refuse

from headatlas.cluster.worker import Model, Reply, answer, started
from headatlas.errors import HeadAtlasError
from headatlas.heads import zero
from headatlas.scoring.base import UnscorableError
from headatlas.vlm import load_vlm
from headatlas.vlm.batch import UnreadableError


def test_the_driver_s_model_is_loaded_again(tiny_vlm):
    model = Model.of(tiny_vlm)
    vlm, ready = started(model, "cpu", None)
    assert ready.get()[0] == os.getpid()
    assert (vlm.fingerprint, vlm.dtype) == (tiny_vlm.fingerprint, tiny_vlm.dtype)


def test_another_model_under_its_name_is_refused(tiny_vlm, monkeypatch):
    monkeypatch.setattr(tiny_vlm, "_fixed_fingerprint", "0123")
    vlm, ready = started(Model.of(tiny_vlm), "cpu", None)
    assert vlm is None
    with pytest.raises(HeadAtlasError, match="the driver's model 0123"):
        ready.get()


def test_it_is_loaded_as_the_driver_loaded_it(tiny_vlm_dir, tiny_vlm):
    slow = load_vlm(tiny_vlm_dir, device="cpu", options={"attn_implementation": "eager"})
    vlm, _ = started(Model.of(slow), "cpu", None)
    assert vlm.model.config._attn_implementation == "eager" != tiny_vlm.model.config._attn_implementation
    spread = load_vlm(tiny_vlm_dir, device_map="cpu")
    with pytest.raises(HeadAtlasError, match="spread over the devices already"):
        Model.of(spread)


def test_another_version_is_refused(tiny_vlm):
    model = Model.of(tiny_vlm)
    older = Model(model.name, model.dtype, model.options, model.fingerprint, model.identity, "0.0.0")
    with pytest.raises(HeadAtlasError, match=r"must be 0\.0\.0 as on the driver"):
        started(older, "cpu", None)[1].get()


def test_calls_run_under_the_driver_s_edits(tiny_vlm):
    edit = zero(["L0.H1"])
    around = (((edit,), "answer"),)
    _, _, key = answer(tiny_vlm, double, (1,), around).get()
    assert key == (f"answer:{edit.fingerprint}",)
    assert not tiny_vlm.edited


def test_mistakes_and_faults_are_told_apart(tiny_vlm):
    with pytest.raises(HeadAtlasError, match="the second is not wanted"):
        answer(tiny_vlm, refuse, (2,), ()).get()
    with pytest.raises(RuntimeError, match=r"(?s)a worker failed.*ZeroDivisionError: at 5"):
        answer(tiny_vlm, fail, (5,), ()).get()
    assert Reply(3).get() == 3


@pytest.mark.parametrize(
    ("raised", "came"),
    [(UnscorableError("no boxes"), UnscorableError), (UnreadableError({0: "no boxes"}), HeadAtlasError)],
)
def test_mistakes_keep_their_class_unless_they_name_rows_of_the_shard(tiny_vlm, raised, came):
    def task(vlm):
        raise raised

    reply = pickle.loads(pickle.dumps(answer(tiny_vlm, task, (), ())))
    with pytest.raises(HeadAtlasError, match="no boxes") as caught:
        reply.get()
    assert caught.type is came
