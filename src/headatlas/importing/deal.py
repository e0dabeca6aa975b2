"""Choose questions and assign them to splits; questions that share an image or a group stay in one split.

The result depends on the seed and the questions' keys only, not on the order in which files are read.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest

from headatlas.cogvsr.schema import Split
from headatlas.importing.draft import Draft


def components(shares: Mapping[str, Iterable[Hashable]]) -> dict[str, str]:
    """The connected component of each key, named by its first key; keys that share something are connected."""
    parent = {key: key for key in shares}

    def find(key: str) -> str:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    owner: dict[Hashable, str] = {}
    for key, things in shares.items():
        for thing in things:
            first = owner.setdefault(thing, key)
            if first != key:
                a, b = find(first), find(key)
                parent[max(a, b)] = min(a, b)
    return {key: find(key) for key in shares}


def shares_of(draft: Draft) -> list[Hashable]:
    """What a draft may share with others before images are read: its group, and the names and addresses of its pictures."""
    group = [("group", draft.group)] if draft.group else []
    return [*group, *(("image", picture.url or picture.name) for picture in draft.pictures)]


def in_turn(drafts: Sequence[Draft], seed: int) -> Iterator[Draft]:
    """The drafts in the order in which they are chosen: one of each component in turn, so that few of them share an image."""
    part = components({draft.key: shares_of(draft) for draft in drafts})
    members: dict[str, list[Draft]] = defaultdict(list)
    for draft in sorted(drafts, key=lambda d: d.key):
        members[part[draft.key]].append(draft)
    rng = random.Random(f"headatlas-import/{seed}")
    groups = [members[name] for name in sorted(members)]
    for group in groups:
        rng.shuffle(group)
    rng.shuffle(groups)
    for turn in zip_longest(*groups):
        yield from (draft for draft in turn if draft is not None)


def deal(part: Mapping[str, str], shares: Mapping[Split, float], seed: int) -> dict[str, Split]:
    """The split of each key. Whole components, the largest first, go to the split that is farthest below its share.

    Args:
        part: the component of each key.
        shares: relative size of each split, positive.
        seed: decides between components of equal size.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for key, name in part.items():
        members[name].append(key)
    order = sorted(members)
    random.Random(f"headatlas-deal/{seed}").shuffle(order)
    order.sort(key=lambda name: -len(members[name]))
    total = sum(shares.values())
    want: dict[Split, float] = {split: len(part) * share / total for split, share in shares.items()}
    split_of: dict[str, Split] = {}
    for name in order:
        # The split that is farthest below its share in relative terms, so that a small one does not stay empty.
        split = max(shares, key=lambda s: (want[s] / shares[s], want[s]))
        want[split] -= len(members[name])
        for key in members[name]:
            split_of[key] = split
    return split_of
