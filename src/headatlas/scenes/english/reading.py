"""Steps about the question's words and about what one knows without the picture."""

from __future__ import annotations

from headatlas.scenes.english.ways import Ways, ways

EXTRACTION: dict[str, Ways] = {
    "asked_first": ways(
        "List the things in the question in order; which heads the list?",
        "Which of the things does the question bring up first?",
        "Read the question again: whose name comes before all others?",
        "Name the earliest thing in the question.",
        "Which thing does the question refer to before any other?",
        "In the text of the question, which thing comes first?",
        held_out=(
            "As you read the question, which thing do you meet first?",
            "Give me the first of the things that I asked about.",
            "My question talks about some things. What is the first one?",
        ),
    ),
    "asked_second": ways(
        "List the things in the question in order; which is number two?",
        "Which of the things does the question bring up second?",
        "Read the question again: whose name follows the first one?",
        "Name the thing that is second in the question.",
        "Which thing does the question refer to directly after the first?",
        "In the text of the question, which thing comes second?",
        held_out=(
            "As you read the question, which thing do you meet second?",
            "Give me the second of the things that I asked about.",
            "My question talks about some things. What is the second one?",
        ),
    ),
    "asked_side": ways(
        "Which side does the question want to know about?",
        "Tell me the side that is named in the question.",
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
    "asked_line": ways(
        "Am I asking about a row or a column?",
        "Is the question about one row or about one column?",
        "Find the word in the question: is it row or column?",
        "Which of the two does the question want to know about, row or column?",
        "Tell me which word the question contains, row or column.",
        "Pick the one that I mention: row or column.",
        held_out=(
            "Which word appears in my question, row or column?",
            "Is my question concerned with a row or with a column?",
            "Decide from how I put the question: row or column?",
        ),
    ),
    "asked_trait": ways(
        "Which trait does the question want to know about?",
        "Tell me the trait that is named in the question.",
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
    "asked_color": ways(
        "Which color does the question want to know about?",
        "Tell me the color that is named in the question.",
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
}
"""Steps of information extraction."""

RECALL: dict[str, Ways] = {
    "opposite": ways(
        "What word means the contrary of {side}?",
        "If you swap {side} for its opposite, what do you get?",
        "Complete the pair of opposites: {side} and what?",
        "What would be the very reverse of {side}?",
        "Someone says {side} but means the reverse. What do they mean?",
        "Tell me the antonym of {side}.",
        held_out=(
            "Which word is the counterpart of {side}?",
            "If it isn't {side}, it is the very opposite. What is it?",
            "Flip {side}: what does it turn into?",
        ),
    ),
    "grows": ways(
        "On which side do you find the {line}s with the bigger numbers?",
        "Counting {line}s from one upward, to which side do you go?",
        "To which side must you move for a higher {line} number?",
        "Tell me the side on which the {line} numbers end.",
        "When {line} numbers increase, which side are you heading for?",
        "On which side is the {line} with the biggest number?",
        held_out=(
            "If you count up through the {line}s, which side do you get closer to?",
            "The {line} numbers start at one side and rise. Toward which side?",
            "Say I go from the first {line} to the last. To which side am I going?",
        ),
    ),
    "looks_larger": ways(
        "Must a thing be near or far to look {size}?",
        "Put the same thing near or far: in which case does it seem {size}?",
        "When do things seem {size}: when they are near or when they are far?",
        "What makes a thing seem {size}: being near or being far?",
        "You want a thing to look {size}. Do you put it near or far?",
        "Of two equal things, is the one that looks {size} near or far?",
        held_out=(
            "Would a thing seem {size} if it were near or if it were far?",
            "Two things have the same size, but one looks {size}. Is that one near or far?",
            "Tell me where a thing has to be to appear {size}: near or far?",
        ),
    ),
    "corners": ways(
        "Draw a {cls}. How many corners did you make?",
        "Tell me how many corners you find on a {cls}.",
        "If you walk around a {cls}, how many corners do you pass?",
        "What's the corner count of a {cls}?",
        "How often does the outline of a {cls} turn a corner?",
        "According to geometry, how many corners does a {cls} have?",
        held_out=(
            "In a {cls}, how many corners are there?",
            "Think of a {cls}: how many corners has it got?",
            "How many corners would you count on a {cls}?",
        ),
    ),
    "is_animal": ways(
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
    "has_front": ways(
        "Can you tell the front of a {cls} from its back?",
        "Does a {cls} point in some direction?",
        "Is one end of a {cls} its front?",
        "Do we speak of the front of a {cls}?",
        "Has a {cls} got a front end?",
        "Would it make sense to ask which way a {cls} is facing?",
        held_out=(
            "Is there such a thing as the front of a {cls}?",
            "Tell me whether a {cls} has a front side.",
            "Can you say of a {cls} that it faces a certain way?",
        ),
    ),
    "own_side": ways(
        "For a thing facing that way, which side of the picture is its own {hand}?",
        "Turned like that, which side of the picture is the thing's {hand}?",
        "Imagine you face the same way. On which side is your {hand}?",
        "Given the way it faces, where does its {hand} point: left, right, above or below?",
        "When the thing faces that way, which side does its own {hand} correspond to?",
        "Tell me which side its own {hand} is on when its front points that way.",
        held_out=(
            "If something faces in that direction, on which side does its own {hand} lie?",
            "Its front points that way, so where is its {hand}: left, right, above or below?",
            "Work out from its direction which side its own {hand} is on.",
        ),
    ),
}
"""Steps of knowledge recall."""
