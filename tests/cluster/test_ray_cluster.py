"""A Ray cluster of two worker processes on this machine, started once for all tests of this file."""

import signal

import pytest
from spread_checks import answers_are_the_same, capture_is_the_same

from headatlas.activations.sharding import capture_unit
from headatlas.cluster import RayWorkers, Shard
from headatlas.cluster.ray_cluster import _check_reachable, _ray
from headatlas.errors import HeadAtlasError

# Ray leaves processes and sockets to the interpreter's end; what it does with them is its own.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]


def _address() -> str:
    return _ray(only_here=True).get_runtime_context().gcs_address


def handler(number, frame):
    """The program's own."""


@pytest.fixture(scope="module")
def workers():
    before = signal.signal(signal.SIGTERM, handler)
    try:
        with RayWorkers("local", workers=2) as started:
            yield started
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_program_keeps_its_handler_of_sigterm(workers):
    assert signal.getsignal(signal.SIGTERM) is handler


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As Ray's workers: rounding on a CPU may depend on the number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_capture_with_one_worker_killed_is_the_same(workers, tiny_vlm, tiny_questions, tmp_path, monkeypatch):
    address = _address()
    capture_is_the_same(workers, tiny_vlm, tiny_questions, tmp_path, monkeypatch)
    assert _address() == address  # not in a cluster that Ray started of itself


def test_answers_with_one_worker_killed_are_the_same(workers, tiny_vlm, tiny_questions, tmp_path, monkeypatch):
    answers_are_the_same(workers, tiny_vlm, tiny_questions, tmp_path, monkeypatch)


def test_a_worker_that_does_not_see_the_store_says_so(workers, tiny_vlm, tmp_path):
    nothing = Shard(0, ([], [], ("gold",), 1, str(tmp_path), (1, *tiny_vlm.heads.dims("L")), 1, 0))
    with pytest.raises(HeadAtlasError, match="does not see the capture"):
        dict(workers.run(tiny_vlm, capture_unit, [nothing]))


def test_it_listens_on_this_machine_alone(workers):
    ray = _ray(only_here=True)
    assert {node["NodeManagerAddress"] for node in ray.nodes()} == {"127.0.0.1"}


def test_mistakes_are_named(monkeypatch):
    with pytest.raises(HeadAtlasError, match="workers must be at least 1"):
        RayWorkers("local", workers=0)
    import builtins

    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "ray":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(HeadAtlasError, match=r"headatlas\[ray\]"):
        RayWorkers("local")


def test_an_address_where_nothing_listens_is_refused_at_once():
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1", "nowhere", "127.0.0.1:ten"):
        with pytest.raises(HeadAtlasError, match="no Ray cluster at"):
            _check_reachable(address)
