"""Benchmark: images on disk to pixels, and the whole way from files on disk to features.

Measured are
- decoding and resizing 1000x1000 PNGs to 224 in one process with one thread, beside torchvision's
  decode_image and resize (the best of a few rounds in turn), and in the feature store's own worker
  processes; the files are smooth shadows with film grain, which a PNG stores at the collection's
  four to six bits a pixel, grey, and grey stored as colour as in Open-i's;
- the encoder alone, on pixels that are there already;
- the whole way as `train.py` goes it: `FeatureStore.fill` with DenseNet121, from files to features
  on disk, once in each precision that the processor has. The files are drawn JPEGs, or those of
  `python -m tests.benchmarks images --images FOLDER`.
Where the real images lie beside the checkout they are decoded too, at the sizes they have.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2.functional import resize

from tests.benchmarks.encoder import rate
from tests.data.sources.real import IMAGES
from xray_report.data.features import Decoding, FeatureStore
from xray_report.data.images import FilePixels, resize_gray
from xray_report.data.study import Study, StudyImage
from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.extractor import FeatureExtractor, bfloat16_is_native

SIDE, FILES, SIZE = 1000, 12, 224
BATCH, DECODED = 8, 320
JPEGS, JPEG_SIDE = 96, 256
GRAIN = 0.01  # of the whole grey range
ROUNDS = 3


def film(seed: int, side: int = SIDE) -> NDArray[np.uint8]:
    """Smooth shadows with grain, uint8 [side, side]."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((1, 1, 40, 40))).float()
    smooth = functional.interpolate(coarse, (side, side), mode="bicubic")[0, 0].numpy()
    grainy = smooth + rng.normal(0, GRAIN, smooth.shape)
    return np.rint(grainy.clip(0, 1) * 255).astype(np.uint8)


def write_films(folder: Path, *, colour: bool = False) -> list[Path]:
    """`FILES` PNGs, grey or grey stored as colour."""
    folder.mkdir()
    paths = [folder / f"{seed}.png" for seed in range(FILES)]
    for seed, path in enumerate(paths):
        image = Image.fromarray(film(seed))
        (image.convert("RGB") if colour else image).save(path)
    return paths


def write_jpegs(folder: Path) -> None:
    """`JPEGS` grey JPEGs of 256x256."""
    folder.mkdir()
    for seed in range(JPEGS):
        Image.fromarray(film(seed, JPEG_SIDE)).save(folder / f"{seed}.jpg", quality=90)


# ------------------------------------------------------------------------------
# Files to pixels.


def ours(path: Path) -> object:
    """Decode and resize as the feature store does."""
    return resize_gray(FilePixels(path).load(), SIZE)


def torchvision(path: Path) -> object:
    """The same by torchvision alone."""
    return resize(decode_image(str(path), ImageReadMode.GRAY), [SIZE, SIZE], antialias=True)


def one_process(paths: Sequence[Path], seconds: float = 2.0) -> dict[str, float]:
    """Images/s of each way in this process, with one thread; the best of rounds in turn."""
    ways: dict[str, Callable[[Path], object]] = {"ours": ours, "torchvision": torchvision}

    def all_of(way: Callable[[Path], object]) -> None:
        for path in paths:
            way(path)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        turns = [
            {name: rate(partial(all_of, way), len(paths), seconds) for name, way in ways.items()}
            for _ in range(ROUNDS)
        ]
    finally:
        torch.set_num_threads(threads)
    return {name: max(turn[name] for turn in turns) for name in ways}


def in_workers(paths: Sequence[Path], workers: int) -> float:
    """Images/s decoded and resized by the feature store's own worker processes."""
    pixels = [FilePixels(paths[n % len(paths)]) for n in range(DECODED)]
    batches = Decoding(pixels, SIZE).batches(BATCH, workers)
    next(batches)  # the workers have started
    start = time.perf_counter()
    count = sum(len(batch.jobs) for batch in batches)
    under_way = 2 * workers * BATCH  # when the clock started; counted as if already done
    return (count - under_way) / (time.perf_counter() - start)


# ------------------------------------------------------------------------------
# Pixels to features, and the whole way.


def precisions() -> list[str]:
    """Those that this processor has."""
    return ["float32", *(["bfloat16"] if bfloat16_is_native() else [])]


def encoding(encoder: DenseNetEncoder, precision: str) -> float:
    """Images/s of the encoder on pixels that are there already."""
    extractor = FeatureExtractor(encoder, "cpu", precision)
    images = np.random.default_rng(0).integers(0, 256, (32, SIZE, SIZE), dtype=np.uint8)
    return max(rate(lambda: extractor(images), len(images)) for _ in range(2))


def whole_way(folder: Path, encoder: DenseNetEncoder, precision: str, workers: int) -> float:
    """Images/s from the files of a folder to features on disk, all in all."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".jpeg", ".png"))
    studies = [Study(path.stem, images=(StudyImage(FilePixels(path)),)) for path in paths]
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        store = FeatureStore(cache, FeatureExtractor(encoder, "cpu", precision))
        features = store.fill(studies, workers=workers, progress=False)
        taken = time.perf_counter() - start
    return int(features.view_mask.sum()) / taken


def run(images: Path | None = None) -> dict[str, Any]:
    """Images/s of each.

    Args:
        images: folder whose JPEGs and PNGs go the whole way; None for drawn JPEGs of 256x256.
    """
    workers = os.cpu_count() or 1
    found: dict[str, Any] = {"worker processes": workers}
    torch.manual_seed(0)
    encoder = DenseNetEncoder()
    with tempfile.TemporaryDirectory() as temporary:
        kinds = {
            "grey": write_films(Path(temporary) / "grey"),
            "stored as colour": write_films(Path(temporary) / "colour", colour=True),
        }
        if IMAGES.is_dir():
            kinds["real IU X-ray images as they are"] = sorted(IMAGES.glob("*.png"))
        rates = {}
        for kind, paths in kinds.items():
            for name, value in one_process(paths).items():
                found[f"{kind}, a process, {name}, images/s"] = round(value, 1)
            rates[kind] = in_workers(paths, workers)
            found[f"{kind}, all processes, images/s"] = round(rates[kind], 1)
        if images is None:
            images = Path(temporary) / "jpeg"
            write_jpegs(images)
        for precision in precisions():
            alone = encoding(encoder, precision)
            found[f"encoder, {precision}, images/s"] = round(alone, 1)
            for kind, value in rates.items():
                found[f"{kind}, times the encoder, {precision}"] = round(value / alone, 1)
            way = whole_way(images, encoder, precision, workers)
            found[f"files to features, {precision}, images/s"] = round(way, 1)
    return found
