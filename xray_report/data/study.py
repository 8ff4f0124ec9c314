"""A chest study as every data source yields it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import product
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from xray_report.errors import OptionError

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
        terms: what human annotators indexed the study with, such as the MeSH term
            `Opacity/lung/base/left`; empty where nobody did.
    """

    study_id: str
    patient_id: str | None = None
    images: tuple[StudyImage, ...] = ()
    findings: str | None = None
    impression: str | None = None
    labels: Mapping[str, float] | None = None
    split: Split | None = None
    terms: tuple[str, ...] = ()


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


@runtime_checkable
class Audited(StudySource, Protocol):
    """A source that counts what its rules left out."""

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many studies (or what the name says) each rule left out, after `studies`."""
        ...


# Which text of a study is the one to be written.

TARGETS = ("findings", "impression", "both")


def report_text(study: Study, target: str) -> str | None:
    """The study's text as published, or None if it has none.

    `target` is `findings`, `impression`, or `both`: findings then impression, or whichever of
    them there is. Raises `OptionError` for any other.
    """
    if target == "findings":
        return study.findings
    if target == "impression":
        return study.impression
    if target == "both":
        return " ".join(text for text in (study.findings, study.impression) if text) or None
    raise OptionError(f"data.target must be one of {', '.join(TARGETS)}, got {target!r}")


# Which image of a study fills which view slot.


class ViewPair(NamedTuple):
    """The images of the two slots; None where the study has no image for it."""

    frontal: StudyImage | None
    lateral: StudyImage | None


def pair_views(study: Study) -> ViewPair:
    """First frontal image to slot 0, first lateral to slot 1, unknown ones to the free slots.

    Images beyond that (a second frontal, say) are left out; a lone image is never repeated.
    """
    by_view = {view: [image for image in study.images if View(image.view) is view] for view in View}
    unknown = iter(by_view[View.UNKNOWN])
    return ViewPair(
        *(
            by_view[view][0] if by_view[view] else next(unknown, None)
            for view in (View.FRONTAL, View.LATERAL)
        )
    )


# Studies with more than one frontal or lateral image, turned into pairs.

VIEW_CHOICES = ("first", "all_pairs")


def expand(studies: Sequence[Study], views: str) -> list[Study]:
    """`first`: the studies as they are; `all_pairs`: training studies once a pair of their images.

    Each frontal image is paired with each lateral one, as in the original work. The first pair
    keeps the study's id, further ones get `~2`, `~3` ..., and all stay in the study's split.
    Validation and test studies are never multiplied, so that scores count each report once.
    Splits must have been given before.
    """
    if views == "first":
        return list(studies)
    return [pair for study in studies for pair in _pairs(study)]


def _pairs(study: Study) -> list[Study]:
    frontal = [image for image in study.images if image.view is View.FRONTAL]
    lateral = [image for image in study.images if image.view is View.LATERAL]
    if study.split != "train" or len(frontal) + len(lateral) < len(study.images):
        return [study]
    if frontal and lateral:
        groups = list(product(frontal, lateral))
    else:
        groups = [(image,) for image in study.images]  # type: ignore[misc]
    ids = [study.study_id] + [f"{study.study_id}~{n + 2}" for n in range(len(groups) - 1)]
    # The patient ties the pairs together for whoever checks that no study crosses splits.
    patient = study.patient_id or study.study_id
    return [
        replace(study, study_id=name, patient_id=patient, images=tuple(group))
        for name, group in zip(ids, groups, strict=False)
    ]
