import sys
from types import SimpleNamespace

import psutil

from headatlas.peak_memory import peak_memory


def test_it_is_in_bytes_and_at_least_what_is_in_use():
    used = psutil.Process().memory_info().rss
    assert 0.95 * used <= peak_memory() < psutil.virtual_memory().total


def test_without_the_module_resource_windows_is_asked(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(psutil.Process, "memory_info", lambda self: SimpleNamespace(peak_wset=123))
    assert peak_memory() == 123
