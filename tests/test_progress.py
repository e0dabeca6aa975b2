import io

from rich.console import Console

from headatlas.progress import Bars, Pace, duration


def test_a_pace_tells_rate_and_time_left():
    pace = Pace()
    pace.update(1, 11)
    pace.begun -= 1e9  # long ago, so that the clock's start does not matter
    pace.update(6, 11)
    assert pace.left is not None
    assert 0 < pace.rate < 1
    assert "each" in str(pace)
    pace.update(11, 11)
    assert str(pace) == ""


def test_the_first_report_tells_no_rate():
    pace = Pace()
    pace.update(1, 48)
    assert str(pace) == ""  # not 50,000 items a second


def test_durations_are_those_people_say():
    assert [duration(s) for s in (None, 3.2, 89, 600, 7200)] == ["?", "3 s", "89 s", "10 min", "2.0 h"]


def test_without_a_terminal_lines_are_printed_with_the_pace():
    bars = Bars()
    bars._console = Console(file=io.StringIO(), force_terminal=False)
    with bars:
        for done in range(1, 6):
            bars("sweep: L0.H0", done, 5)
    lines = bars._console.file.getvalue().splitlines()
    assert lines[0] == "sweep: L0.H0 1/5"
    assert lines[-1].startswith("sweep: L0.H0 5/5")


def test_bars_are_drawn_on_a_terminal():
    bars = Bars()
    bars._console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with bars:
        bars("capture", 3, 9)
    assert "3/9" in bars._console.file.getvalue()
