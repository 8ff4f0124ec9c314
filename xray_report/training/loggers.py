"""Loggers beyond Lightning's defaults, and what each of them shows of tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)
from torch import Tensor

from xray_report.errors import MissingExtraError
from xray_report.options import check_flag


def csv_logger(folder: str | Path) -> CSVLogger:
    """Writes what is logged to `folder`/csv/metrics.csv, for who reads curves by a program.

    Where a run of before has left that, such as one that is resumed there, to csv_1 and so on.
    """
    folder, name, tries = Path(folder), "csv", 0
    while (folder / name).exists():
        tries += 1
        name = f"csv_{tries}"
    return CSVLogger(folder, name="", version=name)


def wandb_logger(folder: str | Path, project: str, offline: bool = False) -> WandbLogger:
    """Sends what is logged to Weights & Biases, under the name of the run's folder.

    Args:
        folder: of the run; `wandb/` in it keeps what is, or will be, sent.
        project: there.
        offline: keep it here alone; `wandb sync` sends it later.

    Raises `MissingExtraError` without the package.
    """
    check_flag("logger.offline", offline)
    _check_package("wandb")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return WandbLogger(project=project, name=folder.name, save_dir=folder, offline=offline)


def mlflow_logger(folder: str | Path, uri: str, experiment: str) -> MLFlowLogger:
    """Sends what is logged to MLflow, under the name of the run's folder.

    Args:
        folder: of the run, for its name.
        uri: of the tracking server or its database.
        experiment: there. Tables and pictures of a local database lie beside it, in mlflow/.

    Raises `MissingExtraError` without the package.
    """
    _check_package("mlflow")
    kind, _, place = uri.partition(":")
    files = None
    if kind == "sqlite":
        database = Path(place[3:])  # sqlite:///relative.db, sqlite:////absolute.db
        database.parent.mkdir(parents=True, exist_ok=True)
        files = (database.parent.resolve() / "mlflow").as_uri()
    return MLFlowLogger(
        experiment_name=experiment,
        run_name=Path(folder).name,
        tracking_uri=uri,
        artifact_location=files,
    )


def _check_package(name: str) -> None:
    from importlib.util import find_spec

    if find_spec(name) is None:
        raise MissingExtraError(
            f"logger={name} needs the package {name}: pip install 'xray-report[{name}]'"
        )


def shows_pictures(trainer: pl.Trainer) -> list[Logger]:
    """The run's loggers that show tables and pictures, on the process that has them."""
    shown = (TensorBoardLogger, WandbLogger, MLFlowLogger)
    return [one for one in trainer.loggers if isinstance(one, shown) and trainer.is_global_zero]


def show_table(
    trainer: pl.Trainer, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """A table of texts in every logger that shows one: as Markdown, in W&B as its own table."""
    step = trainer.global_step
    lines = [columns, ["---"] * len(columns), *rows]
    markdown = "\n".join(f"| {' | '.join(map(table_cell, line))} |" for line in lines)
    for logger in shows_pictures(trainer):
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text(name, markdown, step)
        elif isinstance(logger, WandbLogger):
            logger.log_text(name, list(columns), [list(row) for row in rows], step=step)
        elif isinstance(logger, MLFlowLogger):
            client: Any = logger.experiment
            client.log_text(logger.run_id, markdown, f"{name}/{step}.md")


def show_picture(trainer: pl.Trainer, name: str, picture: Tensor) -> None:
    """A picture in every logger that shows one.

    Args:
        name: parts of it by `/`.
        picture: uint8 [3, H, W].
    """
    step, pixels = trainer.global_step, picture.permute(1, 2, 0).contiguous().numpy()
    for logger in shows_pictures(trainer):
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, picture, step)
        elif isinstance(logger, WandbLogger):
            logger.log_image(name, [pixels], step=step)
        elif isinstance(logger, MLFlowLogger):
            client: Any = logger.experiment
            client.log_image(logger.run_id, pixels, f"{name}.png")


def table_cell(text: str) -> str:
    """Text that ends neither its cell nor its row of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")
