"""Benchmark: the memory that a large archive takes, 200,000 studies of two views.

The features are simulated: an encoder that makes a map of four numbers, so that the real feature
store, its index and the real DataModule work on 400,000 images with 13 MB on disk. Reports are of
two drawn ones each, no two texts alike. Told is the most memory that the process had held by the
end of each stage, with that of the interpreter and its packages: the target is below 2 GB.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xray_report.data.datamodule import ChestDataModule
from xray_report.data.dataset import LoaderOptions, TextOptions
from xray_report.data.features import FeatureStore
from xray_report.data.phantom.source import PhantomSource
from xray_report.data.study import Split, Study, StudyImage, View

CHANNELS, SIDE = 4, 8
HELD_OUT = 50
"""Each so many-th study is of validation."""
TARGET_MIB = 2000


class TinyEncoder:
    """Stands for a frozen encoder: the image's first pixels are its map."""

    identity, size, batch = "simulated", SIDE, 1024

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Images [N, 8, 8] -> maps [N, 4, 1, 1]."""
        return images[:, 0, :CHANNELS, None, None].astype(np.float16)


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

    def __init__(self, count: int) -> None:
        self.count = count
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
            for view in (View.FRONTAL, View.LATERAL)
        )
        text = f"{self.texts[one]} {self.texts[other]}"
        return Study(str(number), str(number), images, findings=text, split=split)


def held() -> float:
    """The most memory that this process has held so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(studies: int = 200_000, batch: int = 64) -> dict[str, Any]:
    """Index an archive, fill the store, read every training study once.

    Returns:
        Memory and seconds of each stage, and whether the target was met.
    """
    found: dict[str, Any] = {"studies": studies, "before, MiB": round(held())}

    def stage(name: str, work: Callable[[], object]) -> None:
        start = time.perf_counter()
        work()
        found[f"{name}, s"] = time.perf_counter() - start
        found[f"{name}, MiB"] = round(held())

    with tempfile.TemporaryDirectory() as cache:
        data = ChestDataModule(
            Archive(studies),
            LoaderOptions(batch_size=batch, cache_dir=cache),
            text=TextOptions(),
            encode=TinyEncoder(),
        )
        stage("reading studies and words", lambda: data.studies)
        stage("filling the store", data.prepare_data)
        store = FeatureStore(cache, TinyEncoder())
        stage("looking all images up", lambda: store.find(data.split("train")))
        data.setup("fit")
        loaders: list[Any] = []
        stage("indexing the reports", lambda: loaders.append(data.train_dataloader()))
        read = []
        stage("reading all batches", lambda: read.extend(len(one.tokens) for one in loaders[0]))
    return {**found, "studies read": sum(read), "below 2 GB": held() < TARGET_MIB}


if __name__ == "__main__":
    print(run())
