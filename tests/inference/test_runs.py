from __future__ import annotations

import os
from pathlib import Path

import pytest

from xray_report.errors import CheckpointError, OptionError
from xray_report.inference.checkpoint import chosen_checkpoints, newest_checkpoint


def run(folder: Path, name: str, kind: str, age: int) -> Path:
    checkpoint = folder / "train" / name / "checkpoints" / "best.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    os.utime(checkpoint, (age, age))
    config = folder / "train" / name / ".hydra" / "config.yaml"
    config.parent.mkdir()
    config.write_text(f"model:\n  kind: {kind}\n")
    return checkpoint


def test_the_newest_report_models_best_is_taken(tmp_path: Path) -> None:
    run(tmp_path, "old", "report", 1)
    newest = run(tmp_path, "new", "report", 2)
    run(tmp_path, "newer", "chexnet", 3)
    assert newest_checkpoint(tmp_path) == newest
    assert chosen_checkpoints(None, tmp_path) == [newest]


def test_where_there_is_none_it_says_where_it_looked_and_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"train; run `python train.py model=attention`"):
        newest_checkpoint(tmp_path)


def test_one_or_several_are_taken_as_given(tmp_path: Path) -> None:
    assert chosen_checkpoints("a.ckpt", tmp_path) == [Path("a.ckpt")]
    assert chosen_checkpoints(["a.ckpt", "b.ckpt"], tmp_path) == [Path("a.ckpt"), Path("b.ckpt")]


@pytest.mark.parametrize("given", [[], "", [""], [3], [None], [["a"]]])
def test_anything_else_is_refused_and_not_taken_for_the_newest(given, tmp_path: Path) -> None:
    run(tmp_path, "new", "report", 2)
    with pytest.raises(OptionError, match="checkpoint must be a path or a list of paths"):
        chosen_checkpoints(given, tmp_path)
