"""Safe local files: writing in one step, replacing folders, digests against damage, locks.

`replacing` writes a folder so that a crash at any moment leaves either the old or the new one. `seal` adds a digest to a file, by
which any later change is noticed. `safe_name` makes a file name from text in data. `headatlas.folder` builds on this module.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import filelock

from headatlas._moved import old_names
from headatlas.errors import HeadAtlasError

_NUMBER = itertools.count()

PART = re.compile(r".+\.\d+-\d+\.ha\.part")
"""Names of files that HeadAtlas had not finished writing when it was killed."""

LOCK = ".headatlas.lock"
"""Name of the lock file in a folder that one process at a time may write to."""

SEAL = b"sha256:" + b"0" * 64
"""Placeholder for the digest: a file to be sealed must hold it once."""

_SEALED = re.compile(rb"sha256:([0-9a-f]{64})")


class DamagedError(HeadAtlasError):
    """A file of HeadAtlas was cut off, changed or removed since it was written. Its content can be computed again."""


def open_regular(path: Path) -> Any:
    """Open a file for reading bytes. A pipe, device or folder is an `OSError`, and is not waited for."""
    file = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(None, "it is not a regular file")
    return file


def read_regular(path: Path) -> bytes:
    """The bytes of a file. A pipe, a device or a folder is an `OSError`: it would not end, or fill the memory."""
    with open_regular(path) as file:
        return file.read()


def seal(data: bytes) -> bytes:
    """`data` with its own SHA-256 digest in the place that `SEAL` marks, so that a change of any byte is noticed.

    Raises:
        ValueError: `SEAL` is not in `data` exactly once.
    """
    if data.count(SEAL) != 1:
        raise ValueError(f"a file to be sealed must hold SEAL once, got {data.count(SEAL)}")
    return data.replace(SEAL, b"sha256:" + hashlib.sha256(data).hexdigest().encode())


def is_sealed(data: bytes) -> bool:
    """Whether `data` is, byte for byte, what `seal` returned."""
    for found in _SEALED.finditer(data):
        blank = data[: found.start()] + SEAL + data[found.end() :]
        if hashlib.sha256(blank).hexdigest().encode() == found[1]:
            return True
    return False


def read_sealed(path: Path) -> dict[str, Any] | None:
    """A sealed JSON file; None if it is missing or damaged."""
    try:
        data = read_regular(path)
        return json.loads(data) if is_sealed(data) else None
    except (OSError, ValueError):
        return None


def file_digest(path: Path) -> str:
    """Hex SHA-256 digest of a file on this machine."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_error(path: str | Path, error: OSError) -> HeadAtlasError:
    """The one line for a file or folder that cannot be written; a full disk says that freeing space is enough."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return HeadAtlasError(f"no space left to write {str(path)!r}: free some and run the same command again")
    return HeadAtlasError(f"cannot write {str(path)!r}: {error.strerror or error}")


def check_out_folder(folder: Path) -> None:
    """Raise where files cannot be written into `folder`, before the work that would be lost; writes nothing.

    Args:
        folder: it need not exist yet, nor its parents.

    Raises:
        HeadAtlasError: it or a parent is a file, or may not be written.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink())
    if not there.is_dir():
        which = "" if there == folder else f" ({str(there)!r})"
        raise HeadAtlasError(f"{str(folder)!r} must be a folder, got a file{which}: name another folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise HeadAtlasError(
            f"cannot write into {str(folder)!r}: {str(there)!r} may not be written; name another folder"
        )


def check_out_file(path: Path) -> None:
    """Raise where the file `path` cannot be written, before the work that would be lost; writes nothing.

    Raises:
        HeadAtlasError: it is a folder, or its folder cannot be written.
    """
    if path.is_dir():
        raise HeadAtlasError(f"{str(path)!r} must be a file, got a folder: name a file in it")
    check_out_folder(path.absolute().parent)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file of this machine in one step: after a crash, either the old file or the new one is there.

    Raises:
        HeadAtlasError: it cannot be written, such as on a full disk; an earlier file stays as it is.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}-{next(_NUMBER)}.ha.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            path.rmdir()  # an empty folder in the file's place; for any other an error names it
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove unfinished files of killed processes directly in `folder`. No process may be writing there."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if PART.fullmatch(path.name):
            with suppress(OSError):
                remove_tree(path)


def remove_tree(path: Path) -> None:
    """Remove a folder and all that is in it, or a file; nothing if it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def safe_name(text: str) -> str:
    """A file name for text from data, such as a question's id: not a path, valid on every system, and different for each text.

    Short lower-case names of letters, digits, `_` and `-` stay as they are. Of other names the allowed characters are kept, and
    16 hex digits of the whole text are added.
    """
    plain = re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", text)
    if plain and not re.search(r"-[0-9a-f]{16}$", text) and not re.fullmatch(r"con|prn|aux|nul|com\d|lpt\d", text):
        return text
    kept = re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")[:40].strip("-")
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{kept}-{digest}" if kept else f"x-{digest}"


def beside(path: Path, ending: str) -> Path:
    """The path next to `path` with `ending` added to its name: `data/vsr` and `.import.json` give `data/vsr.import.json`.

    Raises:
        HeadAtlasError: `path` is the root of a disk, which has no name.
    """
    named = path if path.name not in ("", "..") else Path(os.path.realpath(path))
    if not named.name:
        raise HeadAtlasError(f"{str(path)!r} is the root of a disk: name a folder in it")
    return named.with_name(f"{named.name}{ending}")


_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
"""What a file system without locks answers, such as some network disks."""


def file_lock(path: Path, **options: Any) -> filelock.BaseFileLock:
    """The lock file `path`, acquired without waiting; nested use is fine.

    Where the file system has no locks, the existence of the file is the lock; one that a process of this machine left behind when
    it was killed is ignored.

    Raises:
        filelock.Timeout: another process holds it.
        OSError: it cannot be made.
    """
    options = {"timeout": 0, "is_singleton": True, **options}
    # Newer releases of filelock fall back by themselves, but remove a lock file that another process holds.
    strict: dict[str, Any] = {"fallback_to_soft": False} if hasattr(filelock.BaseFileLock, "fallback_to_soft") else {}
    lock: filelock.BaseFileLock = filelock.FileLock(path, **options, **strict)
    try:
        lock.acquire()
    except filelock.Timeout:
        # A lock that is held has a file. Where none can be made, filelock waits for one all the same: this says why.
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT))
        raise
    except (NotImplementedError, OSError) as error:
        if isinstance(error, TimeoutError) or (isinstance(error, OSError) and error.errno not in _NO_LOCKS):
            raise
        with suppress(OSError):
            if not path.stat().st_size:  # made by the attempt; a lock that is held names its process
                path.unlink()
        lock = filelock.SoftFileLock(path, **options)
        lock.acquire()
    return lock


_STAGED = ".headatlas-writing"
"""Marks a folder that `replacing` was filling."""


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock of `path`, a file next to it, against other writers on this machine or on others that share the disk.

    Nested use in one thread is fine: long work takes the lock before it begins, and what it calls takes it again. Parents of
    `path` that are missing are made, and removed again if nothing was written into them.

    Raises:
        HeadAtlasError: another process holds it, or the lock cannot be made; `what` says in the message what it is writing.
    """
    path = Path(os.path.realpath(path))
    name = beside(path, ".lock").with_name(f".{path.name}.lock")
    new = [folder for folder in (name.parent, *name.parent.parents) if not folder.exists()]
    try:
        name.parent.mkdir(parents=True, exist_ok=True)
        lock = file_lock(name)
    except filelock.Timeout as error:
        raise HeadAtlasError(
            f"another process is writing {what} {path}; wait until it has ended, or use another folder"
        ) from error
    except OSError as error:
        raise HeadAtlasError(f"cannot write {what} {path} ({error.strerror or error})") from error
    try:
        yield
    finally:
        if lock.lock_counter == 1:
            name.unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):  # something was written there
            for folder in new:
                folder.rmdir()


@contextmanager
def replacing(path: Path, what: str) -> Iterator[Path]:
    """Replace the folder `path`: yields an empty folder beside it, which takes its place when the block ends without error.

    An error in the block leaves what was there. After a crash at any moment, `recover` or the next `replacing` finds the old
    folder or the new one. Nothing is deleted but the earlier folder and what earlier calls for the same path left behind.

    Args:
        path: the folder; its parents are made.
        what: what it is, for messages, such as `"the dataset"`.

    Raises:
        HeadAtlasError: another process is writing it, or the disk refuses.
    """
    path = Path(os.path.realpath(path))
    with locked(path, what):
        try:
            recover(path)
            for left in path.parent.glob(f"{_glob_escape(f'.{path.name}.')}*.writing"):
                if (left / _STAGED).is_file() and not left.is_symlink():
                    shutil.rmtree(left, ignore_errors=True)
            staging, old = path.with_name(f".{path.name}.{uuid4().hex[:12]}.writing"), _old(path)
            try:
                staging.mkdir()
                (staging / _STAGED).touch()
                (staging / "new").mkdir()
                yield staging / "new"
                if path.exists():
                    if old.exists():  # of a crash after an exchange: `path` is newer
                        shutil.rmtree(old)
                    path.rename(old)
                (staging / "new").rename(path)
                shutil.rmtree(old, ignore_errors=True)
            except BaseException:
                recover(path)
                raise
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        except OSError as error:
            raise HeadAtlasError(f"cannot write {what} {path} ({error.strerror or error})") from error


def recover(path: Path) -> None:
    """Bring back the folder `path` if a crash came while `replacing` was exchanging it for a new one."""
    with suppress(OSError, ValueError):  # no such name, or another process was faster
        path = Path(os.path.realpath(path))
        if not path.exists() and _old(path).is_dir():
            _old(path).rename(path)


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}.headatlas-old")


def _glob_escape(text: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", text)


@contextmanager
def lock_folder(folder: Path, what: str) -> Iterator[None]:
    """Within the block no other process can work in `folder`, which is made if it is missing; nested use in one process is fine.

    Unlike `locked`, the lock file is in the folder and stays there: the folder itself is not exchanged.

    Args:
        folder: a folder of this machine.
        what: what it is called in the message, such as `"run"`.

    Raises:
        HeadAtlasError: another process is working in the folder, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = file_lock(folder.resolve() / LOCK, thread_local=False)
    except filelock.Timeout:
        raise HeadAtlasError(
            f"another process is working in the {what} {str(folder)!r}: wait until it ends, or name another folder"
        ) from None
    except OSError as error:
        raise write_error(folder, error) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def held_for_reading(folder: Path, what: str) -> Iterator[None]:
    """Within the block no other process can work in `folder`, so that files read one after another belong together.

    Writes nothing: a folder without a lock file is one in which nobody works, and one whose lock file may not be written is read
    as it is.

    Args:
        folder: a folder that its writers lock with `lock_folder`.
        what: what it is called in the message, such as `"run"`.

    Raises:
        HeadAtlasError: another process is working in the folder.
    """
    lock = None
    try:
        if (folder / LOCK).is_file():
            lock = file_lock(folder.resolve() / LOCK, thread_local=False)
    except filelock.Timeout:
        raise HeadAtlasError(
            f"another process is working in the {what} {str(folder)!r}, and what is there may be half written: wait until it ends"
        ) from None
    except OSError:  # a disk or folder that may only be read
        pass
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def difference(there: Any, wanted: Any, name: str = "") -> str:
    """The first difference of two records, such as `chat_template: "a1b2" there, "c3d4" now`; empty if there is none."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        for key in dict.fromkeys([*there, *wanted]):
            found = difference(there.get(key), wanted.get(key), str(key))
            if found:
                return found
        return ""
    return "" if there == wanted else f"{name}: {_short(there)} there, {_short(wanted)} now"


def _short(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."


__getattr__ = old_names(__name__)
