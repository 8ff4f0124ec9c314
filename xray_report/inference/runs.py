"""Finding the newest training run's best checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xray_report.errors import CheckpointError, OptionError

BEST = Path("checkpoints") / "best.ckpt"
RUN_CONFIG = Path(".hydra") / "config.yaml"


def chosen_checkpoints(given: str | Sequence[str] | None, runs_dir: str | Path) -> list[Path]:
    """The checkpoints to use: `given`, one or several, or else the newest run's best.

    Raises `OptionError` if an empty list is given, `CheckpointError` as `newest_checkpoint`.
    """
    if given is None:
        return [newest_checkpoint(runs_dir)]
    paths: list[Any] = list(given) if isinstance(given, (list, tuple)) else [given]
    if not all(isinstance(path, str) and path for path in paths) or not paths:
        raise OptionError(
            f"checkpoint must be a path or a list of paths, such as [a.ckpt,b.ckpt], got {given!r}"
        )
    return [Path(path) for path in paths]


def newest_checkpoint(runs_dir: str | Path) -> Path:
    """Best checkpoint of the newest report-model run below `runs_dir`/train.

    Raises `CheckpointError`, saying where it looked and what to run, if there is none.
    """
    folder = Path(runs_dir) / "train"
    found = [path for path in folder.rglob(str(BEST)) if path.is_file()]
    for path in sorted(found, key=lambda p: p.stat().st_mtime, reverse=True):
        if is_report_run(path):
            return path
    raise CheckpointError(
        f"no trained report model below {folder}; "
        "run `python train.py model=attention`, or give checkpoint=PATH"
    )


def is_report_run(checkpoint: Path) -> bool:
    """Whether the run that wrote `checkpoint` trained a report model, by its saved options."""
    config = run_folder(checkpoint) / RUN_CONFIG
    return config.is_file() and "kind: report" in config.read_text(encoding="utf-8")


def run_folder(checkpoint: Path) -> Path:
    """The run folder that a checkpoint lies in."""
    return checkpoint.resolve().parent.parent
