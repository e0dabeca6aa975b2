"""What the command line does with signals, errors of the file system, and commands from outside the package."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from command_line import headatlas

from headatlas import cli
from headatlas.cli import COMMANDS, command
from headatlas.cli.entry import stopped_line


def run(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        cli.main([str(word) for word in words])
    printed = capsys.readouterr()
    return stop.value.code, printed.out, printed.err


@pytest.fixture
def added():
    """Adds a command for one test."""
    names = []

    def add(name, function, **options):
        names.append(name)
        command(name, **options)(function)

    yield add
    for name in names:
        COMMANDS.remove(name)


def test_a_command_from_outside_shows_up_in_the_help_and_runs(added):
    def hello(name: str = "you") -> None:
        """Say hello to somebody."""
        print(f"hello {name}")

    added("hello", hello, panel="Studies")
    added("data hello", hello)
    assert "Say hello to somebody." in headatlas("--help").stdout
    assert "hello" in headatlas("data", "--help").stdout
    assert headatlas("hello", "--name", "ann").stdout == "hello ann\n"
    assert headatlas("data", "hello").stdout == "hello you\n"


def test_a_bare_function_behind_an_entry_point_is_a_command_too(added):
    def hello() -> None:
        """Say hello."""
        print("hello")

    COMMANDS.add("hello", hello)
    try:
        assert headatlas("hello").stdout == "hello\n"
    finally:
        COMMANDS.remove("hello")


HELP = """
import sys
from headatlas.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(sorted({"torch", "transformers", "pandas", "scipy", "pyarrow", "altair", "zarr"} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("words", [["--help"], ["study", "--help"], ["data", "judge", "--help"]])
def test_help_does_not_wait_for_large_libraries(words):
    done = subprocess.run([sys.executable, "-c", HELP, *words], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


STOPPED = """
import sys, time
from headatlas.cli import command, main

@command("wait", resumes={resumes})
def wait(name: str = "") -> None:
    print("waiting", flush=True)
    try:
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)

main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("number", "code", "resumes", "says"),
    [
        (signal.SIGINT, 130, True, "continue with: headatlas wait --name 'a b'"),
        (signal.SIGTERM, 143, True, "continue with: headatlas wait --name 'a b'"),
        (signal.SIGTERM, 143, False, "start again with: headatlas wait --name 'a b'"),
    ],
)
def test_a_stop_prints_the_exact_command_that_goes_on(number, code, resumes, says):
    child = subprocess.Popen(
        [sys.executable, "-c", STOPPED.format(resumes=resumes), "wait", "--name", "a b"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    time.sleep(0.1)
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    assert child.returncode == code
    assert out == "cleaned up\n"
    assert says in err
    assert "Traceback" not in err


def test_every_long_command_says_how_to_continue():
    for name in ("study", "score", "ablate", "report", "data decompose", "data judge", "reference train"):
        assert stopped_line([*name.split(), "--out", "x"]).endswith(f"continue with: headatlas {name} --out x")
    assert "start again with: headatlas data build" in stopped_line(["data", "build"])


def test_planting_goes_on_but_copying_starts_again():
    plant = ["reference", "plant", "ref-llava", "--out", "x"]
    assert "continue with: " in stopped_line(plant)
    assert "start again with: " in stopped_line([*plant, "--copies", "1"])
    assert "start again with: " in stopped_line([*plant, "--copies=1"])


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (IsADirectoryError(21, "Is a directory", "there"), "there: Is a directory"),
        (FileNotFoundError(2, "No such file or directory", "gone"), "gone: No such file"),
        (PermissionError(13, "Permission denied", "locked"), "name another folder"),
        (OSError(28, "No space left on device", "x.csv"), "no space left on the disk (x.csv)"),
    ],
)
def test_an_error_of_the_file_system_is_one_line(added, capsys, error, says):
    def fail() -> None:
        raise error

    added("fail", fail)
    code, _, err = run(capsys, "fail")
    assert code == 2
    assert err.count("\n") == 1
    assert says in err


def test_a_reader_that_ends_early_gets_no_traceback():
    child = subprocess.run(
        f"{sys.executable} -c 'from headatlas.cli import main; main([\"--help\"])' | true",
        shell=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert "Traceback" not in child.stderr


@pytest.mark.parametrize("word", ["--out=~/a run", "--out=~", "--out=~x/a", "--out=a/~/b"])
def test_home_is_meant_where_a_shell_leaves_the_tilde(added, capsys, monkeypatch, word):
    monkeypatch.setenv("HOME", "/home/me")

    def where(out: str = "") -> None:
        print(out)

    added("where", where)
    code, out, _ = run(capsys, "where", word)
    assert code == 0
    home = word == "--out=~" or word.startswith("--out=~/")
    assert out == (word.replace("~", "/home/me") if home else word).removeprefix("--out=") + "\n"


def test_closed_output_is_no_error():
    """Some daemons start programs without stdout and stderr."""
    child = subprocess.run(
        [
            "sh",
            "-c",
            '"$0" -m headatlas --version >&-; echo $?; "$0" -m headatlas --version 2>&- >&-; echo $?',
            sys.executable,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (child.stdout, child.stderr) == ("0\n0\n", "")


def test_json_has_no_nan(added, capsys):
    from headatlas.cli.output import print_json

    added("numbers", lambda: print_json({"a": [float("nan"), 1.5, float("inf")]}))
    code, out, _ = run(capsys, "numbers")
    assert code == 0
    assert json.loads(out) == {"a": [None, 1.5, None]}


def test_progress_shows_names_that_look_like_markup():
    from headatlas.cli.progress import Bars

    with Bars() as bars:
        bars("[/red] of [bold]", 1, 2)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_that_comes_out_as_another_error_stops_in_one_line(added, capsys, number, code):
    def work() -> None:
        """Compiled code that leaves its own state broken when it is interrupted, as torch's vmap does."""
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        finally:
            raise RuntimeError("inner assertion failed")

    added("work", work, resumes=True)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        got, _, told = run(capsys, "work")
    finally:
        signal.signal(signal.SIGINT, before)
    assert got == code
    assert told.strip() == "headatlas: stopped; what is done is kept, continue with: headatlas work"


def test_an_error_without_a_signal_is_not_taken_for_one(added, capsys):
    def work() -> None:
        """Fails."""
        raise RuntimeError("a fault of the program")

    added("work", work)
    with pytest.raises(RuntimeError, match="a fault of the program"):
        cli.main(["work"])
