"""Steps about what things look like and what is there."""

from __future__ import annotations

from headatlas.scenes.english.ways import Ways, ways

LOW_LEVEL: dict[str, Ways] = {
    "color_of": ways(
        "Tell me what color the {ref} is.",
        "In what color was the {ref} painted?",
        "How would you describe the color of the {ref}?",
        "Which color does the {ref} come in?",
        "Look at the {ref}: is it red, orange, yellow, green, blue or purple?",
        "If you wanted to paint a copy of the {ref}, which color would you take?",
        held_out=(
            "What's the {ref}'s color?",
            "I can't see the {ref}. What color is it?",
            "Which color would you use to draw the {ref}?",
        ),
    ),
    "texture_of": ways(
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
    "size_of": ways(
        "In reality, is the {a} small or is it large?",
        "Tell me the actual size of the {a}: small or large?",
        "Leaving its depth aside, how big is the {a}, small or large?",
        "Would you call the {a} a small thing or a large one?",
        "Which size fits the {a}, small or large?",
        "Which describes the {a} better, small or large?",
        held_out=(
            "How large is the {a} really: small or large?",
            "Small or large: what is the {a}, if you allow for its depth?",
            "Which word gives the real size of the {a}, large or small?",
        ),
    ),
    "has_texture": ways(
        "Would you describe the {a} as {texture}?",
        "Tell me whether the {a} has a {texture} surface.",
        "Look at the {a}: is it {texture} or not?",
        "Is it correct that the {a} is {texture}?",
        "Does the {a} look {texture} to you?",
        "Do you see a {texture} texture on the {a}?",
        held_out=(
            "Can we say that the {a} is {texture}?",
            "The {a} is {texture}, isn't it?",
            "Check the {a}: is its texture {texture}?",
        ),
    ),
}
"""Steps of low-level perception."""

HIGH_LEVEL: dict[str, Ways] = {
    "exists": ways(
        "Do you find a {a} anywhere?",
        "Has the picture got a {a} in it?",
        "Could you point to a {a}?",
        "Tell me whether you notice a {a}.",
        "Is there a {a} among the things?",
        "If I look for a {a}, will I find one?",
        held_out=(
            "Does the scene contain a {a}?",
            "Can a {a} be found here?",
            "Is a {a} one of the things you see?",
        ),
    ),
    "place": ways(
        "Where are we: in a meadow, on a beach, in snow or at night?",
        "What's the background like: meadow, beach, snow or night?",
        "Tell me what kind of place the things are in.",
        "In what kind of setting do you see all this?",
        "What kind of place do you see behind the things?",
        "Which of these is the scene: meadow, beach, snow or night?",
        held_out=(
            "Is the scene a meadow, a beach, snow or night?",
            "What location does the picture show?",
            "Against what backdrop are the things set: beach, meadow, night or snow?",
        ),
    ),
    "what_is": ways(
        "Something here is {color} and also {texture}. What is it?",
        "Which of the things has the color {color} and a {texture} texture?",
        "I'm looking for something {texture} and {color}: what is it?",
        "Tell me what sort of thing is {texture} and {color}.",
        "What do you call the {color} thing with a {texture} surface?",
        "Find the {color} thing that is {texture}. What is it?",
        held_out=(
            "One thing is {texture} and its color is {color}. What is that thing?",
            "What kind of thing did you see that was {color} and {texture}?",
            "Identify the thing that is painted {color} with a {texture} texture.",
        ),
    ),
    "how_many_kind": ways(
        "How many {cls}s are there?",
        "Tell me how many {cls}s you see.",
        "Count the {cls}s: what do you get?",
        "If you look for a {cls}, how many do you find?",
        "Of all the things, how many are {cls}s?",
        "How many {cls}s can you find?",
        held_out=(
            "Among the things, how many would you call a {cls}?",
            "What number do you reach when you count the {cls}s?",
            "How many {cls}s does the picture have?",
        ),
    ),
}
"""Steps of high-level perception."""
