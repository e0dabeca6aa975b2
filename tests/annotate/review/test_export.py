import json

import pandas as pd
import pytest

from headatlas.annotate.review import Change, Rule, export
from headatlas.cogvsr import load
from headatlas.errors import HeadAtlasError

MENDED = Change(text="How many cats do you see?", answer="2", answer_type="number")


def vote_all(store, vote, name, question, *verdicts, **more):
    functions = {0: ("spatial_perception",), 1: ("math_reasoning",), 2: ("decision_making",)}
    for i, verdict in enumerate(verdicts):
        change = {"change": MENDED} if verdict == "fix" else {}
        store.add(vote(i, name, verdict, functions[i], question, **change, **more))


def test_the_final_set_and_where_it_comes_from(data, store, vote, tmp_path):
    vote_all(store, vote, "ann", "q0", "reject", "fix", "accept")
    vote_all(store, vote, "ann", "q0", "accept")  # ann thinks again
    for name in ("bob", "cem"):
        vote_all(store, vote, name, "q0", "accept" if name == "bob" else "reject", "fix", "accept")
    for name in ("ann", "bob"):
        vote_all(store, vote, name, "q1", "reject", "accept", "accept")
    vote_all(store, vote, "ann", "q2", "accept", "accept", "accept")
    out = tmp_path / "final"
    result = export(data, store, out, Rule())
    final = load(out)
    assert final.ids == ("q0", "q1")
    assert [s.text for s in final[0].steps] == ["Where is the dog?", MENDED.text, "So what is the answer?"]
    assert [s.functions for s in final[0].steps] == [("spatial_perception",), ("math_reasoning",), ("decision_making",)]
    assert len(final[1].steps) == 2
    assert final[0].images[0].tobytes() == data[0].images[0].tobytes()
    assert result.left_out == [("q2", "open", "step 1: 1 of 2 votes")]

    beside = tmp_path / "final.review"
    records = [json.loads(line) for line in (beside / "provenance.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(records) == 9
    first, second = records[:2]
    assert [(v["annotator"], v["verdict"]) for v in first["votes"]] == [
        ("ann", "reject"),
        ("ann", "accept"),
        ("bob", "accept"),
        ("cem", "reject"),
    ]
    assert all(v["at"] for v in first["votes"])
    assert (first["state"], first["why"], first["changed"]) == ("kept", "kept by 2 of 3", [])
    assert second["changed"] == ["text", "functions"]
    assert second["original"]["text"] == "How many cats are there?"
    assert second["final"]["text"] == MENDED.text
    assert [r["final_step"] for r in records] == [0, 1, 2, None, 0, 1, None, None, None]
    assert pd.read_csv(beside / "left_out.csv")["question"].tolist() == ["q2"]
    assert pd.read_csv(beside / "agreement.csv")["what"].iloc[0] == "verdict"


def test_adjudication_settles_what_is_undecided(data, store, vote, tmp_path):
    vote_all(store, vote, "ann", "q0", "accept", "accept", "accept")
    vote_all(store, vote, "bob", "q0", "reject", "accept", "accept")
    with pytest.raises(HeadAtlasError, match="2 open, 1 undecided"):
        export(data, store, tmp_path / "final", Rule())
    store.add(vote(0, "zoe", "reject", role="adjudicator"))
    assert len(export(data, store, tmp_path / "final", Rule()).steps["q0"]) == 2
    store.add(vote(2, "zoe", "reject", role="adjudicator"))
    with pytest.raises(HeadAtlasError, match="no question is in the final dataset"):
        export(data, store, tmp_path / "final2", Rule())
    left = pd.read_csv(tmp_path / "final2.review" / "left_out.csv")
    assert left["why"][0] == "its last step, which gives the answer, was rejected by adjudicator zoe"


def test_a_question_rejected_as_a_whole_is_left_out(data, store, vote, tmp_path):
    for name in ("ann", "bob"):
        vote_all(store, vote, name, "q0", "accept", "accept", "accept")
        vote_all(store, vote, name, "q1", "accept", "accept", "accept")
        store.add(vote(-1, name, "reject", question="q1"))
    result = export(data, store, tmp_path / "final", Rule())
    assert list(result.steps) == ["q0"]
    assert result.left_out[0] == ("q1", "dropped", "rejected as a whole by 2 of 2")
