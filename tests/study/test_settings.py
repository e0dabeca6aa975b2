import pytest

from headatlas.errors import HeadAtlasError
from headatlas.study.settings import make_settings


def test_presets_differ_where_the_paper_does():
    strict, paper = make_settings("m"), make_settings("m", preset="paper")
    assert (strict.tokens, strict.selector, strict.probe, strict.operation) == ("predict", "null", "strict", "mean")
    assert (paper.tokens, paper.selector, paper.probe, paper.operation) == ("gold", "elbow", "paper", "scale")
    assert paper.alphas == (0.1,)


def test_what_the_user_chose_wins_over_preset_and_quick():
    assert make_settings("m", quick=True).n == 120
    assert make_settings("m", quick=True, n=33, data=None).n == 33
    assert make_settings("m", data=None).data == "scenes"


@pytest.mark.parametrize(
    ("wrong", "named"), [({"preset": "loose"}, "preset 'loose'"), ({"n": 2}, "'n'"), ({"color": 1}, "'color'")]
)
def test_wrong_settings_are_named(wrong, named):
    with pytest.raises(HeadAtlasError, match=named):
        make_settings("m", **wrong)
