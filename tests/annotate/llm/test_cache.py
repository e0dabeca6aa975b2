import contextlib
import multiprocessing
import sqlite3

import pytest

from headatlas.annotate.llm import Reply, ReplyCache
from headatlas.errors import HeadAtlasError

REPLY = Reply("left", "stop", "m", 3, 1)


def _try_to_open(path, results):
    try:
        ReplyCache(path).close()
        results.put("opened")
    except HeadAtlasError as error:
        results.put(str(error))


def opened_by_another_process(path):
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    process = context.Process(target=_try_to_open, args=(path, results))
    process.start()
    process.join(20)
    return results.get()


def test_one_process_at_a_time_may_open_a_cache(tmp_path):
    with ReplyCache(tmp_path / "c.sqlite"):
        assert "another process is using this cache of replies" in opened_by_another_process(tmp_path / "c.sqlite")
        with pytest.raises(HeadAtlasError, match="another process"):
            ReplyCache(tmp_path / "c.sqlite")
    assert opened_by_another_process(tmp_path / "c.sqlite") == "opened"


def test_a_cache_that_cannot_be_opened_is_refused_and_not_locked(tmp_path):
    (tmp_path / "text.sqlite").write_text("no database at all " * 500)
    (tmp_path / "folder.sqlite").mkdir()
    (tmp_path / "file").write_text("")
    with sqlite3.connect(tmp_path / "other.sqlite") as db:
        db.execute("CREATE TABLE replies (id INTEGER)")
    db.close()
    for name in ("text.sqlite", "folder.sqlite", "file/c.sqlite", "other.sqlite"):
        for _ in range(2):
            with pytest.raises(HeadAtlasError, match="cannot be used as a cache of replies"):
                ReplyCache(tmp_path / name)


def test_a_full_disk_is_one_clear_line_and_earlier_replies_stay(tmp_path):
    path = tmp_path / "c.sqlite"
    with ReplyCache(path) as cache:
        cache.put("a", REPLY, "m", "p")
        pages = cache._db.execute("PRAGMA page_count").fetchone()[0]
        cache._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(HeadAtlasError, match=r"disk is full.*earlier replies are kept"):
            cache.put("b", Reply("x" * 100_000), "m", "p")
    with ReplyCache(path) as cache:
        assert cache.get("a") == REPLY
        assert cache.get("b") is None


def test_a_locked_file_is_one_clear_line(tmp_path):
    with ReplyCache(tmp_path / "c.sqlite") as cache:
        cache._db.execute("PRAGMA busy_timeout = 10")
        other = sqlite3.connect(tmp_path / "c.sqlite", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(HeadAtlasError, match=r"the cache of replies failed .*locked"):
            cache.put("a", REPLY, "m", "p")
        other.close()


def test_a_damaged_file_is_never_read_as_replies(tmp_path):
    path = tmp_path / "c.sqlite"
    with ReplyCache(path) as cache:
        for i in range(60):
            cache.put(f"k{i}", Reply(f"reply {i} " * 50), "m", "p")
    data = path.read_bytes()
    for start in range(0, len(data), 4096):
        path.write_bytes(data[:start] + b"\xff" * 4096 + data[start + 4096 :])
        with contextlib.suppress(HeadAtlasError), ReplyCache(path) as cache:
            for i in range(60):
                assert cache.get(f"k{i}") in (None, Reply(f"reply {i} " * 50))
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(HeadAtlasError), ReplyCache(path) as cache:
        [cache.get(f"k{i}") for i in range(60)]


def test_rows_that_are_no_replies_are_asked_for_again(tmp_path):
    with ReplyCache(tmp_path / "c.sqlite") as cache:
        cache.put("a", REPLY, "m", "p")
        for change in ("content = NULL", "content = X'00ff'", "prompt_tokens = 'many'", "finish = 'error'"):
            cache.put("a", REPLY, "m", "p")
            assert cache.get("a") == REPLY
            cache._db.execute(f"UPDATE replies SET {change}")
            assert cache.get("a") is None
