import pytest

from headatlas.cluster import BACKENDS, connect
from headatlas.errors import HeadAtlasError


def test_kinds_of_workers():
    assert set(BACKENDS) == {"local", "processes", "ray"}


def test_no_option_is_no_workers():
    assert connect() is None


def test_devices_are_told_apart_and_nothing_starts_yet():
    with connect("cpu, cpu,cpu") as workers:
        assert workers.size == 3
        assert workers.pids == ()


def test_mistakes_are_named():
    with pytest.raises(HeadAtlasError, match="must not be given together"):
        connect("cpu", ray="local")
    with pytest.raises(HeadAtlasError, match="workers must be given with ray"):
        connect("cpu", workers=2)
    with pytest.raises(HeadAtlasError, match="got 'gpu7'"):
        connect(["gpu7"])
    with pytest.raises(HeadAtlasError, match="this machine has"):
        connect("cuda:99")
