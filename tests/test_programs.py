"""train.py and evaluate.py as commands, from a tiny data set to a page: quick enough for always."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scripts import TINY, command

SCORES = ("clean/bleu4", "facts/f1", "findings/micro_f1", "baseline/nearest/clean/bleu4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a tiny model was trained."""
    folder = tmp_path_factory.mktemp("user")
    done = command("train.py", "model=attention", *TINY, folder=folder)
    assert done.code == 0, done.said
    assert "best checkpoint:" in done.out
    return folder


def test_training_leaves_checkpoints_curves_and_options(folder: Path) -> None:
    (run,) = folder.glob("runs/train/*")
    for name in ("checkpoints/best.ckpt", "checkpoints/last.ckpt", ".hydra/config.yaml"):
        assert (run / name).is_file()
    assert list((run / "tensorboard").glob("events.out.tfevents.*"))


def test_evaluating_writes_scores_reports_and_a_page(folder: Path) -> None:
    done = command("evaluate.py", "decode=beam", "beam_width=2", folder=folder)
    assert done.code == 0, done.said
    (run,) = folder.glob("runs/evaluate/*")
    scores = json.loads((run / "metrics.json").read_text())
    assert all(0 <= scores[name] <= 1 for name in SCORES)
    assert "drawn, not real" in scores["note"]
    lines = (run / "reports.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert (run / "report.html").read_text().count("<article>") == 2


def test_rewards_go_on_from_a_trained_model(folder: Path) -> None:
    (start,) = folder.glob("runs/train/*/checkpoints/best.ckpt")
    done = command(
        "train.py", "training=scst", f"training.start={start}", *TINY, "trainer.max_epochs=1",
        "~logger", "hydra.run.dir=rewarded", folder=folder,
    )  # fmt: skip
    assert done.code == 0, done.said
    assert (folder / "rewarded" / "checkpoints" / "best.ckpt").is_file()
