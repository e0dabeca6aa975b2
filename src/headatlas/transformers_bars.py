"""Progress bars that transformers draws by itself, switched off where they say nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_bars(wanted: bool = True) -> Iterator[None]:
    """Within the block transformers draws no progress bars ("Loading weights", "Writing model shards").

    Args:
        wanted: False changes nothing.
    """
    from transformers.utils import logging

    shown = wanted and logging.is_progress_bar_enabled()
    if shown:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
