"""Plain text prompts without pictures.

The family's training keeps the answers of its base, SmolLM2-135M-Instruct, to `TRAIN_PROMPTS`; `HELD_OUT_PROMPTS`, about other
things and in other forms, measure how far the trained model still answers like the base.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_COUNTRIES = (
    "France", "Italy", "Spain", "Germany", "Japan", "China", "India", "Egypt", "Kenya", "Canada", "Mexico", "Brazil",
    "Peru", "Chile", "Norway", "Sweden", "Poland", "Greece", "Turkey", "Russia", "Austria", "Ireland", "Cuba", "Thailand",
)  # fmt: skip

_NOUNS = (
    "democracy", "gravity", "a metaphor", "inflation", "photosynthesis", "a habit", "erosion", "a mammal", "courage",
    "a budget", "evaporation", "an atom", "a molecule", "patience", "a contract", "the economy", "an ecosystem", "a fossil",
    "friction", "a rumor", "loyalty", "a verb", "an island", "a century", "migration", "a vaccine",
)  # fmt: skip

_ADJECTIVES = (
    "hot", "happy", "early", "heavy", "rich", "strong", "empty", "noisy", "brave", "clean", "deep", "easy", "fast", "friendly",
    "hard", "honest", "young", "wet", "sharp", "thick", "polite", "public", "rough", "simple", "tight", "true",
)  # fmt: skip

_TOPICS = (
    "the sea", "a rainy day", "a train", "winter", "a garden", "coffee", "a library", "the moon", "a market", "music", "a river",
    "bread", "a bicycle", "a mountain", "an old house", "friendship", "a storm", "a teacher", "a birthday", "the desert",
    "a cat", "breakfast", "a long walk", "a bridge", "honey", "the future", "a small town", "a clock", "football", "a letter",
)  # fmt: skip

_GROUPS = (
    "fruits", "vegetables", "musical instruments", "wild animals", "sports", "metals", "planets", "languages", "tools", "insects",
    "trees", "drinks", "pieces of furniture", "school subjects", "hobbies", "kinds of weather", "jobs", "birds", "flowers",
    "means of transport", "board games", "spices", "emotions", "rivers", "oceans", "desserts", "kinds of cloth", "body parts",
)  # fmt: skip

_WORDS = (
    "house", "water", "bread", "friend", "book", "night", "sun", "street", "mother", "apple", "school", "window", "good morning",
    "thank you", "I am hungry", "where is the station", "until tomorrow", "the door is open",
)  # fmt: skip

_LANGUAGES = ("French", "Spanish", "German", "Italian")

_COLORED = (
    "a ripe lemon", "grass", "the sky on a clear day", "snow", "coal", "a tomato", "a carrot", "a banana", "milk", "blood",
    "chocolate", "a flamingo", "an emerald", "salt", "a crow", "a strawberry", "a ruby", "a school bus", "sand", "an eggplant",
)  # fmt: skip

_COMPARED = (
    ("larger", "a mouse", "an elephant"), ("heavier", "a feather", "a brick"), ("faster", "a snail", "a horse"),
    ("hotter", "ice", "steam"), ("taller", "a bush", "a skyscraper"), ("longer", "a minute", "an hour"),
    ("sweeter", "sugar", "vinegar"), ("older", "a baby", "a grandfather"), ("louder", "a whisper", "a scream"),
    ("brighter", "the sun", "a candle"), ("softer", "a pillow", "a stone"), ("more expensive", "a pencil", "a car"),
    ("smaller", "an ant", "a cow"), ("lighter", "a balloon", "a piano"), ("slower", "a turtle", "a rabbit"),
    ("colder", "summer", "winter"), ("deeper", "a puddle", "an ocean"), ("wider", "a path", "a highway"),
    ("stronger", "a kitten", "a lion"), ("sharper", "a knife", "a spoon"),
)  # fmt: skip

_TASKS = (
    "boil an egg", "tie a shoelace", "make a cup of tea", "plant a seed", "clean a window", "write a letter",
    "fall asleep faster", "save money", "learn a new language", "wash a sweater", "fix a flat tire", "cook rice",
    "start a conversation", "remember names", "pack a suitcase", "take care of a plant", "make a paper airplane", "stay healthy",
    "sharpen a pencil", "prepare for a test", "bake a cake", "sew on a button", "paint a wall", "train a puppy",
    "read a map", "stop hiccups",
)  # fmt: skip

_SENTENCES = (
    "The shop was closed because the owner had gone to visit her sister in the city.",
    "After three days of rain, the river rose and the people moved to higher ground.",
    "Tom forgot his keys at work, so he had to wait two hours until his wife came home.",
    "The company sold more bicycles this year than in the last two years together.",
    "Although the team played well, it lost the match in the last minute.",
    "Many students like the new library because it is quiet and open until midnight.",
    "The old bridge will be repaired next spring, and cars must take another road until then.",
    "Bees carry pollen from flower to flower, which helps plants make fruit and seeds.",
    "Maria practiced the violin every day and finally won first prize.",
    "The train left late since a tree had fallen on the tracks during the storm.",
    "Eating vegetables every day gives the body vitamins and helps to prevent illness.",
    "The museum is free on Sundays, but visitors have to book a ticket in advance.",
)

_BEGINNINGS = (
    "Once upon a time, there was a king who", "When I opened the door,", "The best thing about summer is",
    "If I had a million dollars,", "Every morning, my grandmother", "The little boat drifted", "Nobody believed him until",
    "In the middle of the forest,", "She smiled because", "The recipe calls for", "Last night I dreamed that",
    "The doctor told him to",
)  # fmt: skip

_CLAIMS = (
    "fish can breathe under water", "the sun is a star", "a spider has six legs", "iron is a metal", "bats are birds",
    "the earth is flat", "plants need light", "a year has twelve months", "sound travels faster than light",
    "ice floats on water", "penguins can fly",
    "gold is heavier than wood", "the moon is made of cheese", "cows eat grass", "a triangle has four sides",
    "humans have two lungs", "glass is made from sand", "whales are mammals", "all snakes are poisonous", "lead is a liquid",
)  # fmt: skip

_VERBS = (
    "go", "eat", "write", "run", "take", "see", "buy", "think", "break", "sing", "drive", "begin", "find", "speak", "swim",
    "teach",
)  # fmt: skip

_PLURALS = (
    "child", "mouse", "leaf", "city", "box", "foot", "wolf", "potato", "sheep", "tooth", "baby", "knife",
)  # fmt: skip

_SMALL_TALK = (
    "Hello!", "Hi, how are you today?", "Good evening.", "What can you do?", "Who are you?", "Tell me a joke.", "I feel tired.",
    "I had a great day!", "What should I do this weekend?", "Do you like music?", "Can you help me?", "I am bored.",
    "Thanks for your help!", "Nice to meet you.", "What's your favorite season?", "I'm nervous about my exam tomorrow.",
    "Goodbye!", "My name is Anna. What is yours?", "It is cold outside.", "Tell me something interesting.",
    "I just adopted a dog.", "Can we talk?", "What do you think about robots?", "I lost my wallet.", "Happy New Year!",
)  # fmt: skip

_PEOPLE = (
    "Albert Einstein", "Isaac Newton", "Cleopatra", "William Shakespeare", "Marie Curie", "Leonardo da Vinci", "Mozart",
    "Abraham Lincoln", "Julius Caesar", "Charles Darwin", "Gandhi", "Neil Armstrong", "Vincent van Gogh", "Aristotle",
)  # fmt: skip


def _in_turn(forms: tuple[str, ...], values: Iterable[object]) -> Iterator[str]:
    """Put each value, or tuple of values, into one of the forms, which take turns."""
    for i, value in enumerate(values):
        yield forms[i % len(forms)].format(*(value if isinstance(value, tuple) else (value,)))


def _sums() -> Iterator[tuple[int, int]]:
    """Pairs of numbers, the larger first."""
    for i in range(48):
        yield 7 + 5 * i % 43, 2 + 3 * i % 11 % 7


def _train() -> Iterator[str]:
    yield from _in_turn(
        ("What is the capital of {}?", "Name the capital city of {}.", "{}: what is its capital?"), _COUNTRIES
    )
    yield from _in_turn(("Which language do people speak in {}?", "On which continent is {}?"), _COUNTRIES)
    yield from _in_turn(("What does {} mean?", "Define {}.", "Explain {} in simple words.", "What is {}?"), _NOUNS)
    yield from _in_turn(
        ("What is the opposite of {}?", 'Give an antonym of "{}".', "The opposite of {} is"), _ADJECTIVES
    )
    yield from _in_turn(('Give a synonym for "{}".', 'Use the word "{}" in a sentence.'), _ADJECTIVES)
    yield from _in_turn(
        ("What is {} + {}?", "What is {} minus {}?", "Add {} and {}.", "Multiply {} by {}.", "{} - {} ="), _sums()
    )
    yield from _in_turn(("Write one sentence about {}.", "Write a short poem about {}.", "Tell me about {}."), _TOPICS)
    yield from _in_turn(("Describe {} in a few words.", "Why do people write stories about {}?"), _TOPICS)
    yield from _in_turn(("Give three examples of {}.", "List five {}.", "Name some {}."), _GROUPS)
    words = [(word, _LANGUAGES[(i + shift) % 4]) for shift in (0, 1) for i, word in enumerate(_WORDS)]
    yield from _in_turn(('Translate "{}" into {}.', 'How do you say "{}" in {}?'), words)
    yield from _in_turn(("What color is {}?", "Tell me the usual color of {}."), _COLORED)
    yield from _in_turn(("Which is {}: {} or {}?", "What is {}, {} or {}?"), _COMPARED)
    yield from _in_turn(("Which is {}, {} or {}? Explain.",), ((more, b, a) for more, a, b in _COMPARED))
    yield from _in_turn(("How do I {}?", "Give me tips to {}.", "What do you need to {}?"), _TASKS)
    yield from _in_turn(("Summarize this sentence in a few words: {}", "Rewrite this sentence: {}"), _SENTENCES)
    yield from _in_turn(("What happened here? {}", "Make this shorter: {}"), _SENTENCES)
    yield from _in_turn(("Continue: {}", "Finish this sentence: {}"), _BEGINNINGS)
    yield from _in_turn(("Is it true that {}?", "True or false: {}."), _CLAIMS)
    yield from _in_turn(('What is the past tense of "{}"?', 'Use "{}" in the past tense.'), _VERBS)
    yield from _in_turn(('What is the plural of "{}"?',), _PLURALS)
    yield from _in_turn(("Who was {}?", "What is {} known for?"), _PEOPLE)
    yield from _SMALL_TALK


TRAIN_PROMPTS: tuple[str, ...] = tuple(dict.fromkeys(_train()))
"""Prompts whose answers training keeps."""

HELD_OUT_PROMPTS: tuple[str, ...] = (
    "Recommend a gift for my uncle who loves fishing.",
    "Suggest what to call a bakery.",
    "Compose a slogan for a shoe brand.",
    "Draft an email asking my boss for a day off.",
    "I need an excuse for missing the meeting. Ideas?",
    "Where does the kangaroo live?",
    "When did the Second World War end?",
    "How many seconds are there in a quarter of an hour?",
    "Half of 90 equals what?",
    "A shirt costs $20 and is reduced by 10%. How much do I pay?",
    "Which number comes next: 3, 6, 9, 12?",
    "Sort these numbers from low to high: 18, 4, 27, 9.",
    "Count the vowels in the word banjo.",
    "Spell the word necessary backwards.",
    "Complete the analogy: glove is to hand as sock is to",
    "Which word doesn't belong: violet, tulip, hammer, daisy?",
    'Correct the grammar: "He don\'t has no time for it."',
    'Turn this into a question: "Lisa enjoys swimming."',
    'Replace the adjective: "It was a gloomy afternoon."',
    'Is the review positive or negative? "The soup was bland and the waiter ignored us."',
    "Classify as noun or verb: harvest, decide, wisdom.",
    "What rhymes with bone?",
    "How does a lake differ from a pond?",
    "Compare tea bags with loose leaves.",
    "How come leaves fall in autumn?",
    "What causes earthquakes?",
    "By what means does a refrigerator keep food cold?",
    "Who invented the telephone?",
    "At what temperature does water freeze in Fahrenheit?",
    "Give the chemical symbol for oxygen.",
    "Are sharks older than dinosaurs?",
    "Is homework good for children? Argue for one side.",
    "List the advantages of working from home.",
    "Plan a picnic for four friends.",
    "Pretend you are a pirate and greet me.",
    "A haiku on silence, please.",
    "Invent a riddle whose answer is a shadow.",
    "Open a mystery novel with a gripping line.",
    "My neighbor plays drums at 3 a.m. Any advice?",
    "Who painted the ceiling of the Sistine Chapel?",
)
"""Prompts to compare the trained model with its base; none of them, and none of their forms, is used in training."""
