"""The Trainer, with what the user left in of its logger and callbacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import LearningRateMonitor
from pytorch_lightning.loggers import Logger

from xray_report.errors import OptionError, one_line


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
    if logger is None:  # Lightning refuses a monitor that has nowhere to write to
        kept = [one for one in kept if not isinstance(one, LearningRateMonitor)]
    try:
        return pl.Trainer(**options, logger=logger or False, callbacks=kept)
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise OptionError(f"trainer.*: {one_line(error)}; `--cfg job` shows all keys") from error
