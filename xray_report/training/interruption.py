"""An interrupted training goes on as if nothing had happened: when it stops, and what it keeps."""

from __future__ import annotations

import shutil
import signal
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from xray_report import job
from xray_report.files import replacing


class StopOnSigterm(pl.Callback):
    """On SIGTERM saves after the step under way and ends the program with exit code 143.

    In a validation, and after the last step before one, that is finished first: the checkpoint
    that is then written is the usual one of that epoch. Where several processes train together,
    each ends at once, and the last epoch's checkpoint is what training goes on from.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: Any = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remember what SIGTERM did, before Lightning takes it."""
        self._before = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take SIGTERM from Lightning, which would end the program as if all was done."""
        last = last_checkpoint(trainer)
        job.goes_on_from(last, trainer.ckpt_path)
        alone = trainer.world_size == 1 and last is not None
        signal.signal(signal.SIGTERM, self._ask if alone else self._before)

    def _ask(self, *_: object) -> None:
        self._asked = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any, **__: Any
    ) -> None:
        """Save and stop, unless the epoch is over, or gradients wait for the next batch."""
        loop = trainer.fit_loop.epoch_loop
        if self._asked and not (loop._num_ready_batches_reached() or loop._should_accumulate()):
            path = last_checkpoint(trainer)
            assert path is not None
            trainer.save_checkpoint(path)
            raise job.stopped(signal.SIGTERM)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Stop where SIGTERM ended processes that are missed now; between two steps, save too."""
        done = trainer.fit_loop.epoch_loop.batch_progress.current
        if not self._asked or isinstance(exception, job.Stopped):
            return
        if trainer.training and 0 < done.ready == done.completed:
            self.on_train_batch_end(trainer, pl_module)
        raise job.stopped(signal.SIGTERM)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop after the checkpoint of the epoch before."""
        if self._asked:
            raise job.stopped(signal.SIGTERM)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop after the checkpoint of the last epoch."""
        if self._asked:
            raise job.stopped(signal.SIGTERM)


class KeepLast(pl.Callback):
    """Gives a resumed run that had nothing left to train a last checkpoint of its own."""

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy what it was resumed from, which has been read and is whole."""
        last, resumed = last_checkpoint(trainer), trainer.ckpt_path
        if trainer.is_global_zero and last and resumed and not last.is_file():
            with replacing(last) as temporary:
                shutil.copyfile(resumed, temporary)


def last_checkpoint(trainer: pl.Trainer) -> Path | None:
    """Where the run keeps the checkpoint of its last epoch; None where it keeps none."""
    kept = [one for one in trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint)]
    for one in kept:
        if one.monitor is None and one.dirpath and one.filename:
            return Path(one.dirpath) / f"{one.filename}{one.FILE_EXTENSION}"
    return Path(kept[0].dirpath) / "last.ckpt" if kept and kept[0].dirpath else None


class RandomState(pl.Callback):
    """Keeps the state of the random numbers in checkpoints, so that dropout goes on from there."""

    def __init__(self) -> None:
        self._kept: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """State of the processor's generator and of every CUDA device's, uint8."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return {"cpu": torch.get_rng_state(), "cuda": cuda}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep it until training begins; building a model draws random numbers too."""
        self._kept = state_dict
        # The data module goes on in mid-epoch, which Lightning looks for in the loader alone.
        warnings.filterwarnings("ignore", ".*ended before the epoch ended and your dataloader.*")

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any, **__: Any
    ) -> None:
        """Go on from the state of the checkpoint."""
        if self._kept is not None:
            torch.set_rng_state(self._kept["cpu"].cpu())
            for device, state in enumerate(self._kept["cuda"][: torch.cuda.device_count()]):
                torch.cuda.set_rng_state(state.cpu(), device)
            self._kept = None
