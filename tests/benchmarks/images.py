"""Benchmark 5: decoding and resizing PNGs of 1000x1000, beside the encoder that waits for them.

The files are smooth shadows with film grain, which a PNG stores at the collection's four to six
bits a pixel; grey, and grey stored as colour as in Open-i's. Where the real images lie beside the
checkout they are measured too, at the sizes they have.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from tests.benchmarks.encoder import rate
from tests.data.sources.iu_xray.real import IMAGES
from xray_report.data.feature_fill import ImageJobs, decoded_batches
from xray_report.data.images import FilePixels
from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.extractor import FeatureExtractor

SIDE, FILES, SIZE = 1000, 12, 224
BATCH, DECODED = 8, 320
GRAIN = 0.01  # of the whole grey range


def film(seed: int) -> NDArray[np.uint8]:
    """Smooth shadows with grain, uint8 [SIDE, SIDE]."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((1, 1, 40, 40))).float()
    smooth = functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic")[0, 0].numpy()
    grainy = smooth + rng.normal(0, GRAIN, smooth.shape)
    return np.rint(grainy.clip(0, 1) * 255).astype(np.uint8)


def write_films(folder: Path, *, colour: bool) -> list[Path]:
    """`FILES` PNGs, grey or grey stored as colour."""
    folder.mkdir()
    paths = [folder / f"{seed}.png" for seed in range(FILES)]
    for seed, path in enumerate(paths):
        image = Image.fromarray(film(seed))
        (image.convert("RGB") if colour else image).save(path)
    return paths


def decoding(paths: Sequence[Path], workers: int) -> float:
    """Images/s decoded and resized by the feature cache's own worker processes."""
    pixels = [FilePixels(paths[n % len(paths)]) for n in range(DECODED)]
    batches = decoded_batches(ImageJobs(pixels, SIZE), BATCH, workers)
    next(batches)  # the workers have started
    start = time.perf_counter()
    count = sum(len(batch.jobs) for batch in batches)
    under_way = 2 * workers * BATCH  # when the clock started; counted as if already done
    return (count - under_way) / (time.perf_counter() - start)


def encoding() -> float:
    """Images/s of the encoder on pixels that are there already."""
    extractor = FeatureExtractor(DenseNetEncoder(), "cpu")
    images = np.random.default_rng(0).integers(0, 256, (32, SIZE, SIZE), dtype=np.uint8)
    return max(rate(lambda: extractor(images), len(images)) for _ in range(2))


def run() -> dict[str, Any]:
    """Images/s of each kind of file, and how many times the encoder's."""
    workers = os.cpu_count() or 1
    found: dict[str, Any] = {"worker processes": workers}
    with tempfile.TemporaryDirectory() as folder:
        kinds = {
            "grey": write_films(Path(folder) / "grey", colour=False),
            "stored as colour": write_films(Path(folder) / "colour", colour=True),
        }
        if IMAGES.is_dir():
            kinds["real IU X-ray images as they are"] = sorted(IMAGES.glob("*.png"))
        rates = {kind: decoding(paths, workers) for kind, paths in kinds.items()}
    encoder = encoding()
    for kind, images in rates.items():
        found[f"{kind}, images/s"] = round(images, 1)
        found[f"{kind}, times the encoder"] = round(images / encoder, 1)
    found["encoder, images/s"] = round(encoder, 1)
    return found
