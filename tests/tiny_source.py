"""A study source small enough for every test: noise images and four short reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray_report.data.study import Region, Split, Study, StudyImage, View

TEXTS = (
    "The heart is normal. The lungs are clear.",
    "Large right pleural effusion.",
    "No pneumothorax. The heart is enlarged.",
    "Left lower lobe opacity. No effusion.",
)
LABELS = ("Cardiomegaly", "Pleural Effusion", "Lung Opacity")


@dataclass(frozen=True)
class NoisePixels:
    """An image that is noise of a seed, bright where `marked`."""

    seed: int
    marked: bool = False
    size: int = 80

    @property
    def identity(self) -> str:
        return f"noise-{self.seed}-{self.marked}-{self.size}"

    def load(self) -> NDArray[np.uint8]:
        image = np.random.default_rng(self.seed).integers(0, 100, (self.size, self.size), np.uint8)
        if self.marked:
            image[: self.size // 2, : self.size // 2] = 255
        return image

    def regions(self) -> list[Region]:
        mask = np.zeros((self.size, self.size), bool)
        mask[: self.size // 2, : self.size // 2] = True
        return [Region(LABELS[2], mask)] if self.marked else []


def tiny_study(index: int, split: Split) -> Study:
    """Study `index`: every third has a frontal view only."""
    marked = index % 4 == 3
    views = (View.FRONTAL,) if index % 3 == 0 else (View.FRONTAL, View.LATERAL)
    labels = dict(zip(LABELS, (index % 4 == 2, index % 4 == 1, marked), strict=True))
    return Study(
        study_id=f"tiny-{index:03d}",
        patient_id=f"patient-{index:03d}",
        images=tuple(
            StudyImage(NoisePixels(10 * index + slot, marked), view, "drawn")
            for slot, view in enumerate(views)
        ),
        findings=TEXTS[index % 4],
        labels={name: float(value) for name, value in labels.items()},
        split=split,
    )


class TinySource:
    """Eight training, four validation and four test studies, or as many as `sizes` says.

    Drawn, as `DrawnSource` says, so that nothing is told to decoders unless it is asked for.
    """

    name = "tiny"
    label_names = LABELS
    target, strict = "findings", False

    def __init__(self, sizes: Sequence[int] = (8, 4, 4)) -> None:
        self.sizes = tuple(sizes)

    def prepare(self) -> None:
        """Nothing: noise needs no making."""

    def studies(self) -> list[Study]:
        train, val, test = self.sizes
        splits: list[Split] = ["train"] * train + ["val"] * val + ["test"] * test
        return [tiny_study(index, split) for index, split in enumerate(splits)]
