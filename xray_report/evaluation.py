"""From a checkpoint to scores: decode a split, score the reports, write what a person can read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from xray_report.assemble import encoding
from xray_report.data.datamodule import ChestDataModule, LoaderOptions
from xray_report.data.dataset import StudyDataset
from xray_report.data.examples import TextOptions
from xray_report.data.study import Split, StudySource
from xray_report.errors import OptionError
from xray_report.inference.checkpoint import ReportCheckpoint
from xray_report.inference.generator import Report, ReportGenerator
from xray_report.inference.protocol import Search

IMAGES = ("own", "shuffled")


@dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated, and how.

    Args:
        split: `train`, `val` or `test`.
        images: `own`, or `shuffled` to give every study another study's images.
        batch_size: studies decoded at a time.
        workers: processes that decode images while features are cached.
        cache_dir: folder of the feature cache.
        device: such as `cpu` or `cuda`.
        seed: of the shuffle and of the bootstrap.
    """

    split: Split = "test"
    images: str = "own"
    batch_size: int = 64
    workers: int = 2
    cache_dir: str = ".cache"
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.images not in IMAGES:
            raise OptionError(f"images must be one of {', '.join(IMAGES)}: {self.images!r}")
        if self.split not in ("train", "val", "test"):
            raise OptionError(f"split must be train, val or test: {self.split!r}")


@dataclass(frozen=True)
class Decoded:
    """Reports of one split, in the order of its studies, beside their references."""

    dataset: StudyDataset
    reports: list[Report]

    @property
    def references(self) -> list[str]:
        """Reference texts as published."""
        return [example.reference for example in self.dataset.examples]


def data_of(
    checkpoint: ReportCheckpoint, source: StudySource, options: EvaluationOptions
) -> ChestDataModule:
    """The source's studies, prepared exactly as in the checkpoint's training."""
    encoder = checkpoint.model.encoder
    return ChestDataModule(
        source,
        LoaderOptions(
            batch_size=options.batch_size, workers=options.workers, cache_dir=options.cache_dir
        ),
        text=TextOptions(target=checkpoint.about["target"], cleaner=checkpoint.cleaner),
        vocabulary=checkpoint.vocabulary,
        encode=encoding(encoder, options.device),
        image_size=encoder.preprocessing.size,
    )


def decode(
    checkpoint: ReportCheckpoint,
    data: ChestDataModule,
    search: Search,
    options: EvaluationOptions,
) -> Decoded:
    """Write the report of every study of the split."""
    dataset = data.dataset(options.split)
    generator = ReportGenerator(
        checkpoint.model.encoder, checkpoint.model.decoder, checkpoint.vocabulary, search
    )
    rows = np.arange(len(dataset))
    if options.images == "shuffled":
        rows = derangement(len(dataset), options.seed)
    reports: list[Report] = []
    starts = range(0, len(dataset), options.batch_size)
    for start in track(starts, description=f"decoding {options.split}", transient=True):
        chosen = slice(start, start + options.batch_size)
        batch = dataset.__getitems__(rows[chosen].tolist())
        assert batch.features is not None
        ids = [example.study.study_id for example in dataset.examples[chosen]]
        features = batch.features.float().to(options.device)
        reports += generator.generate(
            features=features, view_mask=batch.view_mask.to(options.device), study_ids=ids
        )
    return Decoded(dataset, reports)


def derangement(count: int, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A random cyclic order of `count` studies: none keeps its own images (if there are two)."""
    order = np.random.default_rng(seed).permutation(count)
    shuffled = np.empty(count, np.int64)
    shuffled[order] = np.roll(order, 1)
    return shuffled
