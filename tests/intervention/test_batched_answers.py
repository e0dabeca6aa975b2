import pandas as pd
import pytest

from headatlas.heads import Head, HeadSet, scale, zero
from headatlas.intervention import Condition, Runner
from headatlas.intervention.batched_answers import answer_conditions
from headatlas.vlm import evaluate

EDITS = [[zero(HeadSet([Head(1, 2)]))], [scale(HeadSet([Head(0, 0), Head(1, 1)]), -1.0)], []]


class Data:
    """The hand-made questions as a dataset."""

    fingerprint = "tiny"

    def __init__(self, questions):
        self.questions = questions

    def split(self, name):
        return [q for q in self.questions if q.split == name]


@pytest.mark.parametrize("shown", [None, lambda question: (question.images[:0], "No picture today.")])
def test_tables_are_those_of_evaluate(tiny_vlm, tiny_questions, shown):
    tables = answer_conditions(tiny_vlm, tiny_questions, EDITS, batch_size=3, arm=shown)
    texts = set()
    for edits, found in zip(EDITS, tables, strict=True):
        with tiny_vlm.edit(*edits):
            want = evaluate(tiny_vlm, tiny_questions, arm=shown)
        pd.testing.assert_frame_equal(found, want, check_exact=False, atol=1e-4)
        texts.add(tuple(found["text"]))
    assert len(texts) > 1, "the edits change what is said, else this test could not fail"


def test_windows_are_joined(tiny_vlm, tiny_questions, monkeypatch):
    whole = answer_conditions(tiny_vlm, tiny_questions, EDITS[:1])
    monkeypatch.setattr("headatlas.intervention.batched_answers.WINDOW", 3)
    parts = answer_conditions(tiny_vlm, tiny_questions, EDITS[:1])
    pd.testing.assert_frame_equal(parts[0], whole[0], check_exact=False, atol=1e-4)


def test_a_runner_runs_what_is_missing_together(tiny_vlm, tiny_questions, tmp_path, monkeypatch):
    """One sweep for all conditions of a scope that no cache holds; the rest from the cache, all in order."""
    calls = []

    def counted(vlm, questions, conditions, scope, *rest):
        calls.append((len(conditions), scope))
        return answer_conditions(vlm, questions, conditions, scope, *rest)

    monkeypatch.setattr("headatlas.intervention.batched_answers.answer_conditions", counted)
    runner = Runner(tiny_vlm, Data(tiny_questions), tmp_path)
    known = runner.run(Condition("known", (zero(HeadSet([Head(0, 1)])),)), "S")
    heads = [Head(0, 0), Head(0, 1), Head(0, 2), Head(0, 2)]
    conditions = [Condition(str(head), (zero(HeadSet([head])),)) for head in heads]
    conditions.append(Condition("here", (zero(HeadSet([Head(0, 0)])),), scope="answer"))
    tables = runner.run_many([*conditions, Condition("bare")], "S")
    assert calls == [(1, "all"), (2, "all"), (1, "answer")]
    assert runner.evaluated == 5
    assert tables[1].equals(known)
    # Conditions that take turns between two scopes share passes as well.
    calls.clear()
    other = HeadSet([Head(1, 3)]), HeadSet([Head(1, 2)])
    turns = [Condition("", (zero(heads),), scope=scope) for heads in other for scope in ("all", "answer")]
    for condition, table in zip(turns, runner.run_many(turns, "S"), strict=True):
        assert table.equals(runner.run(condition, "S"))
    assert calls == [(2, "all"), (2, "answer")]
    assert tables[2].equals(tables[3])
    assert not tables[0]["logprob"].equals(tables[4]["logprob"])
    pd.testing.assert_frame_equal(tables[5], evaluate(tiny_vlm, Data(tiny_questions).split("S")))
