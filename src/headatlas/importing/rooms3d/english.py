"""Parse Super-CLEVR's English questions, for files without programs.

The wording of Super-CLEVR's templates is understood (counts, comparisons, one relation, same attribute, parts); any other
wording raises `Unusable`. The caller compares the result with the given answer.
"""

from __future__ import annotations

import re

from headatlas.importing.draft import Unusable
from headatlas.importing.rooms3d.asking import Asking, Filters, Near, Parts, Things
from headatlas.importing.rooms3d.graph import DIRECTIONS, KINDS, NAMES

_WORDS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("small", "tiny"), ("size", "small")),
    **dict.fromkeys(("large", "big"), ("size", "large")),
    **dict.fromkeys(("metal", "metallic", "shiny"), ("material", "metal")),
    **dict.fromkeys(("rubber", "matte"), ("material", "rubber")),
    **{c: ("color", c) for c in ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")},
}
_NOUNS: dict[str, Filters] = {
    **{name: (("shape", shape),) for shape, name in NAMES.items()},
    **{kind: (("kind", kind),) for kind in KINDS},
    **dict.fromkeys(("thing", "object"), ()),
}
_NOUNS |= {plural: filters for noun, filters in list(_NOUNS.items()) for plural in (f"{noun}s", f"{noun}es")}

_SIDE = r"(?:(?:on|to) the )?(?:left|right)(?: side)? of|behind|in front of"
_RELATION = re.compile(rf"^(?:that (?:is|are) )?({_SIDE}) (.+)$")
_SAME = re.compile(
    r"^(?:(?:that|which) (?:is|are|has|have) |with |of |made of |are |have |is |has )*(?:the )?"
    r"same (size|color|material|shape) as (.+)$"
)
_HAS = re.compile(r"^that has an? (.+)$")
_ASKED = {name: name for name in ("size", "color", "material", "shape")} | {
    "made of": "material",
    "name": "shape",
    "big": "size",
}


def things(text: str) -> Things:
    """Parse "(the) small gray bus that is behind the red truck"."""
    rest = re.sub(r"^(?:the|an?|any|another|other|any other|another other) ", "", text.strip())
    rest = re.sub(r"^other ", "", rest)
    filters: list[tuple[str, str]] = []
    while (first := rest.split(" ", 1)[0]) in _WORDS:
        filters.append(_WORDS[first])
        rest = rest.partition(" ")[2]
    noun = next((n for n in sorted(_NOUNS, key=len, reverse=True) if re.match(rf"{n}(?= |$)", rest)), None)
    if noun is None:
        raise Unusable(f"{text[:60]!r} is not a known thing")
    rest = rest[len(noun) :].strip()
    near = (_near(rest),) if rest else ()
    return Things((*filters, *_NOUNS[noun]), near)


def _near(text: str) -> Near:
    if m := _RELATION.match(text):
        return Near("relate", _direction(m[1]), things(m[2]))
    if m := _SAME.match(text):
        return Near("same", m[1], things(m[2]))
    if m := _HAS.match(text):
        return Near("has", "", parts(m[1]))
    raise Unusable(f"{text[:60]!r} is not a known condition")


def _direction(text: str) -> str:
    return next(direction for direction in DIRECTIONS if direction in text)


def parts(text: str, of: Things | None = None) -> Parts:
    """Parse "yellow metal front wheel"; a plain "part" is any part."""
    rest, filters = re.sub(r"^(?:the|an?) ", "", text.strip()), []
    while (first := rest.split(" ", 1)[0]) in _WORDS:
        filters.append(_WORDS[first])
        rest = rest.partition(" ")[2]
    if rest and rest != "part":
        filters.append(("name", rest))
    return Parts(tuple(filters), of or Things())


def read_question(text: str) -> Asking:
    """Parse a question. Raises `Unusable` if its wording is not known."""
    said = re.sub(r"\s+", " ", text.strip().lower()).rstrip("?").strip()
    for pattern, make in _PATTERNS:
        if m := re.match(pattern + "$", said):
            return make(m)
    raise Unusable(f"the wording is not known: {text[:70]!r}")


def _compare(what: str):
    return lambda m: Asking(what, "", (things(m["a"]), things(m["b"])))


def _same(m: re.Match[str]) -> Asking:
    return Asking("same", m["attr"] if "attr" in m.groupdict() else "material", (things(m["a"]), things(m["b"])))


def _query(m: re.Match[str]) -> Asking:
    attribute = _ASKED[m["attr"]]
    return Asking("query", attribute, (things(m["a"]),))


def _part(m: re.Match[str]) -> Asking:
    attribute, found = m["attr"], m.groupdict()
    if found.get("other"):
        return Asking("query", attribute, (parts(m["p"], Things(near=(Near("has", "", parts(m["other"])),))),))
    return Asking("query", attribute, (parts(m["p"], things(m["a"])),))


def _hop(what: str):
    def make(m: re.Match[str]) -> Asking:
        base = things(m["a"])
        near = Near("relate", _direction(m["rel"]), things(m["b"]))
        return Asking(what, "", (Things(base.filters, (*base.near, near)),))

    return make


_A, _B, _ATTR = "(?P<a>.+?)", "(?P<b>.+?)", "(?P<attr>size|color|material|shape)"
_REL = rf"(?P<rel>(?:that (?:is|are) )?(?:{_SIDE}))"
_PATTERNS = [
    (rf"is the number of {_A} the same as the number of {_B}", _compare("equal")),
    (rf"is the number of {_A} less than the number of {_B}", _compare("less")),
    (rf"is the number of {_A} greater than the number of {_B}", _compare("greater")),
    (rf"are there (?:the same|an equal) number of {_A} and {_B}", _compare("equal")),
    (rf"are there fewer {_A} than {_B}", _compare("less")),
    (rf"are there more {_A} than {_B}", _compare("greater")),
    (rf"do(?:es)? the {_A} (?:and the|have the same {_ATTR} as the) {_B}(?: have the same (?P<attr2>\w+))?",
     lambda m: Asking("same", m["attr"] or m["attr2"], (things(m["a"]), things(m["b"])))),
    (rf"is the {_A} made of the same material as the {_B}", _same),
    (rf"is the {_ATTR} of the {_A} the same as the {_B}", _same),
    (rf"is the {_A} the same {_ATTR} as the {_B}", _same),
    (rf"are the {_A} and the {_B} made of the same material", _same),
    (rf"there is an? {_A}; (?:is it|does it have|is its {_ATTR})(?: the same {_ATTR.replace('attr', 'attr2')})?"
     rf"(?: (?:made of )?the same material)?(?: the same)? as the {_B}",
     lambda m: Asking("same", m["attr"] or m["attr2"] or "material", (things(m["a"]), things(m["b"])))),
    (rf"there is an? {_B}; (?:how many|what number of) {_A} are {_REL} it", _hop("count")),
    (rf"there is an? {_B}; (?:are|is) there (?:any |an? )?{_A} {_REL} it", _hop("exist")),
    (rf"there is an? {_A}; what (?:is its )?(?P<attr>size|color|material|shape)(?: is it)?", _query),
    (rf"there is an? {_A}; what is it (?P<attr>made of)", _query),
    (rf"there is an? {_A}; how (?P<attr>big) is it", _query),
    (rf"how (?P<attr>big) is the {_A}", _query),
    (rf"the {_A} has what {_ATTR}", _query),
    (rf"(?:how many|what number of) {_A} (?:are|have) (?P<c>(?:there )?.+)",
     lambda m: Asking("count", "", (things(f"{m['a']} {m['c'].removeprefix('there ')}"),))),
    (r"(?:is there|are there) (?:any other |another |any |anything |an? )?(?P<a>(?:else )?.+)",
     lambda m: Asking("exist", "", (things(re.sub(r"^else", "thing", m["a"])),))),
    (r"what is the (?P<attr>name|color|material|size) of the (?P<p>.+?) that belongs? to the same object as the (?P<other>.+)",
     _part),
    (r"what is the (?P<attr>name|color|material|size) of the (?P<a>[^;]+? that has .+)", _query),
    (rf"what is the (?P<attr>name|color|material|size) of the (?P<p>.+?) of the {_A}", _part),
    (rf"what is the {_ATTR} of the {_A}", _query),
    (rf"what {_ATTR} is the {_A}", _query),
    (rf"what is the {_A} (?P<attr>made of)", _query),
    (rf"the {_A} is what {_ATTR}", _query),
    (rf"the {_A} is (?P<attr>made of) what(?: material)?", _query),
]  # fmt: skip
