"""The phantom as a `StudySource`: drawn studies whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xray_report.data.phantom.cache import VIEWS, PictureCache, draw
from xray_report.data.phantom.findings import KINDS, LABEL_NAMES
from xray_report.data.phantom.report import write_report
from xray_report.data.phantom.sampling import DRAWING_VERSION, REPORT, Plan, sample_plan, stream
from xray_report.data.study import SPLITS, Region, Split, Study, StudyImage, View
from xray_report.errors import DataError, OptionError
from xray_report.text.facts import Fact, chexpert_classes

SMALLEST_IMAGE = 32


@dataclass(frozen=True)
class PhantomPixels:
    """One picture of a study, drawn (or read from the cache) when it is asked for.

    Args:
        seed, index: which study.
        view: `frontal` or `lateral`.
        size: pixels a side.
        cache: where pictures are kept, or None to draw each time.
    """

    seed: int
    index: int
    view: str
    size: int
    cache: PictureCache | None = None

    @property
    def identity(self) -> str:
        """Seed, study, view, size and the drawing's version: all that decides the pixels."""
        return f"phantom-v{DRAWING_VERSION}-{self.seed}-{self.index}-{self.view}-{self.size}"

    def load(self) -> NDArray[np.uint8]:
        """Grey picture, uint8 [size, size]."""
        if self.cache is not None:
            return self.cache.picture(self.index, self.view)
        return draw(sample_plan(self.seed, self.index), self.view, self.size).image

    def regions(self) -> list[Region]:
        """Where each finding lies on this picture: masks bool [size, size], labels of facts."""
        return list(draw(sample_plan(self.seed, self.index), self.view, self.size).regions)


class PhantomSource:
    """Drawn chest studies with their reports; nothing is downloaded.

    Study i of a seed does not depend on the other options: enlarging a split moves the borders
    between the splits, never the studies' contents.

    Args:
        seed: which archive to draw.
        train, val, test: number of studies in each split.
        image_size: pixels a side, at least 32.
        cache_dir: folder that keeps the pictures between runs; None draws each time it is asked.
        workers: processes that fill the cache; 0 or 1 draws in this process.

    Raises:
        OptionError: an option is out of range.
    """

    name = "phantom"
    label_names = LABEL_NAMES

    def __init__(
        self,
        seed: int = 0,
        train: int = 1200,
        val: int = 200,
        test: int = 200,
        image_size: int = 224,
        cache_dir: str | Path | None = None,
        workers: int = 2,
    ) -> None:
        counts = {"train": train, "val": val, "test": test}
        for option, value in {"seed": seed, **counts, "workers": workers}.items():
            _check(option, value, 0)
        _check("image_size", image_size, SMALLEST_IMAGE)
        if not sum(counts.values()):
            raise OptionError("phantom: train, val and test are all 0; ask for at least 1 study")
        self.seed, self.image_size = seed, image_size
        self._counts = counts
        self._cache = (
            None
            if cache_dir is None
            else PictureCache(Path(cache_dir), seed, sum(counts.values()), image_size, workers)
        )

    def prepare(self) -> None:
        """Draw all pictures into the cache now, rather than when the first is loaded."""
        if self._cache is not None:
            self._cache.prepare()

    def studies(self) -> list[Study]:
        """All studies, train before val before test; their pictures are drawn when loaded."""
        splits = [split for split in SPLITS for _ in range(self._counts[split])]
        return [
            self._study(index, plan, split)
            for index, (plan, split) in enumerate(zip(self._plans, splits, strict=True))
        ]

    def facts_of(self, study_id: str) -> tuple[Fact, ...]:
        """The findings that a study's views show: the exact truth of its report."""
        return self._plans[self._index(study_id)].facts

    def rephrase(self, study_id: str, salt: int = 1) -> str:
        """Another report of the same facts; salt 0 is the study's own report."""
        index = self._index(study_id)
        return write_report(self._plans[index].facts, stream(self.seed, index, REPORT, salt))

    @cached_property
    def _plans(self) -> list[Plan]:
        return [sample_plan(self.seed, index) for index in range(sum(self._counts.values()))]

    def _index(self, study_id: str) -> int:
        prefix = f"phantom-{self.seed}-"
        number = study_id.removeprefix(prefix)
        if not (
            study_id.startswith(prefix) and number.isdigit() and int(number) < len(self._plans)
        ):
            raise DataError(
                f"no study {study_id!r} among the {len(self._plans)} phantom studies of seed "
                f"{self.seed}; ids look like {prefix}000000"
            )
        return int(number)

    def _study(self, index: int, plan: Plan, split: Split) -> Study:
        study_id = f"phantom-{self.seed}-{index:06d}"
        images = tuple(
            StudyImage(
                PhantomPixels(self.seed, index, view, self.image_size, self._cache),
                View(view),
                "drawn",
                image_labels(plan.facts, view),
            )
            for view in VIEWS
            if view in plan.views
        )
        return Study(
            study_id,
            images=images,
            findings=self.rephrase(study_id, 0),
            labels=study_labels(plan.facts),
            split=split,
        )


def study_labels(facts: tuple[Fact, ...]) -> dict[str, float]:
    """Every label of a study, 1.0 or 0.0."""
    present = chexpert_classes(facts) | {fact.label for fact in facts}
    return {name: float(name in present) for name in LABEL_NAMES}


def image_labels(facts: tuple[Fact, ...], view: str) -> dict[str, float]:
    """The labels of one picture.

    On a lateral a finding of one side shows, but not which side: its fact and the same fact of the
    other side are left out, unknown, unless both are there.
    """
    seen = tuple(fact for fact in facts if view in KINDS[fact.finding].views)
    labels = study_labels(seen)
    if view == "lateral":
        for fact in seen:
            other = fact._replace(side={"left": "right", "right": "left"}.get(fact.side, ""))
            if fact.side and other not in seen:
                labels.pop(fact.label, None)
                labels.pop(other.label, None)
    return labels


def _check(option: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        kind = "non-negative integer" if least == 0 else f"integer of at least {least}"
        raise OptionError(f"phantom: {option} must be a {kind}, got {value!r}")
