"""What a finished training run leaves for people: hyper-parameters with scores, closing words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger


def log_hyperparameters(trainer: pl.Trainer, options: Mapping[str, Any]) -> None:
    """Put the options beside the best validation scores on TensorBoard's HParams page."""
    if isinstance(trainer.logger, TensorBoardLogger):
        scores = {f"final/{k}": v for k, v in best_scores(trainer).items()}
        trainer.logger.log_hyperparams(flat(options), scores)
        trainer.logger.save()


def best_scores(trainer: pl.Trainer) -> dict[str, float]:
    """The chosen checkpoint's score, and the last epoch's validation scores."""
    scores = {
        name: float(value)
        for name, value in trainer.callback_metrics.items()
        if name.startswith("val/")
    }
    checkpoint = trainer.checkpoint_callback
    if isinstance(checkpoint, ModelCheckpoint) and checkpoint.best_model_score is not None:
        scores[str(checkpoint.monitor)] = float(checkpoint.best_model_score)
    return scores


def flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options as `group.name` -> scalar; `_target_` becomes the class's short name."""
    found: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        elif name == "_target_":
            found[prefix.rstrip(".")] = str(value).rpartition(".")[2]
        else:
            found[f"{prefix}{name}"] = value
    return found


def closing_words(trainer: pl.Trainer) -> str:
    """Where the best checkpoint lies, its validation scores, and what to do next."""
    checkpoint = trainer.checkpoint_callback
    if not isinstance(checkpoint, ModelCheckpoint) or not checkpoint.best_model_path:
        return "no checkpoint was kept"
    lines = [f"best checkpoint: {checkpoint.best_model_path}"]
    if checkpoint.best_model_score is not None:
        lines.append(f"{checkpoint.monitor}: {float(checkpoint.best_model_score):.4f}")
    return "\n".join(lines)
