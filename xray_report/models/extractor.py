"""Frozen encoders for the feature cache: grey pixels in, float16 feature maps out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xray_report.errors import OptionError, WeightsError
from xray_report.models.allocator import keep_freed_memory
from xray_report.models.convolution import bfloat16_is_native
from xray_report.models.densenet import DenseNetEncoder
from xray_report.models.fast_densenet import FastDenseNet

BACKENDS = ("torch", "openvino")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Images a thread takes at a time: the maps of more do not stay in the processor's cache.
CHUNK = 4


class Extractor(Protocol):
    """What every backend is to the feature cache."""

    @property
    def size(self) -> int:
        """Side of the images it takes, pixels."""
        ...

    @property
    def batch(self) -> int:
        """Number of images that keeps it busy."""
        ...

    @property
    def identity(self) -> str:
        """Changes whenever the features of some image would."""
        ...

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Grey images [N, S, S] -> feature maps [N, 1024, S/32, S/32]."""
        ...


def build_extractor(
    encoder: DenseNetEncoder,
    backend: str = "torch",
    precision: str = "auto",
    threads: int | None = None,
) -> Extractor:
    """The extractor asked for. Raises `OptionError`, or `MissingExtraError` without OpenVINO.

    Args:
        encoder: whose features to extract.
        backend: `torch`, or `openvino` (extra), which is no faster in float32 (measured by
            `tests.benchmarks encoder`) and is meant for processors with bfloat16 units (126
            images/s where torch made 94, measured on another machine). ONNX Runtime has no
            bfloat16 on processors and was slower there (62), so it is not offered.
        precision: `float32`, `bfloat16`, or `auto`: bfloat16 where the processor has it (on the
            phantom weights its features' cosine to float32's is 0.9999, 0.9998 in the worst cell).
        threads: how many to use; torch's own number if None.
    """
    if backend not in BACKENDS:
        raise OptionError(f"encoder.backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    if precision != "auto" and precision not in PRECISIONS:
        names = ", ".join(("auto", *PRECISIONS))
        raise OptionError(f"encoder.precision must be one of {names}, got {precision!r}")
    threads = torch.get_num_threads() if threads is None else threads
    if threads < 1:
        raise OptionError(f"encoder threads must be positive, got {threads}")
    if precision == "auto":
        precision = "bfloat16" if bfloat16_is_native() else "float32"
    keep_freed_memory()
    if backend == "openvino":
        from xray_report.models.openvino_backend import OpenVinoExtractor

        return OpenVinoExtractor(encoder, precision, threads)
    return TorchExtractor(encoder, precision, threads)


class TorchExtractor:
    """`FastDenseNet` in as many threads as there are cores, each on images of its own.

    Threads that share nothing lose nothing to waiting for each other within a layer.
    """

    def __init__(self, encoder: DenseNetEncoder, precision: str, threads: int) -> None:
        self._net = FastDenseNet(encoder, CHUNK, PRECISIONS[precision])
        self.size = encoder.preprocessing.size
        self.identity = f"{encoder.identity}-{precision}"
        self.threads = threads
        self.batch = 2 * CHUNK * threads

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Grey images [N, S, S] -> feature maps [N, 1024, S/32, S/32]."""
        pixels = check_pixels(images, self.size)
        share = min(CHUNK, max(1, -(-len(pixels) // self.threads)))
        chunks = torch.split(pixels, share)
        if self.threads == 1 or len(chunks) == 1:
            return check_features([self._net(chunk) for chunk in chunks])
        before = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(self.threads, "encode", torch.set_num_threads, (1,)) as pool:
                return check_features(list(pool.map(self._net, chunks)))
        finally:
            # The workers' setting is also what torch gives to threads begun later.
            torch.set_num_threads(before)


def check_pixels(images: NDArray[np.uint8], size: int) -> Tensor:
    """The images as a tensor. Raises `WeightsError` unless they are uint8 [N, size, size]."""
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (size, size):
        raise WeightsError(
            f"the encoder takes grey uint8 images [N, {size}, {size}], "
            f"got {images.dtype} {list(images.shape)}"
        )
    return torch.from_numpy(np.ascontiguousarray(images))


def check_features(parts: list[Tensor]) -> NDArray[np.float16]:
    """Join feature maps [n, C, h, w] as float16. Raises `WeightsError` if they overflow it."""
    features: NDArray[Any] = torch.cat([part.to(torch.float16) for part in parts]).numpy()
    if not np.isfinite(features).all():
        raise WeightsError(
            "the encoder's features are not finite or beyond float16: its weights and its "
            "preprocessing do not belong together"
        )
    return features
