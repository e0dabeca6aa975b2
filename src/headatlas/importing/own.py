"""Turn a row of a user's own questions into a draft: `{image, question, answer}` and whatever else is known.

`FIELDS` lists the fields and the other names under which they are found; `docs/data.md` describes them. What a row does not say
is found out (the type of the answer), dealt later (the split) or left open (the function, see `cogvsr.functions.TASK`).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast, get_args

from headatlas.cogvsr.functions import FUNCTIONS, SPATIAL, TASK, TITLES
from headatlas.cogvsr.schema import AnswerType, Box, SceneObject, Step
from headatlas.errors import HeadAtlasError
from headatlas.importing.chain import WHOLE, words
from headatlas.importing.choices import Asked, asked, split_options
from headatlas.importing.draft import ODD, Draft, LeftOut, Picture, Unusable, left_out
from headatlas.registry import near

NAME = "own"
"""The importer's name, and the `source` of questions."""

FIELDS: dict[str, tuple[str, ...]] = {
    "image": ("image", "images", "image_path", "image_paths", "img", "img_path", "file_name", "filename", "picture"),
    "question": ("question", "text", "query", "prompt"),
    "answer": ("answer", "target", "gt_answer", "ground_truth", "gold", "correct_answer"),
    "options": ("options", "choices", "candidates"),
    "function": ("functions", "function"),
    "scene": ("scene", "scene_id", "group", "group_id"),
    "type": ("type", "question_type", "category", "family", "task"),
    "id": ("id", "question_id", "index", "qid"),
    "split": ("split",),
    "boxes": ("boxes", "box", "bbox"),
    "objects": ("objects",),
    "steps": ("steps",),
    "hint": ("hint",),
    "answer_type": ("answer_type",),
}
"""What a row may hold, and the names under which it is looked for, the first that is there."""

_KNOWN = {name for names in FIELDS.values() for name in names}
SPLITS = ("P", "S", "T", "E")
_LETTERS = tuple("ABCDEFGHIJ")
_FUNCTION_OF = {re.sub(r"\W+", "_", title.lower()): name for name, title in TITLES.items()} | {f: f for f in FUNCTIONS}

Pictured = Callable[[Any, str], Picture]
"""Makes a picture of what a row holds (a path, an address, base64 text, bytes, an image), and gives it a name."""


def drafts_of(rows: Iterable[tuple[str, Mapping[str, Any]] | LeftOut], pictured: Pictured) -> Iterator[Draft | LeftOut]:
    """The drafts of rows; a row that cannot be used becomes a `LeftOut` that says what to write.

    Args:
        rows: pairs of where a row stands, such as `"a.jsonl, line 3"`, and its fields.
        pictured: see `Pictured`.

    Raises:
        HeadAtlasError: some rows name their functions and others do not.
    """
    made: list[Draft | LeftOut] = []
    for number, row in enumerate(rows):
        if isinstance(row, LeftOut):
            made.append(row)
            continue
        where, fields = row
        try:
            made.append(_draft(number, where, named(fields), pictured))
        except ODD as error:
            made.append(left_out(where, error))
    drafts = [one for one in made if isinstance(one, Draft)]
    open_ = [draft for draft in drafts if any(step.kind == TASK for step in draft.steps)]
    if 0 < len(open_) < len(drafts):
        raise HeadAtlasError(
            f"{len(open_)} of {len(drafts)} questions name no function, the first is {open_[0].id or open_[0].key!r}: give every "
            f"question (or each of its steps) one of {', '.join(FUNCTIONS)}, or leave functions out of all of them"
        )
    yield from made


def named(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its fields in the spelling of `FIELDS`: "Question" and " Image Path " are `question` and `image_path`.

    Raises:
        Unusable: two spellings of one field hold different values.
    """
    made: dict[str, Any] = {}
    for name, value in row.items():
        plain = re.sub(r"[\s-]+", "_", str(name).strip().lower())
        known = plain if plain in _KNOWN and name not in _KNOWN and plain not in row else name
        if known in made and known != name and made[known] != value:
            raise Unusable(f"field {known}: must be there once, got it in two spellings with different values")
        made[known] = value
    return made


def _draft(number: int, where: str, row: Mapping[str, Any], pictured: Pictured) -> Draft:
    name = _name(row, "id")
    key = name or where
    pictures = _pictures(row, key, pictured)
    question = _asked(row, "question", row)
    functions = _functions(row)
    steps = _steps(row, question, functions)
    return Draft(
        key=key,
        text=question.text,
        answer=question.answer,
        answer_type=question.answer_type,
        steps=steps,
        pictures=pictures,
        options=question.options,
        family=_type(row),
        group=_name(row, "scene"),
        objects=_objects(row),
        id=name or f"{NAME}-{number}",
        split=_split(row),
    )


def _value(row: Mapping[str, Any], what: str) -> Any:
    """The first of a field's names under which the row holds something."""
    for name in FIELDS[what]:
        value = row.get(name)
        if value is not None and value == value and value != "" and value != []:
            return value
    return None


def _plain(value: Any) -> str:
    """A text or number as text; "" for anything else."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _name(row: Mapping[str, Any], what: str) -> str:
    """The text of a field that holds a text or a number; "" if there is none."""
    value = _value(row, what)
    if value is not None and (isinstance(value, bool) or not isinstance(value, (str, int, float))):
        raise Unusable(f"field {what}: must be a text or a number, got {value!r:.60}")
    return _plain(value)


def _type(row: Mapping[str, Any]) -> str:
    """The question type; several, in a list, are joined by `|`."""
    value = _value(row, "type")
    value = _json(value) if isinstance(value, str) and value.lstrip().startswith("[") else value
    if isinstance(value, (list, tuple)) and all(_plain(one) for one in value):
        return "|".join(map(_plain, value))
    return _name(row, "type")


def _missing(row: Mapping[str, Any], what: str, example: str) -> Unusable:
    names = [str(name) for name, value in row.items() if value is not None]
    has = ", ".join(names[:8]) or "nothing"
    meant = near(what, [name for name in names if not any(name in known for known in FIELDS.values())])
    return Unusable(f"field {what}: is missing{meant}; write {example} (the row has {has:.120})")


# -- the question --------------------------------------------------------------------------------------------------------


def _asked(part: Mapping[str, Any], what: str, row: Mapping[str, Any]) -> Asked:
    """Text, answer, type and options of a question or of a step."""
    text = _value(part, "question")
    if text is None and what == "step":
        text = part.get("subquestion")
    if not isinstance(text, str) or not text.strip():
        raise _missing(part, "question", '"question": "Is the cup left of the plate?"')
    hint = _name(part, "hint")
    text = f"{hint}\n{text.strip()}" if hint else text.strip()
    options = _options(part)
    answer = _answer(part)
    if isinstance(_value(part, "options"), (str, list, tuple)):
        _check_letter(answer, options)
    if options and not split_options(text)[1]:
        text = text.strip()
    elif options:
        text = split_options(text)[0]  # they stand in the text, too
    try:
        made = asked(text, answer, options)
    except Unusable as error:
        raise Unusable(
            f"field answer: {error}; write the text of one option, or its letter (A is the first)"
        ) from error
    kind = _value(part, "answer_type")
    if kind is None or kind == made.answer_type:
        return made
    if kind not in get_args(AnswerType):
        raise Unusable(f"field answer_type: must be one of {', '.join(get_args(AnswerType))}, got {kind!r:.40}")
    if kind == "choice" and not made.options:
        raise Unusable('field options: is missing for a choice; write "options": ["left", "right"]')
    return replace(made, answer_type=cast(AnswerType, kind))


def _answer(part: Mapping[str, Any]) -> str:
    value = _value(part, "answer")
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _json(value)  # a list in a cell of a table
    if isinstance(value, (list, tuple)) and value and all(isinstance(one, (str, int, float)) for one in value):
        value = Counter(words(one).strip() for one in value).most_common(1)[0][0]  # several people answered
    if isinstance(value, bool):
        return words(value)
    text = _plain(value)
    if not text or text.lower() in ("nan", "none", "null"):
        raise _missing(part, "answer", '"answer": "yes"')
    return text


def _check_letter(answer: str, options: Sequence[str]) -> None:
    """Refuse the answer "A" to the options ("Point B", "Point A"): by its place it means the first, by its words the second."""
    letter = answer.strip().upper()
    if letter not in _LETTERS or letter in options:
        return
    place = _LETTERS.index(letter)
    label = rf"(?<![\w']){letter}(?![\w'])(?!\s+(?!is\b)[a-z])"  # "A is closer", but not the article of "A cat"
    named = [i for i, option in enumerate(options) if re.search(label, option)]
    if place < len(options) and named and place not in named:
        raise Unusable(
            f"field answer: {letter!r} may mean {options[place][:40]!r}, by its place, or {options[named[0]][:40]!r}; write the "
            "text of the option"
        )


def _options(part: Mapping[str, Any]) -> tuple[str, ...]:
    """Options as a list, as JSON text, as `a|b`, as a mapping from letters, or in columns A, B, C, ..."""
    value = _value(part, "options")
    if value is None:
        letters = [_plain(part.get(letter)) for letter in _LETTERS]
        letters = [text if text.lower() != "nan" else "" for text in letters]
        there = [text for text in letters if text]
        return tuple(there) if len(there) > 1 and letters[: len(there)] == there else ()
    if isinstance(value, str):
        value = _json(value) if value.lstrip()[:1] in ("[", "{") else value.split("|")
    if isinstance(value, Mapping):
        value = [value[name] for name in sorted(value)]
    if not isinstance(value, (list, tuple)) or len(value) < 2:
        raise Unusable(
            f'field options: must be a list of two or more texts, such as ["left", "right"], got {value!r:.60}'
        )
    found = tuple(words(one) if isinstance(one, bool) else _plain(one) for one in value)
    if not all(found):
        raise Unusable(f"field options: must hold texts or numbers, got {list(value)!r:.60}")
    return found


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


# -- functions and steps -------------------------------------------------------------------------------------------------


def _functions(part: Mapping[str, Any]) -> tuple[str, ...]:
    value = _value(part, "function")
    if value is None:
        return ()
    if isinstance(value, str):
        value = _json(value) if value.lstrip().startswith("[") else re.split(r"[|,;]", value)
    if not isinstance(value, (list, tuple)):
        raise Unusable(f"field function: must be one or more of {', '.join(FUNCTIONS)}, got {value!r:.60}")
    found = []
    for one in value:
        name = _FUNCTION_OF.get(re.sub(r"\W+", "_", str(one).strip().lower()))
        if name is None:
            raise Unusable(
                f"field function: must be one or more of {', '.join(FUNCTIONS)}, got {str(one)[:40]!r}{near(str(one), FUNCTIONS)}"
            )
        found.append(name)
    return tuple(dict.fromkeys(found))


def _steps(row: Mapping[str, Any], question: Asked, functions: tuple[str, ...]) -> tuple[Step, ...]:
    value = _value(row, "steps")
    value = _json(value) if isinstance(value, str) else value
    if value is None:
        # A statement needs a question after it; anything else is asked in the words of its author, and no others.
        stated = question.answer_type == "yes_no" and not question.text.rstrip().endswith(("?", "？"))
        text = "Yes or no?" if stated else question.text
        return (_step(text, question, functions, WHOLE, _boxes(row), True),)
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(one, Mapping) for one in value):
        raise Unusable(f'field steps: must be a list of {{"question": ..., "answer": ...}}, got {value!r:.60}')
    made = []
    for i, part in enumerate(value):
        try:
            one = named(part)
            step = _asked(one, "step", row)
            skills = _functions(one) or functions
            needs = one.get("needs_image", True)
            made.append(_step(step.text, step, skills, str(one.get("kind") or ""), _boxes(one), bool(needs)))
        except Unusable as error:
            raise Unusable(f"step {i + 1}: {error}") from error
    if sum(step.kind == TASK for step in made) not in (0, len(made)):
        raise Unusable(
            f"field steps: every step needs a function, or none, got {[step.functions for step in made]!r:.80}"
        )
    last = made[-1]
    if last.answer.casefold() != question.answer.casefold():
        raise Unusable(f"the last step must end in the answer {question.answer[:40]!r}, got {last.answer[:40]!r}")
    return (*made[:-1], last.model_copy(update={"answer": question.answer}))


def _step(
    text: str, asked_: Asked, functions: tuple[str, ...], kind: str, boxes: tuple[Box, ...], needs_image: bool
) -> Step:
    return Step(
        text=text,
        answer=asked_.answer,
        answer_type=asked_.answer_type,
        functions=functions or SPATIAL[:1],
        options=asked_.options,
        kind=kind if functions else TASK,
        boxes=boxes,
        needs_image=needs_image,
    )


# -- the rest ------------------------------------------------------------------------------------------------------------


def _split(row: Mapping[str, Any]) -> Any:
    value = _value(row, "split")
    if value is None:
        return ""
    if value not in SPLITS:
        raise Unusable(
            f"field split: must be {', '.join(SPLITS)}, got {value!r:.40}; leave it out to have splits dealt"
        )
    return value


def _boxes(part: Mapping[str, Any]) -> tuple[Box, ...]:
    value = _value(part, "boxes")
    value = _json(value) if isinstance(value, str) else value
    if value is None:
        return ()
    if isinstance(value, Mapping) or (
        isinstance(value, (list, tuple)) and all(isinstance(one, (int, float)) for one in value)
    ):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise Unusable(f"field boxes: must be a list of [x0, y0, x1, y1], got {value!r:.60}")
    return tuple(_box(one) for one in value)


def _box(value: Any) -> Box:
    corners = [value.get(name) for name in ("x0", "y0", "x1", "y1")] if isinstance(value, Mapping) else value
    if (
        not isinstance(corners, (list, tuple))
        or len(corners) != 4
        or not all(isinstance(one, (int, float)) and math.isfinite(one) for one in corners)
    ):
        raise Unusable(f"field boxes: must hold [x0, y0, x1, y1], got {value!r:.60}")
    x0, y0, x1, y1 = (float(one) for one in corners if one is not None)
    if max(x0, y0, x1, y1) > 1:
        raise Unusable(
            f"field boxes: must be shares of the picture, 0 to 1, got {list(corners)!r:.60}; divide x by its width, y by its "
            "height"
        )
    try:
        return Box(x0=x0, y0=y0, x1=x1, y1=y1)
    except HeadAtlasError as error:
        raise Unusable(f"field boxes: {error}") from error


def _objects(row: Mapping[str, Any]) -> tuple[SceneObject, ...]:
    """Things in the picture: `{"name": "cup", "box": [...]}` each; other fields as `SceneObject`'s."""
    value = _value(row, "objects")
    value = _json(value) if isinstance(value, str) else value
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, Mapping) for one in value):
        raise Unusable(
            f'field objects: must be a list of {{"name": "cup", "box": [x0, y0, x1, y1]}}, got {value!r:.60}'
        )
    known = set(SceneObject.model_fields) - {"id", "cls", "box"}
    made = []
    for i, one in enumerate(value):
        name = _plain(one.get("cls")) or _plain(one.get("name")) or _plain(one.get("label"))
        if not name:
            raise Unusable(f'field objects: must have a "name", got {dict(one)!r:.60}')
        boxes = _boxes(one)
        rest = {key: one[key] for key in known if one.get(key) is not None}
        made.append(SceneObject(id=i, cls=name, box=boxes[0] if boxes else None, **rest))
    return tuple(made)


def _pictures(row: Mapping[str, Any], key: str, pictured: Pictured) -> tuple[Picture, ...]:
    value = _value(row, "image")
    if value is None:
        raise _missing(row, "image", '"image": "pictures/a.jpg"')
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _json(value)
    several: Sequence[Any] = value if isinstance(value, (list, tuple)) else [value]
    if not several:  # "[]" in a cell of a table
        raise _missing(row, "image", '"image": "pictures/a.jpg"')
    return tuple(pictured(one, f"{key}, image {i}") for i, one in enumerate(several))
