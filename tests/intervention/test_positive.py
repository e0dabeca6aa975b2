import numpy as np
import pytest

from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet
from headatlas.intervention import Directions, positive, random_sets, tune

HELPER = HeadSet([Head(0, 3)])


@pytest.fixture
def found():
    """The fake model gets better when L0.H3 is pushed by more than 0.9 along its first coordinate."""
    u = np.zeros((3, 4, 6), np.float32)
    u[..., 0] = 1
    return Directions(u, np.ones((3, 4), np.float32), 50, 50)


def test_strength_is_tuned_on_t_and_ties_take_the_weakest(runner, found):
    alpha, table = tune(runner, HELPER, found, "spatial_perception", grid=(2.0, 0.5, 1.0), scorer="a")
    assert alpha == 1.0
    assert list(table.columns) == ["what", "scorer", "function", "value", "accuracy", "chosen"]
    assert table["accuracy"].tolist() == [0.8, 1.0, 1.0]
    assert table["chosen"].tolist() == [False, True, False]


def test_steering_gains_and_controls_do_not(runner, found):
    others = random_sets(HELPER, (3, 4), 5, "uniform")
    shuffled = [Directions(np.roll(found.u, 1, -1), found.sigma, 50, 50, name="shuffled")]
    empty = Directions(found.u * 0, found.sigma, 0, 0, "none")
    table = positive(
        runner, HELPER, found, "spatial_perception", 1.0, [*shuffled, empty], others, n_random=9, scorer="a", n_boot=500
    ).set_index("arm")
    assert table.index.tolist() == ["steer", "flipped", "random_direction", "shuffled", "random_heads"]
    steer = table.loc["steer"]
    assert (steer["before"], steer["after"], steer["n"]) == (0.8, 1.0, 40)
    assert steer["gain"] == pytest.approx(0.2)
    assert 0 < steer["low"] < 0.2 < steer["high"]
    assert steer["p"] == pytest.approx(2 * 0.5**8)
    assert table["gain"].drop("steer").abs().max() < 1e-12
    assert table.loc["random_direction", "p"] == pytest.approx(1 / 10)
    assert table.loc["random_heads", "p"] == pytest.approx(1 / 6)
    assert table.loc["shuffled", "p"] == pytest.approx(1 / 2)
    assert (table["off_task_gain"] == 0).all()
    assert table["n_draws"].tolist() == [1, 1, 9, 1, 5]
    assert (table["n"] == 40).all()


def test_mistakes_are_one_line(runner, found):
    with pytest.raises(HeadAtlasError, match="split='T'"):
        tune(runner, HELPER, found, "spatial_perception", split="E")
    with pytest.raises(HeadAtlasError, match="0 strengths"):
        tune(runner, HELPER, found, "spatial_perception", grid=())
    with pytest.raises(HeadAtlasError, match="none pass"):
        positive(runner, HeadSet(reason="none pass"), found, "spatial_perception", 1.0)


def test_the_gain_and_its_controls_are_of_the_same_questions(runner, found):
    table = positive(
        runner, HELPER, found, "spatial_perception", 1.0, [found], [HELPER], n_random=2, split="E[:7]", n_boot=100
    ).set_index("arm")
    assert (table["n"] == 7).all()
    assert table["before"].nunique() == 1
    assert table.loc["steer", "gain"] == table.loc["shuffled", "gain"] == table.loc["random_heads", "gain"]
    assert (table.loc[["shuffled", "random_heads"], "p"] == 1).all()
