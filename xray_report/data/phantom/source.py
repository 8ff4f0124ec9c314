"""The phantom as a `StudySource`: drawn studies whose truth is known, and their pictures."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from xray_report.data.phantom.cases import (
    LABEL_NAMES,
    REPORT,
    StudyPlan,
    image_labels,
    sample_plan,
    stream,
    study_labels,
)
from xray_report.data.phantom.film import Drawing
from xray_report.data.phantom.frontal import draw_frontal
from xray_report.data.phantom.lateral import draw_lateral
from xray_report.data.phantom.report import write_report
from xray_report.data.study import SPLITS, TARGETS, Region, Split, Study, StudyImage, View
from xray_report.errors import DataError, OptionError
from xray_report.files import check_room, replacing
from xray_report.options import as_path, check_choice, check_count, check_flag, check_number
from xray_report.text.facts import IMPLIED_CLASS, Fact

DRAWING_VERSION = 2
"""Changes whenever any pixel of any study does."""
_VIEW_NAMES = ("frontal", "lateral")
SMALLEST_IMAGE = 32
MOST_STUDIES = 1_000_000
"""Of a split; drawing so many takes days."""


@dataclass
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
        target: section to be written; phantom reports have findings only.
        strict: as of every data set; a drawn picture can always be read.

    Raises:
        OptionError: an option is out of range.
    """

    name = "phantom"
    label_names = LABEL_NAMES
    dropped: ClassVar[Mapping[str, int]] = MappingProxyType({})
    """Nothing is ever left out of what is drawn."""

    seed: int = 0
    train: int = 1200
    val: int = 200
    test: int = 200
    image_size: int = 224
    cache_dir: str | Path | None = None
    workers: int = 2
    target: str = "findings"
    strict: bool = False

    def __post_init__(self) -> None:
        for option in ("seed", "train", "val", "test", "workers"):
            check_count(f"data.{option}", getattr(self, option), 0)
        for option in SPLITS:
            check_number(f"data.{option}", getattr(self, option), most=MOST_STUDIES)
        check_count("data.image_size", self.image_size, SMALLEST_IMAGE)
        check_choice("data.target", self.target, TARGETS)
        check_flag("data.strict", self.strict)
        self._count = self.train + self.val + self.test
        if not self._count:
            raise OptionError("phantom: train, val and test are all 0; ask for at least 1 study")
        self._cache: PictureCache | None = None
        if self.cache_dir is not None:
            folder = as_path("data.cache_dir", self.cache_dir)
            self._cache = PictureCache(
                folder, self.seed, self._count, self.image_size, self.workers
            )

    def prepare(self) -> None:
        """Draw all pictures into the cache now, rather than when the first is loaded."""
        if self._cache is not None:
            self._cache.prepare()

    def studies(self) -> list[Study]:
        """All studies, train before val before test; their pictures are drawn when loaded."""
        splits = [split for split in SPLITS for _ in range(getattr(self, split))]
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
    def _plans(self) -> list[StudyPlan]:
        return [sample_plan(self.seed, index) for index in range(self._count)]

    def _index(self, study_id: str) -> int:
        prefix = f"phantom-{self.seed}-"
        number = study_id.removeprefix(prefix)
        if not (study_id.startswith(prefix) and number.isdigit() and int(number) < self._count):
            raise DataError(
                f"no study {study_id!r} among the {self._count} phantom studies of seed "
                f"{self.seed}; ids look like {prefix}000000"
            )
        return int(number)

    def _study(self, index: int, plan: StudyPlan, split: Split) -> Study:
        study_id = f"phantom-{self.seed}-{index:06d}"
        images = tuple(
            StudyImage(
                PhantomPixels(self.seed, index, view, self.image_size, self._cache),
                View(view),
                "drawn",
                image_labels(plan.facts, view),
            )
            for view in _VIEW_NAMES
            if view in plan.views
        )
        return Study(
            study_id,
            images=images,
            findings=self.rephrase(study_id, 0),
            labels=study_labels(plan.facts),
            split=split,
        )


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
        return _drawing(self.seed, self.index, self.view, self.size).image.copy()

    def regions(self) -> list[Region]:
        """Where each finding lies on this picture, by its fact and by its CheXpert classes.

        Masks are bool [size, size]; a class that several findings have stands several times.
        """
        drawn = _drawing(self.seed, self.index, self.view, self.size)
        facts = {fact.label: fact for fact in sample_plan(self.seed, self.index).facts}
        by_class = [
            Region(IMPLIED_CLASS[finding], region.mask)
            for region in drawn.regions
            if (finding := facts[region.label].finding) in IMPLIED_CLASS
        ]
        return [*drawn.regions, *by_class]


@lru_cache(maxsize=64)  # a batch's pictures and then its regions are asked for
def _drawing(seed: int, index: int, view: str, size: int) -> Drawing:
    return draw(sample_plan(seed, index), view, size)


def draw(plan: StudyPlan, view: str, size: int) -> Drawing:
    """One picture of a study and its findings' regions.

    Raises:
        OptionError: the study has no such view.
    """
    if view not in plan.views:
        raise OptionError(f"phantom: this study has no {view} view, only {sorted(plan.views)}")
    return draw_frontal(plan, size) if view == "frontal" else draw_lateral(plan, size)


_CHUNK = 20
"""Studies that a process draws at a time."""
_LARGE_BLOCK = 1 << 24


@dataclass(frozen=True)
class PictureCache:
    """The pictures of the first `count` studies of a seed, uint8 [count, 2, size, size].

    The file is made on first use. Its name says what is in it: another seed, size, count or
    version of the drawing has a file of its own.
    """

    folder: Path
    seed: int
    count: int
    size: int
    workers: int

    @property
    def path(self) -> Path:
        """Where the pictures are kept."""
        name = f"phantom-v{DRAWING_VERSION}-seed{self.seed}-{self.count}x{self.size}.npy"
        return self.folder / name

    def picture(self, index: int, view: str) -> NDArray[np.uint8]:
        """A copy of one picture, uint8 [size, size]."""
        return np.array(self._pictures[index, _VIEW_NAMES.index(view)])

    def __getstate__(self) -> dict[str, object]:
        """Without the open file: each process opens its own."""
        return {key: value for key, value in self.__dict__.items() if key != "_pictures"}

    @cached_property
    def _pictures(self) -> NDArray[np.uint8]:
        self.prepare()
        return np.memmap(self.path, np.uint8, "r", len(self._header), self._shape)

    @property
    def _shape(self) -> tuple[int, ...]:
        return self.count, len(_VIEW_NAMES), self.size, self.size

    @property
    def _header(self) -> bytes:
        """All that stands before the pictures; a file that begins otherwise is drawn anew."""
        header = io.BytesIO()
        described = {"descr": "|u1", "fortran_order": False, "shape": self._shape}
        np.lib.format.write_array_header_1_0(header, described)
        return header.getvalue()

    def _is_whole(self) -> bool:
        try:
            with self.path.open("rb") as file:
                begins = file.read(len(self._header)) == self._header
                size = os.fstat(file.fileno()).st_size
        except OSError:
            return False
        return begins and size == len(self._header) + int(np.prod(self._shape))

    def prepare(self) -> None:
        """Draw everything, unless it is there already.

        Raises:
            DataError: the folder cannot be written to, or has no room.
        """
        if self._is_whole():
            return
        try:
            with replacing(self.path) as temporary:
                check_room(self.folder, int(np.prod(self._shape)))
                self._fill(temporary)
        except OSError as error:
            raise DataError(
                f"cannot keep phantom pictures in {self.folder}: {error} (data.cache_dir)"
            ) from error

    def _fill(self, path: Path) -> None:
        """Draw everything into a new file."""
        with path.open("wb") as file:
            file.write(self._header)
            file.truncate(len(self._header) + int(np.prod(self._shape)))
        starts = range(0, self.count, _CHUNK)
        chunk = partial(_draw_chunk, path, len(self._header), self.seed, self.count, self.size)
        with Progress(transient=True, console=Console(stderr=True)) as progress:
            task = progress.add_task("Drawing phantom studies", total=self.count)
            for done in _mapped(chunk, starts, self.workers):
                progress.advance(task, done)


def _draw_chunk(path: Path, offset: int, seed: int, count: int, size: int, start: int) -> int:
    """Draw some studies into the file, whose pictures begin at `offset`; returns how many."""
    # Freeing one large block lets glibc keep the many small ones that drawing takes, instead of
    # handing each back to the system: a fifth of the time.
    np.empty(_LARGE_BLOCK, np.uint8)
    stop = min(start + _CHUNK, count)
    # Written, not mapped into memory: a full disk is then an error, and no signal.
    with path.open("r+b") as file:
        for index in range(start, stop):
            plan = sample_plan(seed, index)
            for slot, view in enumerate(_VIEW_NAMES):
                if view in plan.views:
                    file.seek(offset + (index * len(_VIEW_NAMES) + slot) * size**2)
                    file.write(draw(plan, view, size).image.tobytes())
    return stop - start


def _mapped(work: Callable[[int], int], items: Sequence[int], workers: int) -> Iterator[int]:
    """`map` over that many processes, or in this one (a data loader's worker may start none)."""
    workers = min(workers, len(items))
    if workers <= 1 or multiprocessing.current_process().daemon:
        yield from map(work, items)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _follow_parent) as pool:
        try:
            yield from pool.map(work, items)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _follow_parent() -> None:
    """Leave Ctrl-C to the first process, and end with it, even where it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
