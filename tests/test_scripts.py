"""train.py and evaluate.py as a user runs them: one whole small run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.scripts import ROOT, SMALL, command, expect
from tests.training.test_two_processes import free_port
from xray_report.metrics.files import read_metrics
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


def only(folder: Path, name: str) -> Path:
    (path,) = folder.glob(f"runs/evaluate/*/{name}")
    return path


def checkpoint_of(folder: Path) -> Path:
    (path,) = folder.glob("runs/train/*/checkpoints/best.ckpt")
    return path


def test_a_sweep_of_evaluations_ends_with_a_table_and_a_file(trained: Path) -> None:
    done = command(
        "evaluate.py", "-m", "decode=greedy,beam", "hydra.sweep.dir=sweep",
        "evaluation.image_baselines=false", "evaluation.page_studies=1", folder=trained,
    )  # fmt: skip
    assert done.code == 0, done.said
    assert "2 evaluations, best first" in done.said
    lines = (trained / "sweep" / "evaluations.csv").read_text().splitlines()
    assert sorted(line.split(",")[1].split()[0] for line in lines) == [
        "decode=beam", "decode=greedy", "overrides"
    ]  # fmt: skip
    assert lines[0].startswith("job,overrides,clean/cider,")


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
    assert read_metrics(found) == pytest.approx(read_metrics(only(trained, "metrics.json")))
    assert done.stdout.count("written to") == 1


@pytest.mark.usefixtures("scores")
def test_a_copied_checkpoint_scores_the_same_elsewhere(trained: Path, tmp_path: Path) -> None:
    """With nothing of its run, and the files it was configured by changed since."""
    shutil.copy(checkpoint_of(trained), tmp_path / "model.ckpt")
    shutil.copy(ROOT / "evaluate.py", tmp_path)
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    for path in (tmp_path / "conf" / "model").glob("*.yaml"):
        path.write_text("kind: edited\n")
    beam = ("decode=beam", "beam_width=2", "checkpoint=model.ckpt")
    done = command(str(tmp_path / "evaluate.py"), *beam, folder=tmp_path)
    assert done.code == 0, done.said
    there, here = only(tmp_path, "metrics.json"), only(trained, "metrics.json")
    assert read_metrics(there) == read_metrics(here)
    found = [json.loads(path.read_text()) for path in (there, here)]
    assert found[0]["about/sha256"] == found[1]["about/sha256"]
    assert found[0]["about/checkpoint"] == str(tmp_path / "model.ckpt")


def test_a_checkpoint_is_not_tested_on_what_it_was_trained_on(trained: Path) -> None:
    path = f"checkpoint={checkpoint_of(trained)}"
    small = ("data=phantom", "data.train=4", "data.val=4", "data.test=4")
    done = command("evaluate.py", path, *small, folder=trained)
    expect(done, "test studies, such as phantom-0-", "leave out data=", "allow_overlap=true")
    done = command("evaluate.py", path, "data.tset=7", folder=trained)
    expect(done, "data.tset is no option (did you mean 'test'")


def test_a_stopped_training_says_how_to_go_on_and_does(trained: Path) -> None:
    weights = f"encoder.weights={trained / 'small.safetensors'}"
    started = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *SMALL, weights, "trainer.max_epochs=1000",
         "paths.runs_dir=stopped", "callbacks.early_stopping=null", "seed=3"],
        cwd=trained, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    while not list(trained.glob("stopped/train/*/checkpoints/last.ckpt")):
        time.sleep(0.1)
        assert started.poll() is None
    started.send_signal(signal.SIGTERM)
    _, said = started.communicate(timeout=300)
    assert started.returncode == 143, said
    *_, line = said.strip().splitlines()
    assert line.startswith("stopped by SIGTERM, go on with: python train.py resume=")
    resume = line.partition("python train.py ")[2]
    epoch = torch.load(resume.partition("=")[2], weights_only=True)["epoch"]
    done = command("train.py", resume, f"trainer.max_epochs={epoch + 2}", folder=trained)
    assert done.code == 0, done.said
    assert f"resume: trainer.max_epochs={epoch + 2} (the run had 1000)" in done.out
    expect(command("train.py", resume, "seed=4", folder=trained), "seed=3", "cannot become 4")


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


def test_two_machines_give_the_numbers_of_one(trained: Path) -> None:
    """Each has an agent of torchrun of its own; they meet at an address."""
    first, *_ = sorted(trained.glob("runs/train/*/checkpoints/best.ckpt"))
    same = [f"checkpoint={first}", "device=cpu", "evaluation.workers=0"]
    alone = command("evaluate.py", *same, "hydra.run.dir=alone", folder=trained)
    assert alone.code == 0, alone.said
    torchrun = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1",
        "--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{free_port()}", "--rdzv-id=1",
        str(ROOT / "evaluate.py"), *same, "hydra.run.dir=together",
    ]  # fmt: skip
    machines = [subprocess.Popen(torchrun, cwd=trained) for _ in range(2)]
    assert [one.wait(300) for one in machines] == [0, 0]
    one, two = (read_metrics(trained / name / "metrics.json") for name in ("alone", "together"))
    assert one == two
    reports = [(trained / name / "reports.csv").read_bytes() for name in ("alone", "together")]
    assert reports[0] == reports[1]
