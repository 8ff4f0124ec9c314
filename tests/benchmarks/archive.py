"""Benchmark: the memory that a large archive takes, 200,000 studies of two views.

The features are simulated: an encoder that makes a map of four numbers, so that the real feature
store, its index and the real DataModule work on 400,000 images with 13 MB on disk. Reports are of
two drawn ones each, no two texts alike. Told is the most memory that the process had held by the
end of each stage, with that of the interpreter and its packages: the target is below 2 GB.

`python -m tests.benchmarks.archive real` has maps of real size instead, 1024 x 7 x 7, of one view a
study, 20 GB in TMPDIR: what a batch costs to read at random from 2,000 studies and from 200,000.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xray_report.data.datamodule import ChestDataModule
from xray_report.data.dataset import LoaderOptions, TextOptions
from xray_report.data.features import FeatureStore
from xray_report.data.phantom.source import PhantomSource
from xray_report.data.study import Split, Study, StudyImage, View

SIDE = 8
HELD_OUT = 50
"""Each so many-th study is of validation."""
TARGET_MIB = 2000


class SimulatedEncoder:
    """Stands for a frozen encoder: the image's first pixel is all of its map."""

    identity, size, batch = "simulated", SIDE, 256

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Images [N, 8, 8] -> maps [N, C, h, w]."""
        maps = np.empty((len(images), *self.shape), np.float16)
        maps[:] = images[:, :1, :1, None]
        return maps


@dataclass(frozen=True)
class Simulated:
    """The pixels of one view."""

    identity: str

    def load(self) -> NDArray[np.uint8]:
        """All of one grey."""
        return np.full((SIDE, SIDE), hash(self.identity) % 256, np.uint8)


class Archive:
    """A data set of `count` studies."""

    name, label_names, target, strict = "simulated", (), "findings", False

    def __init__(self, count: int, views: int = 2) -> None:
        self.count, self.views = count, views
        drawn = max(2, int(count**0.5) + 1)
        self.texts = [
            study.findings or "" for study in PhantomSource(train=drawn, val=0, test=0).studies()
        ]

    def studies(self) -> list[Study]:
        """The studies, each with a text of its own."""
        return [self._study(number) for number in range(self.count)]

    def _study(self, number: int) -> Study:
        one, other = divmod(number, len(self.texts))
        split: Split = "val" if number % HELD_OUT == 0 else "train"
        images = tuple(
            StudyImage(Simulated(f"{number}-{view.value}"), view)
            for view in (View.FRONTAL, View.LATERAL)[: self.views]
        )
        text = f"{self.texts[one]} {self.texts[other]}"
        return Study(str(number), str(number), images, findings=text, split=split)


def held() -> float:
    """The most memory that this process has held so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(
    studies: int = 200_000, batch: int = 64, views: int = 2, shape: Sequence[int] = (4, 1, 1)
) -> dict[str, Any]:
    """Index an archive, fill the store, read every training study once.

    Args:
        studies: how many.
        batch: studies of a batch.
        views: images of a study.
        shape: of a map, channels, rows and columns.

    Returns:
        Memory and seconds of each stage, and whether the target was met.
    """
    found: dict[str, Any] = {"studies": studies, "before, MiB": round(held())}

    def stage(name: str, work: Callable[[], object]) -> None:
        start = time.perf_counter()
        work()
        found[f"{name}, s"] = time.perf_counter() - start
        found[f"{name}, MiB"] = round(held())

    encode = SimulatedEncoder(*shape)
    with tempfile.TemporaryDirectory() as cache:
        data = ChestDataModule(
            Archive(studies, views),
            LoaderOptions(batch_size=batch, cache_dir=cache),
            text=TextOptions(),
            encode=encode,
        )
        stage("reading studies and words", lambda: data.studies)
        stage("filling the store", data.prepare_data)
        store = FeatureStore(cache, encode)
        stage("looking all images up", lambda: store.find(data.split("train")))
        data.setup("fit")
        loaders: list[Any] = []
        stage("indexing the reports", lambda: loaders.append(data.train_dataloader()))
        read = []
        stage("reading all batches", lambda: read.extend(len(one.tokens) for one in loaders[0]))
    found["a batch, ms"] = 1000 * found["reading all batches, s"] / len(read)
    return {**found, "studies read": sum(read), "below 2 GB": held() < TARGET_MIB}


def real_size(few: int = 2_000, many: int = 200_000) -> dict[str, dict[str, Any]]:
    """`run` with maps of real size; the few first, since memory only grows."""
    return {str(count): run(count, views=1, shape=(1024, 7, 7)) for count in (few, many)}


if __name__ == "__main__":
    print(run() if sys.argv[1:] != ["real"] else real_size())
