"""Open Parquet files that may be damaged or hostile; inconsistent files are refused in one line.

Files that HeadAtlas writes have a checksum of every page and of their schema, so that a changed byte is noticed. In other files
the counts in the footer must at least agree with each other and with the size of the file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headatlas.errors import HeadAtlasError
from headatlas.storage import open_regular

_SEAL = b"headatlas.schema"
"""Key of the schema's digest in a file's metadata."""

MOST_UNPACKED = 4000
"""Times its size on disk that a file may claim to unpack to."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn whatever pyarrow raises about the bytes of a file into one clear line."""
    try:
        yield
    except HeadAtlasError:
        raise
    except FileNotFoundError as error:
        raise HeadAtlasError(f"{what}: no such file") from error
    except Exception as error:  # pyarrow raises two dozen kinds, MemoryError and UnicodeDecodeError among them
        line = " ".join((str(error) or type(error).__name__).split())[:160]
        raise HeadAtlasError(f"{what}: not a readable Parquet file ({line})") from error


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file and check its footer.

    Raises:
        HeadAtlasError: it is not a regular file, not Parquet, or damaged.
    """
    with reading(str(path)):
        with open_regular(path) as file:
            size = file.seek(0, 2)
        opened = pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True)
        if fault := _fault(opened, size):
            raise ValueError(fault)
        return opened


def writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer whose files carry checksums."""
    return pq.ParquetWriter(path, sealed(schema), write_page_checksum=True)


def sealed(schema: pa.Schema) -> pa.Schema:
    """The schema with its own digest in its metadata."""
    return schema.with_metadata({**(schema.metadata or {}), _SEAL: _digest(schema)})


def _digest(schema: pa.Schema) -> bytes:
    # Arrow calls what is in a list "item", Parquet "element".
    plain = "\n".join(
        f"{field.name}: {re.sub(r'list<(?:item|element):', 'list<', str(field.type))}" for field in schema
    )
    return hashlib.blake2b(plain.encode("utf-8", "replace"), digest_size=16).hexdigest().encode()


def _fault(file: pq.ParquetFile, size: int) -> str | None:
    """What is inconsistent in a footer, or None."""
    meta: Any = file.metadata
    groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
    counts = [group.num_rows for group in groups]
    if any(count < 0 for count in counts) or sum(counts) != meta.num_rows:
        return f"it claims {meta.num_rows:,} rows, its row groups have {sum(counts):,}"
    if meta.num_rows > size:
        return f"it claims {meta.num_rows:,} rows in {size:,} bytes"
    unpacked = [group.total_byte_size for group in groups]
    if any(count < 0 for count in unpacked) or sum(unpacked) > MOST_UNPACKED * size:
        return f"it claims to unpack from {size:,} to {sum(unpacked):,} bytes"
    for i, group in enumerate(groups):
        for j in range(group.num_columns):
            column, leaf = group.column(j), file.schema.column(j)
            if column.num_values < group.num_rows or (
                not leaf.max_repetition_level and column.num_values != group.num_rows
            ):
                return f"column {leaf.path} has {column.num_values:,} values in row group {i}, which has {group.num_rows:,} rows"
    seal = (file.schema_arrow.metadata or {}).get(_SEAL)
    if seal is not None and seal != _digest(file.schema_arrow):
        return "its schema is not the one it was written with"
    return None
