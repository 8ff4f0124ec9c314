"""The Trainer takes what the user left in, and says in one line what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning.callbacks import LearningRateMonitor, Timer
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from xray_report.errors import OptionError
from xray_report.training.console import Progress
from xray_report.training.trainer import build_trainer

CPU = {"accelerator": "cpu", "enable_checkpointing": False}


def test_what_was_switched_off_stays_off(tmp_path: Path) -> None:
    monitor, timer = LearningRateMonitor(), Timer()
    silent: Any = build_trainer(CPU, None, [None, monitor, timer])
    assert silent.loggers == []
    assert timer in silent.callbacks
    assert monitor not in silent.callbacks
    logged: Any = build_trainer(CPU, CSVLogger(tmp_path), [monitor])
    assert monitor in logged.callbacks


def test_a_csv_is_written_beside_any_logger(tmp_path: Path) -> None:
    board = TensorBoardLogger(tmp_path, "board", "")
    both: Any = build_trainer(CPU, board, [], tmp_path)
    assert [type(one) for one in both.loggers] == [TensorBoardLogger, CSVLogger]
    alone: Any = build_trainer(CPU, CSVLogger(tmp_path), [], tmp_path)
    assert len(alone.loggers) == 1
    assert build_trainer(CPU, None, [], tmp_path).loggers == []


def test_without_a_progress_callback_there_is_no_bar() -> None:
    assert build_trainer(CPU, None, []).progress_bar_callback is None
    assert isinstance(build_trainer(CPU, None, [Progress()]).progress_bar_callback, Progress)


@pytest.mark.parametrize(
    "wrong",
    [{"accelerator": "abacus"}, {"precision": "fine"}, {"speed": 1}, {"devices": 0}],
    ids=str,
)
def test_what_lightning_refuses_is_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=r"^trainer\.\*: [^\n]+; `--cfg job` shows all keys$"):
        build_trainer({**CPU, **wrong}, None, [])
