"""Steps that reckon with earlier answers and that decide."""

from __future__ import annotations

from headatlas.scenes.english.ways import Ways, ways

MATH: dict[str, Ways] = {
    "is_less": ways(
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
    "is_equal": ways(
        "Are the two numbers identical?",
        "Do the two numbers match?",
        "Tell me whether you got the same number twice.",
        "Compare the two numbers: are they alike?",
        "Is the second number just the first one again?",
        "Is one number exactly as large as the other?",
        held_out=(
            "Did both numbers come out the same?",
            "Is the difference between the numbers zero?",
            "Does the first number equal the second?",
        ),
    ),
    "difference": ways(
        "How far is it from one number to the other?",
        "Subtract the smaller number from the larger: what do you get?",
        "Tell me the distance between the two numbers.",
        "By how much is the larger number bigger than the other?",
        "What must be added to the smaller number to reach the larger?",
        "How big is the gap between the two numbers?",
        held_out=(
            "Counting up by ones, how many steps is it from the lower number to the higher?",
            "What do you get by subtracting one number from the other, ignoring the sign?",
            "How much greater is one number than the other?",
        ),
    ),
    "inside_range": ways(
        "Does the third number fall between the first and the second?",
        "Is the third number within the range of the first two?",
        "Tell me whether the last number lies in between the two before it.",
        "Sort the three numbers: is the last one in the middle?",
        "Is the final number larger than one of the others and smaller than the other?",
        "Going from the first number to the second, do you pass the third?",
        held_out=(
            "Is the third number in the interval from the first to the second?",
            "Are the first two numbers on either side of the third?",
            "Is one of the first two numbers below the last one and the other above it?",
        ),
    ),
    "closest_number": ways(
        "Compare the last two numbers with the first: which one comes closer?",
        "Which of the second and third numbers is nearer to the first number?",
        "Take the first number: is the second or the third closer to it? Give that number.",
        "The first number is the target. Which of the two others comes nearer?",
        "Of the second and the third number, which has the smaller gap to the first?",
        "Start counting at the first number: which of the other two do you reach sooner?",
        held_out=(
            "Give me whichever of the last two numbers is nearest the first.",
            "Measured from the first number, which of the other two is the shorter distance away?",
            "Which is the better guess for the first number, the second or the third?",
        ),
    ),
    "in_total": ways(
        "What do you get if you add up the two numbers?",
        "Add the first number to the second: what is the result?",
        "How many is that altogether?",
        "Tell me the total of the two numbers.",
        "What is the sum of both counts?",
        "Put the two numbers together: how many are there?",
        held_out=(
            "What does adding one number to the other give?",
            "What do the two counts come to in all?",
            "Sum up the two numbers.",
        ),
    ),
}
"""Steps of math reasoning."""

DECISION: dict[str, Ways] = {
    "decide": ways(
        "What is your final answer to the question?",
        "With all this in mind, how do you answer?",
        "Taking everything together, what is the answer to the question?",
        "So what do you conclude?",
        "Now answer the main question.",
        "How should the question be answered?",
        held_out=(
            "Given all of this, what is the answer?",
            "Putting it all together, what would you reply?",
            "Finally, respond to the question that I asked.",
        ),
    ),
}
"""Steps of decision making."""
