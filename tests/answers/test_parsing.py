from __future__ import annotations

import pytest

from headatlas.answers.parsing import matches, parse
from headatlas.errors import HeadAtlasError

from .replies import CHOICE_MORE, LISTED, NUMBER_MORE, NUMBERS_ADDED, PLACES, REASONED, YES_NO_MORE, YES_NO_WHOLE

LR = ("left", "right")
VERTICAL = ("above", "below")
GRID = ("top left", "top right", "bottom left", "bottom right", "left")
DEPTH = ("near", "middle", "far")
FRONT = ("in front", "behind")
THINGS = ("red dog", "blue fish", "green car")
COLORS = ("red", "green", "blue", "gray")

YES_NO = [
    ("Yes", "yes"),
    ("yes.", "yes"),
    ("No", "no"),
    ("NO!", "no"),
    ("**Yes**, the dog is left of the cat.", "yes"),
    ("No, the dog is not to the left of the cat.", "no"),
    ("Yes, there is no cat to its left.", "yes"),
    ("The answer is no.", "no"),
    ("Answer: Yes", "yes"),
    ("Final answer: **no**", "no"),
    ("The dog faces the horse, so the answer would be yes.", "yes"),
    ("There is no cat in the image.", "no"),
    ("The dog is not facing the horse.", "no"),
    ("The dog isn't facing the horse.", "no"),
    ("It is not the case that the dog faces the horse.", "no"),
    ("That is not correct.", "no"),
    ("Incorrect.", "no"),
    ("True", "yes"),
    ("This statement is false.", "no"),
    ("Definitely not.", "no"),
    ("Absolutely!", "yes"),
    ("It is.", "yes"),
    ("I think so.", "yes"),
    ("I don't think so.", "no"),
    ("I would say yes", "yes"),
    ("No doubt, yes.", "yes"),
    ("Sure! Yes, it is.", "yes"),
    ("Notice the dog on the left.", None),
    ("I know the answer.", None),
    ("Yesterday", None),
    ("The northern dog", None),
    ("Yes or no?", None),
    ("yes no yes", None),
    ("yes, yes, yes", "yes"),
    ("Yes, it isn't.", None),
    ("No, it is.", None),
    ("No, it is not.", "no"),
    ("Yes. It does.", "yes"),
    ("Yes and no.", None),
    ("No. Actually, yes.", None),
    ("The dog is to the left of the cat.", None),
    ("I cannot determine this from the image.", None),
    ("I'm sorry, I can't see any image.", None),
    ("There is no image provided.", None),
    ("It's unclear.", None),
    ("", None),
    ("   \n", None),
    ("...", None),
    ("<think>no, wait. Is it? Yes.</think>No", "no"),
    ("\\boxed{Yes}", "yes"),
    ("It is not the case that the dog is not left.", None),
    ("<answer>yes</answer>", "yes"),
    ("The dog is behind it. <answer> No </answer>", "no"),
    ("<answer>no", "no"),
    ("Yes<|im_end|>", "yes"),
    ("no</s>", "no"),
    ('{"answer": "yes"}', "yes"),
    ("Y", "yes"),
    ("n.", "no"),
    ("The Y axis", None),
    ("The caption is false.", "no"),
    ("False. The cat is under the table.", "no"),
    ("Based on the image, the dog is not facing the cat.", "no"),
    ("There isn't a cat.", "no"),
    ("Step 1: find the dog. Step 2: compare. Therefore, the answer is yes.", "yes"),
    ("It depends on the viewpoint.", None),
    ("Unanswerable", None),
    ("Nothing is there", None),
]
CHOICE = [
    ("left", LR, "left"),
    ("Left.", LR, "left"),
    ("To the left of the car", LR, "left"),
    ("It is on the right-hand side.", LR, "right"),
    ("the answer is right", LR, "right"),
    ("The answer is: left. It is not right.", LR, "left"),
    ("Not left", LR, "right"),  # of two, the other is meant
    ("It isn’t on the left", LR, "right"),
    ("I don't think it is on the left", LR, "right"),
    ("I don't think it is left, it is right", LR, "right"),
    ("It's not left and not right", LR, None),
    ("Not only left", LR, "left"),
    ("It is not clear", LR, None),
    ("not blue", THINGS, None),
    ("The blue one", THINGS, "blue fish"),
    ("the fish", THINGS, "blue fish"),
    ("blue dog", THINGS, None),
    ("a dog and a fish", THINGS, None),
    ("None", ("red dog", "none of them"), "none of them"),
    ("I think it's the red dog, since the blue fish is farther.", THINGS, "red dog"),
    ("Probably the green car, as the red dog is hidden", THINGS, "green car"),
    ("under", ("a cat on a table", "a cat under a table"), "a cat under a table"),
    ("the table", ("a cat on a table", "a cat under a table"), None),
    ("（Ｂ）", LR, "right"),
    ("You are right, left.", LR, None),
    ("left... wait, right", LR, None),
    ("It is not on the left but on the right.", LR, "right"),
    ("right, not left", LR, "right"),
    ("right rather than left", LR, "right"),
    ("neither left nor right", LR, None),
    ("left or right", LR, None),
    ("Left, or maybe right", LR, None),
    ("left right", LR, None),
    ("Left, because the car is right of the dog.", LR, "left"),
    ("The dog is at the left and the cat at the right.", LR, None),
    ("The dog has its back to the right of the picture, which is its left. So, left.", LR, "left"),
    ("That's right, left.", LR, "left"),
    ("A", LR, "left"),
    ("B.", LR, "right"),
    ("(B) right", LR, "right"),
    ("b) right", LR, "right"),
    ("B: right", LR, "right"),
    ("Option B", LR, "right"),
    ("Option (A) is correct.", LR, "left"),
    ("The correct answer is B.", LR, "right"),
    ("Answer: (A)", LR, "left"),
    ("(A) right", LR, None),
    ("C", LR, None),
    ("A dog", LR, None),
    ("leftover", LR, None),
    ("bright", LR, None),
    ("on top of the box", VERTICAL, "above"),
    ("It hovers over the table.", VERTICAL, "above"),
    ("underneath", VERTICAL, "below"),
    ("Beneath it", VERTICAL, "below"),
    ("upper-left corner", GRID, "top left"),
    ("It's in the top left.", GRID, "top left"),
    ("the lower right", GRID, "bottom right"),
    ("left", GRID, "left"),
    ("close", DEPTH, "near"),
    ("far away", DEPTH, "far"),
    ("in the center", DEPTH, "middle"),
    ("ahead of it", FRONT, "in front"),
    ("at the back", FRONT, "behind"),
    ("It is in front of the car.", FRONT, "in front"),
    ("not in front, behind", FRONT, "behind"),
    ("The red dog is closer than the blue fish.", THINGS, "red dog"),
    ("a red dog", THINGS, "red dog"),
    ("Red dogs", THINGS, "red dog"),
    ("dog", THINGS, "red dog"),
    ("The car is grey.", COLORS, "gray"),
    ("redder", COLORS, None),
    ("over", ("over", "above"), "over"),
    ("atop", ("over", "above"), None),
    ("2", ("1", "2", "3"), "2"),
    ("two", ("1", "2", "3"), "2"),
    ("B", ("A", "B", "C"), "B"),
    ("cannot be determined", ("left", "cannot be determined"), "cannot be determined"),
    ("I do not know", LR, None),
    ("The marker is on the left.", (), "on left"),
    ("I can't see the cat, but the answer is left.", LR, "left"),
    ("The red dog is not nearest; the blue fish is.", THINGS, "blue fish"),
    ("The dog is facing right", LR, "right"),
    ("I'd go with (b).", LR, "right"),
    ("Both.", LR, None),
    ("top-left", GRID, "top left"),
    ("It is above.\n\nExplanation: the ball is below the lamp", VERTICAL, "above"),
    ("A.", LR, "left"),
    ("(B) left", LR, None),
    ("(A) left", LR, "left"),
    ("A: left", LR, "left"),
    ("<answer>B</answer>", LR, "right"),
    ('{"answer": "B"}', LR, "right"),
    ("B</s>", LR, "right"),
    ("$\\boxed{\\text{B}}$", LR, "right"),
    ("**B. right**", LR, "right"),
    ("The correct option is A", LR, "left"),
    ("Based on the image, the correct answer is: A. left", LR, "left"),
    ("The answer is A because the dog is on the right of the cat", LR, "left"),
    ("A or B", LR, None),
    ("Both A and B", LR, None),
    ("The dog isn't on the left; it's on the right.", LR, "right"),
    ("Cannot be determined from the given image.", LR, None),
    ("leftmost", LR, None),
    ("within", ("inside", "outside"), "inside"),
    ("to the left of", ("on top of", "under", "left of", "right of"), "left of"),
    ("front left", ("front-left", "front-right", "back-left", "back-right"), "front-left"),
]
NUMBER = [
    ("2", "2"),
    ("½", "0.5"),
    ("1e3", "1000"),
    ("one hundred and five", "105"),
    ("two hundred and twenty-five", "225"),
    ("9" * 400, None),  # no number that a float holds
    ("two", "2"),
    ("Two.", "2"),
    ("2 objects", "2"),
    ("There are two dogs.", "2"),
    ("There are 2 dogs, one red and one blue.", "2"),
    ("one", "1"),
    ("There is a single dog.", "1"),
    ("There are no dogs.", "0"),
    ("None", "0"),
    ("zero", "0"),
    ("-3", "-3"),
    ("−3", "-3"),
    ("minus three", "-3"),
    ("2.50 m", "2.5"),
    ("about 3.5 meters", "3.5"),
    ("1,200 pixels", "1200"),
    ("30%", "30"),
    ("90°", "90"),
    ("twenty-one", "21"),
    ("2 + 3 = 5", "5"),
    ("5 (3 dogs and 2 cats)", "5"),
    ("3 dogs and 2 cats, so the answer is 5.", "5"),
    ("There are 3 dogs and 2 cats, so 5 animals.", "5"),
    ("I see 3 red and 2 blue ones, 5 in total.", "5"),
    ("It is in the 3rd row.", "3"),
    ("third", "3"),
    ("2 or 3", None),
    ("between 2 and 4", None),
    ("3-4", None),
    ("a 3D shape", None),
    ("many", None),
    ("someone", None),
    ("I am not sure.", None),
    ("No, I have no idea", None),
    ("2.", "2"),
    ("~5", "5"),
    ("Two (2)", "2"),
    ("a dozen", "12"),
    ("There are half a dozen cubes.", "6"),
    ("two dozen", "24"),
    ("more than a dozen", None),
    ("at least a couple", None),
    ("as many as 3", None),
    ("as few as 3", None),
    ("upwards of 3", None),
    ("3 at the very most", None),
    ("<answer>3</answer>", "3"),
    ('{"answer": 4}', "4"),
    ("None of them", "0"),
    ("2 notices", "2"),
    ("1. red cube\n2. blue cube\n3. red ball\nThere are 3 things.", "3"),
    ("1. red cube\n2. blue cube", None),
    ("more than 5", None),
    ("fewer than three dogs", None),
    ("several", None),
    ("I can see 2 dogs and 1 cat", None),
]
TEXT = [
    ("Red circle.", "red circle"),
    ("The red circle", "red circle"),
    ("It's a red circle.", "red circle"),
    ("The answer is: the red circle.", "red circle"),
    ("The thing is a red circle. It is at the left.", "red circle"),
    ("'car' and 'arrow'", "car and arrow"),
    ("<answer>red car</answer>", "red car"),
    ('{"answer": "red car"}', "red car"),
    ("red car</s>", "red car"),
    ("I cannot tell.", None),
    ("N/A", None),
    ("?", None),
]


@pytest.mark.parametrize(("text", "expected"), [*YES_NO, *YES_NO_MORE])
def test_yes_no(text, expected):
    assert parse(text, "yes_no") == expected


@pytest.mark.parametrize(("text", "options", "expected"), [*CHOICE, *CHOICE_MORE, *REASONED])
def test_choice(text, options, expected):
    assert parse(text, "choice", options) == expected


@pytest.mark.parametrize(("text", "expected"), [*NUMBER, *NUMBER_MORE])
def test_number(text, expected):
    assert parse(text, "number") == expected


def test_what_stands_in_a_reason_is_not_read():
    assert parse("It is 3 because 2 plus 1", "number") == "3"
    assert parse("It is, because no dog is there", "yes_no") == "yes"


@pytest.mark.parametrize(("text", "expected"), TEXT)
def test_text(text, expected):
    assert parse(text, "text") == expected


@pytest.mark.parametrize(
    ("text", "gold", "answer_type", "options", "expected"),
    [
        ("Two dogs.", "2", "number", (), True),
        ("2.0", "2", "number", (), True),
        ("2.1", "2", "number", (), False),
        ("2.46", "2.5", "number", (), True),
        ("2.4", "2.5", "number", (), False),
        ("-2", "2", "number", (), False),
        ("B", "3", "number", ("2", "3"), True),
        ("150 cm", "1.5 m", "number", (), True),
        ("1.6 m", "150 cm", "number", (), False),
        ("1.5 metres", "1.5", "number", (), True),
        ("2 m", "2 cm", "number", (), False),
        ("2 objects", "2", "number", (), True),
        ("50 %", "50", "number", (), True),
        ("50 %", "0.5", "number", (), True),
        ("0.5", "50%", "number", (), True),
        ("50 percent", "50 %", "number", (), True),
        ("50 %", "5", "number", (), False),
        ("0.5", "50", "number", (), False),
        ("0.5 %", "50 %", "number", (), False),
        ("four", "4", "number", (), True),
        ("A. left", "A", "choice", LR, True),
        ("left", "(A)", "choice", LR, True),
        ("Yes", "True", "yes_no", (), True),
        ("next to", "beside", "text", (), True),
        ("left", "to the left of", "choice", (), True),
        ("under", "below", "text", (), True),
        ("above", "below", "text", (), False),
        ("A", "left", "choice", LR, True),
        ("left", "A", "choice", LR, True),
        ("above", "over", "choice", ("over", "above"), False),
        ("cars", "car", "text", (), True),
        ("The boxes", "box", "text", (), True),
        ("row three", "row 3", "text", (), True),
        ("not red", "red", "text", (), False),
        ("red, circle", "red circle", "text", (), True),
        ("A. Yes", "yes", "yes_no", ("yes", "no"), True),
        ("(b)", "no", "yes_no", ("yes", "no"), True),
        ("notice", "no", "yes_no", (), False),
        ("", "no", "yes_no", (), False),
        ("The dog is left of the cat.", "dog is left of cat", "text", (), True),
    ],
)
def test_matches(text, gold, answer_type, options, expected):
    assert matches(text, gold, answer_type, options) is expected


def test_every_option_and_gold_answer_reads_as_itself():
    for options in (
        LR,
        VERTICAL,
        GRID,
        DEPTH,
        FRONT,
        THINGS,
        COLORS,
        ("over", "above"),
        ("row", "column"),
        ("up", "down"),
    ):
        for option in options:
            assert parse(option, "choice", options) == option
            assert parse(f"The {option}.", "choice", options) == option
            assert [matches(option, o, "choice", options) for o in options].count(True) == 1


def test_an_unknown_answer_type_names_the_four():
    with pytest.raises(HeadAtlasError, match="yes_no, choice, number, text"):
        parse("x", "essay")


@pytest.mark.parametrize(
    "options",
    [
        ("Point A", "Point B"),
        ("A is closer", "B is closer"),
        ("A. left", "B. right"),
        ("A", "B", "C", "D"),
        ("A > B", "B > A"),
        ("Region A", "Region B", "same"),
        ("T-shirt", "V-neck"),
        ("vitamin C", "vitamin D"),
        ("a dog", "a cat"),
    ],
)
def test_options_with_letters_in_them_read_as_themselves(options):
    for option in options:
        for form in ("{}", "{}.", "The answer is {}.", "**{}**", "Answer: {}", "<think>The other.</think>{}"):
            assert parse(form.format(option), "choice", options) == option


@pytest.mark.parametrize("options", [("A and B", "C and D"), ("Point B", "Point A"), ("it is a B", "it is a C")])
def test_a_letter_that_may_mean_two_options_is_not_guessed(options):
    for form in ("B", "(B)", "option B"):
        assert parse(form, "choice", options) is None


def test_a_reply_without_end_is_not_read_in_quadratic_time_and_means_nothing():
    for text in ("yes " * 30_000, "a" * 300_000, "<think>" * 100_000, "=1" * 100_000, "A and B " * 50_000):
        for answer_type in ("yes_no", "choice", "number", "text"):
            assert parse(text, answer_type, ("left", "right") if answer_type == "choice" else ()) is None


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        ("5 - 2", None),
        ("5 - 2 = 3", "3"),
        ("the 3rd of 5", None),
        ("the second out of the four", None),
        ("There are no red cubes, but 2 blue ones", None),
        ("There are no others, only 2.", "2"),
        ("2k", None),
        ("1. red 2. blue 3. green", None),
        ("1. 4", None),
        ("Step 1: count them. Step 2: answer 4", "4"),
        ("3\uac1c \uc774\uc0c1", None),  # Korean: 3 or more
        ("\ucd5c\uc18c 3", None),
        ("minst 3", None),  # Swedish
        ("co najmniej 3", None),  # Polish
        ("en az 3", None),  # Turkish
        ("\xedt nh\u1ea5t 3", None),  # Vietnamese
        ("\u0623\u0643\u062b\u0631 \u0645\u0646 3", None),  # Arabic
        ("paling sedikit 3", None),  # Indonesian
        ("\u0663", "3"),  # an Arabic digit
    ],
)
def test_a_number_that_counts_something_else_or_only_bounds_the_answer_is_none(reply, read):
    assert parse(reply, "number") == read


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        ('"Yes" would be wrong.', None),
        ("No is not the answer.", None),
        ("No, it is not wrong.", "no"),
        ("It is, no question.", "yes"),
        ("No objections: yes", "yes"),
        ("\u274c No", "no"),
        ("\ufeffyes\u200d", "yes"),
    ],
)
def test_yes_and_no_that_are_only_mentioned_are_no_answer(reply, read):
    assert parse(reply, "yes_no") == read


@pytest.mark.parametrize(("reply", "options", "answer"), PLACES + LISTED)
def test_places_and_words_that_are_no_direction(reply, options, answer):
    assert parse(reply, "choice", options) == answer


@pytest.mark.parametrize(("reply", "answer"), YES_NO_WHOLE)
def test_whole_replies_of_yes_and_no(reply, answer):
    assert parse(reply, "yes_no") == answer


@pytest.mark.parametrize(("reply", "answer"), NUMBERS_ADDED)
def test_numbers_that_are_added_or_divided(reply, answer):
    assert parse(reply, "number") == answer
