"""The feature cache: a frozen encoder runs once, its maps are read from disk ever after.

Two files a set of studies, both named by their key: `features-KEY.npy`, float16
[N, 2, h, w, C], zeros where a view is missing; and `features-KEY.json`, which says of what.
Channels come last, as the encoder makes them and the decoders read them.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xray_report.data.study import Pixels, Study, ViewPair, pair_views
from xray_report.errors import DataError
from xray_report.files import replacing

FORMAT = 2
SIDECAR_FIELDS = {"format", "key", "shape", "study_ids", "view_mask", "skipped"}


class Encode(Protocol):
    """A frozen encoder, as the cache sees it."""

    @property
    def identity(self) -> str:
        """Changes whenever the features of some image would."""
        ...

    @property
    def batch(self) -> int:
        """Number of images that keeps it busy."""
        ...

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Grey images [N, S, S] -> feature maps [N, C, h, w]."""
        ...


@dataclass(frozen=True)
class FeatureCache:
    """Feature maps of N studies on disk; holds no map in memory and pickles small.

    Args:
        path: the .npy file.
        study_ids: of its rows.
        view_mask: bool [N, 2], True where the view exists and could be read.
        skipped: (study id, what was wrong) of each image that could not be read.
        shape: [N, 2, h, w, C].
        start: where the maps begin in the file, bytes.
    """

    path: Path
    study_ids: tuple[str, ...]
    view_mask: NDArray[np.bool_]
    skipped: tuple[tuple[str, str], ...]
    shape: tuple[int, ...]
    start: int

    def __len__(self) -> int:
        return len(self.study_ids)

    def read(self, indices: Sequence[int]) -> NDArray[np.float16]:
        """Maps of studies `indices`, float16 [B, 2, C, h, w] (channels-last), in that order.

        Read, not mapped: the process does not grow with the data set, and on a virtual machine
        a page fault costs more than the copy (0.1 against 20 ms a study, measured).
        """
        rows = np.asarray(indices, dtype=np.int64)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"studies {rows.min()} to {rows.max()} of {len(self)} in {self.path}")
        result = np.empty((len(rows), *self.shape[1:]), dtype="<f2")
        block = 2 * int(np.prod(self.shape[1:]))
        with self.path.open("rb", buffering=0) as file:
            for place in np.argsort(rows, kind="stable"):
                file.seek(self.start + int(rows[place]) * block)
                if file.readinto(result[place].data) != block:
                    raise DataError(f"{self.path}: cut short while in use; run again to rebuild it")
        return result.transpose(0, 1, 4, 2, 3)

    def left_out(self, pairs: Sequence[ViewPair]) -> list[Pixels]:
        """Those images of the rows' `pairs` that could not be read when the cache was filled."""
        slots = zip(chain.from_iterable(pairs), self.view_mask.flat, strict=True)
        return [image.pixels for image, there in slots if image is not None and not there]

    @classmethod
    def open(cls, folder: Path, key: str) -> FeatureCache:
        """The cache of that key. Raises `DataError` if it is missing, damaged or another's."""
        path = cache_path(folder, key)
        plain = _read_sidecar(path.with_suffix(".json"), key)
        shape = tuple(plain["shape"])
        start = _check_array(path, shape)
        mask = np.array(plain["view_mask"], dtype=bool).reshape(-1, 2)
        if not len(plain["study_ids"]) == len(mask) == shape[0]:
            raise DataError(f"{path}: its sidecar names another number of studies")
        skipped = tuple((str(study), str(why)) for study, why in plain["skipped"])
        return cls(path, tuple(plain["study_ids"]), mask, skipped, shape, start)

    @classmethod
    def open_or_fill(
        cls,
        studies: Sequence[Study],
        encode: Encode,
        cache_dir: str | Path,
        *,
        image_size: int = 224,
        workers: int | None = None,
        strict: bool = False,
        progress: bool = True,
        prepare: Callable[[], None] | None = None,
    ) -> FeatureCache:
        """The cache of these studies, encoded now unless it is there and whole.

        Args:
            studies: rows of the cache, in this order.
            encode: the encoder; its identity is part of the key, like those of the images.
            cache_dir: folder of the files.
            image_size: side S that images are resized to.
            workers: processes that decode; 0 decodes in this one, None takes what the machine has.
            strict: raise `ImageError` on the first unreadable image instead of leaving it out.
            progress: show a bar, or now and then a line where no terminal is.
            prepare: called before images are loaded, where they are.

        A cache whose skipped images can be read by now is filled again. Raises `DataError` if no
        image can be read or the files cannot be written.
        """
        from xray_report.data.feature_fill import FillOptions, any_readable, fill, report_skipped

        folder, pairs = Path(cache_dir), [pair_views(study) for study in studies]
        key = cache_key(studies, pairs, encode.identity, image_size)
        try:
            cache = cls.open(folder, key)
            usable = not (cache.skipped and (strict or any_readable(cache.left_out(pairs))))
        except DataError:
            usable = False
        if not usable:
            if prepare is not None:
                prepare()
            options = FillOptions(image_size, workers, strict, progress)
            fill(folder, key, studies, pairs, encode, options)
            cache = cls.open(folder, key)
        report_skipped(cache.skipped, int(cache.view_mask.sum()))
        return cache


def cache_path(folder: Path, key: str) -> Path:
    """The .npy file of a key."""
    return folder / f"features-{key}.npy"


def cache_key(
    studies: Sequence[Study], pairs: Sequence[ViewPair], encoder: str, image_size: int
) -> str:
    """Hash of everything the maps depend on."""
    names = _names(pairs)
    digest = hashlib.sha256(json.dumps([FORMAT, encoder, image_size]).encode())
    for study, pair in zip(studies, pairs, strict=True):
        images = [None if image is None else names[image.pixels] for image in pair]
        digest.update(json.dumps([study.study_id, *images]).encode())
    return digest.hexdigest()[:32]


def _names(pairs: Sequence[ViewPair]) -> dict[Pixels, str]:
    """What stands for each image: its identity, or all that it is where two have the same one."""
    every = {image.pixels for pair in pairs for image in pair if image is not None}
    identities = {pixels: pixels.identity for pixels in every}
    bearers = Counter(identities.values())
    return {one: name if bearers[name] == 1 else repr(one) for one, name in identities.items()}


def write_sidecar(path: Path, plain: dict[str, Any]) -> None:
    """Write what `FeatureCache.open` reads, beside the .npy file `path`."""
    with replacing(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps({"format": FORMAT, **plain}), encoding="utf-8")


def _read_sidecar(path: Path, key: str) -> dict[str, Any]:
    """The JSON sidecar, checked to be of that key."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: no readable feature cache: {error}") from error
    if not isinstance(plain, dict) or not plain.keys() >= SIDECAR_FIELDS:
        raise DataError(f"{path}: not the sidecar of a feature cache; delete it")
    if plain["format"] != FORMAT or plain["key"] != key:
        raise DataError(f"{path}: written for other studies or another encoder; delete it")
    return plain


def _check_array(path: Path, shape: tuple[int, ...]) -> int:
    """Where the maps begin in the .npy file, which holds exactly a float16 array of that shape."""
    try:
        maps = np.load(path, mmap_mode="r")
        size = path.stat().st_size
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: damaged feature cache, delete it: {error}") from error
    if maps.dtype != np.float16 or maps.shape != shape or not maps.flags.c_contiguous:
        found = f"{maps.dtype} {list(maps.shape)}"
        raise DataError(f"{path}: holds {found}, its sidecar says float16 {list(shape)}; delete it")
    if size != maps.offset + maps.nbytes:
        raise DataError(f"{path}: {size} bytes, {maps.offset + maps.nbytes} expected; delete it")
    return int(maps.offset)
