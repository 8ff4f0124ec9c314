"""What a finished training run leaves for people: final scores, closing words, what to do next."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from rich.console import Console
from rich.table import Table

from xray_report.data.datamodule import ChestDataModule
from xray_report.files import replacing, short
from xray_report.inference.checkpoint import read_file
from xray_report.metrics.evaluation import evaluate_texts
from xray_report.metrics.files import write_metrics
from xray_report.models.encoders.weights.files import DESCRIPTION_KEY
from xray_report.training.chexnet import CheXNetModule, SplitAurocs
from xray_report.training.console import in_words, planned_epochs
from xray_report.training.report_module import ReportModule


def finish(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    datamodule: ChestDataModule,
    options: Mapping[str, Any],
    started: float,
) -> None:
    """After training, score the best checkpoint in every way and say where it lies.

    Args:
        trainer: has trained `module` on `datamodule`.
        options: those of train.py, plain types.
        started: when the program did, by `time.perf_counter()`.
    """
    if options["trainer"].get("fast_dev_run"):
        return
    done, planned = trainer.current_epoch, planned_epochs(trainer)  # scoring forgets them
    stopper = trainer.early_stopping_callback
    early = f", stopped early by {stopper.monitor}" if stopper and stopper.stopped_epoch else ""
    if kept_best(trainer) and isinstance(module, ReportModule):
        log_final_scores(trainer, module, datamodule.references("train"), options)
    elif kept_best(trainer) and isinstance(module, CheXNetModule):
        path = Path(options["paths"]["output_dir"]) / "auroc.json"
        score_classifier(trainer, module, datamodule, path)
    if trainer.is_global_zero:
        took = time.perf_counter() - started
        of = "" if planned is None else f" of {planned}"
        print(f"trained {done}{of} epochs in {in_words(took)}{early}")
        print(*closing_words(trainer, options), sep="\n")


FINAL = (
    *("clean/bleu1", "clean/bleu4", "clean/rouge_l", "clean/cider"),
    *("findings/micro_f1", "findings/macro_f1", "findings/abnormal_sensitivity"),
    *("facts/precision", "facts/recall", "facts/f1"),
    "collapse/distinct_reports",
)
"""Scores that are logged as `final/...`; final.json has all."""
HEADLINES = ("clean/bleu4", "clean/cider", "findings/micro_f1", "facts/f1")
FINAL_RESAMPLES = 200
FINAL_FILE = "final.json"


def log_final_scores(
    trainer: pl.Trainer,
    module: ReportModule,
    train_texts: Sequence[str],
    options: Mapping[str, Any],
) -> None:
    """Score the best checkpoint's validation reports in every way evaluate.py does.

    They go to final.json in the run's folder, the main ones to every logger as `final/...`, beside
    what was chosen (in TensorBoard on its HParams page).
    """
    if not trainer.loggers:
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
    write_metrics(Path(options["paths"]["output_dir"]) / FINAL_FILE, scores)
    final = {f"final/{name}": scores[name] for name in FINAL if name in scores}
    for logger in trainer.loggers:
        logger.log_metrics(final, trainer.global_step)
        if isinstance(logger, TensorBoardLogger):
            headline = {f"hparam/{name}": scores[name] for name in HEADLINES}
            logger.log_hyperparams(chosen(options, module), headline)
        elif not isinstance(logger, CSVLogger):  # which has the module's in its hparams.yaml
            logger.log_hyperparams(chosen(options, module))
        logger.save()


def chosen(options: Mapping[str, Any], module: pl.LightningModule) -> dict[str, Any]:
    """What one chooses between runs, for TensorBoard's table of them.

    Args:
        options: those of train.py, plain types.
        module: the model; its size is that of what is trained.
    """
    model, encoder = options["model"], options["encoder"]
    size = sum(one.numel() for one in module.parameters() if one.requires_grad)
    return {
        "model": model["architecture"]["name"],
        "parameters": size,
        "lr": model["optimizer"]["lr"],
        "batch_size": options["loader"]["batch_size"],
        "data": str(options["data"]["_target_"]).rpartition(".")[2],
        "encoder": encoder["name"],
        "weights": str(encoder["weights"]),
        "training": (options.get("training") or {}).get("name", "cross_entropy"),
        "seed": options["seed"],
    }


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


def closing_words(trainer: pl.Trainer, options: Mapping[str, Any]) -> list[str]:
    """Lines on the best checkpoint: its epoch and validation scores, its place, what to do next.

    Args:
        options: those of train.py, plain types.
    """
    checkpoint = kept_best(trainer)
    if checkpoint is None:
        return ["no checkpoint was kept"]
    saved = read_file(checkpoint.best_model_path)
    scores = dict(saved.get(DESCRIPTION_KEY, {}).get("scores", {}))
    if checkpoint.monitor and checkpoint.best_model_score is not None:
        scores = {checkpoint.monitor: float(checkpoint.best_model_score), **scores}
    said = [
        f"{name.removeprefix('val/')} {value:.3f}"
        for name, value in scores.items()
        if name.startswith("val/") or name == checkpoint.monitor
    ]
    best = short(checkpoint.best_model_path)
    lines = [
        f"best epoch {saved['epoch'] + 1}, validation: {', '.join(said)}",
        f"best checkpoint: {best}",
    ]
    runs = short(options["paths"]["runs_dir"])
    use = [
        f"python evaluate.py checkpoint={best}",
        f"xray-report predict --checkpoint {best} --frontal FILM.png",
    ]
    if options["model"]["kind"] == "chexnet":
        use = [
            f"python train.py model=attention encoder.weights={best}",
            f"python train.py model=transformer encoder.weights={best}",
        ]
    board = any(isinstance(one, TensorBoardLogger) for one in trainer.loggers)
    use.append(f"tensorboard --logdir {runs}" if board else f"xray-report runs {runs}")
    return [*lines, "next:", *(f"  {command}" for command in use)]
