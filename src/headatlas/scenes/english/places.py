"""Steps about where things are."""

from __future__ import annotations

from headatlas.scenes.english.ways import Ways, ways

SPATIAL: dict[str, Ways] = {
    "column_of": ways(
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
    "row_of": ways(
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
    "half_of": ways(
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
    "facing_of": ways(
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
    "depth_of": ways(
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
    "in_frame": ways(
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
    "extreme": ways(
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
    "count_in": ways(
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
}
"""Steps of spatial perception."""

RELATIONS: dict[str, Ways] = {
    "side_h": ways(
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
    "side_v": ways(
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
    "nearer": ways(
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
    "same_way": ways(
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
    "ahead": ways(
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
    "between": ways(
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
    "aligned": ways(
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
    "closer": ways(
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
    "own_hand": ways(
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
}
"""Steps of relational reasoning."""
