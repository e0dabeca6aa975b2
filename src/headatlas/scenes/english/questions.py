"""Ways to ask the main questions."""

from __future__ import annotations

from headatlas.scenes.english.ways import Ways, ways

QUESTIONS: dict[str, Ways] = {
    "left_right": ways(
        "Is the {a} to the left of the {b}, or is it to the right?",
        "Tell me where the {a} lies, left or right of the {b}.",
        "Can the {a} be found on the left or on the right of the {b}?",
        "Take the {a} and the {b}: is the first one left or right of the second?",
        held_out=(
            "To see the {a}, should I look left or right of the {b}?",
            "Is the {a} off to the left or off to the right of the {b}?",
        ),
    ),
    "left_right_yes_no": ways(
        "Would you say that the {a} is {side} of the {b}?",
        "Do you find the {a} on the {side} of the {b}?",
        "Do you see the {a} when you look {side} from the {b}?",
        "Can you confirm that the {a} lies to the {side} of the {b}?",
        held_out=(
            "To get to the {a}, do you have to go {side} from the {b}?",
            "Am I correct that the {a} is positioned {side} of the {b}?",
        ),
    ),
    "above_below": ways(
        "Is the {a} above the {b}, or is it below?",
        "Tell me where the {a} lies, above or below the {b}.",
        "Do you find the {a} above the {b} or below it?",
        "Take the {a} and the {b}: is the first one above or below the second?",
        held_out=(
            "To see the {a}, should I look above or below the {b}?",
            "Is the {a} somewhere above or somewhere below the {b}?",
        ),
    ),
    "above_below_yes_no": ways(
        "Would you say that the {a} is {side} the {b}?",
        "Do you find the {a} {side} the {b}?",
        "Do you see the {a} when you look at what is {side} the {b}?",
        "Can you confirm that the {a} lies {side} the {b}?",
        held_out=(
            "Is the {a} among the things {side} the {b}?",
            "Am I correct that the {a} is positioned {side} the {b}?",
        ),
    ),
    "near_far": ways(
        "Which of the two is closer to the viewer, the {a} or the {b}?",
        "Which one is closer to you: the {a} or the {b}?",
        "Is the {a} nearer, or is the {b}?",
        "Compare the {a} with the {b}. Which is nearer?",
        held_out=(
            "Would I reach the {a} or the {b} first?",
            "Which one is at the smaller distance from you, the {a} or the {b}?",
        ),
    ),
    "front_behind": ways(
        "Would you say that the {a} is nearer to you than the {b}?",
        "From where you are, is the {a} in front of the {b}?",
        "Is the {a} less far away than the {b}?",
        "Is the {a} closer to the viewer than the {b}?",
        held_out=(
            "Compared with the {a}, is the {b} farther back?",
            "Am I correct that the {a} is in front and the {b} behind?",
        ),
    ),
    "facing": ways(
        "In which direction is the {a} looking?",
        "Which way is the front of the {a}: up, right, down or left?",
        "Tell me which way the {a} is pointing.",
        "What direction does the {a} face: up, down, left or right?",
        held_out=(
            "In which direction has the {a} been turned?",
            "Is the {a} looking up, down, left or right?",
        ),
    ),
    "same_way": ways(
        "Are the {a} and the {b} looking in the same direction?",
        "Do the {a} and the {b} point in the same direction?",
        "Is the direction of the {a} the same as that of the {b}?",
        "Would you say that the {a} and the {b} face in the same direction?",
        held_out=(
            "Have the {a} and the {b} been turned in the same direction?",
            "Do the directions of the {a} and the {b} agree?",
        ),
    ),
    "toward": ways(
        "Is the {a} looking toward the {b}?",
        "Would the {a} come closer to the {b} by going forward?",
        "Is the front of the {a} turned toward the {b}?",
        "When the {a} looks forward, does the {b} lie ahead?",
        held_out=(
            "Without turning, could the {a} see the {b}?",
            "Given the way the {a} points, does it have the {b} ahead?",
        ),
    ),
    "between": ways(
        "Looking at columns only, do the {a} and the {b} have the {c} between them?",
        "Of the {a}, the {b} and the {c}, is the last one between the others by column?",
        "Going by columns, are the {a} and the {b} on either side of the {c}?",
        "Would you say that, by column, the {a} and the {b} have the {c} in between?",
        held_out=(
            "Going by columns alone, would you find the {c} between the {a} and the {b}?",
            "Sort the {a}, the {b} and the {c} by column: is the {c} in the middle?",
        ),
    ),
    "inside_region": ways(
        "Is the {a} within the lines of the frame?",
        "Does the frame surround the {a}?",
        "Would you say that the {a} lies in the frame?",
        "Can the {a} be seen inside the frame?",
        held_out=(
            "Will we find the {a} in the frame?",
            "Do the edges of the frame run around the {a}?",
        ),
    ),
    "count_in": ways(
        "Tell me the number of {what} that are {where}.",
        "How many {what} do we have {where}?",
        "What is the number of {what} that you see {where}?",
        "Please count: how many {what} are there {where}?",
        held_out=(
            "Could you tell me how many {what} there are {where}?",
            "Considering only what is {where}, how many {what} are there?",
        ),
    ),
    "aligned": ways(
        "Does the {a} lie in the {line} that the {b} is in?",
        "Would you say that the {a} and the {b} are in one {line}?",
        "Is the {line} the same for the {a} and the {b}?",
        "Can the {a} and the {b} be found in one and the same {line}?",
        held_out=(
            "Do the {a} and the {b} have their {line} in common?",
            "Is there a single {line} with both the {a} and the {b} in it?",
        ),
    ),
    "apart": ways(
        "What is the distance in {line}s from the {a} to the {b}?",
        "How many {line}s do you have to move to get from the {a} to the {b}?",
        "By how many {line}s are the {a} and the {b} separated?",
        "Counting {line}s, how far is the {a} from the {b}?",
        held_out=(
            "How many {line}s away is the {a} from the {b}?",
            "Take the {line} numbers of the {a} and the {b}. What is their difference?",
        ),
    ),
    "closest": ways(
        "Which of the two lies nearer to the {a}, the {b} or the {c}?",
        "From the {a}, is it a shorter way to the {b} or to the {c}?",
        "Tell me which is closer to the {a}: the {b} or the {c}.",
        "Is the {a} closer to the {b} or to the {c}?",
        held_out=(
            "Seen from the {a}, which is less distant, the {b} or the {c}?",
            "To get to the {a} quickly, should I start at the {b} or at the {c}?",
        ),
    ),
    "farthest": ways(
        "Which of the two lies farther away from the {a}, the {b} or the {c}?",
        "From the {a}, is it a longer way to the {b} or to the {c}?",
        "Tell me which is farther from the {a}: the {b} or the {c}.",
        "Is the {a} farther from the {b} or from the {c}?",
        held_out=(
            "Seen from the {a}, which is more distant, the {b} or the {c}?",
            "Which one has more space between it and the {a}, the {b} or the {c}?",
        ),
    ),
    "viewpoint": ways(
        "If you were the {a}, would you have the {b} on your left or on your right?",
        "From the point of view of the {a}, is the {b} left or right?",
        "Does the {a} itself have the {b} on its left or on its right?",
        "The {a} looks ahead: does it have the {b} to its own left or to its own right?",
        held_out=(
            "Imagine that you sit where the {a} is and face as it does: is the {b} left or right?",
            "Which way would the {a} turn its head to see the {b}: left or right?",
        ),
    ),
    "multi_hop": ways(
        "Find the thing that is farthest to the {side}. What is its {trait}?",
        "Tell me the {trait} of whatever is at the very {side}.",
        "One thing is farther to the {side} than all the others: what is its {trait}?",
        "What {trait} does the thing nearest to the {side} edge have?",
        held_out=(
            "What is the {trait} of the outermost thing on the {side}?",
            "Go to the last thing on the {side}: what is its {trait}?",
        ),
    ),
}
"""By the keys of `phrases.QUESTIONS`."""
