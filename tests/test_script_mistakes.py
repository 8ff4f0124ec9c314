"""A user's mistakes with train.py and evaluate.py: one line each, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scripts import command, expect

pytestmark = pytest.mark.slow


def test_a_refused_run_leaves_no_folder_and_stops_no_sweep(tmp_path: Path) -> None:
    done = command("train.py", "seed=-1", folder=tmp_path)
    expect(done, "seed")
    assert not list(tmp_path.glob("runs/train/*"))
    few = ("data.train=8", "data.val=2", "data.test=2", "trainer.fast_dev_run=true")
    done = command(
        "train.py", "-m", "seed=-1,0", "encoder.weights=random", "loader.workers=0", *few,
        folder=tmp_path,
    )  # fmt: skip
    assert done.code == 1
    assert "Traceback" not in done.said
    assert "error: seed must be" in done.err
    (job,) = tmp_path.glob("runs/train/*/[01]_*")
    assert job.name.startswith("1_seed-0_")
    assert "1 training run" in done.out  # the sweep's table
    (table,) = tmp_path.glob("runs/train/*/runs.csv")
    assert len(table.read_text().splitlines()) == 2


def empty_folder(folder: Path) -> list[str]:
    (folder / "empty").mkdir()
    return ["train.py", "data=iu_xray", "data.root=empty"]


def no_findings_column(folder: Path) -> list[str]:
    root = folder / "kaggle"
    (root / "images_normalized").mkdir(parents=True)
    (root / "indiana_reports.csv").write_text("uid,MeSH\n1,normal\n")
    (root / "indiana_projections.csv").write_text(
        "uid,filename,projection\n1,1_IM-0001-4001.dcm.png,Frontal\n"
    )
    return ["train.py", "data=iu_xray", "data.root=kaggle"]


def not_checkpoints(folder: Path) -> list[str]:
    (folder / "broken.ckpt").write_bytes(bytes(range(256)))
    return ["evaluate.py", "checkpoint=broken.ckpt", "data=phantom"]


MISTAKES: dict[str, tuple[Callable[[Path], list[str]], tuple[str, ...]]] = {
    "beam width of a search that has none": (
        lambda _: ["evaluate.py", "decode=greedy", "beam_width=5"], ("beam_width", "--cfg job"),
    ),
    "unknown key": (lambda _: ["train.py", "model.sise=3"], ("sise",)),
    "no trained model": (lambda _: ["evaluate.py"], ("runs/train", "train.py model=attention")),
    "missing checkpoint": (
        lambda _: ["evaluate.py", "checkpoint=none.ckpt", "data=phantom"], ("none.ckpt",),
    ),
    "no checkpoint in the list": (
        lambda _: ["evaluate.py", "checkpoint=[]"], ("checkpoint must be a path", "[]"),
    ),
    "broken checkpoint": (not_checkpoints, ("broken.ckpt",)),
    "beam of no width": (
        lambda _: ["evaluate.py", "decode=beam", "beam_width=0"],
        ("beam_width must be a positive integer, got 0",),
    ),
    "unknown search": (lambda _: ["evaluate.py", "decode=best"], ("best", "diverse_beam")),
    "no such device": (lambda _: ["evaluate.py", "device=quantum"], ("device", "quantum")),
    "missing data folder": (
        lambda _: ["train.py", "data=iu_xray", "data.root=nowhere"], ("nowhere",),
    ),
    "data folder not set": (lambda _: ["train.py", "data=iu_xray"], ("data.root",)),
    "empty data folder": (empty_folder, ("empty",)),
    "table without a column": (no_findings_column, ("indiana_reports.csv", "findings")),
    "negative number of studies": (lambda _: ["train.py", "data.train=-1"], ("train", "-1")),
    "nothing to resume": (
        lambda _: ["train.py", "resume=nothing.ckpt"], ("resume", "nothing.ckpt"),
    ),
    "misspelt monitor": (
        lambda _: ["train.py", "model.monitor=val/blue4"], ("model.monitor", "val/bleu4"),
    ),
    "unknown precision": (
        lambda _: ["train.py", "trainer.precision=fine"], ("trainer", "'fine'"),
    ),
    "sweep with ddp": (
        lambda _: ["train.py", "-m", "trainer.strategy=ddp", "seed=0,1"], ("ddp",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_line(mistake: str, tmp_path: Path) -> None:
    make, parts = MISTAKES[mistake]
    script, *arguments = make(tmp_path)
    expect(command(script, *arguments, folder=tmp_path), *parts)
