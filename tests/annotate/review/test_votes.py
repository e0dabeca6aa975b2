import sqlite3
import threading

import pytest
from pydantic import ValidationError

from headatlas.annotate.review import Vote, VoteStore
from headatlas.errors import HeadAtlasError


def test_the_latest_vote_holds_and_none_is_lost(store, vote):
    first, second = vote(verdict="reject"), vote(verdict="accept")
    other, adjudication = vote(who="bob"), vote(role="adjudicator")
    for one in (first, second, other, adjudication):
        assert store.add(one).at.endswith("+00:00")
    assert [v.id for v in store.votes()] == [second.id, other.id, adjudication.id]
    assert [v.id for v in store.votes("ann", "annotator")] == [second.id]
    assert [v.id for v in store.history("q0")] == [first.id, second.id, other.id, adjudication.id]
    assert store.annotators() == ["ann", "bob"]


def test_a_vote_sent_twice_counts_once(store, vote):
    one = vote()
    store.add(one)
    store.add(vote(verdict="reject"))
    store.add(one)
    assert len(store.history()) == 2
    assert store.votes()[0].verdict == "reject"


def test_a_vote_comes_back_as_it_was(store, vote):
    one = vote(
        verdict="fix",
        who="Zoë <b>'; DROP TABLE votes;--",
        note="naïve",
        functions=("math_reasoning", "knowledge_recall"),
    )
    store.add(one)
    assert store.votes()[0].model_copy(update={"at": ""}) == one


def test_a_vote_is_on_the_disk_when_add_returns(store, vote):
    store.add(vote())
    other = sqlite3.connect(store.path)
    assert other.execute("SELECT COUNT(*) FROM votes").fetchone() == (1,)
    other.close()


def test_many_threads_and_two_openings_at_once(store, vote, data):
    with VoteStore(store.path, data) as second:
        threads = [
            threading.Thread(
                target=lambda s=s, k=k: [s.add(vote(who=f"p{k}", question=f"q{i % 3}")) for i in range(10)]
            )
            for k, s in enumerate((store, second, store, second))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.history()) == 40
        assert len(second.votes()) == 12


def test_votes_on_other_steps_are_not_mixed(store, data, tmp_path):
    with pytest.raises(HeadAtlasError, match="holds votes on other steps"):
        VoteStore(store.path, data.select(["q1", "q2"]))
    (tmp_path / "x.txt").write_text("not a database, just some words " * 50)
    with pytest.raises(HeadAtlasError, match="cannot be used as a file of votes"):
        VoteStore(tmp_path / "x.txt", data)


@pytest.mark.parametrize(
    "wrong",
    [
        {"annotator": ""},
        {"annotator": "a\nb"},
        {"annotator": "x" * 65},
        {"id": "short"},
        {"id": "../../../etc/passwd"},
        {"step": -2},
        {"step": -1},
        {"functions": ()},
        {"functions": ("telepathy",)},
        {"functions": ("math_reasoning", "math_reasoning")},
        {"verdict": "fix"},
        {"verdict": "maybe"},
        {"role": "king"},
        {"note": "x" * 2001},
        {"surprise": 1},
    ],
)
def test_what_is_no_vote_is_refused(wrong):
    fine = {
        "id": "12345678",
        "question": "q0",
        "step": 0,
        "annotator": "ann",
        "verdict": "accept",
        "functions": ("math_reasoning",),
    }
    Vote.model_validate(fine)
    with pytest.raises(ValidationError):
        Vote.model_validate({**fine, **wrong})


def test_files_that_are_no_votes_are_one_clear_line(data, store, vote, tmp_path):
    store.add(vote())
    (tmp_path / "text.sqlite").write_text("no database " * 1000)
    with sqlite3.connect(tmp_path / "other.sqlite") as db:
        db.execute("CREATE TABLE votes (id TEXT)")
    db.close()
    for name in ("text.sqlite", "other.sqlite"):
        with pytest.raises(HeadAtlasError, match="cannot be used as a file of votes"):
            VoteStore(tmp_path / name, data)
    for change in ("functions = 'no list'", "verdict = 'perhaps'", "change = '{'", "step = 'one'"):
        with VoteStore(tmp_path / f"{change[:4]}.sqlite", data) as damaged:
            damaged.add(vote())
            damaged._db.execute(f"UPDATE votes SET {change}")
            with pytest.raises(HeadAtlasError, match="holds a row that is no vote"):
                damaged.votes()
    store._db.close()
    with pytest.raises(HeadAtlasError, match="the file of votes failed"):
        store.votes()
    store._db = sqlite3.connect(":memory:")
