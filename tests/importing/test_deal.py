from collections import Counter

import pytest

from headatlas.importing.chain import SPATIAL, whole
from headatlas.importing.deal import components, deal, in_turn
from headatlas.importing.draft import Draft, Picture

SHARES = {"P": 0.35, "S": 0.15, "T": 0.1, "E": 0.4}


def draft(key: str, *images: str, group: str = "") -> Draft:
    pictures = tuple(Picture(name) for name in images)
    return Draft(key, "?", "yes", "yes_no", whole("yes", "yes_no", SPATIAL), pictures, group=group)


def test_components_join_over_others():
    assert components({"a": [1], "b": [1, 2], "c": [2], "d": [3], "e": []}) == {
        "a": "a",
        "b": "a",
        "c": "a",
        "d": "d",
        "e": "e",
    }


def test_one_of_each_image_comes_before_a_second():
    drafts = [draft(f"{i}-{j}", f"{i}.png") for i in range(5) for j in range(3)] + [
        draft("x", group="g"),
        draft("y", group="g"),
    ]
    order = [d.key for d in in_turn(drafts, seed=0)]
    assert len({key.split("-")[0] for key in order[:5]} - {"x", "y"}) >= 4
    assert len({key.split("-")[0] if key not in "xy" else "g" for key in order[:6]}) == 6
    assert sorted(order) == sorted(d.key for d in drafts)
    assert order == [d.key for d in in_turn(drafts[::-1], seed=0)]  # whatever order the files were read in
    assert order != [d.key for d in in_turn(drafts, seed=1)]


@pytest.mark.parametrize("sizes", [[1] * 400, [5] * 80, [50, 40, 30, 20, 10] + [1] * 250])
def test_splits_get_their_shares_and_groups_stay_whole(sizes):
    part = {f"{g}-{i}": str(g) for g, size in enumerate(sizes) for i in range(size)}
    found = deal(part, SHARES, seed=0)
    of_group = {}
    for key, split in found.items():
        assert of_group.setdefault(part[key], split) == split
    counts = Counter(found.values())
    for split, share in SHARES.items():
        assert abs(counts[split] / len(part) - share) < 0.02
    assert found == deal(part, SHARES, seed=0)


def test_few_groups_still_reach_every_split():
    found = deal({str(i): str(i) for i in range(4)}, SHARES, seed=0)
    assert set(found.values()) == set(SHARES)
