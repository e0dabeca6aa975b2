import datasets
import numpy as np
import pytest

from headatlas.cogvsr import load
from headatlas.cogvsr.mini import FOLDER, SEED, N


@pytest.fixture(scope="module")
def mini():
    return load("cogvsr-mini")


def test_it_is_the_scenes_of_its_seed(mini):
    """The shipped questions are what the source still makes; after a deliberate change, run `mini/make.py` again."""
    made = load("scenes", n=N, seed=SEED)
    assert mini.ids == made.ids
    for shipped, fresh in zip(mini, made, strict=True):
        assert shipped.model_dump(exclude={"images"}) == fresh.model_dump(exclude={"images"})
    for i in (0, N // 2, N - 1):
        assert np.array_equal(np.asarray(mini[i].images[0]), np.asarray(made[i].images[0])), "lossless"


def test_it_has_all_splits_families_and_functions(mini):
    assert mini.splits == {"P": 20, "S": 30, "T": 10, "E": 40}
    steps = mini.steps()
    assert steps["family"].nunique() == 15
    assert steps["function"].nunique() == 8


def test_plain_datasets_reads_it(mini):
    table = datasets.load_dataset("parquet", data_files=str(FOLDER / "*.parquet"), split="train")
    assert tuple(table["id"]) == mini.ids
    assert table[0]["images"][0].size == (384, 384)


def test_its_card_tells_licence_and_fingerprint(mini):
    card = (FOLDER.parent / "README.md").read_text()
    assert "license: apache-2.0" in card
    assert mini.fingerprint in card
    assert 'load("cogvsr-mini")' in card
