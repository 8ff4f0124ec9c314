"""A chest study as every data source yields it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


class View(str, Enum):
    """Projection of one image."""

    FRONTAL = "frontal"
    LATERAL = "lateral"
    UNKNOWN = "unknown"


class Region(NamedTuple):
    """Where a label lies on an image: bool mask [H, W]."""

    label: str
    mask: NDArray[np.bool_]


class Pixels(Protocol):
    """Where an image comes from: a file, a row of a cache, a drawing."""

    @property
    def identity(self) -> str:
        """A stable string that changes whenever the pixels would (keys the feature cache)."""
        ...

    def load(self) -> NDArray[np.uint8]:
        """Grey image, uint8 [H, W]. Raises `ImageError`, naming the file, if it cannot be read."""
        ...


@dataclass(frozen=True)
class StudyImage:
    """One image of a study.

    Args:
        pixels: where the image comes from.
        view: its projection, and `view_from` where that was learnt
            (`projections`, `dicom`, `caption`, `drawn`, `none`).
        labels: labels seen on this very image, where the source knows them image by image;
            otherwise None, and the study's labels hold for each of its images.
    """

    pixels: Pixels
    view: View = View.UNKNOWN
    view_from: str = "none"
    labels: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Study:
    """One chest study: its images and its report.

    Args:
        study_id: unique within a source.
        patient_id: None where the publisher gives none.
        images: as published; views are paired later.
        findings: FINDINGS section as published, or None.
        impression: IMPRESSION section as published, or None.
        labels: label name -> 1.0 present, 0.0 absent; names not in it are unknown.
        split: `train`, `val`, `test`, or None before splitting.
    """

    study_id: str
    patient_id: str | None = None
    images: tuple[StudyImage, ...] = ()
    findings: str | None = None
    impression: str | None = None
    labels: Mapping[str, float] | None = None
    split: Split | None = None


class StudySource(Protocol):
    """What every data set is to the DataModule."""

    @property
    def name(self) -> str:
        """Short name that results are shown under, such as `phantom`."""
        ...

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names a study's labels may have, in the order of the classifier's outputs."""
        ...

    @property
    def target(self) -> str:
        """Section of the report to be written: `findings`, `impression` or `both`."""
        ...

    @property
    def strict(self) -> bool:
        """Whether one unreadable image stops a run instead of being left out and reported."""
        ...

    def studies(self) -> list[Study]:
        """All usable studies, each with its split. Raises `DataError`."""
        ...


@runtime_checkable
class DrawnSource(Protocol):
    """A source whose images must be made before they can be loaded."""

    def prepare(self) -> None:
        """Make all images before loader processes ask for them."""
        ...
