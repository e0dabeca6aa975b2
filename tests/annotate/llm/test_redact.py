import base64
import html
import json
from urllib.parse import quote

import pytest

from headatlas.annotate.llm.redact import PLACEHOLDER, Redactor

KEY = 'sk-proj-7Hq/2+Zx9&pL"4vT=wR8yB1nM5kD3cF6gJ0a'


def pieces(text, secret=KEY, n=10):
    return [secret[i : i + n] for i in range(len(secret) - n + 1) if secret[i : i + n] in text]


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        f"bad key {KEY}, sorry",
        f"{KEY}{KEY}",
        KEY[:35],
        f"Incorrect API key: {KEY[:12]}********{KEY[-10:]}",
        KEY[9:],
        KEY.upper(),
        json.dumps({"authorization": f"Bearer {KEY}"}),
        json.dumps(json.dumps(KEY)).replace("/", r"\/"),
        "".join(f"\\u{ord(c):04x}" for c in KEY),
        f"http://host/v1?key={quote(KEY, safe='')}",
        f"http://host/{quote(KEY)}/v1",
        "".join(f"%{ord(c):02X}" for c in KEY),
        html.escape(KEY),
        "".join(f"&#{ord(c)};" for c in KEY),
        repr([(b"authorization", f"Bearer {KEY}".encode())]),
    ],
)
def test_no_part_of_a_key_is_left(text):
    for redacted in (Redactor(KEY).message(f"before {text} after"), Redactor(KEY).message(text * 40, 60)):
        for decode in (str, json.dumps, html.unescape):
            assert not pieces(decode(redacted)), redacted
    assert Redactor(KEY).message(f"before {text} after").startswith("before ")


@pytest.mark.parametrize("user", ["", "u", "us", "user:", ":", "Bearer "])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode, lambda raw: raw.hex().encode()])
def test_encoded_keys_are_removed_from_replies_too(user, encode):
    encoded = encode(f"{user}{KEY}:tail".encode()).decode()
    left = Redactor(KEY)(f"Basic {encoded} .")
    assert PLACEHOLDER in left
    assert not pieces(left, encode(KEY.encode()).decode().rstrip("=")[4:-4])
    assert len(left) < len(encoded) / 2


def test_a_cut_never_shows_the_beginning_of_a_key():
    for before in range(70):
        assert not pieces(Redactor(KEY).message("x" * before + " " + KEY, 60), n=8)


def test_other_text_is_left_as_it_is():
    text = "The cat is left of sk-, and\nproj is no key. \u00dcber \u65e5\u672c " + "abc" * 1000
    assert Redactor(KEY)(text) == text
    assert Redactor("")(text) == text
    assert Redactor("none")('{"answer": "none"}') == '{"answer": "none"}'  # a placeholder is no secret
    assert Redactor("none").message("key none refused: nonesuch") == "key [key] refused: nonesuch"


def test_long_keys_in_long_texts_are_found():
    key = base64.b64encode(bytes(range(256)) * 3).decode()
    left = Redactor(key)(("word " * 40_000) + key + " end")
    assert left == "word " * 40_000 + "[key] end"
