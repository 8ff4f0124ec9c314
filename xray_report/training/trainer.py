"""The Trainer, with what the user left in of its logger and callbacks, and our checkpoint files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import Logger

from xray_report.errors import OptionError, one_line
from xray_report.training.checkpoints import WholeFiles
from xray_report.training.interruption import KeepLast, RandomState, StopOnSigterm


def build_trainer(
    options: Mapping[str, Any], logger: Logger | None, callbacks: Iterable[pl.Callback | None]
) -> pl.Trainer:
    """A Trainer with `options` as they are. Raises `OptionError` where Lightning refuses them.

    Args:
        options: keyword arguments of `Trainer`.
        logger: None logs nothing.
        callbacks: None stands for one that was switched off.
    """
    kept = [one for one in callbacks if one is not None]
    kept += [RandomState(), StopOnSigterm(), KeepLast()]
    plugins = options.get("plugins") or []
    ours = {
        "plugins": [*(plugins if isinstance(plugins, list) else [plugins]), WholeFiles()],
        # Without a callback of ours Lightning would add one that saves where it likes.
        "enable_checkpointing": options.get(
            "enable_checkpointing", any(isinstance(one, ModelCheckpoint) for one in kept)
        ),
    }
    if logger is None:  # Lightning refuses a monitor that has nowhere to write to
        kept = [one for one in kept if not isinstance(one, LearningRateMonitor)]
    try:
        return pl.Trainer(**{**options, **ours}, logger=logger or False, callbacks=kept)
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise OptionError(f"trainer.*: {one_line(error)}; `--cfg job` shows all keys") from error
