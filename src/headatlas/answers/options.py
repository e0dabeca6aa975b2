"""Which of the options of a question a text means: by their words, by letters ("B", "(b) left") or by their place in a list."""

from __future__ import annotations

import re

from headatlas.answers.words import canon, numbers, plain, short, tokens, variants

DENIED = re.compile(
    r"\b(?:not|neither|nor|never|than|instead of|opposite of)(?: (?!but\b|rather\b)\S+){0,3} $"
    r"|\bnot (?:think|believe|say)\b[^,;]*$|\bless $"
)
REASON = re.compile(
    r"(?:,?\s+(?:because|since|given that|seeing that)"
    r"|(?:,|(?<=\b[a-z])|(?<=label[a-z]x))\s+as(?=(?:\s+\S+){1,3}\s+(?:is|are|was|were|has|have|lies|looks|appears|seems)\b))\b"
    r"(?:(?![.!?;](?:\s|$)|\n|[,\u2013\u2014-]\s*(?:wait|actually|no|but|or|so|therefore|thus|hence)\b).)*"
)
"""Why an answer is given: "A, because point B is farther", "A as B is behind"; up to the end of the sentence, or to a word that
takes it back."""
_HEDGE = re.compile(r"^[\s,;:.!?-]*(?:or|and|maybe|perhaps|possibly|actually|wait|no|but|false|wrong|incorrect)\b")


def opening_of(text: str) -> str:
    """The text before the first punctuation mark; empty if the text after it retracts it or hedges."""
    parts = re.split(r"([,;:!?\n]|\.(?=\s|$)| - |\bbecause\b|\bsince\b)", text.strip(), maxsplit=1)
    head, mark, rest = (*parts, "", "")[:3]
    return "" if mark and _HEDGE.match(rest) else head.strip()


def exact_option(text: str, options: tuple[str, ...]) -> str | None:
    """The option that equals the text word for word, or else up to synonyms; None if there is none or more than one."""
    if re.search(r"^\W*[a-z][).:]|\([a-z]\)", text):  # a letter and words must agree: see `by_letter`
        return None
    said = short(text) or plain(text).strip(" .,:;!?()")  # without articles nothing would be left of "A"
    same = [o for o in options if said and (short(o) or plain(o)) == said]
    if not same and said:
        same = [o for o in options if canon(o) == canon(text)]
    return same[0] if len(same) == 1 else None


_BEFORE = re.compile(
    r"(?:^|[:;.,\n(=]\s*|\b(?:choose|chose|pick|picked|select|selected|with|say|mean|actually|rather|is|be|so|therefore|thus|hence|option|choice"
    r"|answer|letter)\s+(?:the\s+)?(?:option\s+|choice\s+|letter\s+|answer\s+)?)$"
)
_AFTER = re.compile(r"\s*(?:$|[.,;:!?\n]|- |because\b|since\b|is (?:correct|right)\b)")
_TWO_LETTERS = re.compile(r"(?<![\w'-])\(?[a-z]\)?\s*(?:,|/|&|\band\b|\bor\b)\s*\(?[b-z]\)?(?![\w'-])")


def by_letter(text: str, options: tuple[str, ...], letters: dict[str, int], digits: bool = True) -> str | None:
    """The option that a letter (or a number in a list) stands for; "" if the text contradicts itself; None without a letter.

    A letter counts in brackets, or where an answer would stand: "I pick B." counts, "a dog" does not.
    """
    if digits and not any(numbers(plain(o)) for o in options) and (place := _place(text, len(options))) is not None:
        return options[place]
    start = re.match(r"\(?(\d)(?:\)|[).:,]|$)(?:\s|$)", text)
    if digits and start and not any(numbers(plain(o)) for o in options) and 0 < int(start[1]) <= len(options):
        return _agreed(text[start.end() :], int(start[1]) - 1, options, letters)
    if not letters:
        return None
    text = _without_list(text, options, letters)
    listed = [m for m in _TWO_LETTERS.finditer(text) if len(set(re.findall(r"\b[a-z]\b", m[0])) & set(letters)) > 1]
    if listed:
        return ""
    chosen: set[int] = set()
    denied: set[int] = set()
    rest = text
    for found in re.finditer(r"(?<![\w'-])(\()?([a-z])(\))?(?![\w'-])", text):
        if found[2] not in letters:
            continue
        before, after = text[: found.start()], text[found.end() :]
        bare = before if not re.search(r"\bnot $", before) else before[:-4]
        if not (found[1] and found[3]):
            ends = found[3] or _AFTER.match(after)
            begins = _BEFORE.search(bare[-40:])
            spelled = (
                not before.strip() and exact_option(opening_of(after), options) == options[letters[found[2]]]
            )  # "B right"
            if not (begins and ends) and not spelled:
                continue
            if found[2] == "i" and re.search(r"\w", before + after):  # the pronoun
                continue
        (denied if DENIED.search(before[-60:]) else chosen).add(letters[found[2]])
        rest = f"{rest[: found.start()]}{' ' * len(found[0])}{rest[found.end() :]}"
    if len(chosen) > 1 or chosen & denied:
        return ""
    if not chosen:
        other = len(options) == 2 and len(denied) == 1 and not named_options(rest, options, letters)
        return options[1 - denied.pop()] if other else None
    return _agreed(REASON.sub("", rest), chosen.pop(), options, letters)


def _without_list(text: str, options: tuple[str, ...], letters: dict[str, int]) -> str:
    """The text without the options, where it repeats several of them with their letters ("A. left B. right")."""
    items = [rf"(?<![\w'-])\(?{letter}[.):]\s*{re.escape(options[i])}(?!\w)" for letter, i in letters.items()]
    found = [item for item in items if re.search(item, text)]
    return re.sub("|".join(found), " ", text) if len(found) > 1 else text


_PLACE = re.compile(
    r"\W*(?:(?:the )?(?:correct )?answer is |i (?:choose|pick|select) |it is )?(?:"
    r"(?:(?:the )?(?:option|choice|answer) (?:no\. ?|number |#)?|#)(?P<digit>\d)"
    r"|the (?P<word>first|second|third|fourth|fifth|last) (?:option|choice|answer|alternative))\W*"
)


def _place(text: str, n: int) -> int | None:
    """The index that a text names as a place in the list of `n` options and nothing else ("option 2", "the last option")."""
    found = _PLACE.fullmatch(text)
    if not found:
        return None
    words = ("first", "second", "third", "fourth", "fifth")
    place = n if found["word"] == "last" else int(found["digit"] or words.index(found["word"]) + 1)
    return place - 1 if 0 < place <= n else None


def _agreed(rest: str, chosen: int, options: tuple[str, ...], letters: dict[str, int]) -> str:
    """The chosen option; "" if the rest of the text names other options but not this one."""
    opening = exact_option(opening_of(rest), options)
    named = {options.index(opening)} if opening else named_options(rest, options, letters)
    return "" if named and chosen not in named else options[chosen]


_LONE = re.compile(r"(?<![\w'])[a-z](?![\w'])")
_NO_NOUN = re.compile(
    r"\s*(?:$|[^\w\s]|\n|(?:is|was|are|has|appears|looks|seems|lies|and|or|nor|than|because|since|rather)\b)"
)
"""What may follow a letter, but not an article."""


_INTRODUCED = re.compile(r"(?:^|[:\n]|\b(?:answer|option|choice)(?: is)?)\s*$")
"""Where an answer begins."""
_MENTIONED = re.compile(
    r"\b(?:there (?:is|are|was|were)|(?:i|we|you)(?: can)? see|(?:it|image|picture|photo) (?:has|shows|contains)) an? $"
)
"""What comes before something that is only there."""


def labelled(text: str, options: tuple[str, ...]) -> tuple[tuple[str, ...], str, dict[str, int]]:
    """Remove ambiguous letters from options and plain text: (options to look for, text to look in, letter -> option).

    Options that bring their own letters ("A. left") are looked for without them. Where options differ by a letter ("Point A",
    "Point B"), that letter is replaced by an unambiguous word, in the options and in the text where it is no article.
    """
    shown = [plain(option) for option in options]
    order = {chr(ord("a") + i): i for i in range(min(len(options), 26))}
    marked = [re.match(r"\(?([a-z])(?:\)|[.):])\s*(\S.*)$", option, re.DOTALL) for option in shown]
    if len(options) > 1 and all(marked):
        own = {found[1]: i for i, found in enumerate(marked) if found}
        bodies = tuple(found[2] for found in marked if found)
        if len(own) == len(set(bodies)) == len(options):
            return bodies, text, own
    found = [_LONE.findall(re.sub(r"\ba (?=[b-z]\b(?!'))", "", option)) for option in shown]
    if not any(set(letters) - {"a", "i"} for letters in found):
        return options, text, order
    every = {letter for letters in found for letter in letters}
    inner = {letters[0]: i for i, letters in enumerate(found) if len(letters) == 1}
    if len(inner) < 2 or len(inner) != sum(map(bool, found)):  # as in "A > B" and "B > A"
        inner = {}
    nouns = {
        noun for option in shown for noun, letter in re.findall(r"(\w+) ([a-z])(?![\w'])", option) if letter in every
    }
    alone = all(
        order.get(letter, i) == i for letter, i in inner.items()
    )  # else "B" may be the second option or "Point B"

    bare = re.fullmatch(r"\W*(?:(?:the )?(?:answer|option|choice|letter)(?: is)?)?\W*([a-z])\W*", text)
    if bare and bare[1] in every and (not inner or not alone):
        place = order.get(bare[1], -1)
        if place < 0 or bare[1] not in found[place]:
            text = ""  # as a position it means one option, as a word another
        else:
            return options, text, {bare[1]: place}

    def word(letter: str) -> str:
        return f"label{letter}x"

    def marked_text(plain_text: str) -> str:
        def replace(m: re.Match[str]) -> str:
            before, after = plain_text[: m.start()].split(), plain_text[m.end() :]
            of_noun = bool(before) and before[-1] in nouns
            article = m[0] in "ai" and not of_noun and not _NO_NOUN.match(after)
            if (
                article
                and _INTRODUCED.search(plain_text[: m.start()])
                and (named := re.match(r" \w+ ([a-z])\b", after))
            ):
                article = named[1] not in every  # "Answer: A Point B is farther" gives a letter and goes on
            # "There is a B in it" mentions a mark; it chooses only where the options are letters and nothing else.
            mention = bool(nouns) and _MENTIONED.search(plain_text[: m.start()]) is not None
            return m[0] if m[0] not in every or article or mention or not (alone or of_noun) else word(m[0])

        return _LONE.sub(replace, plain_text)

    rest = {letter: i for letter, i in order.items() if letter not in every}
    labels = {word(letter): i for letter, i in inner.items()} if alone else {}
    return tuple(marked_text(option) for option in shown), marked_text(text), rest | labels


_ADVERB = re.compile(
    r"(?<!the )(?<!on )(?<!to )\bright (?=(?:behind|in front|next to|above|below|under|underneath|beside|on top|between"
    r"|beneath)\b)"
    r"|,\s*right\?\s*$"
)
"""The word "right" where it is no direction: "right behind it"."""


def named_options(text: str, options: tuple[str, ...], letters: dict[str, int]) -> set[int]:
    """Indices of the options that the text names and does not deny. A longer option hides shorter ones contained in it."""
    forms = [variants(option) for option in options]
    owners: dict[str, set[int]] = {}
    for i, phrases in enumerate(forms):
        for phrase in phrases:
            owners.setdefault(phrase, set()).add(i)
    for i, option in enumerate(
        options
    ):  # an option's own words belong to it alone, even if they are synonyms of another option
        owners[" ".join(w for w in tokens(plain(option)) if w != ",")] = {i}
    words = tokens(_ADVERB.sub(" ", text))
    for label, i in letters.items():
        others = set(tokens(plain(options[i]))) - {label, "is", "are"}
        if len(label) > 1 and (len(others) <= 1 or others <= set(words)):  # a labelled option, by its label alone
            owners.setdefault(label, set()).add(i)
    said, found = " ".join(words), set()
    for phrase in sorted((p for p in owners if p), key=len, reverse=True):
        pattern = re.compile(rf"(?<!\S){re.escape(phrase)}(?!\S)")
        for m in pattern.finditer(said):
            before = said[max(0, m.start() - 200) : m.start()].split(",")[-1]
            denied = DENIED.search(before) or re.match(r" (?:is |are )?not\b", said[m.end() : m.end() + 10])
            if not denied and len(owners[phrase]) == 1:
                found |= owners[phrase]
        said = pattern.sub(" ".join("#" for _ in phrase.split()), said)
    return found
