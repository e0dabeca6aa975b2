"""The commands, as a user types them: results on stdout, one clear line and exit code 2 for every mistake."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from command_line import ended
from safetensors.torch import save_file
from synthetic_run import write_run

from headatlas.cli.commands.study import _print_claims


def process(*arguments):
    """The command in a process of its own, as a shell runs it."""
    return subprocess.run(
        [sys.executable, "-m", "headatlas", *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


def fails(result, *parts):
    code, told = result
    assert code == 2, told
    assert "Traceback" not in told
    (line,) = [line for line in told.strip().splitlines() if line.startswith("headatlas:")]
    for part in parts:
        assert part in line


def test_help_teaches_and_lists_every_command():
    told = process("--help").stdout
    for command in (
        "study",
        "evaluate",
        "capture",
        "score",
        "select",
        "ablate",
        "steer",
        "activate",
        "report",
        "data",
        "reference",
    ):
        assert command in told
    assert "ref-llava" in process("study", "--help").stdout


def test_no_such_model(tmp_path):
    fails(ended("study", "nobody/no-such-model", "--out", tmp_path / "r"), "nobody/no-such-model", "ref-llava")


def test_a_folder_that_is_no_model(tmp_path):
    fails(ended("study", tmp_path, "--out", tmp_path / "r"), "not a model")


def test_a_text_model_is_not_a_vlm(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    save_file({"lm_head.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    fails(ended("study", tmp_path, "--out", tmp_path / "r"), "not a vision-language model")


def test_no_such_data(tmp_path):
    fails(ended("study", "ref-llava", "--data", tmp_path / "nothing.jsonl", "--out", tmp_path / "r"), "nothing.jsonl")


def test_empty_data(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    fails(ended("study", "ref-llava", "--data", tmp_path / "empty.jsonl", "--out", tmp_path / "r"), "empty")


def test_unknown_preset(tmp_path):
    fails(ended("study", "ref-llava", "--preset", "loose", "--out", tmp_path / "r"), "loose", "strict", "paper")


def test_unknown_setting(tmp_path):
    fails(ended("study", "ref-llava", "--set", "color=1", "--out", tmp_path / "r"), "color=1", "n_random")


def test_a_stage_on_a_folder_without_a_run(tmp_path):
    fails(ended("score", "--out", tmp_path / "r"), "--model")


def test_a_run_of_another_model(tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "settings.json").write_text(json.dumps({"model": "other"}))
    fails(ended("study", "ref-llava", "--out", tmp_path / "r"), "other")


@pytest.mark.parametrize("wrong", [("study",), ("study", "ref-llava", "--nonsense"), ("nonsense",)])
def test_wrong_usage_is_told(wrong):
    result = process(*wrong)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_a_full_disk_is_one_clear_line(tmp_path, monkeypatch, capsys):
    import errno

    from headatlas import cli

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "x.csv")

    monkeypatch.setattr("headatlas.study.run_stages", full)
    monkeypatch.setattr("headatlas.study.open_study", lambda *_, **__: SimpleNamespace(check_data=lambda: None))
    with pytest.raises(SystemExit) as stop:
        cli.main(["study", "ref-llava", "--out", str(tmp_path / "r")])
    assert stop.value.code == 2
    assert "no space left on the disk (x.csv)" in capsys.readouterr().err


def test_commands_that_run_a_model_take_workers():
    import typer

    from headatlas.cli.app import make_app

    commands = typer.main.get_command(make_app()).commands  # type: ignore[attr-defined]
    spread = {"devices", "ray", "n_workers", "store"}
    takes = {name for name, command in commands.items() if spread & {param.name for param in command.params}}
    assert takes == {"study", "evaluate", "capture", "score", "ablate", "steer", "activate", "sweep"}
    assert all(spread <= {param.name for param in commands[name].params} for name in takes)


def test_devices_and_a_cluster_at_once(tmp_path):
    result = ended("study", "ref-llava", "--devices", "cpu", "--ray", "local", "--out", tmp_path / "r")
    fails(result, "devices and ray must not be given together")


def test_a_study_ends_with_what_it_found(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    _print_claims(run, False)
    told = capsys.readouterr().out
    assert "Claims" in told
    assert "3 stand out for spatial perception" in told
    assert told.rstrip().endswith(str(run / "report.html"))


@pytest.mark.parametrize("at_chance", [True, False])
def test_a_study_that_cannot_test_the_claims_prints_no_table_of_them(tmp_path, capsys, at_chance):
    run = write_run(tmp_path / "run")
    file = run / ("results/metrics.csv" if at_chance else "claims.json")
    if at_chance:
        table = pd.read_csv(file)
        table.loc[table["metric"] == "SS_chance_corrected", "low"] = -1.0
        table.to_csv(file, index=False)
    else:
        content = json.loads(file.read_text())
        for claim in content["claims"]:
            claim.update(verdict="not testable here", effect=None)
        file.write_text(json.dumps(content))
    _print_claims(run, False)
    told = " ".join(capsys.readouterr().out.split())
    assert "Claims" not in told
    assert ("no better than guessing" if at_chance else "claims cannot be tested with this run") in told
