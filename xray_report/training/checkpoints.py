"""Checkpoint files of a run: written whole or not at all, and read as data."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from xray_report.errors import OutputError
from xray_report.files import remove_leftovers, replacing
from xray_report.inference.checkpoint import read_file


def remove_torn(options: Mapping[str, Any]) -> None:
    """Remove what killed processes left unfinished: of all runs here, and in the caches.

    Args:
        options: those of train.py or evaluate.py, plain types.
    """
    paths, resume = options["paths"], options.get("resume")
    remove_leftovers(Path(paths["runs_dir"]) / "train")
    remove_leftovers(Path(paths["runs_dir"]) / "evaluate")
    caches = [paths.get("cache_dir")]
    for group in ("data", "loader", "evaluation"):
        caches.append((options.get(group) or {}).get("cache_dir"))
    for folder in dict.fromkeys(cache for cache in caches if cache):
        remove_leftovers(Path(folder).expanduser())
    for folder in (paths["output_dir"], Path(str(resume)).parent if resume else None):
        if folder is not None:
            remove_leftovers(folder, below=False)
    remove_leftovers(Path(paths["output_dir"]) / "checkpoints", below=False)


class WholeFiles(TorchCheckpointIO):
    """Writes each checkpoint beside its place, syncs it and renames it there.

    Lightning's own writes to the system's temporary folder and moves the file, which is a copy
    where that is another file system: a kill in it leaves half a checkpoint, and a full disk the
    half of a new one in place of the best.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write `checkpoint`. Raises `OutputError`; the file of before is then as it was."""
        content = io.BytesIO()
        torch.save(checkpoint, content)  # by itself: torch hides what the disk says
        try:
            with replacing(path) as temporary:  # type: ignore[arg-type]
                temporary.write_bytes(content.getbuffer())
        except OutputError as error:
            raise OutputError(f"{error} (paths.runs_dir); go on with resume=CHECKPOINT") from error

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any = "cpu", weights_only: Any = None
    ) -> dict[str, Any]:
        """What a checkpoint holds; plain values only, whoever asks for more.

        Raises `CheckpointError` if it is missing or damaged.
        """
        return dict(read_file(path))
