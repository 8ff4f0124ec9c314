"""What a training says in the terminal: a line an epoch that stays, and a bar for who watches."""

from __future__ import annotations

import logging
import math
import sys
import time
import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm
from torch import Tensor

from xray_report.options import check_count

# What Lightning says that nobody needs, or that is said here in other words.

NEEDLESS = (
    *("GPU available: ", "TPU available: ", "HPU available: ", "💡 Tip: ", "Seed set to "),
    *("LOCAL_RANK: ", "You are using a CUDA device "),  # the first line of a training names it
    "No CUDA runtime is found, using CUDA_HOME",  # where a CUDA compiler is, but no device
    *("`Trainer(limit_", "`Trainer(val_check_interval=", "`Trainer.fit` stopped: "),
    *("Loading `train_dataloader` to estimate ", "Restoring states from the checkpoint "),
    *("Restored all states from the checkpoint ", "Loaded model weights from the checkpoint "),
)
"""How log lines begin that are left out."""

LOGGERS = ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.rank_zero",
           "lightning_fabric.utilities.seed", "pytorch_lightning.accelerators.cuda",
           "lightning_fabric.accelerators.cuda", "torch.utils.cpp_extension")  # fmt: skip

NEEDLESS_WARNINGS = (
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated",  # between Lightning and torch
    r"Found \d+ module\(s\) in eval mode at the start of training",  # a frozen encoder's
    r"`.\w+\(ckpt_path=\"best\"\)` is called with Trainer configured with multiple `Model",
    r"The dirpath has changed from ",  # BestCheckpoint takes along what a resumed run had
    r"The number of training batches \(\d+\) is smaller than the logging interval",  # steps go on
    r"The '\w+' does not have many workers",  # images are decoded once, then cached
)
"""Regular expressions of warnings that are left out, from their beginning on."""


def _needed(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(NEEDLESS)


def leave_out_needless() -> None:
    """From now on leave out the lines of Lightning's that `NEEDLESS` and its like name, no others.

    May be called again.
    """
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if _needed not in logger.filters:
            logger.addFilter(_needed)
    for message in NEEDLESS_WARNINGS:
        warnings.filterwarnings("ignore", message)


def in_words(seconds: float) -> str:
    """A duration such as `48 s`, `3 min 5 s` or `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def planned_epochs(trainer: pl.Trainer) -> int | None:
    """The most epochs that a run will have, by its epochs or its steps; None where unknown."""
    most = trainer.max_epochs
    ends = [most] if most is not None and most >= 0 else []
    if trainer.max_steps >= 0 and math.isfinite(trainer.num_training_batches):
        steps = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        ends.append(math.ceil(trainer.max_steps / max(1, steps)))
    return min(ends, default=None)


def monitoring(trainer: pl.Trainer) -> ModelCheckpoint | None:
    """The callback that keeps the best checkpoint by a score, where there is one."""
    for one in trainer.checkpoint_callbacks:
        if isinstance(one, ModelCheckpoint) and one.monitor is not None:
            return one
    return None


def is_better(score: float, best: float | None, mode: str) -> bool:
    """Whether a score beats the best so far; `mode` is `min` or `max`."""
    if math.isnan(score) or best is None:
        return not math.isnan(score)
    return score < best if mode == "min" else score > best


class Progress(TQDMProgressBar):
    """A line that stays for each epoch and, in a terminal, a bar of the epoch under way.

    Both name the score that chooses the checkpoint first, and the time left for the whole run.

    Args:
        refresh_rate: batches between two updates of the bar; 0 shows no bar.
    """

    BAR_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt}{postfix}"  # leaves room for the score

    def __init__(self, refresh_rate: int = 5) -> None:
        check_count("callbacks.progress.refresh_rate", refresh_rate, 0)
        # Elsewhere its carriage returns would fill a file.
        super().__init__(refresh_rate if sys.stdout.isatty() else 0)
        self._begun = self._epoch_begun = time.perf_counter()
        self._epoch_took: float | None = None
        self._best: float | None = None
        self._losses: list[Tensor] = []

    # The bar.

    def init_train_tqdm(self) -> Tqdm:
        """A bar that goes when training ends."""
        return _passing(super().init_train_tqdm())

    def init_validation_tqdm(self) -> Tqdm:
        """A bar that goes when validation ends."""
        return _passing(super().init_validation_tqdm())

    def init_test_tqdm(self) -> Tqdm:
        """A bar that goes when the test ends."""
        return _passing(super().init_test_tqdm())

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """The time left, then the score that chooses the checkpoint, then the loss."""
        done = trainer.fit_loop.epoch_loop.batch_progress.current.completed
        share = done / max(1.0, float(trainer.num_training_batches))
        left = self.seconds_left(trainer, share)
        shown: dict[str, Any] = {} if left is None else {"left": in_words(left)}
        return shown | dict(list(scores_shown(trainer).items())[:2])

    def seconds_left(self, trainer: pl.Trainer, share: float) -> float | None:
        """Seconds that the whole run will still take; None where nothing says.

        As if each epoch took what the last one did, or in the first what its batches do.

        Args:
            share: of the epoch under way that is done, 0..1.
        """
        planned, took = planned_epochs(trainer), self._epoch_took
        if took is None and share > 0:
            took = (time.perf_counter() - self._epoch_begun) / share
        if planned is None or took is None:
            return None
        return max(0.0, planned - trainer.current_epoch - share) * took

    # The lines.

    def on_train_start(self, *arguments: Any) -> None:
        """Say what is trained, where, how long at most, and what chooses the checkpoint."""
        super().on_train_start(*arguments)
        trainer, module = self.trainer, self.trainer.lightning_module
        self._begun, self._epoch_took = time.perf_counter(), None
        kept = monitoring(trainer)
        best = kept.best_model_score if kept is not None else None
        self._best = None if best is None else float(best)  # of the run that is resumed
        sizes = [(one.numel(), one.requires_grad) for one in module.parameters()]
        trained, all_of_them = sum(n for n, learns in sizes if learns), sum(n for n, _ in sizes)
        planned, batches = planned_epochs(trainer), trainer.num_training_batches
        parts = [
            f"training {in_millions(trained)} of {in_millions(all_of_them)} parameters on "
            f"{trainer.strategy.root_device}",
            f"{planned or 'any number of'} epoch{'s' if planned != 1 else ''} of {batches:.0f} "
            f"batch{'es' if batches != 1 else ''}",
        ]
        if trainer.current_epoch:
            parts.append(f"from epoch {trainer.current_epoch + 1} on")
        if kept is not None:
            extreme = "highest" if kept.mode == "max" else "lowest"
            parts.append(f"the {extreme} {kept.monitor} is kept")
        self.say(", ".join(parts))

    def on_train_epoch_start(self, trainer: pl.Trainer, *arguments: Any) -> None:
        """Name the epoch as people count."""
        super().on_train_epoch_start(trainer, *arguments)
        self.train_progress_bar.set_description(epoch_name(trainer))
        self._epoch_begun, self._losses = time.perf_counter(), []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *arguments: Any
    ) -> None:
        """Keep the loss on its device."""
        super().on_train_batch_end(trainer, pl_module, outputs, *arguments)
        if isinstance(outputs, dict) and isinstance(outputs.get("loss"), Tensor):
            self._losses.append(outputs["loss"] * trainer.accumulate_grad_batches)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the epoch's line."""
        self._epoch_took = time.perf_counter() - self._epoch_begun
        super().on_train_epoch_end(trainer, pl_module)
        scores = scores_shown(trainer)
        if self._losses and "train/loss" in scores:
            scores["train/loss"] = float(torch.stack(self._losses).mean())
        self._losses = []
        texts = {name: f"{name} {value:.3f}" for name, value in scores.items()}
        kept = monitoring(trainer)
        score = scores.get(str(kept.monitor)) if kept is not None else None
        if kept is not None and score is not None and is_better(score, self._best, kept.mode):
            self._best = score
            texts[str(kept.monitor)] += " (best)"
        times, left = [in_words(self._epoch_took)], self.seconds_left(trainer, 1.0)
        if left:
            times.append(f"{in_words(left)} left")
        self.say(f"{epoch_name(trainer)}: {', '.join(texts.values())}; {', '.join(times)}")

    def say(self, line: str) -> None:
        """Print a line above the bar, once of all processes, and at once."""
        if self.trainer.is_global_zero:
            Tqdm.write(line)
            sys.stdout.flush()


def epoch_name(trainer: pl.Trainer) -> str:
    """Such as `epoch 7 of 20`, the first being 1."""
    planned, now = planned_epochs(trainer), trainer.current_epoch + 1
    return f"epoch {now}" if planned is None else f"epoch {now:>{len(str(planned))}} of {planned}"


def scores_shown(trainer: pl.Trainer) -> dict[str, float]:
    """The score that chooses the checkpoint, the losses, and the reward where there is one."""
    kept, known = monitoring(trainer), trainer.callback_metrics
    names = [str(kept.monitor)] if kept is not None else []
    names += ["train/loss", "val/loss", "train/reward"]
    return {name: float(known[name]) for name in names if name in known}


def in_millions(count: int) -> str:
    """A number of parameters such as `1.3 M`, small ones as they are."""
    return f"{count / 1e6:.1f} M" if count >= 100_000 else str(count)


def _passing(bar: Tqdm) -> Tqdm:
    bar.leave = False
    return bar
