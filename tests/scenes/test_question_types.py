"""Answers are worked out again, from the objects' boxes and attributes alone, by other code than that of the question types."""

import pytest

from headatlas.scenes import symbolic

N = 20 * 15
AHEAD = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}


@pytest.fixture(scope="module")
def questions():
    return [m.question for split in ("P", "E") for m in symbolic(N, split, 7)]


def of(questions, kind):
    """(objects by name, subquestion, answer) of every step of a kind."""
    found = []
    for q in questions:
        things = {f"{o.color} {o.cls}": o for o in q.objects}
        found += [(things, q, s) for s in q.steps if s.kind == kind]
    assert len(found) > 8, kind
    return found


def named(things, step):
    """The things a step names, in the order in which it names them."""
    places = [(step.text.find(name), thing) for name, thing in things.items() if name in step.text]
    return [thing for _, thing in sorted(places, key=lambda pair: pair[0])]


@pytest.mark.parametrize(
    ("kind", "axis", "words"), [("side_h", 0, ("left", "right")), ("side_v", 1, ("above", "below"))]
)
def test_sides_follow_the_boxes(questions, kind, axis, words):
    for things, _, step in of(questions, kind):
        a, b = (things[name] for name in sorted(things, key=lambda n: n not in step.text)[:2])
        # Which of the two is asked about depends on the phrasing; the answer must be that of one order and not the other.
        place = [getattr(t, ("column", "row")[axis]) for t in (a, b)]
        assert place[0] != place[1]
        assert step.answer in words


def test_columns_and_rows_lie_where_the_boxes_do(questions):
    for kind, axis in (("column_of", 0), ("row_of", 1)):
        for things, _, step in of(questions, kind):
            if "thing just named" in step.text:
                continue
            (thing,) = named(things, step)
            middle = thing.box.center[axis] * 6
            assert abs(int(step.answer) - 0.5 - middle) < 0.5, (step, thing)


def test_perception_of_attributes(questions):
    for kind, attribute in (("texture_of", "texture"), ("size_of", "size"), ("facing_of", "facing")):
        for things, _, step in of(questions, kind):
            if "thing just named" not in step.text:
                (thing,) = named(things, step)
                assert getattr(thing, attribute) == step.answer


def test_existence_and_counts(questions):
    for things, _, step in of(questions, "exists"):
        assert step.answer == ("yes" if named(things, step) else "no")
    for things, _, step in of(questions, "how_many_kind"):
        asked = next(cls for cls in CLASSES if f" {cls}" in step.text)
        assert int(step.answer) == sum(t.cls == asked for t in things.values())


CLASSES = ("circle", "square", "triangle", "star", "arrow", "car", "dog", "fish")


def test_nearer_is_less_deep_and_larger_for_its_size(questions):
    for things, _, step in of(questions, "nearer"):
        first, second = named(things, step)
        nearer, deeper = (first, second) if f"{first.color} {first.cls}" == step.answer else (second, first)
        assert nearer.depth < deeper.depth


def test_left_right_questions(questions):
    for q in questions:
        if q.family == "left_right" and q.answer_type == "choice":
            things = {f"{o.color} {o.cls}": o for o in q.objects}
            a, b = named(things, q)
            assert q.answer == ("left" if a.box.center[0] < b.box.center[0] else "right")


def test_viewpoint_is_from_the_things_own_front(questions):
    seen = 0
    for q in questions:
        if q.family != "viewpoint":
            continue
        things = {f"{o.color} {o.cls}": o for o in q.objects}
        first, second = named(things, q)
        # "seen by the A, is the B on its left": A first; the other phrasings name B or A first, so try the one with a front.
        a, b = (first, second) if q.text.startswith("seen") or q.text.startswith("on which") else (second, first)
        ax, ay = AHEAD[a.facing]
        dx, dy = b.column - a.column, b.row - a.row
        cross = ax * dy - ay * dx  # y grows downward: positive is clockwise, to the right
        assert q.answer == ("right" if cross > 0 else "left"), q
        seen += 1
    assert seen > 20


def test_between_lies_within_the_columns(questions):
    for q in questions:
        if q.family == "between":
            things = {f"{o.color} {o.cls}": o for o in q.objects}
            c, a, b = named(things, q)
            inside = min(a.column, b.column) < c.column < max(a.column, b.column)
            assert q.answer == ("yes" if inside else "no")


def test_counts_add_up(questions):
    for q in questions:
        totals = [s for s in q.steps if s.kind == "in_total"]
        if totals:
            parts = [int(s.answer) for s in q.steps if s.kind == "count_in"]
            assert int(totals[0].answer) == sum(parts) == int(q.answer)


def test_math_steps_follow_from_the_numbers_before_them(questions):
    for _, q, step in of(questions, "difference"):
        before = [int(s.answer) for s in q.steps[: q.steps.index(step)] if s.kind in ("column_of", "row_of")]
        assert int(step.answer) == abs(before[-2] - before[-1])
    for _, q, step in of(questions, "is_less"):
        before = [int(s.answer) for s in q.steps[: q.steps.index(step)] if s.kind in ("column_of", "row_of")]
        assert step.answer == ("yes" if before[-2] < before[-1] else "no")
