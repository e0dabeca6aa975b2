"""The kinds of steps: the functions that each needs, the type of its answer, and at least six ways to ask it.

The first `COMMON` phrasings of a kind appear in every split; the others are kept for split E, and for the training of the
shipped models, which must know the language. Openers and answer words are shared across functions, so that they do not give a
step's function away; `cogvsr/surface.py` measures how far that succeeds.

{a}, {b} and {c} stand for names of things ("red dog"), other names in braces for words. No phrasing repeats an earlier step's
answer, so that a model's own mistakes are not corrected by the text of the next step.
"""

from __future__ import annotations

from dataclasses import dataclass

from headatlas.cogvsr.schema import AnswerType

COMMON = 4
"""Number of phrasings of a kind that every split may use; the others are used in E and train only."""

OPENERS = ("", "", "", "now: ", "for this question: ", "in this picture: ", "next: ", "first think: ")
"""Put before steps of any function, so that words like "question" and "picture" say nothing about the function."""

_SP, _RR = "spatial_perception", "relational_reasoning"
_LV, _HV = "low_level_perception", "high_level_perception"
_IE, _KR = "information_extraction", "knowledge_recall"
_MR, _DM = "math_reasoning", "decision_making"


@dataclass(frozen=True)
class Kind:
    """A kind of step: `functions` with the primary one first, and `needs_image`, False if text and knowledge are enough."""

    functions: tuple[str, ...]
    answer_type: AnswerType
    needs_image: bool
    phrases: tuple[str, ...]


def _kind(functions: str | tuple[str, ...], answer_type: AnswerType, needs_image: bool, *phrases: str) -> Kind:
    functions = (functions,) if isinstance(functions, str) else functions
    assert len(phrases) >= 6, phrases
    return Kind(functions, answer_type, needs_image, phrases)


# fmt: off
KINDS: dict[str, Kind] = {
    # -- information extraction: what the question says ------------------------------------------------------------
    "asked_first": _kind(_IE, "text", False,
        "which thing is asked about first?", "name the first thing that is mentioned.", "which thing comes first in the words?",
        "what is the first thing named?", "what does the wording name first?", "say the thing mentioned at the start."),
    "asked_second": _kind(_IE, "text", False,
        "which thing is asked about second?", "name the second thing that is mentioned.", "which thing comes second in the words?",
        "what is the second thing named?", "what does the wording name second?", "say the thing mentioned after the first."),
    "asked_side": _kind(_IE, "choice", False,
        "which side is asked about?", "name the side that is mentioned.", "which way do the words name?",
        "what side is named?", "what side does the wording give?", "say the side mentioned."),
    "asked_line": _kind(_IE, "choice", False,
        "is a row or a column asked about?", "row or column: which is mentioned?", "which line do the words name, row or column?",
        "what is named, a row or a column?", "does the wording give a row or a column?", "say what is mentioned, row or column."),
    "asked_trait": _kind(_IE, "choice", False,
        "which trait is asked about?", "name the trait that is mentioned.", "which trait do the words name?",
        "what trait is named?", "what trait does the wording give?", "say the trait mentioned."),
    "asked_color": _kind(_IE, "choice", False,
        "which color is asked about?", "name the color that is mentioned.", "which color do the words name?",
        "what color is named?", "what color does the wording give?", "say the color mentioned."),
    # -- knowledge recall: known without looking -------------------------------------------------------------------
    "opposite": _kind(_KR, "choice", False,
        "which side is opposite to {side}?", "name the side that is not {side} but its opposite.", "{side} turned around is which side?",
        "what side is the opposite of {side}?", "what does {side} become when reversed?", "say the reverse of {side}."),
    "grows": _kind(_KR, "choice", False,
        "toward which side do {line} numbers grow?", "name the side where {line} numbers get larger.", "which way do larger {line} numbers lie?",
        "on what side is the last {line}?", "what way does a {line} count up?", "say where the highest {line} lies."),
    "looks_larger": _kind(_KR, "choice", False,
        "does the same thing look {size} when near or far?", "near or far: where do things look {size}?", "at which depth does a thing look {size}, near or far?",
        "is it near or far that makes things look {size}?", "what depth makes one thing appear {size}?", "say the depth, near or far, that looks {size}."),
    "corners": _kind(_KR, "number", False,
        "how many corners does a {cls} have?", "name the number of corners of a {cls}.", "a {cls} has which number of corners?",
        "what is the number of corners on a {cls}?", "count the corners any {cls} has.", "say how many corners belong to a {cls}."),
    "is_animal": _kind(_KR, "yes_no", False,
        "is a {cls} an animal?", "does a {cls} live and breathe?", "would you call a {cls} an animal?",
        "is any {cls} a living thing?", "can a {cls} be alive?", "say if a {cls} counts as an animal."),
    "has_front": _kind(_KR, "yes_no", False,
        "does a {cls} have a front?", "is there a front side to a {cls}?", "can a {cls} face some way?",
        "has any {cls} a front and a back?", "is facing possible for a {cls}?", "say if a {cls} has a front."),
    "own_side": _kind((_KR, _RR), "choice", False,
        "a thing faces that way: which side is its own {hand}?", "facing like that, where is its own {hand}?", "name the side that is the {hand} of a thing facing so.",
        "on what side is the own {hand} of a thing facing that way?", "with such a front, where does its {hand} lie?", "say where the own {hand} is when facing so."),
    # -- low-level perception: colour, texture, size ---------------------------------------------------------------
    "color_of": _kind(_LV, "choice", True,
        "which color is the {ref}?", "name the color of the {ref}.", "the {ref} has which color?",
        "what color does the {ref} have?", "what is the {ref} colored?", "say the color the {ref} shows."),
    "texture_of": _kind(_LV, "choice", True,
        "is the {a} plain, striped or dotted?", "name the texture of the {a}.", "which texture does the {a} have?",
        "what texture is on the {a}?", "what does the surface of the {a} show?", "say how the {a} is textured."),
    "size_of": _kind(_LV, "choice", True,
        "is the {a} a small or a large thing?", "name the true size of the {a}, small or large.", "which size does the {a} have?",
        "what size is the {a}?", "what is the real size of the {a}?", "say how big the {a} is."),
    "has_texture": _kind(_LV, "yes_no", True,
        "is the {a} {texture}?", "does the {a} look {texture}?", "would you call the {a} {texture}?",
        "is {texture} the texture of the {a}?", "does {texture} describe the {a}?", "say if the {a} is {texture}."),
    # -- high-level perception: things and the place ---------------------------------------------------------------
    "exists": _kind(_HV, "yes_no", True,
        "is there a {a}?", "does a {a} appear?", "can you see a {a}?",
        "is a {a} shown?", "is any {a} present?", "say if there is a {a}."),
    "place": _kind(_HV, "choice", True,
        "which place is it?", "name the place that is shown.", "the things lie in which place?",
        "what place is this?", "what kind of place do you see?", "say the place around the things."),
    "what_is": _kind(_HV, "text", True,
        "which thing is {color} and {texture}?", "name the thing that is {color} and {texture}.", "the {texture} thing in {color} is what?",
        "what is the {color} {texture} thing?", "what thing shows {texture} {color}?", "say what is both {texture} and {color}."),
    "how_many_kind": _kind((_HV, _MR), "number", True,
        "how many things are a {cls}?", "name the number of things that are a {cls}.", "which number of {cls} things is there?",
        "what is the number of {cls} things?", "count each {cls} you see.", "say how often a {cls} appears."),
    # -- spatial perception ----------------------------------------------------------------------------------------
    "column_of": _kind(_SP, "number", True,
        "which column is the {a} in?", "name the column of the {a}.", "the {a} is in which column?",
        "what column has the {a}?", "what is the column number of the {a}?", "say the column where the {a} lies."),
    "row_of": _kind(_SP, "number", True,
        "which row is the {a} in?", "name the row of the {a}.", "the {a} is in which row?",
        "what row has the {a}?", "what is the row number of the {a}?", "say the row where the {a} lies."),
    "half_of": _kind(_SP, "choice", True,
        "is the {a} in the {side0} or {side1} half?", "name the half of the {a}, {side0} or {side1}.", "which half is the {a} in, {side0} or {side1}?",
        "what half has the {a}: {side0} or {side1}?", "does the {a} lie in the {side0} or {side1} half?", "say if the {a} is in the {side0} or {side1} half."),
    "facing_of": _kind(_SP, "choice", True,
        "which way does the {a} face?", "name the way the {a} is facing.", "the {a} faces which side?",
        "what way is the {a} turned?", "what side does the front of the {a} point to?", "say where the {a} looks."),
    "depth_of": _kind(_SP, "choice", True,
        "is the {a} near, middle or far?", "name the depth of the {a}.", "which depth does the {a} have?",
        "what depth is the {a} at?", "what is the depth of the {a} from you?", "say how far off the {a} is."),
    "in_frame": _kind(_SP, "yes_no", True,
        "is the {a} inside the frame?", "does the {a} lie in the frame?", "would you find the {a} inside the frame?",
        "is the frame around the {a}?", "does the frame hold the {a}?", "say if the {a} is within the frame."),
    "extreme": _kind((_SP, _RR), "text", True,
        "which thing is farthest to the {side}?", "name the thing most to the {side}.", "the {side} end has which thing?",
        "what thing lies farthest {side}?", "what is the outermost thing on the {side}?", "say the thing nearest the {side} edge."),
    "count_in": _kind((_SP, _MR), "number", True,
        "how many {what} are {where}?", "name the number of {what} {where}.", "which number of {what} lies {where}?",
        "what is the number of {what} {where}?", "count the {what} {where}.", "say how many {what} you see {where}."),
    # -- relational reasoning --------------------------------------------------------------------------------------
    "side_h": _kind(_RR, "choice", True,
        "which side of the {b} is the {a} on, left or right?", "name the side of the {b} where the {a} is, left or right.", "left or right: the {a} is where from the {b}?",
        "from the {b}, what side is the {a}, left or right?", "is the {a} left or right as seen from the {b}?", "say if the {a} is left or right of the {b}."),
    "side_v": _kind(_RR, "choice", True,
        "which side of the {b} is the {a} on, above or below?", "name the side of the {b} where the {a} is, above or below.", "above or below: the {a} is where from the {b}?",
        "from the {b}, what side is the {a}, above or below?", "is the {a} above or below as seen from the {b}?", "say if the {a} is above or below the {b}."),
    "nearer": _kind(_RR, "text", True,
        "which is nearer to you, the {a} or the {b}?", "name the nearer thing: the {a} or the {b}.", "the {a} or the {b}: which has less depth?",
        "what is nearer, the {a} or the {b}?", "of the {a} and the {b}, what is in front?", "say which is less far, the {a} or the {b}."),
    "same_way": _kind(_RR, "yes_no", True,
        "do the {a} and the {b} face the same way?", "is the {a} facing like the {b}?", "have the {a} and the {b} one way?",
        "is the way of the {a} that of the {b}?", "are the {a} and the {b} turned alike?", "say if the {a} and the {b} look the same way."),
    "ahead": _kind(_RR, "yes_no", True,
        "is the {b} on the side that the {a} faces?", "does the {a} face toward the {b}?", "would the {a} see the {b} ahead?",
        "is the front of the {a} toward the {b}?", "does the {b} lie ahead of the {a}?", "say if the {a} looks toward the {b}."),
    "between": _kind(_RR, "yes_no", True,
        "is the {c} between the {a} and the {b}, by column?", "does the column of the {c} lie between the {a} and the {b}?", "would the {c} be in between the {a} and the {b} by column?",
        "is it the {c} that is between the {a} and the {b} by column?", "do the {a} and the {b} enclose the {c} by column?", "say if the {c} is amid the {a} and the {b} by column."),
    "aligned": _kind(_RR, "yes_no", True,
        "are the {a} and the {b} in the same {line}?", "is the {line} of the {a} that of the {b}?", "have the {a} and the {b} one {line}?",
        "do the {a} and the {b} share a {line}?", "are the {a} and the {b} lined up in a {line}?", "say if the {a} and the {b} are on one {line}."),
    "closer": _kind(_RR, "text", True,
        "which is closer to the {a}: the {b} or the {c}?", "name the thing closer to the {a}: the {b} or the {c}.", "the {b} or the {c}: which has less way to the {a}?",
        "what is closer to the {a}, the {b} or the {c}?", "of the {b} and the {c}, what lies next to the {a}?", "say which is less far from the {a}, the {b} or the {c}."),
    "own_hand": _kind(_RR, "choice", True,
        "is the {b} on the own left or own right of the {a}?", "name the own side of the {a} where the {b} is.", "which own side of the {a} has the {b}?",
        "on what own side of the {a} is the {b}?", "as the {a} sees it, what side is the {b} on?", "say the side of the {b} from the view of the {a}."),
    # -- math reasoning: on the numbers the earlier steps gave -----------------------------------------------------
    "is_less": _kind(_MR, "yes_no", False,
        "is the first of the two numbers less than the second?", "does the first number come below the second?", "would you call the first number less than the second?",
        "is the second of the two numbers more than the first?", "does the second number exceed the first?", "say if the first number is the lesser."),
    "is_equal": _kind(_MR, "yes_no", False,
        "are the two numbers the same?", "is the first number that of the second?", "have both numbers one value?",
        "is the second number the first again?", "do the two numbers agree?", "say if both numbers are equal."),
    "difference": _kind(_MR, "number", False,
        "which number is the difference of the two numbers?", "name the difference of the two numbers.", "the two numbers are how many apart?",
        "what is the larger number minus the other?", "what remains when the lesser is taken from the larger?", "say how much the two numbers differ."),
    "inside_range": _kind(_MR, "yes_no", False,
        "is the last number between the other two numbers?", "does the last number lie between the first two?", "would the last number be in between the other numbers?",
        "is it the last number that is between the others?", "do the first two numbers enclose the last?", "say if the last number is amid the other two."),
    "closest_number": _kind(_MR, "number", False,
        "which of the last two numbers is closer to the first?", "name the number, of the last two, closer to the first.", "of the last two numbers, which has less way to the first?",
        "what number of the last two is closer to the first?", "what of the last two numbers differs less from the first?", "say which of the last two numbers is less far from the first."),
    "in_total": _kind(_MR, "number", False,
        "which number are the two numbers together?", "name the sum of the two numbers.", "the two numbers are how many in total?",
        "what is the first number plus the second?", "what do both numbers make when added?", "say how much the two numbers give as a sum."),
    # -- decision making -------------------------------------------------------------------------------------------
    "decide": _kind(_DM, "text", False,
        "so which answer is right?", "name the answer to give.", "which answer follows?",
        "what is the answer then?", "what do you answer in the end?", "say the answer you settle on."),
}

QUESTIONS: dict[str, tuple[str, ...]] = {
    "left_right": ("is the {a} to the left or to the right of the {b}?", "is the {a} left or right of the {b}?", "where is the {a} from the {b}: left or right?"),
    "left_right_yes_no": ("is the {a} to the {side} of the {b}?", "is it true that the {a} is {side} of the {b}?", "does the {a} lie {side} of the {b}?"),
    "above_below": ("is the {a} above or below the {b}?", "does the {a} lie above or below the {b}?", "where is the {a} from the {b}: above or below?"),
    "above_below_yes_no": ("is the {a} {side} the {b}?", "is it true that the {a} is {side} the {b}?", "does the {a} lie {side} the {b}?"),
    "near_far": ("which is nearer to you, the {a} or the {b}?", "is the {a} or the {b} nearer?", "what is less far away, the {a} or the {b}?"),
    "front_behind": ("is the {a} in front of the {b}?", "is it true that the {a} is in front of the {b}?", "does the {a} float in front of the {b}?"),
    "facing": ("which way does the {a} face?", "to which side is the {a} turned?", "where does the {a} look?"),
    "same_way": ("do the {a} and the {b} face the same way?", "is the {a} turned the same way as the {b}?", "are the {a} and the {b} facing one way?"),
    "toward": ("does the {a} face toward the {b}?", "is the {a} turned toward the {b}?", "is the {b} on the side that the {a} faces?"),
    "between": ("is the {c} between the {a} and the {b}, by column?", "by column, does the {c} lie between the {a} and the {b}?", "is the column of the {c} between those of the {a} and the {b}?"),
    "inside_region": ("is the {a} inside the frame?", "does the frame hold the {a}?", "is it true that the {a} is inside the frame?"),
    "count_in": ("how many {what} are {where}?", "what is the number of {what} {where}?", "count the {what} {where}."),
    "aligned": ("are the {a} and the {b} in the same {line}?", "do the {a} and the {b} share a {line}?", "is the {a} in the same {line} as the {b}?"),
    "apart": ("how many {line}s are the {a} and the {b} apart?", "what is the number of {line}s from the {a} to the {b}?", "by {line}, how far apart are the {a} and the {b}?"),
    "closest": ("which is closer to the {a}: the {b} or the {c}?", "what lies closer to the {a}, the {b} or the {c}?", "is the {b} or the {c} closer to the {a}?"),
    "farthest": ("which is farther from the {a}: the {b} or the {c}?", "what lies farther from the {a}, the {b} or the {c}?", "is the {b} or the {c} farther from the {a}?"),
    "viewpoint": ("is the {b} on the own left or own right of the {a}?", "seen by the {a}, is the {b} on its left or right?", "on which own side of the {a} is the {b}, left or right?"),
    "multi_hop": ("which {trait} does the thing farthest to the {side} have?", "what is the {trait} of the thing most to the {side}?", "the thing farthest to the {side}: what is its {trait}?"),
}
# fmt: on
