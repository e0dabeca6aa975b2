"""Steps about where things are."""

from __future__ import annotations

from headatlas.scenes.english.ways import Ways, ways

SPATIAL: dict[str, Ways] = {
    "column_of": ways(
        "In what column can the {a} be found?",
        "Tell me the column number of the {a}.",
        "If you count the columns from the left, which one is the {a} in?",
        "Which of the six columns holds the {a}?",
        "Find the {a} and give its column.",
        "From left to right, which column is the {a} in?",
        held_out=(
            "What number is the column that contains the {a}?",
            "I want to know which column the {a} is in.",
            "Which column does the {a} occupy?",
        ),
    ),
    "row_of": ways(
        "In what row can the {a} be found?",
        "Tell me the row number of the {a}.",
        "If you count the rows from the top, which one is the {a} in?",
        "Which of the six rows holds the {a}?",
        "Find the {a} and give its row.",
        "From top to bottom, which row is the {a} in?",
        held_out=(
            "What number is the row that contains the {a}?",
            "I want to know which row the {a} is in.",
            "Which row does the {a} occupy?",
        ),
    ),
    "half_of": ways(
        "Divide the picture into a {side0} and a {side1} half: which half is the {a} in?",
        "Tell me which half you find the {a} in, the {side0} one or the {side1} one.",
        "Would you look for the {a} in the {side0} half or in the {side1} half?",
        "Which half is the {a} in: the {side0} one or the {side1} one?",
        "Does the {a} belong to the {side0} half or the {side1} half?",
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
        "Is the {a} turned up, right, down or left?",
        held_out=(
            "Up, down, left or right: which way is the {a} turned?",
            "In which direction does the front of the {a} point?",
            "Which direction is the {a} pointing in?",
        ),
    ),
    "depth_of": ways(
        "How far away is the {a}: near, middle or far?",
        "At what distance is the {a}, near, middle or far?",
        "Judge the depth of the {a}: near, middle or far?",
        "Of the three depths, which one is the {a} at?",
        "Is the {a} near, at a middle distance, or far?",
        "How deep in the scene is the {a}: near, middle or far?",
        held_out=(
            "What is the distance to the {a}: far, middle or near?",
            "At which depth do you see the {a}: near, middle or far?",
            "Going by its depth, is the {a} far, middle or near?",
        ),
    ),
    "in_frame": ways(
        "Has the frame been drawn around the {a}?",
        "Is the {a} among the things in the frame?",
        "Tell me whether the frame contains the {a}.",
        "Looking only inside the frame, do you see the {a}?",
        "Does the frame go around the {a}?",
        "Do the lines of the frame enclose the {a}?",
        held_out=(
            "Is the {a} enclosed by the frame?",
            "If I searched only the frame, would I find the {a}?",
            "Does the frame have the {a} in it?",
        ),
    ),
    "extreme": ways(
        "Going to the {side}, which thing would you reach last?",
        "Which thing is farther to the {side} than any other?",
        "Starting from the {side} edge, which thing do you meet first?",
        "Tell me which of the things lies at the very {side}.",
        "What is the last thing on the {side}?",
        "Find the thing that is nearer to the {side} edge than all the others.",
        held_out=(
            "Among all the things, which is the one closest to the {side} border?",
            "Which thing has nothing beyond it on the {side}?",
            "Name whatever is furthest toward the {side}.",
        ),
    ),
    "count_in": ways(
        "Tell me how many {what} there are {where}.",
        "Look {where} and count: how many {what} are there?",
        "If you count {what} {where}, what number do you get?",
        "How many {what} can you find {where}?",
        "Can you count the {what} {where} for me?",
        "Are there {what} {where}, and if so, how many?",
        held_out=(
            "How many {what} do you spot {where}?",
            "I'm looking for {what} {where}. How many are there?",
            "I need to know how many {what} there are {where}.",
        ),
    ),
}
"""Steps of spatial perception."""

RELATIONS: dict[str, Ways] = {
    "side_h": ways(
        "Compared with the {b}, is the {a} more to the left or more to the right?",
        "To get from the {b} to the {a}, do you go left or right?",
        "Does the {a} lie left of the {b}, or right of it?",
        "Choose left or right: which side of the {b} is the {a} on?",
        "Tell me whether you find the {a} left or right of the {b}.",
        "Take the {b} as the middle. Is the {a} left or right of it?",
        held_out=(
            "Should I look for the {a} to the left or to the right of the {b}?",
            "Imagine a vertical line through the {b}. Is the {a} left or right of it?",
            "Relative to the {b}, does the {a} lie right or left?",
        ),
    ),
    "side_v": ways(
        "Compared with the {b}, is the {a} above or below?",
        "If you stood at the {b}, would the {a} be above you or below you?",
        "Is the {a} above the {b}, or is it below it?",
        "Choose above or below: where is the {a} from the {b}?",
        "Tell me whether you find the {a} above or below the {b}.",
        "Take the {b} as the middle. Is the {a} above or below it?",
        held_out=(
            "Should I look for the {a} above or below the {b}?",
            "Imagine a horizontal line through the {b}. Is the {a} above or below it?",
            "Relative to the {b}, is the {a} below or above?",
        ),
    ),
    "nearer": ways(
        "Which one is not as far away, the {a} or the {b}?",
        "Tell me which is closer to you, the {a} or the {b}.",
        "Of these two, which would you touch first: the {a} or the {b}?",
        "Is the {a} or the {b} the one nearer to the viewer?",
        "Compare the depths of the {a} and the {b}: which is nearer?",
        "If the {a} and the {b} overlapped, which would cover the other?",
        held_out=(
            "Between the {a} and the {b}, which is the one closer to the viewer?",
            "Which is the shorter distance from you, the {a} or the {b}?",
            "The {a} or the {b}: which would you reach sooner?",
        ),
    ),
    "same_way": ways(
        "Do the {a} and the {b} look in the same direction?",
        "Are the {a} and the {b} pointing the same way?",
        "Do the {a} and the {b} both face the same way?",
        "Tell me whether the {a} and the {b} are headed the same way.",
        "Does the {a} have the same orientation as the {b}?",
        "Compare the directions of the {a} and the {b}: do they match?",
        held_out=(
            "If the {a} and the {b} both moved forward, would they go the same way?",
            "Do both the {a} and the {b} have their front on the same side?",
            "Is the {a} heading in the same direction as the {b}?",
        ),
    ),
    "ahead": ways(
        "Is the {a} looking in the direction of the {b}?",
        "If the {a} moved forward, would it get closer to the {b}?",
        "Tell me whether the front of the {a} is turned to the {b}.",
        "Is the {b} ahead of the {a} rather than behind it?",
        "Is the {a} turned so that it sees the {b}?",
        "From where it is, is the {a} looking toward the {b}?",
        held_out=(
            "Given the way the {a} faces, is the {b} ahead of it?",
            "Can the {a} see the {b} without turning around?",
            "Does the {a} point toward the side where the {b} is?",
        ),
    ),
    "between": ways(
        "Judging by columns, do you find the {c} between the {a} and the {b}?",
        "Is the {c} in a column between those of the {a} and the {b}?",
        "Going column by column from the {a} to the {b}, do you pass the {c}?",
        "Is the {c} between the columns of the {a} and the {b}?",
        "Tell me whether the {c} is between the {a} and the {b}, counting columns.",
        "In terms of columns, is the {c} somewhere between the {a} and the {b}?",
        held_out=(
            "If you look only at columns, is the {c} between the {a} and the {b}?",
            "Does the column of the {c} come between those of the {a} and the {b}?",
            "Moving across the columns from the {a} to the {b}, do you come past the {c}?",
        ),
    ),
    "aligned": ways(
        "Are the {a} and the {b} both in one {line}?",
        "Are the {a} and the {b} in one and the same {line}?",
        "Does the {b} lie in the {line} of the {a}?",
        "Tell me whether the {a} and the {b} have the same {line}.",
        "Compare the {line} of the {a} with the {line} of the {b}: are they the same?",
        "Could you find both the {a} and the {b} by searching a single {line}?",
        held_out=(
            "Is the {line} number of the {a} equal to that of the {b}?",
            "Is the {a} in the {line} where the {b} is?",
            "Does one {line} contain both the {a} and the {b}?",
        ),
    ),
    "closer": ways(
        "Starting at the {a}, which would you reach sooner, the {b} or the {c}?",
        "Which has the shorter distance to the {a}: the {b} or the {c}?",
        "Tell me whether the {b} or the {c} lies nearer to the {a}.",
        "Is it the {b} or the {c} that is closer to the {a}?",
        "Compare the {b} and the {c}: which one is closer to the {a}?",
        "Measure from the {a}: is the {b} or the {c} less far away?",
        held_out=(
            "Between the {b} and the {c}, which one is nearest to the {a}?",
            "From where the {a} is, which is the shorter distance away, the {b} or the {c}?",
            "Which one has less space between it and the {a}, the {b} or the {c}?",
        ),
    ),
    "own_hand": ways(
        "Is the {b} to the left or to the right of the {a}, as the {a} itself would say?",
        "Put yourself in the place of the {a}: is the {b} on your left or right?",
        "From where the {a} stands, is the {b} on its left or its right?",
        "If the {a} could speak, would it say that the {b} is on its left or on its right?",
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
