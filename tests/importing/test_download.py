import hashlib

import pytest

from headatlas.errors import HeadAtlasError
from headatlas.importing.download import Downloads, NotHad
from headatlas.pictures import fault_of_image

from .conftest import png


@pytest.fixture
def downloads(tmp_path):
    with Downloads(tmp_path / "cache", tries=3, pause=0.01, timeout=5.0) as made:
        yield made


def test_a_file_is_fetched_once_and_checked_when_used_again(server, downloads):
    server.answers["/a.png"] = [(200, png())]
    path = downloads.image(f"{server.url}/a.png", fault_of_image)
    assert path.read_bytes() == png()
    assert downloads.image(f"{server.url}/a.png", fault_of_image) == path
    assert server.asked["/a.png"] == 1
    path.write_bytes(png("blue"))  # spoilt on disk: still an image, but not the one that came
    assert downloads.image(f"{server.url}/a.png", fault_of_image).read_bytes() == png()
    assert server.asked["/a.png"] == 2


def test_a_busy_or_silent_server_is_asked_again(server, downloads):
    server.answers["/a.png"] = [(503, b""), (0, b""), (200, png())]
    assert downloads.image(f"{server.url}/a.png", fault_of_image).read_bytes() == png()
    assert server.asked["/a.png"] == 3


@pytest.mark.parametrize(
    ("answers", "reason", "asked"),
    [
        ([(404, b"")], "the server said 404", 1),
        ([(500, b"")], "the server said 500 3 times", 3),
        ([(0, b"")], "no answer from 127.0.0.1", 3),
        ([(200, b"<html>sorry</html>")], "not an image that can be read", 1),
        ([(302, b"/a.png")], "more than 5 redirections", 6),
    ],
)
def test_what_cannot_be_had_is_said_and_leaves_nothing_behind(server, downloads, tmp_path, answers, reason, asked):
    server.answers["/a.png"] = answers
    with pytest.raises(NotHad, match=reason):
        downloads.image(f"{server.url}/a.png", fault_of_image)
    assert server.asked["/a.png"] == asked
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_dead_host_is_soon_left_alone(server, downloads):
    for i in range(9):
        server.answers[f"/{i}.png"] = [(0, b"")]
        with pytest.raises(NotHad) as caught:
            downloads.image(f"{server.url}/{i}.png", fault_of_image)
    assert "gave no answer 5 times in a row" in str(caught.value)
    assert sum(server.asked.values()) == 5 * 3


def test_other_addresses_are_not_followed(downloads):
    for url in ("file:///etc/passwd", "ftp://x/a.png", "http://[::1"):
        with pytest.raises(NotHad):
            downloads.image(url, fault_of_image)


def test_a_table_must_have_the_checksum_that_was_asked_for(server, downloads):
    server.answers["/t.jsonl"] = [(200, b"{}\n")]
    right = hashlib.sha256(b"{}\n").hexdigest()
    assert downloads.table(f"{server.url}/t.jsonl", ".jsonl", right).read_bytes() == b"{}\n"
    with pytest.raises(HeadAtlasError, match=f"its SHA-256 must be 00, got {right}"):
        downloads.table(f"{server.url}/t.jsonl", ".jsonl", "00")


def test_a_server_that_drips_is_given_up(server, tmp_path):
    server.answers["/a.png"] = [(200, b"x" * 10_000)]
    server.drip = 0.01
    with (
        Downloads(tmp_path / "cache", tries=3, pause=0.01, timeout=5.0, patience=0.1) as downloads,
        pytest.raises(NotHad, match=r"given up: [0-9]+ bytes in 0 s"),
    ):
        downloads.image(f"{server.url}/a.png", fault_of_image)
    assert server.asked["/a.png"] == 1


@pytest.mark.parametrize("asked", ["\u00b2", "9" * 5000, "-1", "soon", ""])
def test_a_wait_that_is_no_number_is_not_waited_for(server, downloads, asked):
    server.answers["/a.png"] = [(503, b""), (200, png())]
    server.headers = {"Retry-After": asked}
    assert downloads.image(f"{server.url}/a.png", fault_of_image).read_bytes() == png()
