import pandas as pd

from headatlas.cli.commands.sweep import TOP, of_the_task
from headatlas.study import SWEEPS


def test_every_sweep_prints_its_top():
    assert set(TOP) == set(SWEEPS)


def test_the_heads_that_cost_most_come_first():
    table = pd.DataFrame(
        {
            "function": ["", "", "", ""],
            "layer": [0, 0, 1, 1],
            "head": [0, 1, 0, 1],
            "loss": [0.1, -0.2, 2.0, 0.5],
            "drop": 0.25,
        }
    )
    _, columns, rows = TOP["heads"](table)
    assert [row[1] for row in rows] == ["L1.H0", "L1.H1", "L0.H0"]
    assert rows[0] == ("all steps", "L1.H0", "+2.00", "+25.0")
    assert len(columns) == len(rows[0])


def test_questions_without_functions_are_one_task():
    rows = {"function": ["", "", "spatial_perception"], "layer": 0, "head": [0, 1, 0], "loss": 0.1, "drop": 0.0}
    _, _, shown = TOP["heads"](of_the_task(pd.DataFrame(rows)))
    assert [row[0] for row in shown] == ["This task"]


def test_a_function_without_heads_says_why():
    made = {"interaction": ["", 0.4], "drop_both": ["", 1.0], "head_a": ["", "L0.H1"], "head_b": ["", "L0.H2"]}
    table = pd.DataFrame({"function": ["math_reasoning", "between"], "reason": ["none beat the null", ""]} | made)
    _, _, rows = TOP["pairs"](table)
    assert rows == [("between", "L0.H1 L0.H2", "+1.00", "+0.40"), ("math_reasoning", "none beat the null", "", "")]


def test_the_minimal_set_and_the_ranking():
    move = {
        "move": ["add", "chosen set, split E"],
        "head": ["L0.H1", "L0.H1 L0.H2"],
        "n": [10, 20.0],
        "reason": ["", ""],
    }
    table = pd.DataFrame({"function": ["between"] * 2, "accuracy_drop": ["", 0.5]} | move)
    assert TOP["greedy"](table)[2] == [("between", "L0.H1 L0.H2", "+50.0", "20")]
    table = pd.DataFrame(
        {
            "function": ["between"] * 3,
            "order": ["ranking", "ranking", "random"],
            "k": [0, 1, 1],
            "head": ["", "L0.H1", ""],
            "accuracy": [0.9, 0.5, 0.9],
            "drop": [0, 1, 0],
        }
    )
    rows = TOP["cumulative"](table)[2]
    assert rows[1] == ("between", "1", "L0.H1", "50.0 %", "+1.00")
    assert len(rows) == 2
