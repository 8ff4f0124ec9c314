"""Filling the feature cache: decode in other processes, encode here, write as it comes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from xray_report.data.dataset import one_thread
from xray_report.data.encoding_progress import EncodingProgress
from xray_report.data.features import Encode, cache_path, write_sidecar
from xray_report.data.images import resize_gray
from xray_report.data.study import Pixels, Study, ViewPair
from xray_report.errors import DataError, ImageError, XrayReportError
from xray_report.files import check_room, replacing


class FillOptions(NamedTuple):
    """How to fill: see `FeatureCache.open_or_fill`."""

    image_size: int
    workers: int | None
    strict: bool
    progress: bool


class Place(NamedTuple):
    """Where an image's map belongs."""

    row: int
    slot: int


class Decoded(NamedTuple):
    """A batch of images: uint8 [n, S, S], the numbers of their jobs, and what failed."""

    images: NDArray[np.uint8]
    jobs: list[int]
    errors: list[tuple[int, XrayReportError]]


class ImageJobs(Dataset[tuple[int, NDArray[np.uint8] | XrayReportError]]):
    """Distinct images to decode and resize; a failure is an item like any other."""

    def __init__(self, pixels: Sequence[Pixels], size: int) -> None:
        self.pixels, self.size = pixels, size

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, job: int) -> tuple[int, NDArray[np.uint8] | XrayReportError]:
        try:
            return job, resize_gray(self.pixels[job].load(), self.size)
        except XrayReportError as error:
            return job, error


@dataclass
class _Filling:
    """The array file while it is written."""

    file: BinaryIO
    studies: int
    view_mask: NDArray[np.bool_]
    shape: tuple[int, ...] = ()
    start: int = 0
    skipped: list[tuple[Place, str]] = field(default_factory=list)

    def write(self, places: Sequence[Place], features: NDArray[np.float16]) -> None:
        """Write one map [C, h, w] to each of its places; the rest of the file stays zeros."""
        if not self.shape:
            channels, height, width = features.shape
            self._begin((height, width, channels))
        block = features.transpose(1, 2, 0).astype("<f2", copy=False).tobytes()
        for place in places:
            self.file.seek(self.start + (place.row * 2 + place.slot) * len(block))
            self.file.write(block)
            self.view_mask[place.row, place.slot] = True

    def _begin(self, shape: tuple[int, ...]) -> None:
        """Write the header and take the room, once the size of a map is known."""
        self.shape = (self.studies, 2, *shape)
        header = {"descr": "<f2", "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(self.file, header)
        self.start = self.file.tell()
        size = 2 * int(np.prod(self.shape))
        check_room(Path(self.file.name).parent, size)
        self.file.truncate(self.start + size)


def fill(
    folder: Path,
    key: str,
    studies: Sequence[Study],
    pairs: Sequence[ViewPair],
    encode: Encode,
    options: FillOptions,
) -> None:
    """Encode every present view and write both files of the cache."""
    path = cache_path(folder, key)
    mask = np.zeros((len(studies), 2), dtype=bool)
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            filling = _Filling(file, len(studies), mask)
            _encode_all(filling, pairs, encode, options)
            if not filling.shape:
                raise DataError(_nothing_read(filling, len(studies)))
        skipped = [[studies[place.row].study_id, why] for place, why in filling.skipped]
        ids = [study.study_id for study in studies]
        shape, kept = list(filling.shape), mask.tolist()
        plain = {"key": key, "shape": shape, "study_ids": ids, "view_mask": kept}
        write_sidecar(path, {**plain, "skipped": skipped})
    except OSError as error:
        raise DataError(
            f"cannot keep features in {folder}: {error}; name another loader.cache_dir"
        ) from error


def _encode_all(
    filling: _Filling, pairs: Sequence[ViewPair], encode: Encode, options: FillOptions
) -> None:
    """Encode each distinct image once, whatever number of studies share it.

    Images are told apart by themselves: two files may have the same `identity`.
    """
    places: dict[Pixels, list[Place]] = {}
    for row, pair in enumerate(pairs):
        for slot, image in enumerate(pair):
            if image is not None:
                places.setdefault(image.pixels, []).append(Place(row, slot))
    targets = list(places.values())
    jobs = ImageJobs(list(places), options.image_size)
    with EncodingProgress(len(jobs), options.progress) as progress:
        for batch in decoded_batches(jobs, encode.batch, options.workers):
            for job, error in batch.errors:
                if options.strict or not isinstance(error, ImageError):
                    raise error
                filling.skipped.extend((place, str(error)) for place in targets[job])
            if batch.jobs:
                for job, features in zip(batch.jobs, encode(batch.images), strict=True):
                    filling.write(targets[job], features)
            progress.advance(len(batch.jobs) + len(batch.errors))


def decoded_batches(jobs: ImageJobs, batch: int, workers: int | None) -> Iterator[Decoded]:
    """Decode in worker processes, in order."""
    if workers is None:
        workers = min(8, os.cpu_count() or 1)
    loader = DataLoader(
        jobs,
        batch_size=batch,
        num_workers=min(workers, -(-len(jobs) // batch)),
        collate_fn=_collate,
        worker_init_fn=one_thread,
        # Its own random numbers: training must not depend on whether the cache was filled before.
        generator=torch.Generator(),
    )
    return iter(loader)


def _collate(items: list[tuple[int, NDArray[np.uint8] | XrayReportError]]) -> Decoded:
    """Stack what could be read."""
    good = [(job, item) for job, item in items if not isinstance(item, XrayReportError)]
    bad = [(job, item) for job, item in items if isinstance(item, XrayReportError)]
    images = np.stack([item for _, item in good]) if good else np.empty((0, 0, 0), np.uint8)
    return Decoded(images, [job for job, _ in good], bad)


def _nothing_read(filling: _Filling, studies: int) -> str:
    """Why there is nothing to cache."""
    first = f"; the first: {filling.skipped[0][1]}" if filling.skipped else ""
    return f"none of the images of {studies} studies could be read{first}"


def any_readable(pixels: Sequence[Pixels]) -> bool:
    """Whether one of these images can be read: of those skipped, whether a cure has helped."""
    for image in pixels:
        try:
            image.load()
        except XrayReportError:
            continue
        return True
    return False


def report_skipped(skipped: Sequence[tuple[str, str]], read: int) -> None:
    """Say on stderr which images are left out, if any are."""
    if skipped:
        study, why = skipped[0]
        text = f"{len(skipped)} of {len(skipped) + read} images could not be read and are left out"
        print(f"{text}; the first, of study {study}: {why}", file=sys.stderr)
