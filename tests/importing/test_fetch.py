import os

import pyarrow as pa
import pytest

from headatlas.importing.download import Downloads
from headatlas.importing.draft import Picture
from headatlas.importing.fetch import Found, Missing, Pictures

from .conftest import png


@pytest.fixture
def root(tmp_path):
    for name, color in (
        ("coco/train2017/1.jpg", "red"),
        ("coco/val2017/1.jpg", "blue"),
        ("coco/val2017/2.JPG", "lime"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(color))
    (tmp_path / "coco" / "broken.png").write_bytes(png(size=64)[:90])
    return tmp_path / "coco"


def one(pictures: Pictures, *args, **options) -> Found | Missing:
    picture = Picture(*args, **options)
    return pictures.get([picture])[picture]


def test_a_name_is_found_as_it_stands_without_its_first_folders_or_by_its_last_part(root):
    pictures = Pictures([root], None)
    for name, color in (
        ("val2017/1.jpg", "blue"),
        ("./dataset/3DSRBench/coco_images/train2017/1.jpg", "red"),
        ("elsewhere/2.jpg", "lime"),
    ):
        assert one(pictures, name).read() == png(color)
    assert one(pictures, "val2017/1.jpg").digest != one(pictures, "train2017/1.jpg").digest


def test_what_is_missing_is_said(root):
    pictures = Pictures([root], None)
    for name, reason in (
        ("1.jpg", "2 files are called '1.jpg'"),
        ("3.jpg", "no file '3.jpg' under"),
        ("../coco/val2017/1.jpg", "leads out of the dataset's folder"),
        ("/etc/passwd", "absolute"),
        ("broken.png", "broken image"),
    ):
        found = one(pictures, name)
        assert isinstance(found, Missing)
        assert reason in found
    assert "downloads are off" in one(pictures, "3.jpg", "http://x/3.jpg")


def test_pictures_come_from_tables_and_from_the_web_at_once(root, server, tmp_path):
    for i in range(12):
        server.answers[f"/{i}.png"] = [(503, b""), (200, png("black", i + 2))]
    asked = [Picture(f"{i}.png", f"{server.url}/{i}.png") for i in range(12)]
    inner = Picture("row 3", read=lambda: png("teal"))
    with Downloads(tmp_path / "cache", pause=0.01) as downloads:
        pictures = Pictures([root], downloads, workers=4)
        found = pictures.get([*asked, inner, asked[0], Picture("gone.png", f"{server.url}/gone.png")])
        again = pictures.get(asked)
    assert [found[picture].read() for picture in asked] == [png("black", i + 2) for i in range(12)]
    assert found[inner].read() == png("teal")
    assert "the server said 404" in found[Picture("gone.png", f"{server.url}/gone.png")]
    assert again[asked[0]] is found[asked[0]]
    assert server.asked["/0.png"] == 2


def test_pictures_of_a_damaged_table_are_missing(root):
    def damaged():
        raise pa.ArrowInvalid("Corrupt snappy\ncompressed data")

    found = one(Pictures([root], None), "row 3", read=damaged)
    assert found == "row 3: cannot be read (Corrupt snappy compressed data)"


def test_links_out_of_the_folder_and_pipes_are_not_opened(root, tmp_path):
    (tmp_path / "secret.png").write_bytes(png("black"))
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    os.mkfifo(root / "pipe.png")
    for name in ("link.png", "pipe.png"):
        assert f"no file {name!r} under" in one(Pictures([root], None), name)
