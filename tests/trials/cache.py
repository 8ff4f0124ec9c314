"""Two processes on one cache, one of them killed now and then: every value right, nothing torn.

Each case fills one feature store by two processes at once, with overlapping images, batches and
pauses of their own; beside them two draw the same phantom pictures into one cache. In half of the
cases one of each pair is killed at a random moment. A third process then finds every map and every
picture as it should be, encodes what is missing and no more, and leaves no temporary file.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from tests.data.small_stores import FakeEncoder, Flat, fill, study, values
from tests.trials.processes import Outcome, Process, chance, fault_of, run
from xray_report.data.phantom.source import PhantomSource
from xray_report.files import remove_leftovers

MANY = 40
STUDIES = [study(str(n), Flat(n), Flat(100 + n) if n % 3 else None) for n in range(MANY)]
PICTURES = {"train": 4, "val": 1, "test": 1, "image_size": 64}


class Slow(FakeEncoder):
    """Takes its time."""

    def __init__(self, batch: int, pause: float) -> None:
        super().__init__(batch=batch)
        self.pause = pause

    def __call__(self, images: np.ndarray) -> np.ndarray:
        time.sleep(self.pause)
        return super().__call__(images)


def cases(numbers: range, seed: int, folder: Path) -> Iterator[Outcome]:
    """Four processes a case, and a fifth that looks at what they left."""
    for number in numbers:
        case = folder / str(number)
        case.mkdir()
        yield one(case, chance(seed, number))
        shutil.rmtree(case)


def one(case: Path, rng: random.Random) -> Outcome:
    works: list[Callable[[], object]] = []
    for _ in range(2):
        mine = rng.sample(range(MANY), rng.randint(MANY // 2, MANY))
        works.append(partial(encode, case, mine, rng.randint(1, 6), rng.uniform(0, 0.02)))
    works += [partial(draw, case)] * 2
    processes = [Process(work, case) for work in works]
    killed = [processes[n] for n in (0, 2) if rng.random() < 0.5]
    for process in killed:
        time.sleep(rng.uniform(0, 0.3))
        process.send(signal.SIGKILL)
    for process in processes:
        ended = process.wait(None)
        if process not in killed and (fault := fault_of(ended)):
            return Outcome(("failed",), fault)
    ended = run(partial(look, case), case, None)
    if fault := fault_of(ended):
        return Outcome(("wrong afterwards",), f"{len(killed)} killed; {fault}")
    return Outcome((f"{len(killed)} of 4 killed, all values right",))


def encode(case: Path, rows: list[int], batch: int, pause: float) -> None:
    fill(case, Slow(batch, pause), [STUDIES[row] for row in rows])


def draw(case: Path) -> None:
    for one in PhantomSource(**PICTURES, cache_dir=case).studies():
        for image in one.images:
            image.pixels.load()


def look(case: Path) -> None:
    """Fill what is missing and compare all of it; an exception is a fault."""
    index = list(case.glob("features/*/*.idx"))
    kept = {bytes(record["image"]) for path in index for record in whole_records(path)}
    encoder = Slow(8, 0)
    found = values(fill(case, encoder, STUDIES))
    expected = [[n, 100 + n if n % 3 else 0] for n in range(MANY)]
    np.testing.assert_array_equal(found, expected)
    wanted = sum(len(one.images) for one in STUDIES)
    assert len(encoder.seen) == wanted - len(kept), "encoded what was there"
    remove_leftovers(case)  # as every start does
    drawn = zip(
        PhantomSource(**PICTURES, cache_dir=case).studies(),
        PhantomSource(**PICTURES, cache_dir=None).studies(),
        strict=True,
    )
    for one, other in drawn:
        for image, truth in zip(one.images, other.images, strict=True):
            np.testing.assert_array_equal(image.pixels.load(), truth.pixels.load())
    left = [path.name for path in case.rglob("*.tmp")]
    assert not left, f"left behind: {left}"


def whole_records(path: Path) -> np.ndarray:
    from tests.data.small_stores import MAP_BYTES
    from xray_report.data.features import RECORD

    whole = path.stat().st_size // RECORD.itemsize * RECORD.itemsize
    records = np.frombuffer(path.read_bytes()[:whole], RECORD)
    return records[: path.with_suffix(".bin").stat().st_size // MAP_BYTES]
