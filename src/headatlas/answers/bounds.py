"""Numbers that only bound an answer ("at least 3"), or count something else ("the 3rd of 5"), in several languages."""

from __future__ import annotations

import re

from headatlas.answers.words import NUMBER_WORD

AMOUNT = r"(?:-?\.?\d|(?:half )?(?:a )?(?:dozen|couple|pair|hundred|thousand)\b|" + NUMBER_WORD + r")"
"""Pattern of the start of a number, in digits or words."""

_BEFORE = (
    *("mindestens", "h\xf6chstens", "maximal", "mehr als", "weniger als"),  # German
    *("au moins", "au plus", "plus de", "moins de"),  # French
    *("al menos", r"como m[\xe1\xed]\wimo", "m\xe1s de", "menos de"),  # Spanish
    *("almeno", "al massimo", "pi\xf9 di", "meno di"),  # Italian
    *("pelo menos", "no m\xe1ximo", "mais de"),  # Portuguese
    *("\u043c\u0435\u043d\u0435\u0435", "\u0431\u043e\u043b\u0435\u0435"),  # Russian
    "\u0449\u043e\u043d\u0430\u0439\u043c\u0435\u043d\u0448\u0435",  # Ukrainian
    *("minstens", "ten minste", "hoogstens", "meer dan", "minder dan"),  # Dutch
    *("minst", "h\xf6gst", "mer \xe4n", "mindre \xe4n"),  # Swedish
    *("mindst", "h\xf8jst", "mere end", "mindre end"),  # Danish
    *("co najmniej", "co najwy\u017cej", "przynajmniej", "wi\u0119cej ni\u017c", "mniej ni\u017c"),  # Polish
    *("alespo\u0148", "nejm\xe9n\u011b", "nejv\xfd\u0161e", "v\xedce ne\u017e", "m\xe9n\u011b ne\u017e"),  # Czech
    *("en az", "en fazla", "en \xe7ok"),  # Turkish
    *("\xedt nh\u1ea5t", "nhi\u1ec1u nh\u1ea5t", "t\u1ed1i \u0111a", "t\u1ed1i thi\u1ec3u", "h\u01a1n"),  # Vietnamese
    *("setidaknya", "paling sedikit", "paling banyak", "lebih dari", "kurang dari"),  # Indonesian
    "\u0639\u0644\u0649 \u0627\u0644\u0623\u0642\u0644",  # Arabic: at least,
    *("\u0623\u0643\u062b\u0631 \u0645\u0646", "\u0623\u0642\u0644 \u0645\u0646"),  # more than, less than
    *("\u0915\u092e \u0938\u0947 \u0915\u092e", "\u0938\u0947 \u0905\u0927\u093f\u0915"),  # Hindi: at least, more than
)
"""What stands before a number, with a space between."""
_JOINED = (
    *("\u81f3\u5c11", "\u6700\u591a", "\u4e0d\u5c11\u4e8e", "\u4e0d?\u8d85\u8fc7"),  # Chinese
    "[\u5c11\u591a\u5927\u5c0f]\u4e8e",
    *("\u5c11\u306a\u304f\u3068\u3082", "\u6700\u4f4e", "\u6700\u5927"),  # Japanese
    *("\ucd5c\uc18c", "\ucd5c\ub300", "\uc801\uc5b4\ub3c4", "\ub9ce\uc544\uc57c"),  # Korean
)
"""What stands before a number, with or without a space."""
_AFTER = ("\u4ee5[\u4e0a\u4e0b\u5185]", "\uc774\uc0c1", "\uc774\ud558", "\ubbf8\ub9cc", "\ucd08\uacfc")
"""What stands after a number and a word that counts, in Chinese, Japanese and Korean."""

_NEARLY = (
    *("almost", "nearly", "not quite", "just (?:under|over|short of)", "slightly (?:under|over|less than|more than)"),
    *(
        "fast",
        "beinahe",
        "knapp",
        "presque",
        "casi",
        "quasi",
        "quase",
        "bijna",
        "n\xe4stan",
        "n\xe6sten",
        "prawie",
        "t\xe9m\u011b\u0159",
    ),
    *("\u043f\u043e\u0447\u0442\u0438", "neredeyse", "hampir", "g\u1ea7n"),  # Russian, Turkish, Indonesian, Vietnamese
)
"""What says that a number is not reached, or just passed. "About 3" is an estimate, and counts."""

BOUND = re.compile(
    r"\bor (?:more|less|fewer|so)\b|\d\s*\+(?!\s*[\d.])|[<>\u2264-\u2267]=?\s*-?\d"
    rf"|\b(?:{'|'.join(_NEARLY)})\s+(?:a |an )?{AMOUNT}|(?:\u51e0\u4e4e|\u5c06\u8fd1|\uac70\uc758)\s*-?\d"
    r"|\b(?:(?:more|less|fewer|greater|higher|lower|larger|smaller) than|at (?:the )?(?:very )?(?:least|most)|up to"
    r"|(?:min|max)imum(?: of)?|as (?:many|few|much|little) as|upwards? of|in excess of|north of"
    rf"|over|under|above|below|exceed(?:s|ing)?|between)\s+(?:about\s+)?{AMOUNT}"
    rf"|(?:{'|'.join(_BEFORE)})\s+-?\d|(?:{'|'.join(_JOINED)})\s*-?\d|\d\s*\w?\s*(?:{'|'.join(_AFTER)})"
    rf"|{AMOUNT}\s+(?:at (?:the )?(?:very )?(?:least|most)|max|min)\b"
)
"""A number that only bounds the answer, such as "at least 3"."""

NOT_A_COUNT = re.compile(
    rf"(?:\d(?:st|nd|rd|th)|\b(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|last))\b[\w ]{{0,20}}"
    rf"\bof (?:the )?{AMOUNT}|\bno (?!doubt\b)[a-z]+(?: [a-z]+)?,? but {AMOUNT}"
    rf"|\bnone of (?:the |these |those |them |its )?{AMOUNT}"
    rf"|^\W*\d+(?:\.\d+)? [-\xf7] \d+(?:\.\d+)?\W*$|^\W*\d{{1,2}}[.)] +{AMOUNT}"
)
"""A place in a row ("the 3rd of 5"), none of one thing but some of another, a sum without its result, or an item of a list."""
