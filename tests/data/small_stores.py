"""Small feature stores: pictures of one grey value, and an encoder that tells which."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xray_report.data.features import FeatureStore, StudyFeatures
from xray_report.data.study import Study, StudyImage, View
from xray_report.errors import ImageError, MissingExtraError

SHAPE = (4, 2, 3)
MAP_BYTES = 2 * 4 * 2 * 3


class Flat:
    """A picture of one grey value; `None` cannot be read."""

    def __init__(self, value: int | None, name: str | None = None) -> None:
        self.value = value
        self.identity = name or f"flat-{value}"

    def load(self) -> np.ndarray:
        if self.value is None:
            raise ImageError(f"{self.identity}: broken")
        return np.full((40, 30), self.value, np.uint8)


class Missing(Flat):
    """A picture that needs a package."""

    def load(self) -> np.ndarray:
        raise MissingExtraError("install pydicom")


class FakeEncoder:
    """A map of the image's mean; remembers what it was shown."""

    size = 32

    def __init__(self, identity: str = "fake", batch: int = 3) -> None:
        self.identity, self.batch = identity, batch
        self.seen: list[float] = []

    def __call__(self, images: np.ndarray) -> np.ndarray:
        assert images.dtype == np.uint8
        assert images.shape[1:] == (self.size, self.size)
        means = images.reshape(len(images), -1).mean(1)
        self.seen.extend(means.tolist())
        return np.broadcast_to(means[:, None, None, None], (len(images), *SHAPE)).astype(np.float16)


def study(name: str, frontal: Flat | None, lateral: Flat | None = None) -> Study:
    images = []
    if lateral is not None:
        images.append(StudyImage(lateral, View.LATERAL))
    if frontal is not None:
        images.append(StudyImage(frontal, View.FRONTAL))
    return Study(name, images=tuple(images))


STUDIES = [
    study("a", Flat(10), Flat(11)),
    study("b", Flat(20)),
    study("c", None, Flat(31)),
    study("d", Flat(None), Flat(41)),
    study("e", Flat(10, "flat-10"), Flat(51)),
]
EXPECTED = np.array([[10, 11], [20, 0], [0, 31], [0, 41], [10, 51]], np.float16)


def fill(
    folder: Path, encode: FakeEncoder, studies: list[Study] = STUDIES, **options
) -> StudyFeatures:
    options = {"workers": 0, "progress": False, **options}
    return FeatureStore(folder, encode).fill(studies, **options)


def values(features: StudyFeatures, rows: list[int] | None = None) -> np.ndarray:
    """One number a view: all numbers of a map are equal."""
    maps = features.read(range(len(features)) if rows is None else rows)
    return maps[..., 0, 0, 0]


def files(folder: Path, suffix: str) -> list[Path]:
    return sorted(folder.glob(f"features/*/*{suffix}"))
