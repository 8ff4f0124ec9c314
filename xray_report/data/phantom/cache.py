"""Drawing all pictures once, in parallel, into one memory-mapped file."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from xray_report.data.phantom.film import Drawing
from xray_report.data.phantom.frontal import draw_frontal
from xray_report.data.phantom.lateral import draw_lateral
from xray_report.data.phantom.sampling import DRAWING_VERSION, Plan, sample_plan
from xray_report.errors import DataError, OptionError
from xray_report.files import check_room, replacing

VIEWS = ("frontal", "lateral")
_CHUNK = 20
_LARGE_BLOCK = 1 << 24


def draw(plan: Plan, view: str, size: int) -> Drawing:
    """One picture of a study and its findings' regions.

    Raises:
        OptionError: the study has no such view.
    """
    if view not in plan.views:
        raise OptionError(f"phantom: this study has no {view} view, only {sorted(plan.views)}")
    return draw_frontal(plan, size) if view == "frontal" else draw_lateral(plan, size)


@dataclass(frozen=True)
class PictureCache:
    """The pictures of the first `count` studies of a seed, uint8 [count, 2, size, size].

    The file is made on first use, and its name says what is in it: another seed, size, count or
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
        return np.array(self._pictures[index, VIEWS.index(view)])

    def __getstate__(self) -> dict[str, object]:
        """Without the open file: each process opens its own."""
        return {key: value for key, value in self.__dict__.items() if key != "_pictures"}

    @cached_property
    def _pictures(self) -> NDArray[np.uint8]:
        self.prepare()
        pictures: NDArray[np.uint8] = np.load(self.path, mmap_mode="r")
        return pictures

    def prepare(self) -> None:
        """Draw everything, unless it is there already.

        Raises:
            DataError: the folder cannot be written to, or has no room.
        """
        shape = (self.count, len(VIEWS), self.size, self.size)
        if _is_whole(self.path, shape):
            return
        try:
            with replacing(self.path) as temporary:
                check_room(self.folder, int(np.prod(shape)))
                self._fill(temporary, shape)
        except OSError as error:
            raise DataError(
                f"cannot keep phantom pictures in {self.folder}: {error}; name another cache_dir"
            ) from error

    def _fill(self, path: Path, shape: tuple[int, ...]) -> None:
        """Draw everything into a new file."""
        np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape).flush()
        starts = range(0, self.count, _CHUNK)
        chunk = partial(_draw_chunk, path, self.seed, self.count, self.size)
        with Progress(transient=True, console=Console(stderr=True)) as progress:
            task = progress.add_task("Drawing phantom studies", total=self.count)
            for done in _mapped(chunk, starts, self.workers):
                progress.advance(task, done)


def _is_whole(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether the file holds an array of this shape, header and all."""
    try:
        kept = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return bool(kept.shape == shape and kept.dtype == np.uint8)


def _draw_chunk(path: Path, seed: int, count: int, size: int, start: int) -> int:
    """Draw some studies into the file; returns how many."""
    # Freeing one large block lets glibc keep the many small ones that drawing takes, instead of
    # handing each back to the system: a fifth of the time.
    np.empty(_LARGE_BLOCK, np.uint8)
    pictures = np.load(path, mmap_mode="r+")
    stop = min(start + _CHUNK, count)
    for index in range(start, stop):
        plan = sample_plan(seed, index)
        for slot, view in enumerate(VIEWS):
            if view in plan.views:
                pictures[index, slot] = draw(plan, view, size).image
    pictures.flush()
    return stop - start


def _mapped(work: Callable[[int], int], items: Sequence[int], workers: int) -> Iterator[int]:
    """`map` over that many processes, or in this one (a data loader's worker may start none)."""
    workers = min(workers, len(items))
    if workers <= 1 or multiprocessing.current_process().daemon:
        yield from map(work, items)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(work, items)
