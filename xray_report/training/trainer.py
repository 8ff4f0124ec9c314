"""The Trainer, with what the user left in of its loggers and callbacks, and our checkpoints."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint, ProgressBar
from pytorch_lightning.loggers import CSVLogger, Logger

from xray_report.errors import OptionError, OutputError, one_line
from xray_report.files import remove_leftovers, replacing
from xray_report.inference.checkpoint import STATE_DIGEST, read_file, state_digest
from xray_report.models.encoders.weights.files import DESCRIPTION_KEY
from xray_report.training.callbacks import TRIAL, ReportToStudy
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


# Checkpoint files of a run: written whole or not at all, and read as data.


def remove_torn(options: Mapping[str, Any]) -> None:
    """Remove what killed processes left unfinished: of all runs here, and in the caches.

    Args:
        options: those of train.py or evaluate.py, plain types.
    """
    paths, resume = options["paths"], options.get("resume")
    remove_leftovers(Path(paths["runs_dir"]) / "train")
    remove_leftovers(Path(paths["runs_dir"]) / "evaluate")
    caches = [paths.get("cache_dir")]
    for group in ("data", "loader", "evaluation"):
        caches.append((options.get(group) or {}).get("cache_dir"))
    for folder in dict.fromkeys(cache for cache in caches if cache):
        remove_leftovers(Path(folder).expanduser())
    for folder in (paths["output_dir"], Path(str(resume)).parent if resume else None):
        if folder is not None:
            remove_leftovers(folder, below=False)
    remove_leftovers(Path(paths["output_dir"]) / "checkpoints", below=False)


class WholeFiles(TorchCheckpointIO):
    """Writes each checkpoint beside its place, syncs it and renames it there.

    Lightning's own writes to the system's temporary folder and moves the file, which is a copy
    where that is another file system: a kill in it leaves half a checkpoint, and a full disk the
    half of a new one in place of the best.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write `checkpoint`. Raises `OutputError`; the file of before is then as it was."""
        if isinstance(about := checkpoint.get(DESCRIPTION_KEY), dict):
            about[STATE_DIGEST] = state_digest(checkpoint)
        content = io.BytesIO()
        torch.save(checkpoint, content)  # by itself: torch hides what the disk says
        try:
            with replacing(path) as temporary:  # type: ignore[arg-type]
                temporary.write_bytes(content.getbuffer())
        except OutputError as error:
            raise OutputError(f"{error} (paths.runs_dir); go on with resume=CHECKPOINT") from error

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any = "cpu", weights_only: Any = None
    ) -> dict[str, Any]:
        """What a checkpoint holds; plain values only, whoever asks for more.

        Raises `CheckpointError` if it is missing or damaged.
        """
        return dict(read_file(path))
