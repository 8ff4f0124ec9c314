"""How batches are made, and what runs in the processes that make them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from xray_report.data.study import SPLITS, Split
from xray_report.errors import OptionError

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
        if self.batch_size < 1:
            raise OptionError(
                f"loader.batch_size must be a positive integer, got {self.batch_size}"
            )
        if self.workers < 0:
            raise OptionError(f"loader.workers must be zero or more, got {self.workers}")
        if self.validate_on not in SPLITS:
            raise OptionError(
                f"loader.validate_on must be one of {', '.join(SPLITS)}: {self.validate_on!r}"
            )
        if self.images not in IMAGES:
            raise OptionError(f"loader.images must be one of {', '.join(IMAGES)}: {self.images!r}")


def already_a_batch(batch: Any) -> Any:
    """Collate nothing: `StudyDataset.__getitems__` made the batch."""
    return batch


def one_thread(worker: int) -> None:
    """Keep decoding workers from fighting over the cores."""
    torch.set_num_threads(1)
