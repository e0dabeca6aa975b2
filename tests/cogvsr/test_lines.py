from headatlas.cogvsr.lines import BadLine, read_lines


def test_lines_are_numbered_and_only_newlines_end_them(tmp_path):
    path = tmp_path / "a"
    path.write_bytes("\ufeffone\n\n  \ntwo\u2028still two\r\nthree".encode())
    assert list(read_lines(path)) == [(1, "one"), (4, "two\u2028still two"), (5, "three")]


def test_long_and_broken_lines_are_told_and_passed_over(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100 + b"\nok\n\xff\xfe\n" + b"y" * 50)
    found = list(read_lines(path, longest=20))
    assert [number for number, _ in found] == [1, 2, 3, 4]
    assert isinstance(found[0][1], BadLine)
    assert "100 bytes long; a line must have at most 20" in found[0][1]
    assert (found[1][1], type(found[1][1])) == ("ok", str)
    assert "not UTF-8 (byte 1 is 0xff)" in found[2][1]
    assert "50 bytes long" in found[3][1]


def test_a_line_just_as_long_as_allowed_is_read(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 20 + b"\n" + b"y" * 20)
    assert [line for _, line in read_lines(path, longest=20)] == ["x" * 20, "y" * 20]
