"""A synthetic run directory: every table filled, from formulas. The numbers mean nothing and look as if they did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL, TITLES
from headatlas.study.stages.score import scorers_table

SCORERS = ("paper", "linear", "ablation")
FAMILIES = ("left_right", "above_below", "near_far", "front_behind", "facing", "between", "inside_region", "count_in_region",
            "alignment", "nearest", "viewpoint", "multi_hop")  # fmt: skip
ARMS = ("original", "boxes", "mask", "boxes+mask", "random_boxes", "coordinates", "image_twice")
CLAIMS = (
    ("C1", "Functional heads are sparse", "Every function is carried by a small share of the heads.", "share"),
    ("C2", "They vary in number and place", "Functions differ in how many heads they have and where these sit.", "Jaccard"),
    ("C3", "Spatial heads are fewest", "The two spatial functions have fewer heads than the others.", "heads"),
    ("C4", "Activation improves spatial accuracy", "Boxes and mask make the model better on spatial steps.", "points"),
    ("C5a", "Removing heads destroys the function", "Silencing a function's heads costs more than random ones.", "points"),
    ("C5b", "Emphasising heads improves the function", "Steering a function's heads makes its steps more often right.", "points"),
)  # fmt: skip


def write_run(folder: Path, shape: tuple[int, int] = (6, 8), seed: int = 0, model: str = "synthetic-vlm") -> Path:
    """Fill `folder` with a whole synthetic run; returns it."""
    rng = np.random.default_rng(seed)
    results = folder / "results"
    results.mkdir(parents=True)
    tables = {**_head_tables(rng, shape), **_scorer_tables(rng), **_task_tables(rng), **_edit_tables(rng)}
    tables |= _method_tables(rng)
    for name, rows in tables.items():
        pd.DataFrame(rows).to_csv(results / f"{name}.csv", index=False)
    scorers_table(SCORERS).to_csv(results / "scorers.csv", index=False)
    (results / "examples.json").write_text(json.dumps(_examples(rng, folder)))
    for name, rows in _looking_tables(rng, shape).items():
        pd.DataFrame(rows).to_csv(results / f"{name}.csv", index=False)
    (results / "looking.json").write_text(json.dumps(_looking(rng)))
    (folder / "claims.json").write_text(json.dumps({"claims": _claims(rng), "level": 0.05}))
    settings = {
        "model": model, "family": "synthetic", "kv_heads": 2,
        "model_fingerprint": "0123456789abcdef", "preset": "strict", "quick": False,
        "data": {"source": "scenes", "n": 640, "seed": 0, "fingerprint": "fedcba9876543210",
                 "questions": {"P": 120, "S": 120, "T": 60, "E": 340}},
        "shape": list(shape), "d_head": 16, "tokens": "gold", "n_random": 20, "n_null": 200, "seed": 0,
        "versions": {"headatlas": "0.1.0", "torch": "2.15.0", "transformers": "5.23.0", "python": "3.11.9"},
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(settings))
    stages = {
        "data": 21.3,
        "capture": 48.0,
        "scores": 171.2,
        "baseline": 33.4,
        "interventions": 204.9,
        "activation": 61.0,
        "claims": 4.1,
    }
    timings = [{"stage": s, "seconds": t, "resumed": s == "capture"} for s, t in stages.items()]
    (folder / "timings.json").write_text(json.dumps(timings))
    return folder


def _around(rng: np.random.Generator, value: float, half: float = 0.04, prefix: str = "") -> dict[str, float]:
    low, high = value - half * rng.uniform(0.7, 1.2), min(value + half * rng.uniform(0.7, 1.2), 1.0)
    return {f"{prefix}low": low, f"{prefix}high": high}


def _share(rng: np.random.Generator, value: float, half: float = 0.04) -> dict[str, float]:
    """As `_around`, for a share: the interval stays in 0..1."""
    return {key: max(bound, 0.0) for key, bound in _around(rng, value, half).items()}


def _head_tables(rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, list[dict]]:
    n_layers, n_heads = shape
    scores, selection, sparsity, overlap = [], [], [], []
    for scorer in SCORERS:
        sets = {}
        for f, function in enumerate(FUNCTIONS):
            values = rng.normal(0, 0.012, shape)
            for _ in range(2 if function in SPATIAL else 3 + f % 4):
                values[rng.integers(n_layers // 2, n_layers), rng.integers(n_heads)] += rng.uniform(0.1, 0.6)
            p = np.clip(0.6 - values * 8, 1 / 201, 1.0)
            for layer, head in np.ndindex(*shape):
                scores.append({"scorer": scorer, "function": function, "layer": layer, "head": head,
                               "value": values[layer, head], "p": p[layer, head] if scorer != "linear" else None,
                               "twin": None if scorer == "ablation" else float(values.mean())})  # fmt: skip
            chosen = [f"L{a}.H{b}" for a, b in np.ndindex(*shape) if values[a, b] > 0.08]
            if scorer == "linear" and function == "math_reasoning":
                chosen = []
            sets[function] = set(chosen)
            for selector, heads in (("null", chosen), ("elbow", [*chosen, "L0.H0"]), ("top_share", chosen[:5])):
                reason = "" if heads else "no head beats shuffled labels at q = 0.05"
                selection.append({"scorer": scorer, "function": function, "selector": selector, "count": len(heads),
                                  "share": len(heads) / values.size, "heads": " ".join(heads), "reason": reason})  # fmt: skip
            sparsity.append({"scorer": scorer, "function": function, "count": len(chosen), "share": len(chosen) / values.size,
                             "share_above_threshold": 0.4, "gini": rng.uniform(0.6, 0.9),
                             "effective_number": rng.uniform(3, 14), "centroid": rng.uniform(0.5, 0.8)})  # fmt: skip
        for i, a in enumerate(FUNCTIONS):
            for b in FUNCTIONS[i + 1 :]:
                union = len(sets[a] | sets[b]) or 1
                jaccard = len(sets[a] & sets[b]) / union
                overlap.append({"scorer": scorer, "function_a": a, "function_b": b, "jaccard": jaccard,
                                "jaccard_corrected": (jaccard - 0.04) / 0.96})  # fmt: skip
    return {"scores": scores, "selection": selection, "sparsity": sparsity, "overlap": overlap}


def _scorer_tables(rng: np.random.Generator) -> dict[str, list[dict]]:
    agreement, probe, surface = [], [], []
    for scorer in SCORERS[:2]:
        for function in FUNCTIONS:
            rho = rng.uniform(-0.2, 0.5)
            agreement.append({"scorer": scorer, "function": function, "spearman": rho, **_around(rng, rho, 0.2),
                              "top5_overlap": rng.integers(0, 4) / 5, "top5_expected": 5 / 48})  # fmt: skip
    for target, value in (("true", 0.93), ("control", 0.16), ("text_only", 0.88)):
        probe.append({"scorer": "paper", "split": "S", "target": target, "measure": "accuracy", "function": "",
                      "value": value, **_around(rng, value, 0.02), "n": 640})  # fmt: skip
        for function in FUNCTIONS:
            auc = value / 2 + 0.5 if target != "control" else 0.5 + rng.normal(0, 0.02)
            probe.append({"scorer": "linear", "split": "S", "target": target, "measure": "auc", "function": function,
                          "value": auc, **_around(rng, auc, 0.02), "n": 640})  # fmt: skip
    for what, groups in (("function_of_step", FUNCTIONS), ("answer_without_image", FAMILIES)):
        for name in groups:
            value = rng.uniform(0.3, 0.6)
            surface.append(
                {"what": what, "group": name, "accuracy": value, "chance": 0.33, **_around(rng, value), "n": 80}
            )
    return {"agreement": agreement, "probe": probe, "surface": surface}


def _task_tables(rng: np.random.Generator) -> dict[str, list[dict]]:
    baseline, metrics, activation = [], [], []
    levels = {"gold": 0.92, "own": 0.82, "own_no_image": 0.4, "gold_no_image": 0.48}
    for context, level in levels.items():
        for kind, groups in (("function", FUNCTIONS), ("family", FAMILIES), ("final", ("final",))):
            for name in groups:
                value = float(np.clip(level + rng.normal(0, 0.06), 0.05, 0.99))
                baseline.append({"context": context, "group_kind": kind, "group": name, "accuracy": value,
                                 **_around(rng, value, 0.03), "unparsable": 0.01 * rng.random(), "n": 340})  # fmt: skip
    for condition, value in (("gold", 84.0), ("own", 78.5)):
        for metric in ("SS", "SS_chance_corrected", "SS_ground", "SS_chain"):
            metrics.append({"condition": condition, "metric": metric, "value": value * 0.9, "low": value * 0.9 - 2,
                            "high": value * 0.9 + 2, "n": 340})  # fmt: skip
    for arm in ARMS:
        for name in (*FUNCTIONS, "final", "spatial"):
            gain = 0.0 if arm == "original" else float(rng.normal(0.01, 0.03))
            activation.append({"arm": arm, "group": name, "accuracy": 0.8 + gain, "gain": gain, **_around(rng, gain, 0.025),
                               "p": rng.random(), **_beyond(rng, arm, gain), "unparsable": 0.004, "n": 340})  # fmt: skip
    return {"baseline": baseline, "metrics": metrics, "activation": activation}


def _beyond(rng: np.random.Generator, arm: str, gain: float) -> dict[str, object]:
    """The gain over an arm's control, for the arm that has one."""
    if arm != "boxes+mask":
        return {"control": "", "beyond": None, "beyond_low": None, "beyond_high": None, "beyond_p": None}
    around = _around(rng, gain, 0.03)
    return {
        "control": "random_boxes",
        "beyond": gain,
        "beyond_low": around["low"],
        "beyond_high": around["high"],
        "beyond_p": 0.04,
    }


def _edit_tables(rng: np.random.Generator) -> dict[str, list[dict]]:
    negative, damage, concentration, dose, positive, tuning = [], [], [], [], [], []
    for scorer in SCORERS:
        strength = {"paper": 0.1, "linear": 0.16, "ablation": 0.4}[scorer]
        for f, function in enumerate(FUNCTIONS):
            drop = strength * rng.uniform(0.6, 1.3)
            for operation in ("scale", "zero", "mean"):
                d = drop * (0.7 if operation == "mean" else 1.0)
                negative.append({"scorer": scorer, "function": function, "operation": operation, "k": 3,
                                 "heads": "L5.H0 L5.H1 L5.H2", "before": 0.9, "after": 0.9 - d,
                                 "drop": d, **_around(rng, d, 0.05),
                                 "random_drop": 0.04,
                                 "random_low": -0.01, "random_high": 0.11, "n_random": 40, "p": 1 / 41, "p_mcnemar": 0.0004,
                                 "match": "in the same layers",
                                 "beyond": d - 0.04, "specific": d - 0.02, "parsable_drop": d - 0.01,
                                 **_around(rng, d - 0.04, 0.06, "beyond_"), **_around(rng, d - 0.02, 0.06, "specific_"),
                                 **_around(rng, d - 0.01, 0.06, "parsable_"),
                                 "q": 0.06, "unparsable_before": 0.0, "unparsable_after": 0.03, "n": 310})  # fmt: skip
            ratio = min(1.0, drop * 2)
            concentration.append({"scorer": scorer, "function": function, "k": 4, "share": 4 / 48, "drop": drop, "all_drop": 0.6,
                                  **_around(rng, 0.6, 0.05, "all_"), "ratio": ratio, **_around(rng, ratio, 0.1),
                                  "random_ratio": 0.2, "n_random": 39, "beyond": drop - 0.1,
                                  **_around(rng, drop - 0.1, 0.06, "beyond_"), "form": 0.1, "unparsable": 0.02,
                                  "n": 200})  # fmt: skip
            for g, other in enumerate(FUNCTIONS):
                d = drop if f == g else float(rng.normal(0.02, 0.03))
                damage.append({"scorer": scorer, "heads_of": function, "steps_of": other, "k": 3, "drop": d,
                               **_around(rng, d), "n": 200})  # fmt: skip
            for k in (0, 1, 2, 4, 8, 16):
                for name, slope in (("selected", strength / 3), ("random", 0.02), ("least", 0.003)):
                    value = float(np.clip(0.92 - slope * k, 0.03, 1))
                    dose.append({"scorer": scorer, "function": function, "k": k, "set": name, "accuracy": value,
                                 **_share(rng, value, 0.03), "unparsable": 0.0, "n": 200})  # fmt: skip
            for arm in ("steer", "random_direction", "flipped", "shuffled", "random_heads"):
                gain = float(rng.normal(0.012 if arm == "steer" else -0.004, 0.008))
                positive.append({"scorer": scorer, "function": function, "alpha": 0.5, "arm": arm, "before": 0.85,
                                 "after": 0.85 + gain, "gain": gain, **_around(rng, gain, 0.015),
                                 "p": 0.2, "q": 0.4, "unparsable_after": 0.0, "n_draws": 1 if arm == "steer" else 40, "n": 310,
                                 "off_task_gain": -0.002})  # fmt: skip
            for alpha in (0.1, 0.5, 1.0, 2.0, 4.0):
                tuning.append({"what": "alpha", "scorer": scorer, "function": function, "value": alpha,
                               "accuracy": 0.86 + 0.01 * alpha - 0.006 * alpha**2, "chosen": alpha == 0.5})  # fmt: skip
    return {
        "negative": negative,
        "damage": damage,
        "concentration": concentration,
        "dose": dose,
        "positive": positive,
        "tuning": tuning,
    }


BEYOND = ("beyond", "beyond_low", "beyond_high")


def _looking_tables(rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, list[dict]]:
    gaze, groups = [], []
    for function in SPATIAL:
        for layer, head in np.ndindex(*shape):
            target = float(rng.uniform(0.5, 0.95) if layer == shape[0] - 1 and head < 4 else rng.uniform(0, 0.1))
            gaze.append({"function": function, "layer": layer, "head": head, "gaze": target - 0.02, "low": target - 0.05,
                         "high": target, "target": target, "random": 0.02, "foreign": 0.03, "image": min(1.0, target + 0.04),
                         "selectivity": 0.9, "top_in_target": target, "localisation": 0.4, "question": 0.02, "first": 0.01,
                         "image_sink": 0.0, "sink": 0.0, "twin": 0.004, "p": 0.001 if target > 0.2 else 0.9,
                         "n": 210})  # fmt: skip
        for part, drop, k in (
            ("one", 0.004, 1),
            ("worst_one", 0.02, 1),
            ("half", 0.09, 2),
            ("all", 0.34, 4),
            ("random", 0.03, 4),
        ):
            bounds = _around(rng, drop) if part in ("all", "random") else {"low": None, "high": None}
            row = {
                "function": function,
                "group": 1,
                "part": part,
                "k": k,
                "heads": "L5.H0 L5.H1 L5.H2 L5.H3",
                "drop": drop,
                **bounds,
                "n": 210,
            }
            whole = {"beyond": 0.31, "beyond_low": 0.2, "beyond_high": 0.4} if part == "all" else {}
            row |= {"match": "in the same layers" if part == "random" else None, **dict.fromkeys(BEYOND), **whole}
            groups.append({**row, "loss": 3 * drop, "unparsable_after": 0.0, "p": 0.05 if part == "all" else None})
    return {"gaze": gaze, "groups": groups, **_tower_tables(rng, shape)}


def _tower_tables(rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, list[dict]]:
    towers, sets = [], []
    for tower, grid in (("L", shape), ("V", (4, 4))):
        for function in SPATIAL:
            for layer, head in np.ndindex(*grid):
                chosen = layer == 0 and head < 2
                loss = float(rng.uniform(0.2, 0.5) if chosen else rng.uniform(-0.02, 0.04))
                towers.append({"tower": tower, "function": function, "layer": layer, "head": head, "loss": loss,
                               "low": loss - 0.02, "high": loss + 0.02, "specific": loss / 2, "p": 0.001 if chosen else 0.6,
                               "selected": chosen, "n": 210})  # fmt: skip
            sets.append({"tower": tower, "function": function, "k": 2, "heads": f"{tower}0.H0 {tower}0.H1", "drop": 0.2,
                         "low": 0.1, "high": 0.3, "random_drop": 0.01, "beyond": 0.19, "beyond_low": 0.1, "beyond_high": 0.28,
                         "n_random": 39, "match": "in the same layers", "p": 0.025, "specific": 0.15, "unparsable_after": 0.0,
                         "n": 210})  # fmt: skip
    return {"towers": towers, "tower_sets": sets}


def _looking(rng: np.random.Generator) -> dict:
    heads = [f"L5.H{h}" for h in range(4)]
    questions = [
        {"question": f"scenes-E-{i:05d}", "step": "Which column is the red ball in?", "answer": "left",
         "function": "spatial_perception", "image": f"images/q{i}.png",
         "heads": [{"head": head, "image_mass": 0.9, "target": 0.8, "picture": f"images/q{i}.png"} for head in heads]}
        for i in range(3)
    ]  # fmt: skip
    cards = [
        {"head": head, "gaze": 0.8, "target": 0.82, "random": 0.02, "image": 0.9, "localisation": 0.3,
         "effects": {name: float(rng.normal(0.02, 0.03)) for name in FUNCTIONS},
         "examples": [{"question": f"scenes-S-{i:05d}", "step": "Which row is the blue box in?", "answer": "top", "target": 0.9,
                       "picture": f"images/q{i}.png"} for i in range(3)]}
        for head in heads
    ]  # fmt: skip
    return {"reason": "", "heads_by": "attention", "questions": questions, "cards": cards}


def _method_tables(rng: np.random.Generator) -> dict[str, list[dict]]:
    methods, gains, controls, strengths = [], [], [], []
    for name, gain in (("gain", 4.0), ("gaze", -1.0)):
        methods.append({"method": name, "before": 80.0, "after": 80.0 + gain, "gain": gain, "low": gain - 2, "high": gain + 2,
                        "p": 0.01, "q": 0.02, "own_gain": gain / 2, "own_low": gain / 2 - 2, "own_high": gain / 2 + 2,
                        "final_gain": 0.5, "final_low": -1.0, "final_high": 2.0, "off_task_gain": -0.2, "off_task_low": -1.0,
                        "off_task_high": 0.6, "unparsable_before": 0.0, "unparsable_after": 0.01, "n": 300, "n_heads": 5,
                        "heads": "L4.H1 L4.H2", "parameters": 5, "images": 1.0, "time": 1.1, "memory": None,
                        "helps": gain > 0, "reason": "" if gain > 0 else "its gain is not above 0"})  # fmt: skip
        for group in ("spatial", *FUNCTIONS):
            gains.append({"method": name, "context": "gold", "group": group, "before": 0.8, "after": 0.8 + gain / 100,
                          "gain": gain / 100, **_around(rng, gain / 100, 0.02), "p": 0.04, "unparsable_before": 0.0,
                          "unparsable_after": 0.01, "n": 150})  # fmt: skip
        for control in ("random_heads", "all_heads", "shuffled"):
            controls.append({"method": name, "control": control, "draws": 2, "gain": 0.01, "beyond": gain / 100 - 0.01,
                             **_around(rng, gain / 100 - 0.01, 0.02), "p": 0.03, "q": 0.04,
                             "required": control != "all_heads", "beaten": gain > 0})  # fmt: skip
        for value in (0.0, 0.5, 1.0):
            strengths.append({"method": name, "value": value, "setting": "", "accuracy": 0.8 + 0.02 * value,
                              "logprob": -0.4 + 0.1 * value, "off_task": 0.9, "unparsable": 0.0,
                              "chosen": value == 1.0})  # fmt: skip
    positive = [
        {"method": name, "heads": "L5.H1 L5.H2", "n_heads": 2, "factor": 0.0625, "intact": 80.0, "before": 60.0, "lost": 20.0,
         "lost_low": 15.0, "lost_high": 25.0, "after": 60.0 + gain, "gain": gain, "low": gain - 2, "high": gain + 2,
         "restored": gain / 20, "restored_low": gain / 20 - 0.1, "restored_high": gain / 20 + 0.1, "off_task_gain": 0.1,
         "n_changed": 5, "n_found": 2, "helps": gain > 0, "reason": None if gain > 0 else "its interval includes 0", "n": 140}
        for name, gain in (("gain", 18.0), ("gaze", -1.0))
    ]  # fmt: skip
    tables = {"methods": methods, "method_gains": gains, "method_controls": controls, "method_strengths": strengths}
    return {**tables, "positive_control": positive}


def _claims(rng: np.random.Generator) -> list[dict]:
    made = []
    verdicts = ("supported", "contradicted", "inconclusive", "not testable here")
    for i, (name, title, statement, unit) in enumerate(CLAIMS):
        for j, scorer in enumerate(SCORERS if name != "C4" else ("",)):
            effect = {"share": 0.06, "heads": -1.4, "points": 0.031, "Jaccard": 0.08}[unit] * rng.uniform(0.5, 2)
            made.append({"id": name, "title": title, "statement": statement, "scorer": scorer,
                         "verdict": verdicts[(i + j) % 4], "effect": effect, "unit": unit,
                         **_around(rng, effect, abs(effect) / 2), "p": 0.0004 * 10 ** ((i + j) % 3), "n": 340,
                         "control": "20 random head sets",
                         "sentence": "A synthetic sentence, made up to test the page.",
                         "parts": _parts(name, verdicts, i + j)})  # fmt: skip
    return made


def _parts(claim: str, verdicts: tuple[str, ...], shift: int) -> list[dict]:
    """The parts of a claim that has one for each function."""
    functions = {"C1": FUNCTIONS, "C5a": SPATIAL, "C5b": SPATIAL}.get(claim, ())
    return [
        {"text": f"a synthetic clause on {TITLES[name].lower()}", "verdict": verdicts[(f + shift) % 4], "function": name,
         "effect": 0.3, "low": 0.2, "high": 0.4, "p": 0.02, "n": 340, "bound": 0.75 if claim == "C1" else 0.0}
        for f, name in enumerate(functions)
    ]  # fmt: skip


def _examples(rng: np.random.Generator, folder: Path) -> list[dict]:
    (folder / "images").mkdir()
    made = []
    for i in range(12):
        image = Image.new("RGB", (384, 384), (238, 241, 236))
        pen = ImageDraw.Draw(image)
        for color in ("#c23b22", "#2266aa", "#e0a92e", "#3c8d5a"):
            x, y = (int(v) for v in rng.integers(30, 290, 2))
            shape = (x, y, x + 64, y + 64)
            pen.ellipse(shape, fill=color) if rng.random() < 0.5 else pen.rectangle(shape, fill=color)
        image.save(folder / "images" / f"q{i}.png")
        functions = (
            "information_extraction",
            "high_level_perception",
            "spatial_perception",
            "relational_reasoning",
            "decision_making",
        )
        steps = [
            {"text": f"Synthetic step about {TITLES[f].lower()}?", "function": f, "gold": "left", "before": "left",
             "after": "right" if _breaks(i, j, f) else "left", "random": "left", "correct_before": True,
             "correct_after": not _breaks(i, j, f), "correct_random": True}
            for j, f in enumerate(functions)
        ]  # fmt: skip
        scorer = ("paper", "ablation")[i % 2]
        made.append({"question": f"scenes-E-{i:05d}", "image": f"images/q{i}.png", "answer": "left",
                     "text": "Is the red ball to the left or to the right of the blue box?",
                     "edit": "scaled by 0.001", "scorer": scorer, "heads_of": "spatial_perception", "heads": "L3.H1 L4.H2 L5.H0",
                     "random_heads": "L0.H1 L1.H2 L2.H0", "selected": i < 8, "n_questions": 340, "n_only_spatial": 80,
                     "n_random_changed": 12, "steps": steps})  # fmt: skip
    return made


def _breaks(i: int, j: int, function: str) -> bool:
    """Whether a step of example `i` breaks: in the first eight only spatial ones do."""
    return function == "spatial_perception" if i < 8 else (i + j) % 3 == 0
