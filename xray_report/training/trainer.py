"""The Trainer, with what the user left in of its loggers and callbacks, and our checkpoints."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint, ProgressBar
from pytorch_lightning.loggers import CSVLogger, Logger

from xray_report.errors import OptionError, one_line
from xray_report.training.callbacks import TRIAL, ReportToStudy
from xray_report.training.checkpoints import WholeFiles
from xray_report.training.interruption import KeepLast, RandomState, StopOnSigterm
from xray_report.training.loggers import csv_logger


def build_trainer(
    options: Mapping[str, Any],
    logger: Logger | None,
    callbacks: Iterable[pl.Callback | None],
    folder: str | Path | None = None,
) -> pl.Trainer:
    """A Trainer with `options` as they are. Raises `OptionError` where Lightning refuses them.

    Args:
        options: keyword arguments of `Trainer`.
        logger: None logs nothing.
        callbacks: None stands for one that was switched off.
        folder: of the run; whatever the logger, `csv_logger` writes here beside it.
    """
    kept = [one for one in callbacks if one is not None]
    if told := os.environ.get(TRIAL):
        kept.append(ReportToStudy(**json.loads(told)))
    kept += [RandomState(), StopOnSigterm(), KeepLast()]
    plugins = options.get("plugins") or []
    ours = {
        "plugins": [*(plugins if isinstance(plugins, list) else [plugins]), WholeFiles()],
        # Without a callback of ours Lightning would add one that saves where it likes.
        "enable_checkpointing": options.get(
            "enable_checkpointing", any(isinstance(one, ModelCheckpoint) for one in kept)
        ),
        "enable_progress_bar": options.get(
            "enable_progress_bar", any(isinstance(one, ProgressBar) for one in kept)
        ),
        # What it says is of one module and one that is frozen; the run's first line says it.
        "enable_model_summary": options.get("enable_model_summary", False),
    }
    loggers = [] if logger is None else [logger]
    if loggers and folder is not None and not isinstance(logger, CSVLogger):
        loggers.append(csv_logger(folder))
    if logger is None:  # Lightning refuses a monitor that has nowhere to write to
        kept = [one for one in kept if not isinstance(one, LearningRateMonitor)]
    try:
        return pl.Trainer(**{**options, **ours}, logger=loggers, callbacks=kept)
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise OptionError(f"trainer.*: {one_line(error)}; `--cfg job` shows all keys") from error
