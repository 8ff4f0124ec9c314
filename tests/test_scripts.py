"""train.py and evaluate.py as a user runs them: one whole small run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.scripts import ROOT, SMALL, command, expect
from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.load import export_encoder
from xray_report.models.encoders.protocol import Preprocessing

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which one small attention model was trained."""
    folder = tmp_path_factory.mktemp("user")
    torch.manual_seed(0)
    weights = folder / "small.safetensors"
    export_encoder(DenseNetEncoder(Preprocessing()), weights, {})
    done = command(
        "train.py", "model=attention", f"encoder.weights={weights}", *SMALL, folder=folder
    )
    assert done.code == 0, done.said
    return folder


@pytest.fixture(scope="module")
def scores(trained: Path) -> dict[str, float]:
    done = command("evaluate.py", "decode=beam", "beam_width=2", folder=trained)
    assert done.code == 0, done.said
    (found,) = trained.glob("runs/evaluate/*/metrics.json")
    return json.loads(found.read_text())


def checkpoint_of(folder: Path) -> Path:
    (path,) = folder.glob("runs/train/*/checkpoints/best.ckpt")
    return path


def test_training_leaves_checkpoints_and_curves(trained: Path) -> None:
    run = checkpoint_of(trained).parents[1]
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert list((run / "tensorboard").glob("events.out.tfevents.*"))
    assert (run / ".hydra" / "config.yaml").is_file()


def test_tensorboard_holds_losses_texts_pictures_and_hyperparameters(trained: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(checkpoint_of(trained).parents[1] / "tensorboard"))
    board.Reload()
    assert {"train/loss", "val/loss", "val/bleu4", "val/facts_f1", "val/distinct"} <= set(
        board.Tags()["scalars"]
    )
    assert "samples/reports/text_summary" in board.Tags()["tensors"]
    assert any(name.startswith("attention/") for name in board.Tags()["images"])
    hyperparameters = board.SummaryMetadata("_hparams_/session_start_info")
    assert hyperparameters.plugin_data.plugin_name == "hparams"


def test_evaluation_writes_what_it_promises(trained: Path, scores: dict[str, float]) -> None:
    for key in (
        "clean/bleu1", "clean/bleu4", "clean/bleu4_low", "facts/precision", "facts/recall",
        "facts/f1", "ceiling/clean/bleu4", "findings/micro_f1", "collapse/distinct_reports",
        "baseline/constant/clean/bleu4",
    ):  # fmt: skip
        assert key in scores
    assert "drawn, not real" in scores["note"]  # type: ignore[operator]
    (reports,) = trained.glob("runs/evaluate/*/reports.jsonl")
    lines = [json.loads(line) for line in reports.read_text().splitlines()]
    assert len(lines) == 6
    assert {"study_id", "reference", "hypothesis", "score", "log_prob"} <= set(lines[0])
    (page,) = trained.glob("runs/evaluate/*/report.html")
    text = page.read_text()
    assert "not for clinical use" in text
    assert "drawn, not real" in text
    assert "http://" not in text
    assert text.count("<article>") == 6


def test_two_processes_evaluate_as_one(trained: Path, scores: dict[str, float]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
         str(ROOT / "evaluate.py"), "decode=beam", "beam_width=2", "paths.runs_dir=both",
         f"checkpoint={checkpoint_of(trained)}", "evaluation.batch_size=2"],
        cwd=trained, capture_output=True, text=True, timeout=1200,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = trained.glob("both/evaluate/*/metrics.json")
    assert json.loads(found.read_text()) == pytest.approx(scores)
    assert done.stdout.count("written to") == 1


@pytest.mark.usefixtures("scores")
def test_a_copied_checkpoint_scores_the_same_elsewhere(trained: Path, tmp_path: Path) -> None:
    """With nothing of its run, and the files it was configured by changed since."""
    shutil.copy(checkpoint_of(trained), tmp_path / "model.ckpt")
    shutil.copy(ROOT / "evaluate.py", tmp_path)
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    for path in (tmp_path / "conf" / "model").glob("*.yaml"):
        path.write_text("kind: edited\n")
    small = ("data=phantom", "data.train=12", "data.val=6", "data.test=6", "data.image_size=224")
    beam = ("decode=beam", "beam_width=2", "checkpoint=model.ckpt")
    done = command(str(tmp_path / "evaluate.py"), *beam, *small, folder=tmp_path)
    assert done.code == 0, done.said
    (there,) = tmp_path.glob("runs/evaluate/*/metrics.json")
    (here,) = trained.glob("runs/evaluate/*/metrics.json")
    assert there.read_text() == here.read_text()


def test_a_checkpoint_away_from_its_run_asks_for_the_data(trained: Path, tmp_path: Path) -> None:
    shutil.copy(checkpoint_of(trained), tmp_path / "model.ckpt")
    done = command("evaluate.py", "checkpoint=model.ckpt", folder=tmp_path)
    expect(done, "data=")


def test_mixed_precision_trains_without_logger_and_early_stopping(trained: Path) -> None:
    done = command(
        "train.py", *SMALL, "trainer.max_epochs=1", "trainer.precision=bf16-mixed", "~logger",
        "callbacks.early_stopping=null", f"encoder.weights={trained / 'small.safetensors'}",
        "paths.runs_dir=mixed", folder=trained,
    )  # fmt: skip
    assert done.code == 0, done.said
    assert list(trained.glob("mixed/train/*/checkpoints/last.ckpt"))


def test_two_processes_train_a_classifier(tmp_path: Path) -> None:
    done = command(
        "train.py", "model=chexnet", "encoder.image_size=64", "data.image_size=64", "data.train=8",
        "data.val=5", "data.test=5", "loader.workers=0", "loader.batch_size=2",
        "trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.devices=2",
        "trainer.strategy=ddp", folder=tmp_path,
    )  # fmt: skip
    assert done.code == 0, done.said
    (found,) = tmp_path.glob("runs/train/*/auroc.json")
    splits = json.loads(found.read_text())
    assert list(splits) == ["val", "test"]
    assert max(one["images"] for one in splits["test"]["labels"].values()) == 10
    assert done.out.count("best checkpoint:") == 1
