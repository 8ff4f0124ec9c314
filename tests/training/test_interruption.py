"""A training that is stopped, at whatever step, goes on to the same weights, bit by bit."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from tests.tiny_source import TinySource
from tests.training.test_report_module import options
from xray_report import assemble
from xray_report.job import Stopped
from xray_report.training.trainer import build_trainer

EPOCHS, BATCHES = 3, 4


class Killer(pl.Callback):
    """Sends this process a SIGTERM after so many steps, or in a validation."""

    def __init__(self, step: int, validating: bool = False) -> None:
        self.step, self.validating = step, validating

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step and not self.validating:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step and self.validating:
            os.kill(os.getpid(), signal.SIGTERM)


class Watcher(pl.Callback):
    """Notes which studies are trained on."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        self.seen += batch.study_ids


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def train(
    folder: Path, *callbacks: pl.Callback, resume: Path | None = None
) -> tuple[dict[str, Tensor], list[str]]:
    """Weights and the studies seen, in order."""
    pl.seed_everything(0)
    chosen = options(folder.parent)
    chosen["model"]["architecture"]["dropout"] = 0.3
    chosen["loader"]["batch_size"] = 2
    made = assemble.training(TinySource((8, 4, 4)), chosen)
    last = ModelCheckpoint(folder, "last", enable_version_counter=False)
    watcher = Watcher()
    plain = {
        "max_epochs": EPOCHS, "accelerator": "cpu", "enable_progress_bar": False,
        "enable_model_summary": False, "num_sanity_val_steps": 0, "use_distributed_sampler": False,
    }  # fmt: skip
    trainer = build_trainer(plain, None, [last, watcher, *callbacks])
    trainer.fit(made.module, made.datamodule, ckpt_path=resume)
    return made.module.state_dict(), watcher.seen


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], list[str]]:
    return train(tmp_path_factory.mktemp("whole") / "checkpoints")


@pytest.mark.parametrize(
    ("step", "validating"), [(1, False), (3, False), (4, False), (6, False), (8, True)]
)
def test_what_was_stopped_goes_on_to_the_same_weights(
    step: int,
    validating: bool,
    whole: tuple[dict[str, Tensor], list[str]],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    with pytest.raises(Stopped) as caught:
        train(first, Killer(step, validating))
    assert caught.value.code == 143
    last = first / "last.ckpt"
    said = capfd.readouterr().err.strip().splitlines()[-1]
    assert said == f"stopped by SIGTERM, go on with: python train.py resume={last}"
    assert torch.load(last, weights_only=True)["global_step"] == step
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    weights, seen = train(second, resume=last)
    assert seen == whole[1][2 * step :]
    for name, weight in whole[0].items():
        assert torch.equal(weights[name], weight), name


def test_a_finished_run_that_is_resumed_keeps_its_last_checkpoint(
    whole: tuple[dict[str, Tensor], list[str]], tmp_path: Path
) -> None:
    train(tmp_path / "a")
    first, second = (tmp_path / name / "last.ckpt" for name in "ab")
    weights, seen = train(second.parent, resume=first)
    assert seen == []
    assert second.read_bytes() == first.read_bytes()
    for name, weight in whole[0].items():
        assert torch.equal(weights[name], weight), name
