"""What a finished training run leaves for people: hyper-parameters with scores, closing words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from rich.console import Console
from rich.table import Table

from xray_report.data.datamodule import ChestDataModule
from xray_report.files import replacing
from xray_report.metrics.evaluation import evaluate_texts
from xray_report.training.chexnet import CheXNetModule, SplitAurocs
from xray_report.training.report_module import ReportModule


def finish(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    datamodule: ChestDataModule,
    options: Mapping[str, Any],
) -> None:
    """After training, score the best checkpoint in every way and say where it lies.

    Args:
        trainer: has trained `module` on `datamodule`.
        options: those of train.py, plain types.
    """
    if options["trainer"].get("fast_dev_run"):
        return
    if kept_best(trainer) and isinstance(module, ReportModule):
        log_final_scores(trainer, module, datamodule.references("train"), options)
    elif kept_best(trainer) and isinstance(module, CheXNetModule):
        path = Path(options["paths"]["output_dir"]) / "auroc.json"
        score_classifier(trainer, module, datamodule, path)
    if trainer.is_global_zero:
        print(closing_words(trainer))


HEADLINES = ("clean/bleu4", "clean/cider", "findings/micro_f1", "facts/f1")
FINAL_RESAMPLES = 200


def log_final_scores(
    trainer: pl.Trainer,
    module: ReportModule,
    train_texts: Sequence[str],
    options: Mapping[str, Any],
) -> None:
    """Score the best checkpoint's validation reports in every way evaluate.py does.

    They go to TensorBoard as `final/...`, and beside the options on its HParams page.
    """
    if not isinstance(trainer.logger, TensorBoardLogger):
        return
    trainer.validate(module, datamodule=trainer.datamodule, ckpt_path="best", verbose=False)  # type: ignore[attr-defined]
    if not trainer.is_global_zero:
        return
    scores = evaluate_texts(
        [one.study_id for one in module.generated],
        [one.hypothesis for one in module.generated],
        [one.reference for one in module.generated],
        train_texts=train_texts,
        resamples=FINAL_RESAMPLES,
    )
    for name, value in scores.items():
        trainer.logger.experiment.add_scalar(f"final/{name}", value, trainer.global_step)
    headline = {f"hparam/{name}": scores[name] for name in HEADLINES}
    trainer.logger.log_hyperparams(flat(options), headline)
    trainer.logger.save()


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


def score_classifier(
    trainer: pl.Trainer, module: CheXNetModule, data: ChestDataModule, path: Path
) -> None:
    """Score the best checkpoint on validation and, where there is one, test, with intervals.

    The first process writes the AUROCs to `path` and prints them.
    """
    module.aurocs.clear()
    trainer.validate(module, datamodule=data, ckpt_path="best", verbose=False)
    if data.split("test"):
        trainer.test(module, datamodule=data, ckpt_path="best", verbose=False)
    if trainer.is_global_zero:
        write_aurocs(path, module.aurocs)


def write_aurocs(path: Path, splits: Mapping[str, SplitAurocs]) -> None:
    """Write a classifier's AUROCs and their intervals by split as JSON, and print them."""
    plain = {
        split: {
            "mean": found.mean,
            "min_positives": found.min_positives,
            "labels": {name: score._asdict() for name, score in found.labels.items()},
        }
        for split, found in splits.items()
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    for split, found in splits.items():
        table = Table(
            "label", "AUROC", "95 % interval", "positive", "images", title=f"{split} split",
            caption=f"mean {found.mean:.3f} of the labels with {found.min_positives} positives "
            "or more",
        )  # fmt: skip
        for name, score in found.labels.items():
            interval = f"{score.low:.3f} to {score.high:.3f}"
            table.add_row(name, f"{score.value:.3f}", interval, *map(str, score[3:]))
        Console().print(table)


def kept_best(trainer: pl.Trainer) -> ModelCheckpoint | None:
    """The callback that kept a best checkpoint, if one did."""
    checkpoint = trainer.checkpoint_callback
    kept = isinstance(checkpoint, ModelCheckpoint) and checkpoint.best_model_path
    return checkpoint if kept else None  # type: ignore[return-value]


def closing_words(trainer: pl.Trainer) -> str:
    """Where the best checkpoint lies, and its validation score."""
    checkpoint = kept_best(trainer)
    if checkpoint is None:
        return "no checkpoint was kept"
    lines = [f"best checkpoint: {checkpoint.best_model_path}"]
    if checkpoint.best_model_score is not None:
        lines.append(f"{checkpoint.monitor}: {float(checkpoint.best_model_score):.4f}")
    return "\n".join(lines)
