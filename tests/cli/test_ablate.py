"""Options of `headatlas ablate` that would be ignored, and misspelled names, are errors before anything is loaded."""

import pytest
from command_line import headatlas

from headatlas.errors import HeadAtlasError


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--function", "spatial_perception"), "--function applies only to a sweep"),
        (("--scorer", "ablation"), "--scorer applies only to a sweep"),
        (("--top", "3"), "--top applies only to a sweep"),
        (("--split", "E"), "--split applies only to a sweep"),
        (("--scope", "all"), "--scope applies only to a sweep"),
        (("--sweep", "heads", "--scorer", "paper"), "--scorer does not apply to a sweep of heads"),
        (("--sweep", "greedy", "--split", "E"), "--split does not apply to a sweep of greedy"),
        (("--sweep", "pairs", "--again"), "--again applies only to the stage"),
        (("--sweep", "par"), "did you mean 'pairs'"),
        (("--sweep", "pairs", "--function", "spatial_percption"), "did you mean 'spatial_perception'"),
        (("--sweep", "heads", "--scope", "anser"), "did you mean 'answer'"),
    ],
)
def test_what_would_be_ignored_or_is_misspelled_is_an_error(tmp_path, words, says):
    with pytest.raises(HeadAtlasError, match=says):
        headatlas("ablate", *words, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()
