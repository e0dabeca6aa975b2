"""The tables of a comparison of several studies, `OUT/comparison/*.csv`: what each holds, and its columns."""

from __future__ import annotations

from headatlas.results.table import RESULTS, Column, Kind, Table

MODEL = Column("model", "text", "short name of the model")
SCORER = Column("scorer", "text", "name of the scorer")
FUNCTION = Column("function", "text", "cognitive function")


def _interval(kind: Kind) -> tuple[Column, Column]:
    return (
        Column("low", kind, "lower bound of the 95 % interval", gaps=True),
        Column("high", kind, "upper bound of the 95 % interval", gaps=True),
    )


def _from_runs(name: str) -> Table:
    """The runs' own table `name`, with the model in front."""
    described = RESULTS[name]
    return Table(f"{described.meaning} For each model.", (MODEL, *described.columns))


def comparison_tables() -> dict[str, Table]:
    """Every table of a comparison by name; the file is `<name>.csv`."""
    return {
        "models": Table(
            "The models.",
            (
                MODEL,
                Column("name", "text", "name as given to the study", gaps=True),
                Column("layers", "count", "layers of the language model", "layers"),
                Column("heads_per_layer", "count", "query heads in each layer", "heads"),
                Column("total", "count", "all heads", "heads"),
                Column("family", "text", "model type in transformers", gaps=True),
                Column("kv_heads", "count", "key heads in each layer; fewer than query heads: grouped", "heads", gaps=True),
                Column("d_head", "count", "size of a head's output", "numbers", gaps=True),
                Column("dtype", "text", "number format while the model ran", gaps=True),
                Column("model_fingerprint", "text", "digest of configuration and weights", gaps=True),
                Column("functions", "text", "`eight`, or `one task` where the questions name no functions"),
                Column("run", "text", "its run directory, if that lies in OUT", gaps=True),
            ),
        ),
        "differences": Table(
            "Settings in which the studies differ; empty if all were studied in the same way.",
            (
                Column("setting", "text", "name of the setting"),
                MODEL,
                Column("value", "text", "its value in this study", gaps=True),
                Column("meaning", "text", "what the difference means for the comparison", gaps=True),
            ),
        ),
        "accuracy": _from_runs("baseline"),
        "metrics": _from_runs("metrics"),
        "damage": _from_runs("damage"),
        "counts": Table(
            "Heads selected for each function.",
            (
                MODEL, SCORER, FUNCTION,
                Column("selector", "text", "selector of the study"),
                Column("count", "count", "heads selected", "heads"),
                Column("share", "share", "heads selected as a share of all heads"),
                *_interval("share"),
                Column("gini", "number", "Gini coefficient of the scores", gaps=True),
                Column("effective_share", "number", "effective number of heads as a share of all heads", gaps=True),
                Column("centroid", "number", "mean relative depth of the selected heads", gaps=True),
            ),
        ),
        "profiles": Table(
            "Where in the depth of a model a function's score and its selected heads lie.",
            (
                MODEL, SCORER, FUNCTION,
                Column("kind", "text", "share of the positive score, or of the selected heads", values=("score", "selected")),
                Column("depth_low", "share", "start of the stretch of depth"),
                Column("depth_high", "share", "end of the stretch of depth"),
                Column("share", "share", "share that lies in it", gaps=True),
                *_interval("share"),
            ),
        ),
        "functions": Table(
            "Rank correlation over heads between the scores of two functions of one model.",
            (
                MODEL, SCORER,
                Column("function_a", "text", "one function"),
                Column("function_b", "text", "the other function"),
                Column("spearman", "number", "rank correlation", "-1..1", gaps=True),
                *_interval("number"),
                Column("n", "count", "heads", "heads"),
            ),
        ),
        "scorer_names": RESULTS["scorers"],
        "scorers": Table(
            "Rank correlation over heads between two scorers of one model.",
            (
                MODEL,
                Column("scorer_a", "text", "one scorer"),
                Column("scorer_b", "text", "the other scorer"),
                FUNCTION,
                Column("spearman", "number", "rank correlation", "-1..1", gaps=True),
                *_interval("number"),
                Column("top5_overlap", "share", "share of the five best heads that both have", gaps=True),
                Column("top5_expected", "share", "the same share for random heads", gaps=True),
            ),
        ),
        "likeness": Table(
            "How alike two models are, compared with chance.",
            (
                SCORER,
                Column("what", "text", "the measure: counts, functions, damage, damage_pairs, profile_distance, "
                       "profile_correlation or profile_match"),
                Column("function", "text", "function; empty for all", gaps=True),
                Column("model_a", "text", "one model"),
                Column("model_b", "text", "the other model"),
                Column("value", "number", "the measure", gaps=True),
                Column("chance_low", "number", "2.5 % quantile of the measure by chance", gaps=True),
                Column("chance_high", "number", "97.5 % quantile of the measure by chance", gaps=True),
                Column("p", "p", "one-sided p against chance", gaps=True),
                Column("q", "p", "p corrected over the whole table (Benjamini-Hochberg)", gaps=True),
                Column("same", "number", "the measure between two halves of one model's questions", gaps=True),
                Column("n", "count", "functions, cells or depth bins measured", gaps=True),
            ),
        ),
        "claims": Table(
            "The verdicts of every study.",
            (
                MODEL,
                Column("id", "text", "id of the claim", gaps=True),
                Column("title", "text", "its title", gaps=True),
                Column("statement", "text", "the claim in words", gaps=True),
                Column("scorer", "text", "whose heads were judged; empty where no scorer is involved", gaps=True),
                Column("verdict", "text", "the verdict", gaps=True),
                Column("effect", "number", "effect, in `unit`", gaps=True),
                Column("unit", "text", "unit of the effect", gaps=True),
                *_interval("number"),
                Column("p", "p", "one-sided p of the verdict's test", gaps=True),
                Column("q", "p", "p corrected over the whole table (Benjamini-Hochberg)", gaps=True),
                Column("n", "count", "steps, or pairs of a step and a function", gaps=True),
                Column("control", "text", "what the effect was compared with", gaps=True),
                Column("sentence", "text", "the verdict in words", gaps=True),
            ),
        ),
    }  # fmt: skip
