"""Benchmark: images/s of DenseNet121, against torchvision as it comes and the machine.

Ours is `FeatureExtractor` on the processor, from grey pixels to float16 features, in each precision
that the processor has; torchvision's network has the same weights and preprocessing, in float32.
They take turns, and the best of a few rounds of some seconds counts. The share of the machine is
that of its convolution peak: the fastest of a few large 3x3 convolutions by oneDNN.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import densenet121

from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.extractor import FeatureExtractor, bfloat16_is_native

BATCH = 32
SMALL_BATCH = 8  # the one that suits torchvision best
ROUNDS, SECONDS = 3, 3.0
AS_IT_COMES = f"torchvision as it comes, batch {BATCH}"
IN_SMALL_BATCHES = f"torchvision as it comes, batch {SMALL_BATCH}"
WITH_OUR_MEMORY = f"torchvision where freed memory is kept, batch {BATCH}"


def rate(call: Callable[[], object], per_call: int, seconds: float = SECONDS) -> float:
    """Items a second of `call`, after one call to warm up."""
    call()
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        call()
        calls += 1
    return calls * per_call / (time.perf_counter() - start)


def peak(dtype: torch.dtype) -> float:
    """FLOP/s of the fastest large convolution, channels last."""
    best = 0.0
    for side, channels in ((28, 256), (14, 256), (28, 128)):
        images = torch.randn(8, channels, side, side).to(dtype)
        weight = torch.randn(channels, channels, 3, 3).to(dtype)
        images, weight = (
            part.contiguous(memory_format=torch.channels_last) for part in (images, weight)
        )
        flops = 2 * 8 * side * side * channels * channels * 9

        def convolve(images: torch.Tensor = images, weight: torch.Tensor = weight) -> object:
            return functional.conv2d(images, weight, padding=1)

        best = max(best, *(rate(convolve, flops, 0.5) for _ in range(ROUNDS)))
    return best


class Torchvision:
    """DenseNet121 as torchvision brings it.

    Args:
        encoder: whose weights and preprocessing to use.
        batch: images at a time.
    """

    def __init__(self, encoder: DenseNetEncoder, batch: int) -> None:
        self.net = densenet121(weights=None).eval()
        self.net.features.load_state_dict(encoder.features.state_dict())
        self.prepare, self.batch = encoder.preprocessing, batch

    def __call__(self, images: np.ndarray) -> object:
        """Features of grey images [N, S, S]."""
        parts = torch.split(torch.from_numpy(images), self.batch)
        return [functional.relu(self.net.features(self.prepare(part))) for part in parts]


def ours(encoder: DenseNetEncoder) -> Iterator[tuple[str, Callable[[np.ndarray], object]]]:
    """Name and extractor of each precision the processor has."""
    for precision in ("float32", *(["bfloat16"] if bfloat16_is_native() else [])):
        yield f"ours, {precision}", FeatureExtractor(encoder, "cpu", precision)


def in_turns(ways: dict[str, Callable[[np.ndarray], object]]) -> dict[str, float]:
    """Images/s of each way, the best of rounds in turn."""
    images = np.random.default_rng(0).integers(0, 256, (BATCH, 224, 224), dtype=np.uint8)
    rates = dict.fromkeys(ways, 0.0)
    for _ in range(ROUNDS):
        for name, way in ways.items():
            rates[name] = max(rates[name], rate(partial(way, images), BATCH))
    return rates


@torch.no_grad()
def run() -> dict[str, Any]:
    """Images/s of each contestant, ratios, and shares of the machine's peak."""
    torch.manual_seed(0)
    encoder = DenseNetEncoder().freeze()
    theirs = Torchvision(encoder, BATCH)
    # Before any extractor, which changes how the whole process keeps its memory.
    rates = in_turns({AS_IT_COMES: theirs, IN_SMALL_BATCHES: Torchvision(encoder, SMALL_BATCH)})
    rates |= in_turns({**dict(ours(encoder)), WITH_OUR_MEMORY: theirs})
    found: dict[str, Any] = {f"{name}, images/s": round(value, 1) for name, value in rates.items()}
    with FlopCounterMode(display=False) as counter:
        encoder(torch.zeros(1, 3, 224, 224))
    flops = counter.get_total_flops()
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        name = f"ours, {precision}"
        if name in rates:
            top = peak(dtype)
            for other in (AS_IT_COMES, IN_SMALL_BATCHES, WITH_OUR_MEMORY):
                found[f"{name}, times {other}"] = round(rates[name] / rates[other], 2)
            found[f"convolution peak {precision}, GFLOP/s"] = round(top / 1e9, 1)
            found[f"{name}, share of the peak"] = round(rates[name] * flops / top, 2)
    found["best, images/s"] = round(max(rates.values()), 1)
    return found
