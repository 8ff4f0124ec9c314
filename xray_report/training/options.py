"""Mistakes in the options of a training run, found before any data are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xray_report.errors import CheckpointError, OptionError
from xray_report.options import check_count, check_share
from xray_report.training.report_module import SCORES
from xray_report.training.schedule import check_adam

MONITORS = {
    "report": ("train/loss", *(f"val/{name}" for name in SCORES)),
    "chexnet": tuple(
        f"{stage}/{name}"
        for stage, names in {
            "val": ("auroc", "loss", "label_loss", "region_loss"),
            "train": ("loss", "label_loss", "region_loss"),
        }.items()
        for name in names
    ),
}
"""What each kind of model logs; CheXNet also `val_auroc/LABEL`."""


def check_options(options: Mapping[str, Any]) -> None:
    """Raise an error that names the option, where a run would fail only once it is under way."""
    seed, resume, model = options["seed"], options["resume"], options["model"]
    if not isinstance(seed, int) or not 0 <= seed < 1 << 32:
        raise OptionError(f"seed must be an integer from 0 to below 2 ** 32, got {seed}")
    if resume is not None and not Path(str(resume)).is_file():
        raise CheckpointError(
            f"resume: there is no checkpoint {resume}; "
            "give the path of an interrupted run's checkpoints/last.ckpt"
        )
    check_adam(**model["optimizer"])
    check_share("model.label_smoothing", model.get("label_smoothing", 0.0))
    check_count("model.min_positives", model.get("min_positives", 1))
    check_monitor(model["kind"], model["monitor"])
    check_trainer(options["trainer"])


def check_monitor(kind: str, monitor: str) -> None:
    """Raise OptionError unless a model of this kind logs `monitor`."""
    known = MONITORS.get(kind, ())
    of_label = kind == "chexnet" and str(monitor).startswith("val_auroc/")
    if known and monitor not in known and not of_label:
        raise OptionError(f"model.monitor must be one of {', '.join(known)}, got {monitor}")


def check_trainer(trainer: Mapping[str, Any]) -> None:
    """Raise OptionError where Lightning would train or validate nothing, or without an end."""
    epochs, steps = trainer.get("max_epochs"), trainer.get("max_steps", -1)
    endless = epochs == -1 and steps == -1
    if epochs is not None and (
        not isinstance(epochs, int) or epochs == 0 or epochs < -1 or endless
    ):
        raise OptionError(
            "trainer.max_epochs must be a positive integer (or -1 with +trainer.max_steps=N), "
            f"got {epochs}"
        )
    for name in ("limit_train_batches", "limit_val_batches"):
        if trainer.get(name) == 0:
            raise OptionError(
                f"trainer.{name} must be above 0: the best checkpoint is chosen by validation"
            )
