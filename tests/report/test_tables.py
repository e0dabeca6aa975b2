import pytest
from synthetic_run import write_run

from headatlas.errors import HeadAtlasError
from headatlas.report.tables import only, read_run
from headatlas.results import RESULTS
from headatlas.study.rundir import RunDir


def test_every_table_is_read_with_its_columns(run_dir):
    run = read_run(run_dir)
    for name, described in RESULTS.items():
        assert tuple(run.tables[name].columns) == described.names
        assert (name in run.absent) == run.tables[name].empty == (not (run_dir / "results" / f"{name}.csv").exists())


def test_the_selector_called_null_is_not_a_missing_value(run_dir):
    assert set(read_run(run_dir).tables["selection"]["selector"]) == {"null", "elbow", "top_share"}


def test_empty_cells_are_empty_words_or_missing_numbers(run_dir):
    run = read_run(run_dir)
    assert (only(run.tables["probe"], scorer="paper")["function"] == "").all()
    assert only(run.tables["scores"], scorer="linear")["p"].isna().all()
    assert run.tables["tuning"]["chosen"].sum() == 24


def test_a_missing_table_says_so(run_dir):
    (run_dir / "results" / "dose.csv").unlink()
    run = read_run(run_dir)
    assert run.tables["dose"].empty
    assert "results/dose.csv was not written" in run.why("dose")


def test_a_table_without_rows_says_so(run_dir):
    (run_dir / "results" / "dose.csv").write_text(",".join(RESULTS["dose"].names) + "\n")
    assert "results/dose.csv has no rows" in read_run(run_dir).why("dose")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "scorer,function,k\n",
        lambda text: text.replace("0.", "O."),
        lambda text: "\0\1" + text,
        lambda text: text[: len(text) // 2],
    ],
)
def test_a_damaged_table_is_refused_by_name_and_never_read_in_part(run_dir, change):
    path = run_dir / "results" / "dose.csv"
    path.write_text(change(path.read_text()))
    with pytest.raises(HeadAtlasError, match=r"dose\.csv"):
        read_run(run_dir)


def test_a_folder_that_is_no_run_is_one_clear_line(tmp_path):
    with pytest.raises(HeadAtlasError, match="must be a run directory, got a folder"):
        read_run(tmp_path)
    with pytest.raises(HeadAtlasError, match="must be a run directory"):
        read_run(tmp_path / "nowhere")


def test_broken_json_names_the_file(run_dir):
    (run_dir / "claims.json").write_text("{")
    with pytest.raises(HeadAtlasError, match=r"claims\.json must hold JSON"):
        read_run(run_dir)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("claims.json", '{"claims": "none"}'),
        ("claims.json", '{"claims": [1]}'),
        ("claims.json", "[]"),
        ("settings.json", "7"),
        ("timings.json", "{}"),
        ("results/examples.json", "[1]"),
        ("settings.json", "[" * 100_000),
    ],
)
def test_json_of_another_form_is_refused_by_name(run_dir, file, text):
    (run_dir / file).write_text(text)
    with pytest.raises(HeadAtlasError, match=file):
        read_run(run_dir)


@pytest.fixture
def marked_run(tmp_path):
    """A run whose files are listed in a stage's marker, as a study leaves them."""
    run = RunDir(tmp_path / "run")
    run.begin({"settings": {}})
    with run.running("all", "0"):
        write_run(run.root)
    return run.root


def _deleted(data):
    return None


def _cut(data):
    return data[: len(data) // 2]


def _digit(data):
    """One digit changed: still a valid file of its kind, with another number."""
    place = next(i for i in range(len(data) - 1, -1, -1) if data[i : i + 1].isdigit())
    return data[:place] + (b"1" if data[place : place + 1] != b"1" else b"2") + data[place + 1 :]


def _garbled(data):
    return bytes(byte ^ 0x55 for byte in data)


@pytest.mark.parametrize("damage", [_deleted, _cut, _digit, _garbled])
def test_any_damaged_file_of_a_run_is_refused_by_name(marked_run, damage):
    assert len(read_run(marked_run).claims) == 16
    files = [marked_run / "claims.json", marked_run / "settings.json"]
    for path in [*files, *sorted((marked_run / "results").iterdir()), marked_run / "stages" / "all.json"]:
        data = path.read_bytes()
        changed = damage(data)
        path.unlink() if changed is None else path.write_bytes(changed)
        if path.parent.name == "stages" and changed is None:
            read_run(marked_run)  # nothing is left to check the files by, and they are as they were
        else:
            with pytest.raises(HeadAtlasError, match=path.name):
                read_run(marked_run)
        path.write_bytes(data)
