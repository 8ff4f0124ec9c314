"""The feature store: each image is encoded once, its maps are read from disk after.

A folder an encoder, `<cache_dir>/features/<key>/`, in which each map is kept under the identity of
its image: another split, another seed or one more study encodes only what is new.

- `meta.json`: format, encoder, shape of a map [C, h, w], and the CRC-32 of all that.
- `part-<name>.bin`: maps, float16 [h, w, C] one behind the other. Channels come last, as the
  encoder makes them and the decoders read them.
- `part-<name>.idx`: a record a map, in the same order: digest of the image's identity, the map's
  CRC-32, and that of the record. It is written after the map, so that each record is of a whole
  map.

A description or record of which a byte has changed counts for nothing: what it was of is encoded
anew.

Each process that fills the store writes a part of its own. None waits for another; an image
that two encode at the same time is kept twice, which does no harm.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cached_property
from io import FileIO
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.data import DataLoader, Dataset

from xray_report.data.images import one_thread, resize_gray
from xray_report.data.study import Pixels, Study, ViewPair, pair_views
from xray_report.errors import DataError, ImageError, XrayReportError
from xray_report.files import check_room, replacing

STORE_FORMAT = 4
"""Goes up whenever the files change, or the way from an image to the pixels that are encoded."""

RECORD = np.dtype([("image", "S16"), ("crc", "<u4"), ("check", "<u4")])
"""One map of a part. Zeros, whose check is wrong, mark a map that turned out to be damaged."""


class Encode(Protocol):
    """What the store needs of a frozen encoder."""

    @property
    def identity(self) -> str:
        """Changes whenever the features of some image would."""
        ...

    @property
    def size(self) -> int:
        """Side S of the images it takes, pixels."""
        ...

    @property
    def batch(self) -> int:
        """Number of images that keeps it busy."""
        ...

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Grey images [N, S, S] -> feature maps [N, C, h, w]."""
        ...


def store_folder(cache_dir: str | Path, encoder: str) -> Path:
    """Where the maps of an encoder of that identity are kept.

    The identity covers the weights, the preprocessing with its image size, and the precision:
    nothing but that and the image decides a map.
    """
    key = hashlib.sha256(json.dumps([STORE_FORMAT, encoder]).encode()).hexdigest()[:32]
    return Path(cache_dir) / "features" / key


def image_keys(pairs: Sequence[ViewPair]) -> NDArray[np.bytes_]:
    """Digests of the images' identities, 16 bytes each [N, 2]; empty where a view is missing."""
    keys = np.zeros((len(pairs), 2), "S16")
    for row, pair in enumerate(pairs):
        for slot, image in enumerate(pair):
            if image is not None:
                name = image.pixels.identity.encode(errors="surrogateescape")
                keys[row, slot] = hashlib.blake2b(name, digest_size=16).digest()
    return keys


# Reading.


@dataclass(frozen=True)
class StudyFeatures:
    """Where the maps of N studies lie; holds no map in memory and pickles small.

    Args:
        folder: of the store.
        parts: names of its parts.
        shape: of one map, (C, h, w).
        part: int32 [N, 2], number of the part; -1 where a view is missing or could not be read.
        record: int64 [N, 2], place of the map in its part.
        crc: uint32 [N, 2], checksum of the map.
    """

    folder: Path
    parts: tuple[str, ...]
    shape: tuple[int, int, int]
    part: NDArray[np.int32]
    record: NDArray[np.int64]
    crc: NDArray[np.uint32]
    _whole: NDArray[np.bool_] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # A map is checked when this process reads it for the first time, not in every epoch.
        object.__setattr__(self, "_whole", np.zeros(self.part.shape, np.bool_))

    def __len__(self) -> int:
        return len(self.part)

    @cached_property
    def view_mask(self) -> NDArray[np.bool_]:
        """Bool [N, 2], True where the view exists and could be read."""
        return self.part >= 0

    def read(self, indices: Sequence[int]) -> NDArray[np.float16]:
        """Maps of studies `indices`, float16 [B, 2, C, h, w] (channels-last), in that order.

        Views that are missing are zeros. Read, not mapped into memory: the process does not grow
        with the data set, and on a virtual machine a page fault costs more than the copy (0.1
        against 20 ms a study, measured).

        Raises:
            DataError: the store was deleted or cut short meanwhile, or a map is damaged.
        """
        rows = np.asarray(indices, dtype=np.int64)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"studies {rows.min()} to {rows.max()} of {len(self)}")
        channels, height, width = self.shape
        maps = np.zeros((2 * len(rows), height, width, channels), "<f2")
        parts, records = self.part[rows].ravel(), self.record[rows].ravel()
        order = np.lexsort((records, parts))
        order = order[parts[order] >= 0]
        for number, places in groupby(order.tolist(), key=parts.__getitem__):
            path = self.folder / f"{self.parts[number]}.bin"
            try:
                with path.open("rb", buffering=0) as file:
                    for place in places:
                        self._read_one(file, maps[place], int(rows[place // 2]), place % 2)
            except OSError as error:
                raise DataError(
                    f"{path}: deleted while in use ({error.strerror}); run again to encode it anew"
                ) from error
        return maps.reshape(len(rows), 2, *maps.shape[1:]).transpose(0, 1, 4, 2, 3)

    def _read_one(self, file: FileIO, target: NDArray[np.float16], row: int, slot: int) -> None:
        record = int(self.record[row, slot])
        file.seek(record * target.nbytes)
        if file.readinto(target.data) != target.nbytes:
            raise DataError(f"{file.name}: cut short while in use; run again to encode it anew")
        if self._whole[row, slot]:
            return
        if zlib.crc32(target.data) != self.crc[row, slot]:
            _strike_out(Path(file.name).with_suffix(".idx"), record)
            raise DataError(
                f"{file.name}: map {record} is damaged on disk; run again to encode it anew, and "
                "if this comes again, delete the file"
            )
        self._whole[row, slot] = True


def _strike_out(index: Path, record: int) -> None:
    """Forget a map, so that the next run encodes it anew."""
    with suppress(OSError), index.open("r+b") as file:
        file.seek(record * RECORD.itemsize)
        file.write(bytes(RECORD.itemsize))


# Finding what is there, encoding what is not.


class FeatureStore:
    """All maps that one encoder has made.

    Args:
        cache_dir: folder of all stores.
        encode: the encoder.
    """

    def __init__(self, cache_dir: str | Path, encode: Encode) -> None:
        self.encode, self.folder = encode, store_folder(cache_dir, encode.identity)

    def find(self, studies: Sequence[Study]) -> StudyFeatures:
        """Where the studies' maps lie, a row a study; views that are not there are masked.

        Raises:
            DataError: none is there, or the store cannot be read.
        """
        found = self.look_up(image_keys([pair_views(study) for study in studies]))
        if not found.view_mask.any():
            raise DataError(
                f"{self.folder} has none of the images of {len(studies)} studies; all processes "
                "need the same loader.cache_dir, filled before by one of them"
            )
        return found

    def fill(
        self,
        studies: Sequence[Study],
        *,
        workers: int | None = None,
        strict: bool = False,
        progress: bool = True,
        prepare: Callable[[], None] | None = None,
    ) -> StudyFeatures:
        """Encode those of the studies' images that are not there yet, then `find` all.

        Images that cannot be read are left out, counted on stderr, and tried again next time.

        Args:
            studies: whose views to encode; an image that several share is encoded once.
            workers: processes that decode; 0 decodes in this one, None takes what the machine has.
            strict: raise `ImageError` on the first unreadable image instead of leaving it out.
            progress: show a bar, or now and then a line where no terminal is.
            prepare: called before images are loaded, where they are.

        Raises:
            DataError: no image can be read, or the files cannot be read or written.
        """
        pairs = [pair_views(study) for study in studies]
        keys = image_keys(pairs)
        found = self.look_up(keys)
        missing = (keys != b"") & ~found.view_mask
        if not missing.any():
            return found
        if prepare is not None:
            prepare()
        _, first = np.unique(keys[missing], return_index=True)
        jobs = np.argwhere(missing)[np.sort(first)]  # each image once, in the order of the studies
        images = [pairs[row][slot] for row, slot in jobs]
        decoding = Decoding([one.pixels for one in images if one is not None], self.encode.size)
        why = ""
        with ExitStack() as stack:
            shown = stack.enter_context(EncodingProgress(len(jobs), progress))
            part = stack.enter_context(_NewPart(self.folder, self.encode.identity, len(jobs)))
            for batch in decoding.batches(self.encode.batch, workers):
                for job, error in batch.errors:
                    if strict or not isinstance(error, ImageError):
                        raise error
                    why = why or f"of study {studies[jobs[job, 0]].study_id}: {error}"
                if batch.jobs:
                    done = jobs[batch.jobs]
                    part.append(keys[done[:, 0], done[:, 1]], self.encode(batch.images))
                shown.advance(len(batch.jobs) + len(batch.errors))
        found = self.look_up(keys)
        images_read, wanted = int(found.view_mask.sum()), int((keys != b"").sum())
        if not images_read:
            raise DataError(
                f"none of the images of {len(studies)} studies could be read; the first, {why}"
            )
        if why:
            text = f"{wanted - images_read} of {wanted} images could not be read and are left out"
            print(f"{text}; the first, {why}", file=sys.stderr)
        return found

    def look_up(self, keys: NDArray[np.bytes_]) -> StudyFeatures:
        """Where the maps of the images with these `image_keys` [N, 2] lie."""
        shape = read_meta(self.folder, self.encode.identity)
        index = _Index.of(self.folder, 2 * int(np.prod(shape)))
        at = index.places(keys)
        there = at >= 0
        part = np.full(keys.shape, -1, np.int32)
        record, crc = np.zeros(keys.shape, np.int64), np.zeros(keys.shape, np.uint32)
        part[there] = index.part[at[there]]
        record[there] = index.record[at[there]]
        crc[there] = index.crc[at[there]]
        return StudyFeatures(self.folder, index.names, shape, part, record, crc)


class _Index(NamedTuple):
    """All maps of a store, in order of their images' digests; 32 bytes a map."""

    names: tuple[str, ...]
    images: NDArray[np.bytes_]
    part: NDArray[np.int32]
    record: NDArray[np.int64]
    crc: NDArray[np.uint32]

    @classmethod
    def of(cls, folder: Path, map_bytes: int) -> _Index:
        """Read all parts; a record that was not written whole, or has no whole map, is passed."""
        names = tuple(sorted(path.stem for path in folder.glob("part-*.idx")))
        try:
            parts = [_records(folder / name, map_bytes) for name in names]
        except OSError as error:
            raise DataError(
                f"{folder} cannot be read ({error.strerror}); if it is being deleted, run again"
            ) from error
        records = np.concatenate([np.empty(0, RECORD), *parts])
        part = np.repeat(np.arange(len(parts), dtype=np.int32), [len(one) for one in parts])
        record = np.concatenate([np.empty(0, np.int64), *(np.arange(len(one)) for one in parts)])
        order = np.argsort(records["image"], kind="stable")
        order = order[(records["check"] == checks(records))[order]]
        return cls(
            names, records["image"][order], part[order], record[order], records["crc"][order]
        )

    def places(self, keys: NDArray[np.bytes_]) -> NDArray[np.int64]:
        """Where the images stand in this index; -1 where they do not."""
        if not len(self.images):
            return np.full(keys.shape, -1, np.int64)
        at = np.searchsorted(self.images, keys)
        at[at == len(self.images)] = 0
        return np.where(self.images[at] == keys, at, -1)


def _records(path: Path, map_bytes: int) -> NDArray[np.void]:
    """Records of one part, as far as their maps are whole."""
    whole = path.with_suffix(".bin").stat().st_size // map_bytes if map_bytes else 0
    return np.fromfile(path.with_suffix(".idx"), RECORD)[:whole]


def checks(records: NDArray[np.void]) -> NDArray[np.uint32]:
    """CRC-32 of each of these `RECORD`s, but for the place where it stands."""
    content, size = records.tobytes(), RECORD.itemsize
    starts = range(0, len(content), size)
    return np.fromiter((zlib.crc32(content[at : at + size - 4]) for at in starts), np.uint32)


# Writing.


def describe(encoder: str, shape: Sequence[int]) -> bytes:
    """What `meta.json` holds."""
    plain: dict[str, object] = {
        "format": STORE_FORMAT, "encoder": encoder, "shape": list(shape), "dtype": "float16",
    }  # fmt: skip
    plain["crc"] = zlib.crc32(json.dumps(plain).encode())
    return json.dumps(plain).encode() + b"\n"


def read_meta(folder: Path, encoder: str) -> tuple[int, int, int]:
    """Shape (C, h, w) of the maps of a store; zeros if nothing that is known was kept there.

    Raises `DataError` if it cannot be read.
    """
    path = folder / "meta.json"
    try:
        content = path.read_bytes()
        channels, height, width = json.loads(content)["shape"]
        if content == describe(encoder, (channels, height, width)):
            return channels, height, width
    except FileNotFoundError:
        pass
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); name another loader.cache_dir"
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError):  # damaged
        pass
    return 0, 0, 0


class _NewPart:
    """A part in the making; its files appear with the first map.

    Args:
        folder: of the store.
        encoder: identity of the encoder.
        images: how many maps are to come, at most.
    """

    def __init__(self, folder: Path, encoder: str, images: int) -> None:
        self.folder, self.encoder, self.images = folder, encoder, images
        self._files = ExitStack()
        self._maps: FileIO | None = None
        self._index: FileIO | None = None

    def __enter__(self) -> _NewPart:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.close()

    def append(self, images: NDArray[np.bytes_], maps: NDArray[np.float16]) -> None:
        """Keep the maps [n, C, h, w] of n images. Raises `DataError` if that cannot be."""
        blocks = np.ascontiguousarray(maps.transpose(0, 2, 3, 1), "<f2")
        records = np.empty(len(blocks), RECORD)
        records["image"], records["crc"] = images, [zlib.crc32(block.data) for block in blocks]
        records["check"] = checks(records)
        try:
            if self._maps is None or self._index is None:
                self._maps, self._index = self._begin(maps.shape[1:], blocks[0].nbytes)
            _write_all(self._maps, blocks.tobytes())
            _write_all(self._index, records.tobytes())
        except OSError as error:
            raise DataError(
                f"cannot keep features in {self.folder}: {error}; name another loader.cache_dir"
            ) from error

    def _begin(self, shape: tuple[int, ...], map_bytes: int) -> tuple[FileIO, FileIO]:
        """Open both files, once the size of a map is known."""
        self.folder.mkdir(parents=True, exist_ok=True)
        check_room(self.folder, self.images * (map_bytes + RECORD.itemsize))
        kept = read_meta(self.folder, self.encoder)
        if kept == (0, 0, 0):
            with replacing(self.folder / "meta.json") as temporary:
                temporary.write_bytes(describe(self.encoder, shape))
        elif kept != shape:
            raise DataError(
                f"{self.folder}: holds maps of {list(kept)}, the encoder makes {list(shape)}; "
                "its identity must name what decides that"
            )
        path = self.folder / f"part-{uuid.uuid4().hex}"
        # Unbuffered: what the system has been given, a kill of this process cannot take.
        maps = self._files.enter_context(path.with_suffix(".bin").open("xb", buffering=0))
        index = self._files.enter_context(path.with_suffix(".idx").open("xb", buffering=0))
        return maps, index


def _write_all(file: FileIO, content: bytes) -> None:
    """Write everything; one call of an unbuffered file need not."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


# Decoding, in processes of their own.


class DecodedImages(NamedTuple):
    """A batch of images: uint8 [n, S, S], the numbers of their jobs, and what failed."""

    images: NDArray[np.uint8]
    jobs: list[int]
    errors: list[tuple[int, XrayReportError]]


class Decoding(Dataset[tuple[int, NDArray[np.uint8] | XrayReportError]]):
    """Images to decode and resize; a failure is an item like any other.

    Args:
        pixels: the images, numbered as they come.
        size: side that they are resized to.
    """

    def __init__(self, pixels: Sequence[Pixels], size: int) -> None:
        self.pixels, self.size = pixels, size

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, job: int) -> tuple[int, NDArray[np.uint8] | XrayReportError]:
        try:
            return job, resize_gray(self.pixels[job].load(), self.size)
        except XrayReportError as error:
            return job, error

    def batches(self, batch: int, workers: int | None) -> Iterator[DecodedImages]:
        """Decode in that many processes, in order; None takes what the machine has."""
        if workers is None:
            workers = min(8, os.cpu_count() or 1)
        loader = DataLoader(
            self,
            batch_size=batch,
            num_workers=min(workers, -(-len(self) // batch)),
            collate_fn=_collate,
            worker_init_fn=one_thread,
            # Random numbers of its own: training must not depend on what had to be encoded.
            generator=torch.Generator(),
        )
        return iter(loader)


def _collate(items: list[tuple[int, NDArray[np.uint8] | XrayReportError]]) -> DecodedImages:
    """Stack what could be read."""
    good = [(job, item) for job, item in items if not isinstance(item, XrayReportError)]
    bad = [(job, item) for job, item in items if isinstance(item, XrayReportError)]
    images = np.stack([item for _, item in good]) if good else np.empty((0, 0, 0), np.uint8)
    return DecodedImages(images, [job for job, _ in good], bad)


# Progress of encoding, for people at a terminal and for log files.

LINE_EVERY = 10.0


class EncodingProgress:
    """A bar with images/s on a terminal's stderr; elsewhere a line every ten seconds.

    Args:
        total: images to come.
        shown: show anything at all.
    """

    def __init__(self, total: int, shown: bool) -> None:
        self.total, self.done = total, 0
        self._console = Console(stderr=True, quiet=not shown, highlight=False)
        self._bar = Progress(
            TextColumn("Encoding images"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f}/s"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not shown or not self._console.is_terminal,
            transient=True,
        )
        self._start = self._said = time.perf_counter()

    def __enter__(self) -> EncodingProgress:
        self._bar.start()
        self._task = self._bar.add_task("encode", total=self.total, rate=0.0)
        return self

    def advance(self, images: int) -> None:
        """Count `images` more."""
        now = time.perf_counter()
        self.done += images
        rate = self.done / max(now - self._start, 1e-9)
        self._bar.update(self._task, advance=images, rate=rate)
        last = self.done == self.total
        if not self._console.is_terminal and (last or now - self._said >= LINE_EVERY):
            self._said = now
            self._console.print(f"Encoding images: {self.done} of {self.total}, {rate:.1f}/s")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
