"""The three parts of what makes a head latent, on made answers and on a real, tiny model."""

import numpy as np
import pandas as pd
import pytest

from headatlas.cogvsr.functions import FUNCTIONS
from headatlas.errors import HeadAtlasError
from headatlas.heads import Head, HeadSet, scale
from headatlas.intervention import Runner
from headatlas.latent import LatentInputs, latent_heads, latent_table
from headatlas.latent.latent_heads import acted_on, recruited
from headatlas.latent.methods.gain import Gain
from headatlas.latent.removable import added_loss, removable_group
from headatlas.results import validate
from headatlas.scoring import PerSample, Scores
from headatlas.vlm import VLM
from headatlas.vlm.recipe import HeadRecipe

SPATIAL = "spatial_perception"
IDLE, REDUNDANT, BACKUP, USED = Head(0, 0), Head(0, 1), Head(1, 0), Head(1, 1)


def table(loss):
    rng = np.random.default_rng(0)
    rows = [{"question": f"q{q}", "step": 0, "function": SPATIAL, "functions": SPATIAL} for q in range(80)]
    return pd.DataFrame(rows).assign(logprob=-0.3 - loss + 0.01 * rng.normal(size=80))


def losses(removed, louder=frozenset()):
    """Either of two redundant heads does; a used head costs 0.5 nats; the idle one does nothing unless it is made louder."""
    loss = 0.4 * ({REDUNDANT, BACKUP} <= set(removed)) + 0.5 * (USED in removed)
    return table(loss - 0.3 * (IDLE in louder))


def answers(runner, conditions, scope="all", split="S"):
    """As `latent_heads.answers`: means remove a head, factors above 1 make it louder."""
    tables = []
    for edits in conditions:
        removed = {head for edit in edits if edit.name == "mean" for head in edit.heads}
        louder = {head for edit in edits if edit.name != "mean" for head in edit.heads}
        tables.append(losses(removed, louder))
    return tables


class Louder(Gain):
    """Makes the idle head, and another that takes no notice of it, louder."""

    heads = HeadSet((IDLE, REDUNDANT))

    def recipe(self, vlm):
        return HeadRecipe("louder", "made", {}, (scale(self.heads, 2.0),))


@pytest.fixture
def inputs(monkeypatch):
    monkeypatch.setattr(latent_heads, "answers", answers)
    monkeypatch.setattr(latent_heads, "Runner", lambda *args, **options: Runner.__new__(Runner))
    monkeypatch.setattr(latent_heads, "_first", lambda inputs, n: Runner.__new__(Runner))
    values, p = np.zeros((8, 2, 2)), np.ones((8, 2, 2))
    c = FUNCTIONS.index(SPATIAL)
    values[c], p[c] = [[0.4, 0.3], [0.3, 0.2]], 0.001
    base = losses(())
    alone = np.stack(
        [
            [(base["logprob"] - losses((Head(layer, head),))["logprob"]).to_numpy() for head in range(2)]
            for layer in range(2)
        ]
    ).transpose(2, 0, 1)
    samples = PerSample(alone, np.full(80, c), np.arange(80))
    return LatentInputs(
        VLM.__new__(VLM), None, Scores("linear", values, pvalues=p),
        Scores("ablation", samples.mean(), info={"measure": "logprob"}, per_sample=samples),
        np.zeros((2, 2, 4), np.float32), {"louder": Louder()}, functions=(SPATIAL,), n_boot=300,
    )  # fmt: skip


def test_only_an_idle_head_that_a_method_recruits_is_latent(inputs):
    rows = validate("latent", latent_table(inputs))
    heads = {Head(int(row["layer"]), int(row["head"])): row for _, row in rows.iterrows()}
    assert set(heads) == {IDLE, REDUNDANT, BACKUP, USED}
    assert [head for head, row in heads.items() if row["latent"]] == [IDLE]
    assert heads[IDLE]["recruited_by"] == "louder"
    assert heads[IDLE]["recruited_effect"] == pytest.approx(0.3, abs=0.02)
    assert not heads[USED]["idle"]
    assert heads[USED]["effect"] == pytest.approx(0.5, abs=0.02)
    both = [heads[REDUNDANT], heads[BACKUP]]
    assert sorted(bool(row["idle"]) for row in both) == [False, True], "one can go, then the other is needed"
    assert max(row["group_effect"] for row in both) == pytest.approx(0.4, abs=0.02)


def test_without_a_method_an_idle_head_is_tried_at_factors_of_its_own(inputs, monkeypatch):
    """The factor is chosen on split P, what it does is measured on split S."""
    seen = []

    def by_factor(gain):
        def answer(runner, conditions, scope="all", split="S"):
            factors = [{h: e.factor for e in edits for h in e.heads if e.name != "mean"} for edits in conditions]
            seen.extend((split, one[IDLE]) for one in factors if IDLE in one)
            plain = answers(runner, [[e for e in edits if e.name == "mean"] for edits in conditions])
            return [
                t.assign(logprob=t["logprob"] + gain(split, one.get(IDLE, 1.0)))
                for t, one in zip(plain, factors, strict=True)
            ]

        monkeypatch.setattr(latent_heads, "answers", answer)
        rows = latent_table(LatentInputs(**{**vars(inputs), "methods": {}}))
        return rows[(rows["layer"] == IDLE.layer) & (rows["head"] == IDLE.head)].iloc[0]

    row = by_factor(lambda split, factor: 0.3 * (factor == 64))
    assert row["latent"]
    assert row["recruited_by"] == "louder"
    assert row["recruited_effect"] == pytest.approx(0.3, abs=0.01)
    assert row["p_recruited"] < 0.05
    assert seen == [("P", 4.0), ("P", 16.0), ("P", 64.0), ("P", 256.0), ("S", 64.0)]
    assert not by_factor(lambda split, factor: 0.3 * (factor == (64 if split == "P" else 256)))["latent"]
    assert not by_factor(lambda split, factor: 0.04 * (factor > 1))["latent"], "less than the limit of no effect"
    assert not by_factor(lambda split, factor: -0.3 * (factor > 1))["latent"]


def test_where_nothing_recruits_none_is_latent_and_a_good_twin_leaves_none(inputs, monkeypatch):
    def as_without_factors(runner, conditions, scope="all", split="S"):
        return answers(runner, [[edit for edit in edits if edit.name == "mean"] for edits in conditions])

    none = LatentInputs(**{**vars(inputs), "methods": {}})
    with monkeypatch.context() as changed:
        changed.setattr(latent_heads, "answers", as_without_factors)
        assert not latent_table(none)["latent"].any()
    twin = Scores("linear", np.full((8, 2, 2), 0.35))
    rows = latent_table(LatentInputs(**{**vars(inputs), "twin": twin}))
    assert rows[["layer", "head"]].to_numpy().tolist() == [[0, 0]], (
        "only one head is more decodable than the twin's best"
    )


def test_the_group_holds_one_of_two_that_stand_in_for_each_other():
    heads = [IDLE, REDUNDANT, BACKUP, USED]
    group = removable_group(heads, losses, SPATIAL, 0.05)
    assert group == HeadSet([IDLE, REDUNDANT])
    assert removable_group([USED], losses, SPATIAL, 0.05) == HeadSet(())
    assert added_loss(losses, [BACKUP], group, SPATIAL, 0.05) == pytest.approx((0.4, 1.0), abs=0.01)
    assert added_loss(losses, [REDUNDANT], group, SPATIAL, 0.05) == pytest.approx((0.0, 0.0), abs=0.02)


def test_what_many_idle_heads_do_together_is_not_held_against_one_of_them():
    """Each of twenty heads changes the answers at random; together they change them so much that no test of all can be passed."""
    heads, rng = [Head(0, number) for number in range(20)], np.random.default_rng(0)
    noise = {head: 0.08 * rng.normal(size=80) for head in heads}

    def noisy(removed):
        return table(sum((noise.get(head, 0.3) for head in removed), np.zeros(80)))

    group = removable_group([*heads, USED], noisy, SPATIAL, 0.05)
    assert group == HeadSet(heads)
    assert added_loss(noisy, heads, (), SPATIAL, 0.05)[1] > 0.05, "all at once"
    assert all(added_loss(noisy, [head], group, SPATIAL, 0.05)[1] < 0.05 for head in heads)
    assert added_loss(noisy, [USED], group, SPATIAL, 0.05)[1] > 0.95


def test_scores_that_cannot_be_compared_are_refused(inputs):
    other = Scores("ablation", np.zeros((8, 3, 2)))
    with pytest.raises(HeadAtlasError, match="must be of the same heads"):
        latent_table(LatentInputs(**{**vars(inputs), "effect": other}))
    other = Scores("ablation", np.zeros((8, 2, 2)), info={"measure": "accuracy"})
    with pytest.raises(HeadAtlasError, match="effects in nats"):
        latent_table(LatentInputs(**{**vars(inputs), "effect": other}))


def test_heads_that_do_the_same_work_are_recruited_too(monkeypatch):
    same = (IDLE, BACKUP)

    def answer(runner, conditions, scope="all"):
        louder = [{head for edit in edits for head in edit.heads} for edits in conditions]
        return [table(-0.3 * bool(set(same) & some)) for some in louder]

    monkeypatch.setattr(latent_heads, "answers", answer)
    recipe = HeadRecipe("louder", "made", {}, tuple(scale(HeadSet((head,)), 3.0) for head in (*same, USED)))
    pairs = acted_on(Runner.__new__(Runner), recipe, HeadSet((*same, USED)))
    for head in same:
        effect, p = recruited(pairs[head], SPATIAL, 300)
        assert effect == pytest.approx(0.3), "the other one alone does all of it, and so does this one"
        assert p < 0.01
    effect, p = recruited(pairs[USED], SPATIAL, 300)
    assert effect == 0
    assert p > 0.9
    assert np.isnan(recruited([], SPATIAL, 300)[0])
