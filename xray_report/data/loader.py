"""How batches are made, and what runs in the processes that make them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from xray_report.data.study import SPLITS, Split
from xray_report.options import as_path, check_choice, check_count

IMAGES = ("own", "exchanged")


@dataclass(frozen=True)
class LoaderOptions:
    """How batches are made.

    Args:
        batch_size: studies a batch.
        workers: processes that decode images; cached features need none.
        cache_dir: folder of the feature cache.
        validate_on: split that validation runs on (`train` only for memorising experiments).
        images: `own`, or `exchanged` to train on other studies' images: the blind control.
    """

    batch_size: int = 64
    workers: int = 0
    cache_dir: str = ".cache"
    validate_on: Split = "val"
    images: str = "own"

    def __post_init__(self) -> None:
        check_count("loader.batch_size", self.batch_size, 1)
        check_count("loader.workers", self.workers, 0)
        as_path("loader.cache_dir", self.cache_dir)
        check_choice("loader.validate_on", self.validate_on, SPLITS)
        check_choice("loader.images", self.images, IMAGES)


def already_a_batch(batch: Any) -> Any:
    """Collate nothing: `StudyDataset.__getitems__` made the batch."""
    return batch


def one_thread(worker: int) -> None:
    """Keep decoding workers from fighting over the cores."""
    torch.set_num_threads(1)
