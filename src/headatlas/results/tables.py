"""The results tables of a study: what each holds, and the columns, units and meaning of each."""

from __future__ import annotations

from headatlas.results.table import RESULTS, Column, Kind, Table

VERDICTS = ("supported", "contradicted", "inconclusive", "not testable here")
"""The verdicts of `claims.json`."""

SCORER = Column("scorer", "text", "name of the scorer")
FUNCTION = Column("function", "text", "cognitive function")
N = Column("n", "count", "steps", "steps")


def _interval(kind: Kind, unit: str = "", prefix: str = "", gaps: bool = True) -> tuple[Column, Column]:
    return (
        Column(f"{prefix}low", kind, "lower bound of the 95 % interval", unit, gaps),
        Column(f"{prefix}high", kind, "upper bound of the 95 % interval", unit, gaps),
    )


def _add(name: str, meaning: str, *columns: Column, key: str = "") -> Table:
    return RESULTS.add(name, Table(meaning, columns, tuple(key.split())))


_add(
    "scorers", "The scorers of the study, in the order of its settings.",
    SCORER,
    Column("title", "text", "name in running text, such as `the linear probe`"),
    Column("label", "text", "name in tables and legends, such as `Linear probe (A2)`"),
    Column("description", "text", "how it scores, in one sentence"),
    Column("unit", "text", "unit of its scores", gaps=True),
    Column("left_out", "text", "why it scored nothing in this study; empty if it did", gaps=True),
    key="scorer",
)  # fmt: skip
_add(
    "scores", "The score of every head for every function, by every scorer.",
    SCORER, FUNCTION,
    Column("layer", "count", "layer of the head, from 0"),
    Column("head", "count", "head within its layer, from 0"),
    Column("value", "number", "score; higher means more important", "the scorer's"),
    Column("p", "p", "one-sided p against the scorer's null, uncorrected; empty without a null", gaps=True),
    key="scorer function layer head",
)  # fmt: skip
_add(
    "gaze", "What every head looks at where a function's answers are predicted: shares of attention, means over steps with boxes "
    "of split S (scorer `attention`).",
    FUNCTION,
    Column("layer", "count", "layer of the head, from 0"),
    Column("head", "count", "head within its layer, from 0"),
    Column("gaze", "change", "`target` minus `random`"),
    *_interval("change"),
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
_add(
    "groups", "Redundant groups of heads, found on split S (scorer `multihead`): what one, half and all of each cost on split E.",
    FUNCTION,
    Column("group", "count", "number of the group within its function, from 1, the most damaging first"),
    Column("part", "text", "all heads; half of them (mean of two halves); one of them (mean over heads); the most costly one; "
           "as many random heads of the same layers or, where there are too few, of any (mean over sets)",
           values=("all", "half", "one", "worst_one", "random")),
    Column("k", "count", "heads ablated", "heads"),
    Column("heads", "text", "the heads of the group, as `L4.H1 L5.H0`"),
    Column("drop", "change", "fall of accuracy on the function's steps"),
    *_interval("change"),
    Column("loss", "number", "fall of the gold answer's log-probability", "nats"),
    Column("unparsable_after", "share", "share of unreadable answers without the heads"),
    Column("p", "p", "of `all`: (1 + random sets that cost at least as much) / (random sets + 1)", gaps=True),
    N,
    key="function group part",
)  # fmt: skip
_add(
    "selection", "The heads that each selector chooses for each function from each scorer's scores.",
    SCORER, FUNCTION,
    Column("selector", "text", "name of the selector"),
    Column("count", "count", "heads selected", "heads"),
    Column("share", "share", "heads selected as a share of all heads"),
    Column("heads", "text", "the heads, best first, as `L0.H1 L2.H3`", gaps=True),
    Column("reason", "text", "why there are none, where there are none", gaps=True),
    key="scorer function selector",
)  # fmt: skip
_add(
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
_add(
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
    Column("recruited_by", "text", "the method under which the head has an effect; empty for none", gaps=True),
    Column("recruited_effect", "number", "what the steps lose without the head under that method", "nats or share", gaps=True),
    Column("p_recruited", "p", "one-sided p that this is not above the effect without the method", gaps=True),
    Column("idle", "flag", "decodable above twin and null, and without effect alone and in its group"),
    Column("latent", "flag", "idle, and recruited by a method"),
    key="function layer head",
)  # fmt: skip
_add(
    "overlap", "How far the selected heads of two functions are the same.",
    SCORER,
    Column("function_a", "text", "one function"),
    Column("function_b", "text", "the other function"),
    Column("jaccard", "share", "Jaccard index of the two sets; empty if both are empty", gaps=True),
    Column("jaccard_corrected", "number", "the same corrected for chance: 0 as expected at random, 1 equal", gaps=True),
    key="scorer function_a function_b",
)  # fmt: skip
_add(
    "agreement", "How far each scorer orders the heads as exact ablation does.",
    SCORER, FUNCTION,
    Column("spearman", "number", "rank correlation over heads with the scorer `ablation`", "-1..1", gaps=True),
    *_interval("number"),
    Column("top5_overlap", "share", "share of the five best heads that are also among the five best of `ablation`", gaps=True),
    Column("top5_expected", "share", "the same share for random heads"),
    key="scorer function",
)  # fmt: skip
_add(
    "probe", "How well the probes predict a step's function, compared with control labels and with the text alone.",
    SCORER,
    Column("split", "text", "split that is predicted", values=("P", "S", "T", "E")),
    Column("target", "text", "what is predicted, from what", values=("true", "control", "text_only")),
    Column("measure", "text", "accuracy over all functions, or AUC of one", values=("accuracy", "auc")),
    Column("function", "text", "cognitive function; empty for all", gaps=True),
    Column("value", "share", "accuracy or AUC"),
    *_interval("share"),
    N,
    key="scorer split target measure function",
)  # fmt: skip
_add(
    "left_out", "Questions and ways of showing them that the model's processor refuses; no other table includes them.",
    Column("what", "text", "a question, or a way of showing questions", values=("question", "arm")),
    Column("name", "text", "id of the question, or name of the arm"),
    Column("split", "text", "split of the question; E for an arm"),
    Column("reason", "text", "why the model cannot be asked"),
    key="what name",
)  # fmt: skip
_add(
    "surface", "How well words alone predict a step's function and a question's answer, fitted on split P and tried on split E.",
    Column("what", "text", "what is predicted", values=("function_of_step", "answer_without_image")),
    Column("group", "text", "function or question type; `all` for all, `macro` for the mean over functions", gaps=True),
    Column("accuracy", "share", "share predicted correctly", gaps=True),
    Column("chance", "share", "accuracy of always saying the most frequent", gaps=True),
    *_interval("share"),
    Column("n", "count", "steps (`function_of_step`) or questions (`answer_without_image`)", "steps or questions"),
)  # fmt: skip
_add(
    "baseline", "Accuracy of the unedited model on split E.",
    Column("context", "text", "earlier steps answered by the dataset or by the model, with or without the image",
           values=("gold", "gold_no_image", "own", "own_no_image")),
    Column("group_kind", "text", "what the group is", values=("function", "family", "final")),
    Column("group", "text", "function, question type, or `final` for all final answers", gaps=True),
    Column("accuracy", "share", "share of right answers", gaps=True),
    *_interval("share"),
    Column("unparsable", "share", "share of answers that cannot be read as an answer", gaps=True),
    N,
    key="context group_kind group",
)  # fmt: skip
_add(
    "metrics", "The Spatial Score and its relatives on split E.",
    Column("condition", "text", "earlier steps answered by the dataset or by the model", values=("gold", "own")),
    Column("metric", "text", "SS, SS_chance_corrected, SS_ground or SS_chain"),
    Column("value", "number", "the score", "0..100; corrected ones may be negative", gaps=True),
    *_interval("number", "as value"),
    N,
    key="condition metric",
)  # fmt: skip
_add(
    "negative", "What a function's steps lose when its heads are ablated, compared with random sets on the same questions.",
    SCORER, FUNCTION,
    Column("operation", "text", "how heads are ablated, such as `mean`, `zero` or `scale`"),
    Column("k", "count", "heads ablated", "heads"),
    Column("heads", "text", "the heads, as `L0.H1 L2.H3`", gaps=True),
    Column("before", "share", "accuracy of the unedited model", gaps=True),
    Column("after", "share", "accuracy without the heads", gaps=True),
    Column("drop", "change", "before minus after", gaps=True),
    *_interval("change"),
    Column("random_drop", "change", "mean drop of the random sets", gaps=True),
    Column("random_low", "change", "2.5 % quantile of the random sets' drops", gaps=True),
    Column("random_high", "change", "97.5 % quantile of the random sets' drops", gaps=True),
    Column("n_random", "count", "random sets", "sets"),
    Column("p", "p", "share of the random sets whose drop is at least `drop`: (1 + #) / (n_random + 1)", gaps=True),
    Column("p_mcnemar", "p", "exact two-sided McNemar test of before against after", gaps=True),
    Column("q", "p", "p adjusted over the rows of this table (Benjamini-Hochberg)", gaps=True),
    Column("unparsable_before", "share", "share of unreadable answers of the unedited model", gaps=True),
    Column("unparsable_after", "share", "share of unreadable answers without the heads", gaps=True),
    N,
    key="scorer function operation",
)  # fmt: skip
_add(
    "damage", "What every function's steps lose when each function's heads are ablated.",
    SCORER,
    Column("heads_of", "text", "function whose heads are ablated"),
    Column("steps_of", "text", "function whose steps are looked at"),
    Column("k", "count", "heads ablated", "heads"),
    Column("drop", "change", "fall of accuracy", gaps=True),
    *_interval("change"),
    N,
    key="scorer heads_of steps_of",
)  # fmt: skip
_add(
    "dose", "Accuracy as more and more heads are ablated.",
    SCORER, FUNCTION,
    Column("k", "count", "heads ablated", "heads"),
    Column("set", "text", "the best by score, random ones, or the least", values=("selected", "random", "least")),
    Column("accuracy", "share", "accuracy on the function's steps", gaps=True),
    *_interval("share"),
    Column("unparsable", "share", "share of unreadable answers", gaps=True),
    N,
    key="scorer function k set",
)  # fmt: skip
_add(
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
_add(
    "steering", "What the steering directions were estimated from, or why there are none.",
    SCORER, FUNCTION,
    Column("n_correct", "count", "right steps of split P", "steps"),
    Column("n_incorrect", "count", "wrong steps of split P", "steps"),
    Column("k", "count", "heads to steer", "heads"),
    Column("reason", "text", "why nothing was steered; empty if it was", gaps=True),
    key="scorer function",
)  # fmt: skip
_add(
    "tuning", "The strengths that were tried on split T.",
    Column("what", "text", "what is tuned, such as `alpha`"),
    SCORER, FUNCTION,
    Column("value", "number", "the strength"),
    Column("accuracy", "share", "accuracy on split T", gaps=True),
    Column("chosen", "flag", "whether it was taken"),
    key="what scorer function value",
)  # fmt: skip
_add(
    "counts", "How many heads the functions have, how these numbers differ and how far the sets overlap: what C1 to C3 read.",
    SCORER,
    Column("what", "text", "`share` of all heads that the selector chose for a function; `spread`: largest minus smallest "
           "number of selected heads; `overlap`: mean chance-corrected Jaccard of two functions' selected heads; "
           "`spatial_minus_other`: mean number of heads of spatial functions minus that of the others, at equal numbers of steps",
           values=("share", "spread", "overlap", "spatial_minus_other")),
    Column("function", "text", "cognitive function of a `share`; empty for what is over all functions", gaps=True),
    Column("value", "number", "what was counted", "share: 0..1; spread, spatial_minus_other: heads; overlap: up to 1", gaps=True),
    *_interval("number", "as value"),
    Column("p", "p", "one-sided: that overlap is 1/2 or more, that spatial functions do not have fewer heads", gaps=True),
    Column("n", "count", "pairs of a step and a function it needs", "pairs"),
    key="scorer what function",
)  # fmt: skip
_add(
    "fewest", "Numbers of heads of spatial functions minus those of others, at equal numbers of steps.",
    SCORER,
    Column("spatial", "text", "spatial function, or `both` for the mean of the two"),
    Column("other", "text", "other function; empty for the mean of the others", gaps=True),
    Column("difference", "number", "mean difference over resamples; below 0 the spatial function has fewer", "heads"),
    *_interval("number", "heads"),
    Column("p", "p", "one-sided p that the spatial function does not have fewer", gaps=True),
    Column("n", "count", "steps of each function in a resample", "steps"),
    key="scorer spatial other",
)  # fmt: skip
_add(
    "activation", "What each way of showing the image gains.",
    Column("arm", "text", "way of showing the image; `original` is the comparison"),
    Column("group", "text", "function, `spatial` (both spatial functions) or `final` (final answers)"),
    Column("accuracy", "share", "accuracy with this arm"),
    Column("gain", "change", "accuracy minus that of `original`"),
    *_interval("change"),
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
_add(
    "methods", "What each activation method does to the spatial score on split E, and whether it helps.",
    Column("method", "text", "name of the method"),
    Column("before", "number", "spatial score of the unchanged model", "0..100", gaps=True),
    Column("after", "number", "spatial score with the method", "0..100", gaps=True),
    Column("gain", "number", "after minus before", "points", gaps=True),
    *_interval("number", "points"),
    Column("p", "p", "McNemar test of spatial steps, clustered by scene", gaps=True),
    Column("q", "p", "the same adjusted over the methods (Benjamini-Hochberg)", gaps=True),
    Column("own_gain", "number", "gain after the model's own earlier answers", "points", gaps=True),
    *_interval("number", "points", "own_"),
    Column("final_gain", "number", "gain of final answers after the model's own earlier answers", "points", gaps=True),
    *_interval("number", "points", "final_"),
    Column("off_task_gain", "number", "change on all steps that are not spatial", "points", gaps=True),
    *_interval("number", "points", "off_task_"),
    Column("unparsable_before", "share", "share of unreadable answers of the unchanged model"),
    Column("unparsable_after", "share", "share of unreadable answers with the method"),
    Column("n", "count", "spatial steps", "steps"),
    Column("n_heads", "count", "heads it acts on", "heads"),
    Column("heads", "text", "these heads, if they are at most 64", gaps=True),
    Column("parameters", "count", "numbers that were fitted or tuned"),
    Column("images", "number", "images shown, as a multiple of the original"),
    Column("time", "number", "time to answer, as a multiple of the unchanged model's"),
    Column("memory", "number", "additional peak memory of a CUDA device", "MB", gaps=True),
    Column("helps", "flag", "whether interval, corrected test and all required controls say so"),
    Column("reason", "text", "why it does not help; empty if it does", gaps=True),
    key="method",
)  # fmt: skip
_add(
    "method_gains", "What each activation method gains on split E, group by group.",
    Column("method", "text", "name of the method"),
    Column("context", "text", "earlier steps answered by the dataset or by the model", values=("gold", "own")),
    Column("group", "text", "`spatial` (mean of both spatial functions), a function, `final`, `off_task`, or `type:` and a "
           "question type"),
    Column("before", "share", "accuracy of the unchanged model"),
    Column("after", "share", "accuracy with the method"),
    Column("gain", "change", "after minus before"),
    *_interval("change"),
    Column("p", "p", "McNemar test clustered by scene"),
    Column("unparsable_before", "share", "share of unreadable answers of the unchanged model"),
    Column("unparsable_after", "share", "share of unreadable answers with the method"),
    N,
    key="method context group",
)  # fmt: skip
_add(
    "method_controls", "What each activation method gains beyond its own controls, on the spatial steps of split E.",
    Column("method", "text", "name of the method"),
    Column("control", "text", "what the method was made into",
           values=("random_heads", "all_heads", "shuffled", "random_directions", "random_boxes", "image_twice")),
    Column("draws", "count", "fits of the control, whose answers are averaged", "fits"),
    Column("gain", "change", "the control's own gain in spatial score"),
    Column("beyond", "change", "the method's spatial score minus the control's, step by step"),
    *_interval("change"),
    Column("p", "p", "bootstrap p of `beyond`, two-sided", gaps=True),
    Column("q", "p", "the same adjusted over all required controls of all methods (Benjamini-Hochberg)", gaps=True),
    Column("required", "flag", "whether a method must beat it to help; `all_heads` is reported beside"),
    Column("beaten", "flag", "whether the method gains more, at the corrected level"),
    key="method control",
)  # fmt: skip
_add(
    "method_strengths", "The strengths of activation methods that were tried on split T.",
    Column("method", "text", "name of the method"),
    Column("value", "number", "the strength; 0 is the unchanged model"),
    Column("accuracy", "share", "mean of both spatial functions' accuracies", gaps=True),
    Column("logprob", "number", "mean log-probability of the gold answers of spatial steps", "nats", gaps=True),
    Column("off_task", "share", "accuracy on all other steps", gaps=True),
    Column("unparsable", "share", "share of unreadable answers"),
    Column("chosen", "flag", "whether it was taken"),
    key="method value",
)  # fmt: skip
