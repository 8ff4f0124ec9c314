from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.commands.console import failure, run
from xray_report.commands.runs import evaluation_table, read_runs, sweep_table


def made(folder: Path, typed: list[str], score: float | None, **model: Any) -> Path:
    """A run's folder, with a best checkpoint where it has a score."""
    model = {"monitor": "val/cider", "monitor_mode": "max", **model}
    (folder / ".hydra").mkdir(parents=True)
    texts = "\n".join(f"  {name}: {value}" for name, value in model.items())
    (folder / ".hydra" / "config.yaml").write_text(f"trainer: {{}}\nmodel:\n{texts}\n")
    (folder / ".hydra" / "overrides.yaml").write_text("".join(f"- {one}\n" for one in typed))
    if score is not None:
        saved = {
            "epoch": 4,
            "hyper_parameters": {"about": {"options": {"model": model}}},
            "callbacks": {
                "last": {"monitor": None, "best_model_score": None},
                "best": {"monitor": model["monitor"], "best_model_score": torch.tensor(score)},
            },
        }
        (folder / "checkpoints").mkdir()
        torch.save(saved, folder / "checkpoints" / "best.ckpt")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made(tmp_path / "train" / "a", ["seed=1", "model=attention"], 0.25)
    made(tmp_path / "train" / "b", ["seed=1", "model=transformer"], 0.75)
    made(tmp_path / "train" / "c", ["seed=1"], None)
    made(tmp_path / "sweep" / "0", ["seed=1"], 0.9, monitor="val/loss", monitor_mode="min")
    made(tmp_path / "sweep" / "1", ["seed=1"], 0.5, monitor="val/loss", monitor_mode="min")
    (tmp_path / "evaluate" / "x" / ".hydra").mkdir(parents=True)
    (tmp_path / "evaluate" / "x" / ".hydra" / "config.yaml").write_text("decode: {}\n")
    return tmp_path


def test_runs_are_listed_best_first_as_their_own_score_says(folder: Path) -> None:
    found = read_runs(folder)
    assert [one.folder.name for one in found] == ["b", "a", "1", "0", "c"]
    best = found[0]
    assert (best.monitor, best.score, best.epoch) == ("val/cider", 0.75, 5)
    assert best.overrides == ("seed=1", "model=transformer")
    assert best.checkpoint == folder / "train" / "b" / "checkpoints" / "best.ckpt"
    assert found[-1][4:] == (None, None, None)


def test_a_table_names_what_differs_and_a_file_has_all(folder: Path, tmp_path: Path) -> None:
    result = run("runs", folder, "--csv", tmp_path / "runs.csv")
    assert result.exit_code == 0, result.output
    assert "5 training runs, best first" in result.output
    assert "typed for all of them: seed=1" in result.output
    assert result.output.count("seed=1") == 1
    assert result.output.index("0.7500") < result.output.index("0.2500")
    with (tmp_path / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["score"] for row in rows] == ["0.75", "0.25", "0.5", "0.8999999761581421", ""]
    assert rows[0]["overrides"] == "seed=1 model=transformer"
    assert rows[0]["checkpoint"].endswith("best.ckpt")


def test_a_sweep_ends_with_its_jobs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep_table(folder / "sweep")
    said = capsys.readouterr().out
    assert "2 training runs, best first" in said
    assert said.index("0.5000") < said.index("0.9000")
    lines = (folder / "sweep" / "runs.csv").read_text().splitlines()
    assert [line.split(",")[1] for line in lines] == ["monitor", "val/loss", "val/loss"]


def test_a_sweep_of_evaluations_ends_with_its_jobs_best_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for job, cider in (("0", 0.25), ("1", 0.75), ("2", None)):
        folder = tmp_path / job
        (folder / ".hydra").mkdir(parents=True)
        (folder / ".hydra" / "overrides.yaml").write_text(f"- split=val\n- beam_width={job}\n")
        if cider is not None:
            scores = {"clean/cider": cider, "facts/f1": 0.5, "studies": 7}
            (folder / "metrics.json").write_text(json.dumps(scores))
    evaluation_table(tmp_path)
    said = capsys.readouterr().out
    assert "2 evaluations, best first" in said
    assert said.index("beam_width=1") < said.index("beam_width=0")
    assert "clean/bleu4" not in said
    assert "typed for all of them: split=val" in said
    assert said.count("split=val") == 1
    with (tmp_path / "evaluations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["overrides"] for row in rows] == [
        "split=val beam_width=1",
        "split=val beam_width=0",
    ]
    assert [(row["clean/cider"], row["studies"]) for row in rows] == [
        ("0.75", "7.0"),
        ("0.25", "7.0"),
    ]
    (tmp_path / "none").mkdir()
    evaluation_table(tmp_path / "none")
    assert capsys.readouterr().out == ""
    assert not list((tmp_path / "none").iterdir())


def test_a_damaged_checkpoint_is_said_and_its_run_listed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "train" / "b" / "checkpoints" / "best.ckpt"
    path.write_bytes(path.read_bytes()[:-200])
    found = read_runs(folder / "train")
    assert [one.folder.name for one in found] == ["a", "b", "c"]
    assert f"note: {path}" in capsys.readouterr().err


def test_folders_without_runs_are_named(tmp_path: Path) -> None:
    assert "there is no folder" in failure("runs", tmp_path / "gone")
    assert "holds no training runs" in failure("runs", tmp_path)
