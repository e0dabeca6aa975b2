"""`HeadAtlasError`: one printable line, whatever it quotes."""

from headatlas.errors import LONGEST, HeadAtlasError


def test_a_message_is_one_printable_line_of_bounded_length():
    assert str(HeadAtlasError("n must be 1, got 'zwei'")) == "n must be 1, got 'zwei'"
    assert (
        str(HeadAtlasError("a library says:\n\x1b[31mno\x00\tway\u2028\n")) == "a library says: \ufffd[31mno\ufffd way"
    )
    long = str(HeadAtlasError("start " + "x" * 100_000 + " end"))
    assert len(long) == LONGEST
    assert long.startswith("start ")
    assert long.endswith(" end")
