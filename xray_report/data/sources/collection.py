"""What the collections share: options checked once, and the steps from files to split studies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from xray_report.data.splits import SplitOptions
from xray_report.data.study import TARGETS, VIEW_CHOICES, Study, expand
from xray_report.errors import DataError
from xray_report.options import check_choice, check_count, check_flag

PUBLISHED_SPLITS = ("official", "r2gen")
"""Values of `split` that take each study's split from the publisher."""


@dataclass(kw_only=True)
class StudyCollection(ABC):
    """A collection of studies on disk, divided into train, val and test: a `StudySource`.

    A new collection is a dataclass of this class. Its fields are the options that it alone has;
    it sets `name`, `label_names` and `split_choices`, and defines `read` and `missing_images`.

    Args:
        split: how studies are divided, one of `split_choices`: `study` (at random, the studies of
            a patient together), `dedup` (likewise, and studies of one text together), `official`
            or `r2gen` (as published; val is drawn from train where none is published),
            `all_train` (everything in train, for memorising).
        seed: of what is drawn at random, 0 or more.
        val_share, test_share: of what is drawn at random, each 0 or more, together below 1.
        views: `first` frontal and lateral image of a study, or `all_pairs` of them in training.
        target: section of the report to be written: `findings`, `impression` or `both`.
        strict: whether one unreadable image stops a run instead of being left out and reported.

    Raises `OptionError` for a bad option. Files are read by `studies`, not before.
    """

    name: ClassVar[str]
    """Short name that results are shown under."""
    split_choices: ClassVar[tuple[str, ...]]
    """Values that `split` may have."""

    split: str = "study"
    seed: int = 0
    val_share: float = 0.1
    test_share: float = 0.2
    views: str = "first"
    target: str = "findings"
    strict: bool = False
    dropped: dict[str, int] = field(init=False, repr=False, compare=False, default_factory=dict)
    """How many studies (or what the name says) each rule left out; filled by `studies`."""

    def __post_init__(self) -> None:
        check_choice("data.split", self.split, self.split_choices)
        check_count("data.seed", self.seed, 0)
        check_choice("data.views", self.views, VIEW_CHOICES)
        check_choice("data.target", self.target, TARGETS)
        check_flag("data.strict", self.strict)
        self._splits = SplitOptions(self.split, self.seed, self.val_share, self.test_share)

    @property
    @abstractmethod
    def label_names(self) -> tuple[str, ...]:
        """Names a study's labels may have, in the order of the classifier's outputs."""

    @abstractmethod
    def read(self) -> list[Study]:
        """All studies with the images found; `split` is the publisher's. Raises `DataError`."""

    @abstractmethod
    def missing_images(self) -> str | None:
        """The error if no image is found, with its cure; None keeps studies without images."""

    def studies(self) -> list[Study]:
        """All usable studies, each with its split. Raises `DataError`."""
        self.dropped = {}
        studies = self.read()
        published = {study.study_id: study.split for study in studies if study.split}
        if self.split in PUBLISHED_SPLITS:
            error = (
                f"none of the {len(studies)} studies of {self.name} is in split {self.split}; "
                "check that the file of the split is of the same data set"
            )
            rule = f"not in split {self.split}"
            studies = self._keep(studies, lambda study: study.split is not None, rule, error)
        if error_without_images := self.missing_images():
            rule = "no image found"
            studies = self._keep(
                studies, lambda study: bool(study.images), rule, error_without_images
            )
        return expand(self._splits.assign(studies, published, self.target), self.views)

    def _keep(
        self, studies: list[Study], wanted: Callable[[Study], bool], rule: str, error: str
    ) -> list[Study]:
        """The wanted studies, the others counted under `rule`; `DataError` if none is left."""
        kept = [study for study in studies if wanted(study)]
        self.dropped[rule] = len(studies) - len(kept)
        if not kept:
            raise DataError(error)
        return kept
