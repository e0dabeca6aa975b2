"""What must be set before any test module is imported: threads, no hub, and the check of annotations."""

import os

# One thread a process, also of those that tests start: two processes with two threads each are several times slower on two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"

import type_hook

type_hook.install("headatlas")


def pytest_addoption(parser) -> None:
    """Add `--cases`, see tests/campaigns/conftest.py."""
    parser.addoption("--cases", default="", help="cases of tests/campaigns to run: all, or numbers such as 17,40-45")
