import pytest
import torch

from headatlas.errors import HeadAtlasError
from headatlas.scoring import SCORERS, scorer
from headatlas.study.run import _study
from headatlas.study.settings import change_settings, judged_by_default, make_settings, read_setting
from headatlas.vlm import load_vlm


def test_presets_differ_where_the_paper_does():
    strict, paper = make_settings("m"), make_settings("m", preset="paper")
    assert (strict.tokens, strict.selector, strict.probe, strict.operation) == (
        "predict",
        "functional",
        "strict",
        "mean",
    )
    assert (paper.tokens, paper.selector, paper.probe, paper.operation) == ("gold", "elbow", "paper", "scale")
    assert paper.alphas == (0.1,)
    assert "multihead" in strict.scorers
    assert "multihead" not in paper.scorers


def test_quick_leaves_out_what_costs_most_and_keeps_the_preset():
    assert make_settings("m", quick=True).scorers == ("specificity", "ablation", "attention", "linear", "paper")
    quick, paper = make_settings("m", preset="paper", quick=True), make_settings("m", preset="paper")
    assert (quick.scorers, quick.alphas) == (paper.scorers, paper.alphas)
    assert make_settings("m", quick=True, scorers="multihead").scorers == ("multihead",)


def test_what_the_user_chose_wins_over_preset_and_quick():
    assert make_settings("m", quick=True).n == 120
    assert make_settings("m", quick=True, n=33, data=None).n == 33
    assert make_settings("m", data=None).data == "scenes"
    assert make_settings("m", n_control_questions=None).n_control_questions is None


@pytest.mark.parametrize(
    ("wrong", "named"), [({"preset": "loose"}, "'loose'"), ({"n": 2}, "'n'"), ({"color": 1}, "'color'")]
)
def test_wrong_settings_are_named(wrong, named):
    with pytest.raises(HeadAtlasError, match=named):
        make_settings("m", **wrong)


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("n_random=20", ("n_random", 20)),
        ("alphas=[0.5, 1]", ("alphas", [0.5, 1])),
        ("operation=zero", ("operation", "zero")),
        ("n_control_questions=null", ("n_control_questions", None)),
    ],
)
def test_settings_are_read_as_json_or_text(text, setting):
    assert read_setting(text) == setting


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n_random", "n_random.*got 'n_random'"),
        ("color=1", "n_random.*got 'color=1'"),
        ("n_randm=1", "did you mean 'n_random'"),
        ("n=80", "'n=80' has an option of its own, use --n"),
        ("preset=paper", "use --preset"),
    ],
)
def test_what_is_no_setting_is_named_with_those_there_are(text, message):
    with pytest.raises(HeadAtlasError, match=message):
        read_setting(text)


@pytest.mark.parametrize("text", ["alphas=0.5,1", "alphas=[0.5, 1]", "alphas=[0.5,1]", " alphas = 0.5, 1 "])
def test_lists_are_read_with_and_without_brackets(text):
    assert make_settings("m", **dict([read_setting(text)])).alphas == (0.5, 1.0)


def test_a_list_may_be_one_value():
    assert make_settings("m", **dict([read_setting("doses=3")])).doses == (3,)
    assert make_settings("m", **dict([read_setting("scorers=paper,linear")])).scorers == ("paper", "linear")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scorers": ["papr"]}, "'scorers'.*did you mean 'paper'"),
        ({"scorers": []}, "'scorers'.*at least 1"),
        ({"selector": "nul"}, "'selector'.*did you mean 'null'"),
        ({"detector": "ground"}, "'detector'.*ground_truth"),
        ({"operation": "zer"}, "'operation'.*did you mean 'zero'"),
        ({"alphas": "0.5,x"}, "'alphas'.*valid number"),
        ({"alphas": [float("nan")]}, "'alphas'.*finite"),
        ({"alphas": [1, 1.0]}, "'alphas'.*once"),
        ({"doses": [0]}, "'doses'.*greater than 0"),
        ({"n_randm": 3}, "did you mean 'n_random'"),
        ({"preset": "strikt"}, "did you mean 'strict'"),
    ],
)
def test_every_setting_is_checked_before_anything_runs(wrong, message):
    with pytest.raises(HeadAtlasError, match=message) as raised:
        make_settings("m", **wrong)
    assert "\n" not in str(raised.value)


def test_a_scorer_registered_outside_is_a_setting():
    @scorer("mine")
    def mine(inputs):
        """Mine."""

    try:
        assert make_settings("m", scorers=["mine"]).scorers == ("mine",)
    finally:
        SCORERS.remove("mine")


def test_changed_settings_keep_the_rest_and_are_checked():
    kept = make_settings("m", quick=True, seed=3)
    changed = change_settings(kept, n_random=7, n=None)
    assert (changed.n_random, changed.n, changed.seed, changed.quick) == (7, kept.n, 3, True)
    with pytest.raises(HeadAtlasError, match="n_random"):
        change_settings(kept, n_random="many")


def test_the_best_finder_that_is_scored_and_the_papers_scorer_are_judged():
    assert judged_by_default(make_settings("m").scorers) == ("backup", "paper")
    assert judged_by_default(make_settings("m", quick=True).scorers) == ("specificity", "paper")
    assert judged_by_default(("linear", "random")) == ("linear", "random")


def test_judged_scorers_must_be_scored():
    assert make_settings("ref-llava", judged="ablation").judged == ("ablation",)
    with pytest.raises(HeadAtlasError, match=r"setting judged must be among scorers \(linear\), got 'paper'"):
        make_settings("ref-llava", scorers=("linear",), judged=("paper",))
    with pytest.raises(HeadAtlasError, match="setting 'judged'"):
        make_settings("ref-llava", judged=("ablatoin",))


def test_settings_say_how_a_given_model_was_loaded(tiny_vlm_dir, tmp_path):
    vlm = load_vlm(tiny_vlm_dir, dtype="bfloat16")
    made = _study(vlm, "cogvsr-mini", tmp_path / "run", "strict", True, {})
    assert made.settings.dtype == "bfloat16"
    with pytest.raises(HeadAtlasError, match=r"dtype must be that of the given model .* got 'float32'"):
        _study(vlm, "cogvsr-mini", tmp_path / "run", "strict", True, {"dtype": "float32"})
    with pytest.raises(HeadAtlasError, match=r"revision must be that of the given model .* got 'v2'"):
        _study(vlm, "cogvsr-mini", tmp_path / "run", "strict", True, {"revision": "v2"})
    vlm.model.to(torch.float32)  # what it was loaded with is no longer true
    assert _study(vlm, "cogvsr-mini", tmp_path / "run", "strict", True, {}).settings.dtype is None
