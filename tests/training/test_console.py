"""What a training says: lines that stay, a bar in a terminal alone, nothing that nobody needs."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import struct
import sys
import termios
import threading
import warnings
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from tests.training.test_callbacks import Scripted
from xray_report.errors import OptionError
from xray_report.training.console import (
    LOGGERS,
    Progress,
    in_words,
    is_better,
    leave_out_needless,
    planned_epochs,
)


class Rated(Scripted):
    """Logs a loss beside its scripted score."""

    def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
        loss = super().training_step(batch, index)
        self.log("train/loss", float(index), prog_bar=True)
        return 0 * loss + index


def fit(folder: Path, script: list[float], resume: Path | None = None) -> None:
    best = ModelCheckpoint(folder, "best", monitor="val/score", mode="max")
    trainer = pl.Trainer(
        max_epochs=len(script), accelerator="cpu", logger=False, enable_model_summary=False,
        num_sanity_val_steps=0, callbacks=[Progress(1), best],
    )  # fmt: skip
    loader = DataLoader(torch.zeros(3, 1))
    trainer.fit(Rated(script), loader, loader, ckpt_path=resume)


def test_without_a_terminal_there_is_a_line_an_epoch_and_no_bar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(tmp_path, [0.5, 0.25, 0.75])
    said = capsys.readouterr()
    assert "\r" not in said.out + said.err
    assert "it/s" not in said.out + said.err
    first, *epochs = said.out.splitlines()
    assert first == (
        "training 1 of 1 parameters on cpu, 3 epochs of 3 batches, the highest val/score is kept"
    )
    scores = [line.partition(";")[0] for line in epochs]
    assert scores == [  # the loss is the mean of the epoch's batches, not the last one's
        "epoch 1 of 3: val/score 0.500 (best), train/loss 1.000",
        "epoch 2 of 3: val/score 0.250, train/loss 1.000",
        "epoch 3 of 3: val/score 0.750 (best), train/loss 1.000",
    ]
    assert [line.endswith(" left") for line in epochs] == [True, True, False]


def test_one_epoch_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(tmp_path, [0.5])
    assert "cpu, 1 epoch of 3 batches, the" in capsys.readouterr().out


def test_a_resumed_run_goes_on_counting_and_knows_its_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(tmp_path, [0.5])
    capsys.readouterr()
    fit(tmp_path, [0.5, 0.4, 0.6], tmp_path / "best.ckpt")
    first, second, third = capsys.readouterr().out.splitlines()
    assert "from epoch 2 on" in first
    assert second.startswith("epoch 2 of 3: val/score 0.400, ")
    assert third.startswith("epoch 3 of 3: val/score 0.600 (best), ")


def test_at_100_columns_a_terminal_shows_the_score_and_the_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    read: list[bytes] = []

    def reader() -> None:
        while True:
            try:
                part = os.read(leader, 1 << 16)
            except OSError:  # the other end is closed
                return
            if not part:
                return
            read.append(part)

    thread = threading.Thread(target=reader)
    thread.start()
    with os.fdopen(terminal, "w", encoding="utf-8") as screen:
        monkeypatch.setattr(sys, "stdout", screen)
        fit(tmp_path, [0.5, 0.25])
    thread.join(timeout=30)
    os.close(leader)
    shown = b"".join(read).decode()
    parts = [re.sub(r"\x1b\[\w", "", part) for part in re.split(r"[\r\n]+", shown)]
    assert max(map(len, parts)) <= 100
    bars = [part for part in parts if part.startswith("epoch 2 of 2: ") and "|" in part]
    assert any("left=" in bar and "val/score=0.5" in bar and "3/3" in bar for bar in bars)
    lines = [part for part in parts if part.startswith("epoch 1 of 2: val/score 0.500 (best)")]
    assert len(lines) == 1


def test_what_nobody_needs_is_left_out_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    leave_out_needless()
    leave_out_needless()
    logger = logging.getLogger(LOGGERS[0])
    assert len(logger.filters) == 1
    with caplog.at_level(logging.INFO, logger.name):
        logger.info("GPU available: False, used: False")
        logger.info("💡 Tip: For seamless cloud logging, try installing [litlogger]")
        logger.info("`Trainer(limit_val_batches=1.0)` was configured so 100% of the batches")
        logger.info("Checkpoint directory exists and is not empty.")
    assert [record.getMessage() for record in caplog.records] == [
        "Checkpoint directory exists and is not empty."
    ]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        leave_out_needless()
        warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated, use", stacklevel=1)
        warnings.warn("Found 432 module(s) in eval mode at the start of training.", stacklevel=1)
        smaller = "The number of training batches (2) is smaller than the logging interval Trainer"
        warnings.warn(smaller, stacklevel=1)
        warnings.warn("The number of validation batches is odd", stacklevel=1)
    assert [str(one.message) for one in caught] == ["The number of validation batches is odd"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.6, "1 min"), (185, "3 min 5 s"), (1240, "20 min"), (7800, "2 h 10 min"),
     (7200, "2 h")],
)  # fmt: skip
def test_durations_are_read_at_a_glance(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_a_score_that_is_no_number_is_never_the_best() -> None:
    assert is_better(0.1, None, "max")
    assert is_better(0.1, 0.2, "min")
    assert not is_better(0.1, 0.2, "max")
    assert not is_better(float("nan"), None, "max")
    assert not is_better(float("nan"), 0.1, "min")


def test_a_run_ends_by_epochs_or_by_steps() -> None:
    def planned(batches: int, gathered: int, **ends: int) -> int | None:
        trainer = pl.Trainer(
            accelerator="cpu", logger=False, accumulate_grad_batches=gathered,
            enable_checkpointing=False, **ends,
        )  # fmt: skip
        trainer.fit_loop.max_batches = batches
        return planned_epochs(trainer)

    assert planned(10, 1, max_epochs=7) == 7
    assert planned(10, 1, max_epochs=7, max_steps=25) == 3
    assert planned(10, 2, max_epochs=-1, max_steps=25) == 5
    assert planned(10, 1, max_epochs=-1) is None


def test_a_bar_is_updated_so_often_or_not_at_all() -> None:
    with pytest.raises(OptionError, match=r"callbacks\.progress\.refresh_rate"):
        Progress(-1)
