"""The results tables of a study: what each holds, and the columns, units and meaning of each."""

from __future__ import annotations

from headatlas.results.table import RESULTS, Column, Kind, Table

VERDICTS = ("supported", "contradicted", "inconclusive", "not testable here")
"""The verdicts of `claims.json`."""

SCORER = Column("scorer", "text", "name of the scorer")
FUNCTION = Column("function", "text", "cognitive function")
N = Column("n", "count", "steps", "steps")


def interval(kind: Kind, unit: str = "", prefix: str = "", gaps: bool = True) -> tuple[Column, Column]:
    """The two columns of a 95 % interval."""
    return (
        Column(f"{prefix}low", kind, "lower bound of the 95 % interval", unit, gaps),
        Column(f"{prefix}high", kind, "upper bound of the 95 % interval", unit, gaps),
    )


def add(name: str, meaning: str, *columns: Column, key: str = "") -> Table:
    """Declare a table; `key` names the columns that identify a row, separated by spaces."""
    return RESULTS.add(name, Table(meaning, columns, tuple(key.split())))


add(
    "scorers", "The scorers of the study, in the order of its settings.",
    SCORER,
    Column("title", "text", "name in running text, such as `the linear probe`"),
    Column("label", "text", "name in tables and legends, such as `Linear probe (A2)`"),
    Column("description", "text", "how it scores, in one sentence"),
    Column("unit", "text", "unit of its scores", gaps=True),
    Column("left_out", "text", "why it scored nothing in this study; empty if it did", gaps=True),
    key="scorer",
)  # fmt: skip
add(
    "scores", "The score of every head for every function, by every scorer.",
    SCORER, FUNCTION,
    Column("layer", "count", "layer of the head, from 0"),
    Column("head", "count", "head within its layer, from 0"),
    Column("value", "number", "score; higher means more important", "the scorer's"),
    Column("p", "p", "one-sided p against the scorer's null, uncorrected; empty without a null", gaps=True),
    Column("twin", "number", "score of the untrained twin's head; empty where it was not scored", "the scorer's", True),
    key="scorer function layer head",
)  # fmt: skip
add(
    "gaze", "What every head looks at where a function's answers are predicted: shares of attention, means over steps with boxes "
    "of split S (scorer `attention`).",
    FUNCTION,
    Column("layer", "count", "layer of the head, from 0"),
    Column("head", "count", "head within its layer, from 0"),
    Column("gaze", "change", "`target` minus `random`"),
    *interval("change"),
    Column("target", "share", "on the patches of what the step asks about"),
    Column("random", "share", "on equally large boxes at random places of the same picture"),
    Column("foreign", "share", "on the boxes of other questions", gaps=True),
    Column("image", "share", "on the whole picture"),
    Column("selectivity", "number", "`target` as a share of `image`"),
    Column("top_in_target", "share", "steps whose most attended token is on the target"),
    Column("localisation", "number", "spatial entropy of the map: 0 for one spot", "nats", gaps=True),
    Column("question", "share", "on the words of the step"),
    Column("first", "share", "on the first token"),
    Column("image_sink", "share", "on image tokens that are sinks, which count in no box"),
    Column("sink", "share", "on a learned sink"),
    Column("twin", "change", "largest gaze of any head of the untrained twin", gaps=True),
    Column("p", "p", "one-sided p that the gaze is no larger than on random and on other questions' boxes; 1 if not above `twin`",
           gaps=True),
    N,
    key="function layer head",
)  # fmt: skip
add(
    "groups", "Redundant groups of heads, found on split S (scorer `multihead`): what one, half and all of each cost on split E.",
    FUNCTION,
    Column("group", "count", "number of the group within its function, from 1, the most damaging first"),
    Column("part", "text", "all heads; half of them (mean of two halves); one of them (mean over heads); the most costly one; "
           "as many random heads of the same layers or, where there are too few, of any (mean over sets)",
           values=("all", "half", "one", "worst_one", "random")),
    Column("k", "count", "heads ablated", "heads"),
    Column("heads", "text", "the heads of the group, as `L4.H1 L5.H0`"),
    Column("drop", "change", "fall of accuracy on the function's steps"),
    *interval("change"),
    Column("loss", "number", "fall of the gold answer's log-probability", "nats"),
    Column("unparsable_after", "share", "share of unreadable answers without the heads"),
    Column("p", "p", "of `all`: (1 + random sets that cost at least as much) / (random sets + 1)", gaps=True),
    N,
    key="function group part",
)  # fmt: skip
add(
    "selection", "The heads that each selector chooses for each function from each scorer's scores.",
    SCORER, FUNCTION,
    Column("selector", "text", "name of the selector"),
    Column("count", "count", "heads selected", "heads"),
    Column("share", "share", "heads selected as a share of all heads"),
    Column("heads", "text", "the heads, best first, as `L0.H1 L2.H3`", gaps=True),
    Column("reason", "text", "why there are none, where there are none", gaps=True),
    key="scorer function selector",
)  # fmt: skip
add(
    "sparsity", "How sparse each function's scores are, and how deep its selected heads lie.",
    SCORER, FUNCTION,
    Column("count", "count", "heads selected by the study's selector", "heads"),
    Column("share", "share", "heads selected as a share of all heads"),
    Column("share_above_threshold", "share", "heads whose score is above 0.001, as a share of all heads"),
    Column("gini", "share", "Gini coefficient of the scores (negative scores count as 0)"),
    Column("effective_number", "number", "exp(entropy) of the scores as shares", "heads"),
    Column("centroid", "share", "mean relative depth of the selected heads: 0 first layer, 1 last", gaps=True),
    key="scorer function",
)  # fmt: skip
add(
    "latent", "Heads from which a function can be decoded, what their removal costs, and whether a method recruits them.",
    FUNCTION,
    Column("layer", "count", "layer of the head, from 0"),
    Column("head", "count", "head within its layer, from 0"),
    Column("auc", "number", "AUC of the linear probe minus that of control labels", "AUC"),
    Column("q_auc", "p", "p of `auc` against exchanged labels, adjusted over heads (Benjamini-Hochberg)"),
    Column("twin", "number", "largest such value of any head of the untrained twin", "AUC", gaps=True),
    Column("effect", "number", "what the function's steps lose without the head", "nats or share"),
    Column("p_effect", "p", "equivalence test that this lies within the limit of no effect", gaps=True),
    Column("group", "text", "the heads that can be removed together without effect, as `L0.H1 L2.H3`", gaps=True),
    Column("group_effect", "number", "what the steps lose without this head and the group together", "nats or share", gaps=True),
    Column("p_group", "p", "equivalence test that this lies within the limit of no effect", gaps=True),
    Column("recruited_by", "text", "the method that gives the head an effect; empty for none", gaps=True),
    Column("recruited_effect", "number", "what the steps gain because that method acts on the head: with its other heads in "
           "force or without them, whichever is more", "nats", gaps=True),
    Column("p_recruited", "p", "one-sided p that this is not above the limit of no effect", gaps=True),
    Column("idle", "flag", "decodable above twin and null, and without effect alone and in its group"),
    Column("latent", "flag", "idle, and recruited by a method"),
    key="function layer head",
)  # fmt: skip
add(
    "recruitment", "How heads are scored with a helping method in force, by the same scorers, nulls and selector as before.",
    Column("method", "text", "name of the method"),
    Column("scorer", "text", "name of the scorer; `frozen_probe`: AUC of a linear probe that was fitted on the original model"),
    FUNCTION,
    Column("layer", "count", "layer of the head, from 0"),
    Column("head", "count", "head within its layer, from 0"),
    Column("before", "number", "score in the original model, in the scorer's unit"),
    Column("after", "number", "score with the method"),
    Column("found_before", "flag", "whether the study's selector takes the head in the original model"),
    Column("found_after", "flag", "whether it takes the head with the method"),
    key="method scorer function layer head",
)  # fmt: skip
add(
    "overlap", "How far the selected heads of two functions are the same.",
    SCORER,
    Column("function_a", "text", "one function"),
    Column("function_b", "text", "the other function"),
    Column("jaccard", "share", "Jaccard index of the two sets; empty if both are empty", gaps=True),
    Column("jaccard_corrected", "number", "the same corrected for chance: 0 as expected at random, 1 equal", gaps=True),
    key="scorer function_a function_b",
)  # fmt: skip
add(
    "agreement", "How far each scorer orders the heads as exact ablation does.",
    SCORER, FUNCTION,
    Column("spearman", "number", "rank correlation over heads with the scorer `ablation`", "-1..1", gaps=True),
    *interval("number"),
    Column("top5_overlap", "share", "share of the five best heads that are also among the five best of `ablation`", gaps=True),
    Column("top5_expected", "share", "the same share for random heads"),
    key="scorer function",
)  # fmt: skip
add(
    "probe", "How well the probes predict a step's function, compared with control labels and with the text alone.",
    SCORER,
    Column("split", "text", "split that is predicted", values=("P", "S", "T", "E")),
    Column("target", "text", "what is predicted, from what", values=("true", "control", "text_only")),
    Column("measure", "text", "accuracy over all functions, or AUC of one", values=("accuracy", "auc")),
    Column("function", "text", "cognitive function; empty for all", gaps=True),
    Column("value", "share", "accuracy or AUC"),
    *interval("share"),
    N,
    key="scorer split target measure function",
)  # fmt: skip
add(
    "left_out", "Questions and ways of showing them that the model's processor refuses; no other table includes them.",
    Column("what", "text", "a question, or a way of showing questions", values=("question", "arm")),
    Column("name", "text", "id of the question, or name of the arm"),
    Column("split", "text", "split of the question; E for an arm"),
    Column("reason", "text", "why the model cannot be asked"),
    key="what name",
)  # fmt: skip
add(
    "surface", "How well words alone predict a step's function and a question's answer, fitted on split P and tried on split E.",
    Column("what", "text", "what is predicted", values=("function_of_step", "answer_without_image")),
    Column("group", "text", "function or question type; `all` for all, `macro` for the mean over functions", gaps=True),
    Column("accuracy", "share", "share predicted correctly", gaps=True),
    Column("chance", "share", "accuracy of always saying the most frequent", gaps=True),
    *interval("share"),
    Column("n", "count", "steps (`function_of_step`) or questions (`answer_without_image`)", "steps or questions"),
)  # fmt: skip
add(
    "baseline", "Accuracy of the unedited model on split E.",
    Column("context", "text", "earlier steps answered by the dataset or by the model, with or without the image",
           values=("gold", "gold_no_image", "own", "own_no_image")),
    Column("group_kind", "text", "what the group is", values=("function", "family", "final")),
    Column("group", "text", "function, question type, or `final` for all final answers", gaps=True),
    Column("accuracy", "share", "share of right answers", gaps=True),
    *interval("share"),
    Column("unparsable", "share", "share of answers that cannot be read as an answer", gaps=True),
    N,
    key="context group_kind group",
)  # fmt: skip
add(
    "metrics", "The Spatial Score and its relatives on split E.",
    Column("condition", "text", "earlier steps answered by the dataset or by the model", values=("gold", "own")),
    Column("metric", "text", "SS, SS_chance_corrected, SS_ground or SS_chain"),
    Column("value", "number", "the score", "0..100; corrected ones may be negative", gaps=True),
    *interval("number", "as value"),
    N,
    key="condition metric",
)  # fmt: skip
add(
    "negative", "What a function's steps lose when its heads are ablated, compared with random sets on the same questions.",
    SCORER, FUNCTION,
    Column("operation", "text", "how heads are ablated, such as `mean`, `zero` or `scale`"),
    Column("k", "count", "heads ablated", "heads"),
    Column("heads", "text", "the heads, as `L0.H1 L2.H3`", gaps=True),
    Column("before", "share", "accuracy of the unedited model", gaps=True),
    Column("after", "share", "accuracy without the heads", gaps=True),
    Column("drop", "change", "before minus after", gaps=True),
    *interval("change"),
    Column("random_drop", "change", "mean drop of the random sets", gaps=True),
    Column("random_low", "change", "2.5 % quantile of the random sets' drops", gaps=True),
    Column("random_high", "change", "97.5 % quantile of the random sets' drops", gaps=True),
    Column("beyond", "change", "`drop` less `random_drop`", gaps=True),
    *interval("change", prefix="beyond_"),
    Column("n_random", "count", "random sets", "sets"),
    Column("match", "text", "where the heads of the random sets were drawn from", gaps=True),
    Column("p", "p", "share of the random sets whose drop is at least `drop`: (1 + #) / (n_random + 1)", gaps=True),
    Column("specific", "change", "the drop less the mean drop in the steps of the other, non-spatial functions", gaps=True),
    *interval("change", prefix="specific_"),
    Column("parsable_drop", "change", "the drop among the steps whose answer without the heads can be read", gaps=True),
    *interval("change", prefix="parsable_"),
    Column("p_mcnemar", "p", "exact two-sided McNemar test of before against after", gaps=True),
    Column("q", "p", "p adjusted over the rows of this table (Benjamini-Hochberg)", gaps=True),
    Column("unparsable_before", "share", "share of unreadable answers of the unedited model", gaps=True),
    Column("unparsable_after", "share", "share of unreadable answers without the heads", gaps=True),
    N,
    key="scorer function operation",
)  # fmt: skip
add(
    "damage", "What every function's steps lose when each function's heads are ablated.",
    SCORER,
    Column("heads_of", "text", "function whose heads are ablated"),
    Column("steps_of", "text", "function whose steps are looked at"),
    Column("k", "count", "heads ablated", "heads"),
    Column("drop", "change", "fall of accuracy", gaps=True),
    *interval("change"),
    N,
    key="scorer heads_of steps_of",
)  # fmt: skip
add(
    "concentration", "How much of the damage of removing all heads is done by removing a function's best heads: what C1 reads.",
    SCORER, FUNCTION,
    Column("k", "count", "heads ablated, the best of the scorer's ranking", "heads"),
    Column("share", "share", "the same as a share of all heads"),
    Column("drop", "change", "fall of accuracy on the function's steps"),
    Column("all_drop", "change", "the same with all heads ablated"),
    *interval("change", prefix="all_"),
    Column("ratio", "number", "`drop` / `all_drop`; empty where `all_drop` is not above 0", "1 is all of it", gaps=True),
    *interval("number", "as ratio"),
    Column("random_ratio", "number", "mean ratio of random sets of as many heads, from any layer", "as ratio", gaps=True),
    Column("n_random", "count", "random sets; 0 for doses that were not compared", "sets"),
    Column("beyond", "change", "the drop less the mean drop of the random sets, on the same steps", gaps=True),
    *interval("change", prefix="beyond_"),
    Column("form", "share", "share of unreadable answers among those that were right and are lost", gaps=True),
    Column("unparsable", "share", "share of unreadable answers without the best heads"),
    N,
    key="scorer function k",
)  # fmt: skip
add(
    "dose", "Accuracy as more and more heads are ablated.",
    SCORER, FUNCTION,
    Column("k", "count", "heads ablated", "heads"),
    Column("set", "text", "the best by score, random ones, or the least", values=("selected", "random", "least")),
    Column("accuracy", "share", "accuracy on the function's steps", gaps=True),
    *interval("share"),
    Column("unparsable", "share", "share of unreadable answers", gaps=True),
    N,
    key="scorer function k set",
)  # fmt: skip
add(
    "positive", "What steering a function's heads gains, compared with controls on the same questions.",
    SCORER, FUNCTION,
    Column("alpha", "number", "strength", "standard deviations along the direction"),
    Column("arm", "text", "steering or a control",
           values=("steer", "flipped", "random_direction", "shuffled", "random_heads")),
    Column("before", "share", "accuracy of the unedited model", gaps=True),
    Column("after", "share", "accuracy with the edit; mean over draws for controls", gaps=True),
    Column("gain", "change", "after minus before", gaps=True),
    Column("low", "change", "lower bound: of the 95 % interval, or the 2.5 % quantile of a control's draws", gaps=True),
    Column("high", "change", "upper bound: of the 95 % interval, or the 97.5 % quantile of a control's draws", gaps=True),
    Column("p", "p", "exact McNemar test for `steer` and `flipped`; for a control the share of draws that gain at least "
           "what `steer` does, (1 + #) / (draws + 1)", gaps=True),
    Column("q", "p", "p adjusted over the rows of this table (Benjamini-Hochberg)", gaps=True),
    Column("unparsable_after", "share", "share of unreadable answers with the edit", gaps=True),
    Column("n_draws", "count", "draws that a control's row is the mean of; 1 for `steer` and `flipped`", "draws"),
    N,
    Column("off_task_gain", "change", "change on the steps of other, non-spatial functions", gaps=True),
    key="scorer function arm",
)  # fmt: skip
add(
    "steering", "What the steering directions were estimated from, or why there are none.",
    SCORER, FUNCTION,
    Column("n_correct", "count", "right steps of split P", "steps"),
    Column("n_incorrect", "count", "wrong steps of split P", "steps"),
    Column("k", "count", "heads to steer", "heads"),
    Column("reason", "text", "why nothing was steered; empty if it was", gaps=True),
    key="scorer function",
)  # fmt: skip
add(
    "tuning", "The strengths that were tried on split T.",
    Column("what", "text", "what is tuned, such as `alpha`"),
    SCORER, FUNCTION,
    Column("value", "number", "the strength"),
    Column("accuracy", "share", "accuracy on split T", gaps=True),
    Column("chosen", "flag", "whether it was taken"),
    key="what scorer function value",
)  # fmt: skip
add(
    "counts", "How many heads the functions have, how these numbers differ and how far the sets overlap: what C2 and C3 read.",
    SCORER,
    Column("what", "text", "`share` of all heads that the selector chose for a function; `place`: Jaccard index of a "
           "function's heads in two halves of its scenes less that of two functions' heads; `number`: mean difference in the "
           "number of heads between two functions less that between two halves of one; `spatial_minus_other`: mean number of "
           "heads of spatial functions minus that of the others; the last three at equal numbers of steps, selected anew in "
           "each resample",
           values=("share", "place", "number", "spatial_minus_other")),
    Column("function", "text", "cognitive function of a `share`; empty for what is over all functions", gaps=True),
    Column("value", "number", "what was counted", "share: 0..1; place: -1..1; number, spatial_minus_other: heads", gaps=True),
    *interval("number", "as value"),
    Column("p", "p", "one-sided: that spatial functions do not have fewer heads", gaps=True),
    Column("n", "count", "pairs of a step and a function it needs", "pairs"),
    key="scorer what function",
)  # fmt: skip
add(
    "fewest", "Numbers of heads of spatial functions minus those of others, at equal numbers of steps.",
    SCORER,
    Column("spatial", "text", "spatial function, or `both` for the mean of the two"),
    Column("other", "text", "other function; empty for the mean of the others", gaps=True),
    Column("difference", "number", "mean difference over resamples; below 0 the spatial function has fewer", "heads"),
    *interval("number", "heads"),
    Column("p", "p", "one-sided p that the spatial function does not have fewer", gaps=True),
    Column("n", "count", "steps of each function in a resample", "steps"),
    key="scorer spatial other",
)  # fmt: skip
add(
    "activation", "What each way of showing the image gains.",
    Column("arm", "text", "way of showing the image; `original` is the comparison"),
    Column("group", "text", "function, `spatial` (both spatial functions) or `final` (final answers)"),
    Column("accuracy", "share", "accuracy with this arm"),
    Column("gain", "change", "accuracy minus that of `original`"),
    *interval("change"),
    Column("p", "p", "exact two-sided McNemar test against `original`", gaps=True),
    Column("control", "text", "the arm's control, whose images are changed as much; empty if it has none", gaps=True),
    Column("beyond", "change", "accuracy minus that of the control, step by step", gaps=True),
    Column("beyond_low", "change", "lower bound of the 95 % interval of `beyond`", gaps=True),
    Column("beyond_high", "change", "upper bound of the 95 % interval of `beyond`", gaps=True),
    Column("beyond_p", "p", "exact two-sided McNemar test against the control", gaps=True),
    Column("unparsable", "share", "share of unreadable answers"),
    N,
    key="arm group",
)  # fmt: skip
