"""Which heads look at the thing asked about, and what their removal costs: chosen on split S, judged on split E.

    python examples/looking_heads.py [MODEL] [--gaze 0.25] [--most 12] [--dtype bfloat16]

Heads are chosen by gaze (A5): the share of their attention on the thing that a step asks about, at the position that predicts its
answer. They are then removed alone and together (mean of split P in place of z), beside 20 random sets of the same layers.
"""

from __future__ import annotations

import argparse

import numpy as np

import headatlas as ha
from headatlas.intervention import Condition, Runner, ablate, effect, mean_z, of_function, random_sets

FUNCTIONS = ("spatial_perception", "low_level_perception", "information_extraction", "knowledge_recall")


def main() -> None:
    """Choose, remove, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="ref-demo")
    parser.add_argument("--gaze", type=float, default=0.25, help="least share of attention on the thing asked about")
    parser.add_argument("--most", type=int, default=12, help="at most so many heads")
    parser.add_argument("--dtype", help="of the weights, such as bfloat16")
    asked = parser.parse_args()

    vlm = ha.load_vlm(asked.model, dtype=asked.dtype)
    data = ha.cogvsr.load("scenes", n=300, seed=11)
    means = mean_z(ha.capture(vlm, data.split("P"), "all"), "P")
    seen = ha.capture(vlm, data.select([*data.split("P").ids, *data.split("S").ids]), "last")
    gaze = ha.score(seen, "attention", tokens="last", vlm=vlm, data=data).scores["attention"].of("spatial_perception")
    best = sorted(np.ndindex(*gaze.shape), key=lambda head: -gaze[head])[: asked.most]
    looking = ha.HeadSet([head for head in best if gaze[head] >= asked.gaze])
    print(f"{asked.model}: {len(looking)} heads look at the thing asked about (split S): {looking}")

    runner = Runner(vlm, data)
    alone = [ha.HeadSet([head]) for head in looking]
    random = random_sets(looking, vlm.heads.shape, 20, match="layer", rng=0, exclude=set(looking))
    sets = [looking, *alone, *random]
    conditions = [Condition(f"{i}", (ablate(heads, "mean", means),)) for i, heads in enumerate(sets)]
    before, after = runner.baseline("E[:60]"), list(runner.run_many(conditions, "E[:60]"))
    for function in FUNCTIONS:
        steps = of_function(before, function)
        found = [effect(before, table, steps, 1000, 0) for table in after]
        changes = np.array([each.change for each in found])
        one, many = changes[1 : len(alone) + 1], changes[len(alone) + 1 :]
        print(
            f"{function} ({found[0].n} steps): together {100 * changes[0]:+.0f} points ({100 * found[0].low:+.0f} to "
            f"{100 * found[0].high:+.0f}; {found[0].unparsable_after:.0%} unreadable), alone at worst {100 * one.min():+.0f}, "
            f"{len(random)} random sets {100 * many.mean():+.1f} on average, {100 * many.min():+.1f} at worst"
        )


if __name__ == "__main__":
    main()
