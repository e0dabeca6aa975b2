"""Scenes' questions in natural English, for models that know the language, instead of the templates of `phrases.py`.

The templates have few words, which a model trained from scratch can learn; these wordings are what the source `scenes-english`
asks. The family smol is trained on some of them; the others are held out, for split E and to measure how well it understands
words that it never saw. `reword` finds the template of each text, takes the names of things and other values out of it, and puts
them into another wording; the answers stay the same.

As in `phrases.py`, no wording repeats the answer of an earlier step, and a wording has the same {slots} as the templates. A
question names its things in the order a, b, c.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Literal, get_args

from headatlas.cogvsr.schema import Question, Step
from headatlas.errors import HeadAtlasError
from headatlas.scenes import phrases
from headatlas.scenes.question_types.base import OPPOSITES, in_order
from headatlas.scenes.question_types.hops import JUST_NAMED
from headatlas.scenes.world import CLASSES, COLORS, TEXTURES

Which = Literal["train", "held_out", "all"]


@dataclass(frozen=True)
class Wordings:
    """Ways to ask for one thing: those for training, and those that the model must not see in training."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]

    def of(self, which: str) -> tuple[str, ...]:
        """Return the ways to ask that `which` names."""
        return {"train": self.train, "held_out": self.held_out, "all": self.train + self.held_out}[which]


def _wordings(*train: str, held_out: tuple[str, ...]) -> Wordings:
    return Wordings(train, held_out)


STEPS: dict[str, Wordings] = {
    # -- information extraction ----------------------------------------------------------------------------------------
    "asked_first": _wordings(
        "List the things in the question in order; which heads the list?",
        "Which of the things does the question bring up first?",
        "Read the question again: whose name comes before all others?",
        "Quote the earliest thing in the question.",
        "Which thing does the question refer to before any other?",
        "Looking at the text of the question, which thing opens it?",
        held_out=(
            "As you read the question, which thing do you meet first?",
            "Give me the first of the things that I asked about.",
            "My question talks about some things. What is the first one?",
        ),
    ),
    "asked_second": _wordings(
        "List the things in the question in order; which is number two?",
        "Which of the things does the question bring up second?",
        "Read the question again: whose name follows the first one?",
        "Quote the second thing in the question.",
        "Which thing does the question refer to directly after the first?",
        "Looking at the text of the question, which thing comes after the opening one?",
        held_out=(
            "As you read the question, which thing do you meet second?",
            "Give me the second of the things that I asked about.",
            "My question talks about some things. What is the second one?",
        ),
    ),
    "asked_side": _wordings(
        "Which side does the question want to know about?",
        "Tell me the side that the question has in it.",
        "Look for a side in the question: which one is it?",
        "What side am I asking you about?",
        "The question mentions one side. Which?",
        "Pick out the word for a side from the question.",
        held_out=(
            "Which side did I mention?",
            "A side appears in my question. What is it?",
            "Repeat the side that I asked about.",
        ),
    ),
    "asked_line": _wordings(
        "Am I asking about a row or a column?",
        "Is the question about one row or about one column?",
        "Find the word in the question: is it row or column?",
        "Which of the two does the question want to know about, row or column?",
        "Tell me which word the question has in it, row or column.",
        "Pick the one that I speak of: row or column.",
        held_out=(
            "Which word appears in my question, row or column?",
            "Is my question concerned with a row or with a column?",
            "Decide from how I put the question: row or column?",
        ),
    ),
    "asked_trait": _wordings(
        "Which trait does the question want to know about?",
        "Tell me the trait that the question has in it.",
        "Look for a trait in the question: which one is it?",
        "What trait am I asking you about?",
        "The question mentions one trait. Which?",
        "Pick out the word for a trait from the question.",
        held_out=(
            "Which trait did I mention?",
            "A trait appears in my question. What is it?",
            "Repeat the trait that I asked about.",
        ),
    ),
    "asked_color": _wordings(
        "Which color does the question want to know about?",
        "Tell me the color that the question has in it.",
        "Look for a color in the question: which one is it?",
        "What color am I asking you about?",
        "The question mentions one color. Which?",
        "Pick out the word for a color from the question.",
        held_out=(
            "Which color did I mention?",
            "A color appears in my question. What is it?",
            "Repeat the color that I asked about.",
        ),
    ),
    # -- knowledge recall ----------------------------------------------------------------------------------------------
    "opposite": _wordings(
        "What word means the contrary of {side}?",
        "If you swap {side} for its opposite, what do you get?",
        "Complete the pair of opposites: {side} and what?",
        "Not {side} but just the other way: what is that?",
        "Someone says {side} but means the reverse. What do they mean?",
        "Tell me the antonym of {side}.",
        held_out=(
            "Which word is the counterpart of {side}?",
            "If it isn't {side}, it is the very opposite. What is it?",
            "Flip {side}: what does it turn into?",
        ),
    ),
    "grows": _wordings(
        "On which side do you find the {line}s with the bigger numbers?",
        "Counting {line}s from one upward, to which side do you go?",
        "To which side must you move for a higher {line} number?",
        "Tell me the side at which the numbering of a {line} ends.",
        "When {line} numbers increase, which side are you heading for?",
        "Where does the {line} with the biggest number lie: on which side?",
        held_out=(
            "If you count up through the {line}s, which side do you get closer to?",
            "The {line} numbers start at one side and rise. Toward which side?",
            "Say I go from the first {line} to the last. To which side am I going?",
        ),
    ),
    "looks_larger": _wordings(
        "Must a thing be near or far to look {size}?",
        "Put the same thing near or far: in which case does it seem {size}?",
        "Things seem {size} when they are what, near or far?",
        "What makes a thing seem {size}: being near or being far?",
        "You want a thing to look {size}. Do you put it near or far?",
        "Of two equal things, the one that looks {size} is which, near or far?",
        held_out=(
            "Would a thing seem {size} if it were near or if it were far?",
            "Two things have the same size, but one looks {size}. Is that one near or far?",
            "Tell me where a thing has to be to appear {size}: near or far?",
        ),
    ),
    "corners": _wordings(
        "Draw a {cls}. How many corners did you make?",
        "Tell me how many corners you find on a {cls}.",
        "If you walk around a {cls}, how many corners do you pass?",
        "What's the corner count of a {cls}?",
        "How often does the outline of a {cls} turn a corner?",
        "Geometry says that a {cls} has how many corners?",
        held_out=(
            "In a {cls}, how many corners are there?",
            "Think of a {cls}: what number of corners has it got?",
            "How many corners would you count on a {cls}?",
        ),
    ),
    "is_animal": _wordings(
        "Do we count a {cls} among the animals?",
        "Is a {cls} something that lives?",
        "Does the word {cls} stand for an animal?",
        "Could a {cls} eat and sleep?",
        "In real life, is a {cls} a kind of animal?",
        "Is the thing we call a {cls} a creature?",
        held_out=(
            "Does a {cls} belong to the animals?",
            "Yes or no: a {cls} is a living creature.",
            "Are you thinking of an animal when you think of a {cls}?",
        ),
    ),
    "has_front": _wordings(
        "Can you tell the front of a {cls} from its back?",
        "Does a {cls} point in some direction?",
        "Is one end of a {cls} its front?",
        "Do we speak of the front of a {cls}?",
        "Has a {cls} got a front end?",
        "Would it make sense to ask which way a {cls} is facing?",
        held_out=(
            "Is there such a thing as the front of a {cls}?",
            "Tell me whether a {cls} has a front side.",
            "Can one say of a {cls} that it faces somewhere?",
        ),
    ),
    "own_side": _wordings(
        "For a thing facing that way, its own {hand} is which side of the picture?",
        "Turned like that, the thing has its {hand} on which side?",
        "Imagine you face the same way. On which side is your {hand}?",
        "Given the way it faces, where does its {hand} point: left, right, above or below?",
        "Which side does the thing's own {hand} correspond to when it faces so?",
        "Tell me the side where its own {hand} is, with the front that way.",
        held_out=(
            "If something faces in that direction, on which side does its own {hand} lie?",
            "Its front points that way, so where is its {hand}: left, right, above or below?",
            "Work out from its direction which side its own {hand} is on.",
        ),
    ),
    # -- low-level perception ------------------------------------------------------------------------------------------
    "color_of": _wordings(
        "Tell me what color the {ref} is.",
        "In what color was the {ref} painted?",
        "How would you describe the color of the {ref}?",
        "The {ref} you see comes in which color?",
        "Look at the {ref}: is it red, orange, yellow, green, blue or purple?",
        "If you wanted to paint a copy of the {ref}, which color would you take?",
        held_out=(
            "What's the {ref}'s color?",
            "I can't see the {ref}. What color is it?",
            "Which color would you use to draw the {ref}?",
        ),
    ),
    "texture_of": _wordings(
        "Which word fits the surface of the {a}: plain, striped or dotted?",
        "Tell me whether the {a} is plain, striped or dotted.",
        "Look at the {a} closely: what is its texture?",
        "How is the surface of the {a} patterned?",
        "Describe the texture you see on the {a}.",
        "Are there stripes or dots on the {a}, or is it plain? Give its texture.",
        held_out=(
            "Plain, striped or dotted: what does the {a} look like?",
            "What would you say about the texture of the {a}: dotted, plain or striped?",
            "When you look at its surface, is the {a} dotted, striped or plain?",
        ),
    ),
    "size_of": _wordings(
        "In truth, is the {a} small or is it large?",
        "Tell me the actual size of the {a}: small or large?",
        "Leaving its depth aside, how big is the {a}, small or large?",
        "Would you call the {a} a small thing or a large one?",
        "To which size does the {a} belong, small or large?",
        "Is it small or large that describes the {a} best?",
        held_out=(
            "How large is the {a} really: small or large?",
            "Small or large: what is the {a}, if you allow for its depth?",
            "Which word gives the real size of the {a}, large or small?",
        ),
    ),
    "has_texture": _wordings(
        "Would you describe the {a} as {texture}?",
        "Tell me whether the {a} has a {texture} surface.",
        "Look at the {a}: is it {texture} or not?",
        "Is it correct that the {a} is {texture}?",
        "Has someone made the {a} {texture}?",
        "Do you see a {texture} texture on the {a}?",
        held_out=(
            "Can we say that the {a} is {texture}?",
            "The {a} is {texture}, isn't it?",
            "Check the {a}: is its texture {texture}?",
        ),
    ),
    # -- high-level perception -----------------------------------------------------------------------------------------
    "exists": _wordings(
        "Do you find a {a} anywhere?",
        "Has the picture got a {a} in it?",
        "Could you point to a {a}?",
        "Tell me whether you notice a {a}.",
        "Do the things include a {a}?",
        "If I look for a {a}, will I find one?",
        held_out=(
            "Does the scene contain a {a}?",
            "Can a {a} be found here?",
            "Is a {a} one of the things you see?",
        ),
    ),
    "place": _wordings(
        "Where are we: in a meadow, on a beach, in snow or at night?",
        "What's the background like: meadow, beach, snow or night?",
        "Tell me what surroundings the things have.",
        "In what kind of setting do you see all this?",
        "What do you see behind the things: which place?",
        "Which of these is the scene: meadow, beach, snow or night?",
        held_out=(
            "Is the scene a meadow, a beach, snow or night?",
            "What location does the picture show?",
            "Against what backdrop are the things set: beach, meadow, night or snow?",
        ),
    ),
    "what_is": _wordings(
        "Something here is {color} and also {texture}. What is it?",
        "Which of the things has the color {color} and a {texture} texture?",
        "I'm looking for something {texture} in {color}: what is it?",
        "Tell me what sort of thing is {texture} and {color}.",
        "What do you call the thing with a {texture} surface and {color} paint?",
        "Find the {color} thing that is {texture}. What is it?",
        held_out=(
            "One thing is {texture} and its color is {color}. What is that thing?",
            "What kind of thing did you see that was {color} and {texture}?",
            "Identify the thing that is painted {color} with a {texture} texture.",
        ),
    ),
    "how_many_kind": _wordings(
        "How many times do you see a {cls}?",
        "Tell me how many of the things are of the kind {cls}.",
        "Count everything that is a {cls}: what do you get?",
        "If you look for a {cls}, how many do you find?",
        "Of all the things, how many have the shape of a {cls}?",
        "Give the count of the things called {cls}.",
        held_out=(
            "Among the things, how many would you call a {cls}?",
            "What number do you reach when you count every {cls}?",
            "How many things of the type {cls} does the picture have?",
        ),
    ),
    # -- spatial perception --------------------------------------------------------------------------------------------
    "column_of": _wordings(
        "In what column can the {a} be found?",
        "Tell me the column number of the {a}.",
        "If you number the columns, which number does the {a} get?",
        "Which of the six columns holds the {a}?",
        "Find the {a} and give its column.",
        "Where is the {a} from left to right: in which column?",
        held_out=(
            "What number is the column that contains the {a}?",
            "I want to know the column in which you see the {a}.",
            "The {a} occupies which column?",
        ),
    ),
    "row_of": _wordings(
        "In what row can the {a} be found?",
        "Tell me the row number of the {a}.",
        "If you number the rows, which number does the {a} get?",
        "Which of the six rows holds the {a}?",
        "Find the {a} and give its row.",
        "Where is the {a} from top to bottom: in which row?",
        held_out=(
            "What number is the row that contains the {a}?",
            "I want to know the row in which you see the {a}.",
            "The {a} occupies which row?",
        ),
    ),
    "half_of": _wordings(
        "Cut the picture into a {side0} and a {side1} half: which has the {a}?",
        "Tell me in which half you find the {a}, the {side0} or the {side1} one.",
        "Would you look for the {a} in the {side0} half or in the {side1} half?",
        "To which half does the {a} belong: {side0} or {side1}?",
        "The {a}: is it part of the {side0} half or of the {side1} half?",
        "Of the {side0} and the {side1} half, which contains the {a}?",
        held_out=(
            "Is it the {side0} or the {side1} half that holds the {a}?",
            "Between the {side0} half and the {side1} half, where is the {a}?",
            "Pick the half where the {a} is: {side0} or {side1}.",
        ),
    ),
    "facing_of": _wordings(
        "In what direction is the {a} looking?",
        "Tell me the direction of the {a}: up, right, down or left?",
        "If the {a} moved forward, which way would it go?",
        "Toward which side is the {a} heading?",
        "Where does the front end of the {a} point: up, down, left or right?",
        "Is the {a} oriented up, right, down or left?",
        held_out=(
            "Up, down, left or right: how is the {a} turned?",
            "What direction does the {a} have its front in?",
            "Which direction is the {a} pointing in?",
        ),
    ),
    "depth_of": _wordings(
        "How far away is the {a}: near, middle or far?",
        "At what distance is the {a}, near, middle or far?",
        "Judge the depth of the {a}: near, middle or far?",
        "Of the three depths, which one does the {a} have?",
        "Does the {a} float near, middle or far?",
        "How deep in the scene does the {a} lie: near, middle or far?",
        held_out=(
            "What is the distance to the {a}: far, middle or near?",
            "On which of the depth levels, near, middle or far, do you see the {a}?",
            "Going by its depth, is the {a} far, middle or near?",
        ),
    ),
    "in_frame": _wordings(
        "Has the frame been drawn around the {a}?",
        "Does the {a} belong to the things in the frame?",
        "Tell me whether the frame contains the {a}.",
        "Looking only inside the frame, do you see the {a}?",
        "Is the {a} one of the things that the frame goes around?",
        "Do the lines of the frame enclose the {a}?",
        held_out=(
            "Is the {a} enclosed by the frame?",
            "Would I find the {a} if I searched just the frame?",
            "Does the frame have the {a} in it?",
        ),
    ),
    "extreme": _wordings(
        "Which thing would you reach last going to the {side}?",
        "No other thing is as far to the {side}: what is it?",
        "Starting from the {side} edge, which thing do you meet first?",
        "Tell me which of the things lies at the very {side}.",
        "What is the last thing on the {side}?",
        "Find the thing that is nearer the {side} than all others.",
        held_out=(
            "Among all the things, which is the one closest to the {side} border?",
            "Which thing has no other beyond it on the {side}?",
            "Name whatever is positioned furthest toward the {side}.",
        ),
    ),
    "count_in": _wordings(
        "Tell me how many {what} there are {where}.",
        "Look {where} and count: how many {what} are there?",
        "If you count {what} {where}, what number do you get?",
        "How many {what} can you find {where}?",
        "What do the {what} {where} add up to?",
        "Are there any {what} {where}, and how many?",
        held_out=(
            "Just {where}, how many {what} do you spot?",
            "There are {what} {where}, or maybe none. How many?",
            "I need to know how many {what} lie {where}.",
        ),
    ),
    # -- relational reasoning ------------------------------------------------------------------------------------------
    "side_h": _wordings(
        "Compared with the {b}, is the {a} more to the left or more to the right?",
        "To get from the {b} to the {a}, do you go left or right?",
        "Does the {a} lie left of the {b}, or right of it?",
        "Choose left or right: the {a} is on that side of the {b}.",
        "Tell me whether you find the {a} left or right of the {b}.",
        "Take the {b} as the middle. Is the {a} left or right?",
        held_out=(
            "Is it left or right of the {b} that I should look for the {a}?",
            "Imagine a vertical line through the {b}. Is the {a} left or right of it?",
            "Relative to the {b}, does the {a} lie right or left?",
        ),
    ),
    "side_v": _wordings(
        "Compared with the {b}, does the {a} lie above or below?",
        "If you stood at the {b}, would the {a} be above you or below you?",
        "Is the {a} above the {b}, or is it below it?",
        "Choose above or below: the {a} is on that side of the {b}.",
        "Tell me whether you find the {a} above or below the {b}.",
        "Take the {b} as the middle. Is the {a} above or below?",
        held_out=(
            "Is it above or below the {b} that I should look for the {a}?",
            "Imagine a horizontal line through the {b}. Is the {a} above or below it?",
            "Relative to the {b}, where is the {a} placed, below or above?",
        ),
    ),
    "nearer": _wordings(
        "Which one is not as far away, the {a} or the {b}?",
        "Tell me what is closer to you, the {a} or the {b}.",
        "Of these two, which would you touch first: the {a} or the {b}?",
        "Is it the {a} or the {b} that comes nearest to the viewer?",
        "Compare the depths of the {a} and the {b}: which is nearer?",
        "If the {a} and the {b} overlapped, which would cover the other?",
        held_out=(
            "Between the {a} and the {b}, which is the one closer to the viewer?",
            "What is at a smaller distance from you, the {a} or the {b}?",
            "The {a} or the {b}: which would you reach sooner?",
        ),
    ),
    "same_way": _wordings(
        "Do the {a} and the {b} look in one direction?",
        "Are the {a} and the {b} pointing the same way?",
        "Is it the same direction that the {a} and the {b} face?",
        "Tell me whether the {a} and the {b} head in one direction.",
        "Does the {a} have the same orientation as the {b}?",
        "Compare the directions of the {a} and the {b}: do they match?",
        held_out=(
            "If the {a} and the {b} both moved forward, would they go the same way?",
            "Do both the {a} and the {b} have their front on the same side?",
            "Is the {a} heading in the direction that the {b} is heading in?",
        ),
    ),
    "ahead": _wordings(
        "Is the {a} looking in the direction of the {b}?",
        "If the {a} moved forward, would it get closer to the {b}?",
        "Tell me whether the {a} has its front toward the {b}.",
        "Is the {b} ahead of the {a} rather than behind it?",
        "Is the {a} turned so that it sees the {b}?",
        "From where it is, does the {a} look the way of the {b}?",
        held_out=(
            "Is the direction of the {a} such that the {b} is ahead?",
            "Can the {a} see the {b} without turning around?",
            "Does the {a} point to the side where the {b} is?",
        ),
    ),
    "between": _wordings(
        "Judging by columns, do you find the {c} between the {a} and the {b}?",
        "Is the {c} in a column between those of the {a} and the {b}?",
        "Going column by column from the {a} to the {b}, do you pass the {c}?",
        "Do the columns of the {a} and the {b} have the {c} between them?",
        "Tell me whether the {c} is between the {a} and the {b}, counting columns.",
        "In terms of columns, does the {c} separate the {a} from the {b}?",
        held_out=(
            "If you look only at columns, is the {c} between the {a} and the {b}?",
            "Has the {c} a column that lies between the {a}'s and the {b}'s?",
            "Moving across the columns from the {a} to the {b}, do you come past the {c}?",
        ),
    ),
    "aligned": _wordings(
        "Do the {a} and the {b} lie in a single {line}?",
        "Is it one and the same {line} that the {a} and the {b} are in?",
        "Does the {b} lie in the {line} of the {a}?",
        "Tell me whether the {a} and the {b} have the same {line}.",
        "Compare the {line} of the {a} with the {line} of the {b}: are they equal?",
        "Would you find the {a} and the {b} if you searched one {line}?",
        held_out=(
            "Is the {line} number of the {a} equal to that of the {b}?",
            "Is the {a} in whatever {line} the {b} is in?",
            "Does one {line} hold both the {a} and the {b}?",
        ),
    ),
    "closer": _wordings(
        "Starting at the {a}, which would you reach sooner, the {b} or the {c}?",
        "Which has the shorter distance to the {a}: the {b} or the {c}?",
        "Tell me whether the {b} or the {c} lies nearer to the {a}.",
        "Is it the {b} or the {c} that is close to the {a}?",
        "Near the {a} there are the {b} and the {c}. Which is closer?",
        "Measure from the {a}: is the {b} or the {c} less far away?",
        held_out=(
            "Between the {b} and the {c}, which one is nearest to the {a}?",
            "From where the {a} is, what is at a smaller distance, the {b} or the {c}?",
            "Does the {b} or the {c} have less space between itself and the {a}?",
        ),
    ),
    "own_hand": _wordings(
        "Is the {b} to the left or to the right of the {a}, as the {a} itself would say?",
        "Put yourself in the place of the {a}: is the {b} on your left or right?",
        "Which hand of the {a} is the {b} on, left or right?",
        "If the {a} could speak, would it say that the {b} is left or right?",
        "Tell me whether the {a} has the {b} on its left or its right.",
        "From the viewpoint of the {a}, does the {b} lie left or right?",
        held_out=(
            "Would the {a} have to turn left or right to look at the {b}?",
            "In the eyes of the {a}, is the {b} on the left or the right?",
            "On the {a}'s own left or on its own right: where is the {b}?",
        ),
    ),
    # -- math reasoning ------------------------------------------------------------------------------------------------
    "is_less": _wordings(
        "Is the first number smaller than the other?",
        "Compare the two numbers: is the first one the smaller?",
        "Of the two numbers, does the smaller one come first?",
        "Do the numbers go up from the first to the second?",
        "Tell me whether the second number is the greater.",
        "Is it the first number that is lower?",
        held_out=(
            "Are the two numbers in rising order?",
            "Would you call the second number bigger than the first?",
            "If sorted from small to large, would the first number stay first?",
        ),
    ),
    "is_equal": _wordings(
        "Are the two numbers identical?",
        "Do the two numbers match?",
        "Tell me whether you got the same number twice.",
        "Compare the two numbers: are they alike?",
        "Does the second number repeat the first?",
        "Is one number exactly as large as the other?",
        held_out=(
            "Did both numbers come out the same?",
            "Is the difference between the numbers zero?",
            "Does the first number equal the second?",
        ),
    ),
    "difference": _wordings(
        "How far is it from one number to the other?",
        "Subtract the smaller number from the larger: what do you get?",
        "Tell me the distance between the two numbers.",
        "By how much is the larger number larger?",
        "What must be added to the smaller number to reach the larger?",
        "How big is the gap between the two numbers?",
        held_out=(
            "How many steps of one lead from the lower number to the higher?",
            "What do you get by subtracting one number from the other, ignoring the sign?",
            "How much more is the greater of the two numbers?",
        ),
    ),
    "inside_range": _wordings(
        "Does the third number fall between the first and the second?",
        "Is the third number within the range of the first two?",
        "Tell me whether the last number lies in between the two before it.",
        "Sort the three numbers: is the last one in the middle?",
        "Is the final number larger than one of the others and smaller than the other?",
        "Going from the first number to the second, do you pass the third?",
        held_out=(
            "Do you find the third number in the interval from the first to the second?",
            "Are the first two numbers on either side of the third?",
            "Is one of the first two numbers below the last one and the other above it?",
        ),
    ),
    "closest_number": _wordings(
        "Compare the last two numbers with the first: which one comes closer?",
        "Which of the second and third numbers is nearer to the first number?",
        "Take the first number: is the second or the third closer to it? Give that number.",
        "The first number is the target. Which of the two others comes nearer?",
        "Of the second and the third number, which has the smaller gap to the first?",
        "Start counting at the first number: which of the other two do you reach sooner?",
        held_out=(
            "Give me whichever of the last two numbers is nearest the first.",
            "Measured from the first number, which of the other two is at the smaller distance?",
            "Between the second and the third number, which is a better guess for the first?",
        ),
    ),
    "in_total": _wordings(
        "What do you get if you add up the two numbers?",
        "Add the first number to the second: what is the result?",
        "How many is that altogether?",
        "Tell me the total of the two numbers.",
        "What is the sum of both counts?",
        "Put the two numbers together: how many are there?",
        held_out=(
            "What does adding one number to the other give?",
            "How many do the two counts come to in all?",
            "Sum up the two numbers.",
        ),
    ),
    # -- decision making -----------------------------------------------------------------------------------------------
    "decide": _wordings(
        "What is your final answer to the question?",
        "With all this in mind, how do you answer?",
        "Taking everything together, what is the answer to the question?",
        "So what do you conclude?",
        "Now answer the main question.",
        "What should the reply to the question be?",
        held_out=(
            "Given all of this, what is the solution?",
            "Putting it all together, what would you reply?",
            "Finally, respond to the question that I asked.",
        ),
    ),
}
"""Wordings of the steps, with the keys of `phrases.KINDS`."""

QUESTIONS: dict[str, Wordings] = {
    "left_right": _wordings(
        "Do I find the {a} to the left of the {b}, or is it to the right?",
        "Tell me where the {a} lies, left or right of the {b}.",
        "Can the {a} be found on the left or on the right of the {b}?",
        "The {a} and the {b}: does the first lie left or right of the second?",
        held_out=(
            "To see the {a}, should I look left or right of the {b}?",
            "Is the {a} toward the left or toward the right from the position of the {b}?",
        ),
    ),
    "left_right_yes_no": _wordings(
        "Would you say that the {a} is {side} of the {b}?",
        "Do you find the {a} on the {side} of the {b}?",
        "Do you see the {a} when you look {side} from the {b}?",
        "Can you confirm that the {a} lies to the {side} of the {b}?",
        held_out=(
            "To get to the {a}, does one have to go {side} from the {b}?",
            "Am I correct that the {a} is positioned {side} of the {b}?",
        ),
    ),
    "above_below": _wordings(
        "Which is it: is the {a} above the {b}, or below?",
        "Tell me where the {a} lies, above or below the {b}.",
        "Does the {a} have its place above the {b} or below the {b}?",
        "The {a} and the {b}: does the first lie above or below the second?",
        held_out=(
            "To see the {a}, should I look above or below the {b}?",
            "Is the {a} somewhere above or somewhere below, from the position of the {b}?",
        ),
    ),
    "above_below_yes_no": _wordings(
        "Would you say that the {a} is {side} the {b}?",
        "Do you find the {a} {side} the {b}?",
        "Do you see the {a} when you look at what is {side} the {b}?",
        "Can you confirm that the {a} lies {side} the {b}?",
        held_out=(
            "Is the {a} among the things {side} the {b}?",
            "Am I correct that the {a} is positioned {side} the {b}?",
        ),
    ),
    "near_far": _wordings(
        "Which of the two is closer to the viewer, the {a} or the {b}?",
        "What do you have closer to you: the {a} or the {b}?",
        "Is the {a} the nearer thing, or is the {b}?",
        "Compare the {a} with the {b}. Which is nearer?",
        held_out=(
            "Would I reach the {a} or the {b} first?",
            "Whose distance from you is smaller, that of the {a} or that of the {b}?",
        ),
    ),
    "front_behind": _wordings(
        "Would you say that the {a} is nearer to you than the {b}?",
        "Does the {a} lie in front of the {b}, seen from you?",
        "Is the {a} less far away than the {b}?",
        "Is the {a} closer to the viewer than the {b}?",
        held_out=(
            "Compared with the {a}, does the {b} float farther back?",
            "Am I correct that the {a} is in front and the {b} behind?",
        ),
    ),
    "facing": _wordings(
        "In which direction does the {a} look?",
        "Which way is the front of the {a}: up, right, down or left?",
        "Tell me which way the {a} is pointing.",
        "What is the direction of the {a}: up, down, left or right?",
        held_out=(
            "Which direction has the {a} been turned in?",
            "Is the {a} looking up, down, left or right?",
        ),
    ),
    "same_way": _wordings(
        "Are the {a} and the {b} looking in the same direction?",
        "Do the {a} and the {b} point in one direction?",
        "Is the direction of the {a} also that of the {b}?",
        "Would you say that the {a} and the {b} face one and the same way?",
        held_out=(
            "Have the {a} and the {b} been turned in the same direction?",
            "Do the {a} and the {b} agree in the direction they face?",
        ),
    ),
    "toward": _wordings(
        "Is the {a} looking toward the {b}?",
        "Would the {a} come closer to the {b} by going forward?",
        "Has the {a} got its front in the direction of the {b}?",
        "When the {a} looks forward, does the {b} lie ahead?",
        held_out=(
            "Without turning, could the {a} see the {b}?",
            "Is the {a} pointing in such a direction that the {b} is ahead?",
        ),
    ),
    "between": _wordings(
        "Looking at columns only, do the {a} and the {b} have the {c} between them?",
        "Of the {a}, the {b} and the {c}, is the last one between the others by column?",
        "In the order of columns, do the {a} and the {b} stand on the two sides of the {c}?",
        "Would you say that the columns of the {a} and the {b} have that of the {c} between them?",
        held_out=(
            "When we go by column, is it between the {a} and the {b} that the {c} lies?",
            "Sort the {a}, the {b} and the {c} by column: is the {c} in the middle?",
        ),
    ),
    "inside_region": _wordings(
        "Is the {a} within the lines of the frame?",
        "Does the frame surround the {a}?",
        "Would you say that the {a} lies in the frame?",
        "Can the {a} be seen inside the frame?",
        held_out=(
            "Are we going to find the {a} in the frame?",
            "Do the edges of the frame run around the {a}?",
        ),
    ),
    "count_in": _wordings(
        "Tell me the number of {what} that are {where}.",
        "How many {what} do we have {where}?",
        "What number of {what} do you see {where}?",
        "Please count: how many {what} are there {where}?",
        held_out=(
            "Could you tell me how many {what} one finds {where}?",
            "Considering only what is {where}, how many {what} are there?",
        ),
    ),
    "aligned": _wordings(
        "Does the {a} lie in the {line} that the {b} is in?",
        "Would you say that the {a} and the {b} are in one {line}?",
        "Is the {line} the same for the {a} and the {b}?",
        "Can the {a} and the {b} be found in a common {line}?",
        held_out=(
            "Do the {a} and the {b} have their {line} in common?",
            "Are we looking at a single {line} that has the {a} and the {b} in it?",
        ),
    ),
    "apart": _wordings(
        "What is the distance in {line}s from the {a} to the {b}?",
        "How many {line}s do you have to move to get from the {a} to the {b}?",
        "By how many {line}s do the {a} and the {b} differ?",
        "Counting {line}s, how far is the {a} from the {b}?",
        held_out=(
            "The {a} lies how many {line}s away from the {b}?",
            "Take the {line} numbers of the {a} and the {b}. What is their difference?",
        ),
    ),
    "closest": _wordings(
        "Which of the two lies nearer to the {a}, the {b} or the {c}?",
        "To the {a}, does the {b} or the {c} have the shorter way?",
        "Tell me what is closest to the {a}: the {b} or the {c}.",
        "Is the {a} closer to the {b} or to the {c}?",
        held_out=(
            "Seen from the {a}, which is less distant, the {b} or the {c}?",
            "To get to the {a} quickly, should I start at the {b} or at the {c}?",
        ),
    ),
    "farthest": _wordings(
        "Which of the two lies farther away from the {a}, the {b} or the {c}?",
        "To the {a}, does the {b} or the {c} have the longer way?",
        "Tell me what is farthest from the {a}: the {b} or the {c}.",
        "Is the {a} farther from the {b} or from the {c}?",
        held_out=(
            "Seen from the {a}, which is more distant, the {b} or the {c}?",
            "Between the {a} and which other is there more space, the {b} or the {c}?",
        ),
    ),
    "viewpoint": _wordings(
        "If you were the {a}, would you have the {b} on your left or on your right?",
        "From the point of view of the {a}, is the {b} left or right?",
        "Does the {a} itself have the {b} on its left or on its right?",
        "The {a} looks ahead: does it have the {b} to its own left or to its own right?",
        held_out=(
            "Imagine that you sit where the {a} is and face as it does: is the {b} left or right?",
            "Which way would the {a} turn its head to see the {b}: left or right?",
        ),
    ),
    "multi_hop": _wordings(
        "Find the thing that lies farthest to the {side}. What {trait} does it have?",
        "Tell me the {trait} of whatever is at the very {side}.",
        "One thing is more to the {side} than all others: what is its {trait}?",
        "Of the thing nearest to the {side} edge, what is the {trait}?",
        held_out=(
            "What {trait} has the thing that you see at the outermost {side}?",
            "Go to the last thing on the {side}: which {trait} does it show?",
        ),
    ),
}
"""Wordings of the main questions, with the keys of `phrases.QUESTIONS`."""


def reword(question: Question, rng: random.Random, which: str) -> Question:
    """Return the same question, and its steps, in other words; all else stays.

    Only the answers to "which thing is named first, or second?" follow the new words of the question.

    Args:
        question: A question about a scene, in the templates of `phrases.py`.
        rng: Draws one of the wordings for each text.
        which: The wordings to draw from: those for training, the held-out ones, or all.

    Raises:
        HeadAtlasError: A text that no template makes.
    """
    if which not in get_args(Which):
        raise HeadAtlasError(f"which must be one of {', '.join(get_args(Which))}, got {which!r}")
    key, slots = question_slots(question.family, question.text)
    text = _fill(rng.choice(QUESTIONS[key].of(which)), slots)
    named = in_order((slots.get(name, "") for name in "abc"), text)
    steps = tuple(_reworded(step, rng, which, named) for step in question.steps)
    return question.model_copy(update={"text": text, "steps": steps})


def _reworded(step: Step, rng: random.Random, which: str, named: list[str]) -> Step:
    slots = step_slots(step.kind, step.text)
    text = _fill(rng.choice(STEPS[step.kind].of(which)), slots)
    answer = named[_PLACES[step.kind]] if step.kind in _PLACES else step.answer
    return step.model_copy(update={"text": text, "answer": answer})


_PLACES = {"asked_first": 0, "asked_second": 1}


def _fill(wording: str, slots: Mapping[str, str]) -> str:
    return _ARTICLE.sub(r"\1n ", wording.format(**slots))


_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")


# -- the values in a text ----------------------------------------------------------------------------------------------


def _one_of(values: Iterable[str]) -> str:
    return "(?:" + "|".join(map(re.escape, values)) + ")"


_SIDE = _one_of(side for pair in OPPOSITES for side in pair)
_NAME = f"(?:{_one_of(COLORS)} {_one_of(CLASSES)}|{JUST_NAMED})"
_VALUES = {
    "a": _NAME,
    "b": _NAME,
    "c": _NAME,
    "ref": _one_of(CLASSES),
    "cls": _one_of(CLASSES),
    "color": _one_of(COLORS),
    "texture": _one_of(TEXTURES),
    "size": "(?:larger|smaller)",
    "trait": "(?:texture|size|facing|depth)",
    "line": "(?:row|column)",
    "hand": "(?:left|right)",
    "side": _SIDE,
    "side0": _SIDE,
    "side1": _SIDE,
    "what": f"(?:{_one_of(COLORS)} )?things",
    "where": f"(?:inside the frame|in the {_SIDE} half|in the {_SIDE} {_SIDE} part)",
}
"""What each slot can hold, as a pattern: exact, so that only one template and one set of values fit a text."""

_VARIANTS = {
    "left_right": ("left_right", "left_right_yes_no"),
    "above_below": ("above_below", "above_below_yes_no"),
    "closest": ("closest", "farthest"),
    "count_region": ("count_in",),
}
"""Keys of `phrases.QUESTIONS` of the question types that have others than their name."""

_OPENER = re.compile(_one_of(opener for opener in phrases.OPENERS if opener))


def _pattern(template: str) -> re.Pattern[str]:
    """The texts that a template makes, with a group for each slot."""
    parts = re.split(r"\{(\w+)\}", template)  # literal, slot, literal, ...
    pattern, seen = "", set()
    for i, part in enumerate(parts):
        if i % 2 == 0:
            pattern += re.sub(r"\ba\\ $", r"an?\\ ", re.escape(part))
        else:
            pattern += f"(?P={part})" if part in seen else f"(?P<{part}>{_VALUES[part]})"
            seen.add(part)
    return re.compile(pattern)


@cache
def _patterns(templates: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(_pattern(template) for template in templates)


@lru_cache(maxsize=1 << 16)
def _slots(templates: tuple[str, ...], text: str) -> Mapping[str, str] | None:
    """The slots' values in a text, None if none of the templates makes it."""
    for pattern in _patterns(templates):
        if match := pattern.fullmatch(text):
            return MappingProxyType(match.groupdict())
    return None


def step_slots(kind: str, text: str) -> Mapping[str, str]:
    """Return the slots' values in the text of a step of this kind.

    Raises:
        HeadAtlasError: An unknown kind, or a text that no template of the kind makes.
    """
    if kind not in phrases.KINDS:
        raise HeadAtlasError(
            f"kind must be one of headatlas.scenes.phrases.KINDS, got {kind!r} for the step {text!r:.80}"
        )
    opener = _OPENER.match(text)
    slots = _slots(phrases.KINDS[kind].phrases, text[opener.end() :] if opener else text)
    if slots is None:
        raise HeadAtlasError(f"text must be made by a template of the step kind {kind!r}, got {text!r:.80}")
    return slots


def question_slots(question_type: str, text: str) -> tuple[str, Mapping[str, str]]:
    """Return the key of `phrases.QUESTIONS` whose template makes a main question's text, and the slots' values in it.

    Raises:
        HeadAtlasError: A text that no template of the question type makes.
    """
    for key in _VARIANTS.get(question_type, (question_type,)):
        slots = _slots(phrases.QUESTIONS.get(key, ()), text)
        if slots is not None:
            return key, slots
    raise HeadAtlasError(f"text must be made by a template of the question type {question_type!r}, got {text!r:.80}")
