"""Summaries of attention equal those computed from the rows, and an interrupted run continues."""

import shutil

import numpy as np
import pytest
import torch

from headatlas.activations import attention as attention_function
from headatlas.activations.attention import AttentionSummaries
from headatlas.activations.row_summary import SUMMARIES, sink_tokens
from headatlas.cluster.base import Workers
from headatlas.cogvsr.schema import Box
from headatlas.errors import HeadAtlasError
from headatlas.heads import block
from headatlas.storage import DamagedError
from headatlas.vlm.chat import conversation

module = __import__(attention_function.__module__, fromlist=["UNIT"])
BOX = Box(x0=0.55, y0=0.05, x1=0.95, y1=0.45)  # the top right one of 2 x 2 image tokens


@pytest.fixture(scope="module")
def questions(tiny_questions):
    """The colour step of each question has a box."""
    made = []
    for question in tiny_questions:
        steps = tuple(
            step.model_copy(update={"boxes": (BOX,)}) if step.kind == "color" else step for step in question.steps
        )
        made.append(question.model_copy(update={"steps": steps}))
    return made


@pytest.fixture(scope="module")
def summaries(tiny_vlm, questions, tmp_path_factory):
    return attention_function(tiny_vlm, questions, out=tmp_path_factory.mktemp("attention") / "a", batch_size=3)


def test_each_summary_is_what_the_rows_say(tiny_vlm, questions, summaries):
    step = 0
    for question in questions:
        chat = conversation(question)
        from headatlas.vlm.attention import attention_map
        from headatlas.vlm.batch import encode

        spans = encode(tiny_vlm, [chat]).spans[0]
        for k, (start, _) in enumerate(spans):
            rows = attention_map(tiny_vlm, chat, queries=[start - 1])
            weights = rows.weights[:, 0].reshape(2, 4, -1)
            image = list(rows.image_positions)
            np.testing.assert_allclose(summaries["image"][step], weights[..., image].sum(-1), atol=1e-5)
            np.testing.assert_allclose(summaries["first"][step], weights[..., 0], atol=1e-5)
            begin = spans[k - 1][1] if k else 0
            words = [p for p in range(begin, start) if p not in image]
            np.testing.assert_allclose(summaries["question"][step], weights[..., words].sum(-1), atol=1e-5)
            if question.steps[k].boxes:
                np.testing.assert_allclose(summaries["target"][step], weights[..., image[1]], atol=1e-5)
                np.testing.assert_array_equal(summaries["top_in_target"][step], weights.argmax(-1) == image[1])
                assert np.isnan(summaries["foreign"][step]).all()  # every other question's box is the same one
            else:
                assert np.isnan(summaries["target"][step]).all()
            step += 1
    assert step == len(summaries) == len(summaries.steps)
    np.testing.assert_allclose(summaries["sink"], 0, atol=1e-5)


def test_predict_is_the_mean_over_the_positions_that_predict(tiny_vlm, questions, tmp_path):
    made = attention_function(tiny_vlm, questions[:2], "predict", out=tmp_path / "a")
    from headatlas.vlm.attention import attention_map

    chat = conversation(questions[0])
    rows = attention_map(tiny_vlm, chat)
    from headatlas.vlm.batch import encode

    start, end = encode(tiny_vlm, [chat]).spans[0][0]
    mean = rows.weights[:, : end - start][..., list(rows.image_positions)].sum(-1).mean(1)
    np.testing.assert_allclose(made["image"][0].ravel(), mean, atol=1e-5)


def test_the_answers_are_those_of_the_model(tiny_vlm, questions, summaries):
    from headatlas.vlm.evaluate import evaluate

    wanted = evaluate(tiny_vlm, questions)
    assert summaries.steps.text.tolist() == wanted.text.tolist()
    np.testing.assert_allclose(summaries.steps.logprob, wanted.logprob, atol=1e-3)


def test_batches_do_not_matter(tiny_vlm, questions, summaries, tmp_path):
    alone = attention_function(tiny_vlm, questions, out=tmp_path / "a", batch_size=1)
    for name in SUMMARIES:
        if name != "localisation":  # a cell at the mean may fall to either side
            np.testing.assert_allclose(alone[name], summaries[name], atol=2e-5)


def test_a_run_that_was_cut_off_goes_on(tiny_vlm, questions, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "UNIT", 3)
    whole = attention_function(tiny_vlm, questions, out=tmp_path / "whole")
    run = module.attention_unit
    calls = []

    def cut(*args):
        calls.append(len(args[1]))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return run(*args)

    monkeypatch.setattr(module, "attention_unit", cut)
    with pytest.raises(KeyboardInterrupt):
        attention_function(tiny_vlm, questions, out=tmp_path / "cut")
    with pytest.raises(HeadAtlasError, match="no finished attention summaries"):
        AttentionSummaries.open(tmp_path / "cut")
    told = []
    went_on = attention_function(tiny_vlm, questions, out=tmp_path / "cut", progress=lambda *done: told.append(done))
    assert calls == [3, 3, 3, 2]
    assert told == [("attention", 3, 8), ("attention", 6, 8), ("attention", 8, 8)]
    for name in SUMMARIES:
        np.testing.assert_array_equal(went_on[name], whole[name])


def test_another_run_is_not_mixed_in(tiny_vlm, questions, tmp_path):
    attention_function(tiny_vlm, questions[:2], out=tmp_path / "a")
    with pytest.raises(HeadAtlasError, match="data_fingerprint"):
        attention_function(tiny_vlm, questions[:3], out=tmp_path / "a")
    with (
        tiny_vlm.edit(block(["L0.H0"], "image")),
        pytest.raises(HeadAtlasError, match=r"edits \[\]"),
    ):
        attention_function(tiny_vlm, questions[:2], out=tmp_path / "a")


def test_active_edits_are_seen(tiny_vlm, questions, tmp_path):
    with tiny_vlm.edit(block(["L0.H2"], "image")):
        made = attention_function(tiny_vlm, questions[:2], out=tmp_path / "a")
    assert (made["image"][:, 0, 2] == 0).all()
    assert (made["image"][:, 0, 1] > 0).all()


def test_tables(summaries):
    table = summaries.table()
    assert len(table) == 8
    assert list(table.target) == sorted(table.target, reverse=True)
    assert set(summaries.table("low_level_perception")["head"]) == set(table["head"])
    with pytest.raises(HeadAtlasError, match="no step of function 'math_reasoning' has boxes"):
        summaries.table("math_reasoning")
    with pytest.raises(HeadAtlasError, match="summary must be one of"):
        summaries["gaze"]
    assert len(repr(summaries).splitlines()) == 1


def test_some_heads_and_their_rows(tiny_vlm, questions, summaries, tmp_path):
    heads = ["L0.H1", "L1.H3"]
    made = attention_function(
        tiny_vlm, questions[:3], "predict", out=tmp_path / "a", heads=heads[::-1], rows=True, batch_size=2
    )
    whole = attention_function(tiny_vlm, questions[:3], "predict", out=tmp_path / "b")
    assert [str(head) for head in made.heads] == heads
    np.testing.assert_allclose(made["image"][:, [0, 1], [1, 3]], whole["image"][:, [0, 1], [1, 3]], atol=2e-5)
    assert np.isnan(made["image"]).sum() == len(made) * 6
    assert len(made.table()) == 2
    from headatlas.vlm.attention import attention_map
    from headatlas.vlm.batch import encode

    step = 0
    for question in questions[:3]:
        chat = conversation(question)
        for start, end in encode(tiny_vlm, [chat]).spans[0]:
            wanted = attention_map(tiny_vlm, chat, heads, list(range(start - 1, end - 1))).weights
            np.testing.assert_allclose(made.rows(step), wanted, atol=1e-5)
            step += 1
    with pytest.raises(HeadAtlasError, match="rows were not kept"):
        whole.rows(0)
    with pytest.raises(HeadAtlasError, match="step must be 0 to"):
        made.rows(step)
    with pytest.raises(HeadAtlasError, match="of the language model"):
        attention_function(tiny_vlm, questions, out=tmp_path / "c", heads=["V0.H0"])


def test_workers_give_the_same(tiny_vlm, questions, monkeypatch, tmp_path):
    class Here(Workers):
        """Runs shards in this process, the last first."""

        def close(self):
            pass

        def run(self, vlm, function, shards):
            yield from [(shard.number, function(vlm, *shard.args)) for shard in shards][::-1]

    monkeypatch.setattr(module, "UNIT", 3)
    alone = attention_function(tiny_vlm, questions, out=tmp_path / "a")
    spread = attention_function(tiny_vlm, questions, out=tmp_path / "b", workers=Here())
    for name in SUMMARIES:
        np.testing.assert_array_equal(spread[name], alone[name])
    assert spread.steps.equals(alone.steps)


@pytest.fixture(scope="module")
def two_units(tiny_vlm, questions, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "UNIT", 2)
        yield attention_function(tiny_vlm, questions[:3], out=tmp_path_factory.mktemp("units") / "a")


def change(path, how):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if how == "delete":
        path.unlink()
    elif how == "swap":
        path.write_bytes(path.with_name(path.name.replace("000000", "000001")).read_bytes())
    else:
        path.write_bytes(data if how == "flip" else data[:100])


@pytest.mark.parametrize(
    ("name", "how", "noticed"),
    [
        ("parts/000000.npz", "flip", True),
        ("parts/000000.npz", "swap", True),
        ("parts/000000.npz", "delete", True),
        ("steps.parquet", "flip", True),
        ("parts/000000.parquet", "cut", False),  # read only by a run that goes on
        ("settings.json", "cut", False),
    ],
)
def test_damaged_files_are_refused_and_computed_again(tiny_vlm, questions, two_units, tmp_path, name, how, noticed):
    out = shutil.copytree(two_units.path, tmp_path / "a")
    change(out / name, how)
    if noticed:
        with pytest.raises(DamagedError, match=r"is missing or damaged|cut off or changed"):
            AttentionSummaries.open(out)["image"]
    again = attention_function(tiny_vlm, questions[:3], out=out)
    np.testing.assert_array_equal(again["image"], two_units["image"])
    assert again.steps.equals(two_units.steps)


def test_sinks_share_a_huge_feature_with_the_first_token():
    hidden = torch.randn(2, 9, 500, generator=torch.Generator().manual_seed(0))
    hidden[:, :, 7] = 2000.0  # everywhere: no sign
    for row, at in ((0, 0), (0, 4), (1, 2), (1, 6)):
        hidden[row, at, 30] = 3000.0
    hidden[0, 5, 31] = 3000.0  # not a feature of the first token
    real = torch.ones(2, 9, dtype=torch.bool)
    real[1, :2] = False
    found = sink_tokens(hidden, torch.tensor([0, 2]), real, least=15.0)
    assert found.nonzero().tolist() == [[0, 0], [0, 4], [1, 2], [1, 6]]
    assert not sink_tokens(hidden[..., :300], torch.tensor([0, 2]), real).any()


def test_attention_on_a_sink_is_no_gaze(tiny_vlm, questions, summaries, monkeypatch, tmp_path):
    """If the box's patch is a sink, the mass on the box counts as mass on a sink."""
    rows = __import__("headatlas.activations.row_summary", fromlist=["sink_tokens"])

    def second_patch(hidden, first, real):
        found = torch.zeros_like(real)
        found[torch.arange(len(first)), first + offset] = True
        return found

    from headatlas.vlm.batch import encode

    batch = encode(tiny_vlm, [conversation(questions[0])])
    offset = int(batch.image_mask[0].nonzero()[1]) - batch.starts[0]
    monkeypatch.setattr(rows, "sink_tokens", second_patch)
    made = attention_function(tiny_vlm, questions, out=tmp_path / "a", batch_size=3)
    boxed = ~np.isnan(summaries["target"])
    np.testing.assert_allclose(made["image_sink"][boxed], summaries["target"][boxed], atol=1e-5)
    assert (made["target"][boxed] == 0).all()
    assert (summaries["image_sink"] == 0).all()


def test_wrong_requests(tiny_vlm, questions, tmp_path):
    with pytest.raises(HeadAtlasError, match="queries must be one of last, predict"):
        attention_function(tiny_vlm, questions, "first", out=tmp_path)
    with pytest.raises(HeadAtlasError, match="at least one question"):
        attention_function(tiny_vlm, [], out=tmp_path)
