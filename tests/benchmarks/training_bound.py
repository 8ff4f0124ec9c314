"""What the machine's measured rates allow a training step of the attention model."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

CHANNELS, LOCATIONS, WORD_SIZE = 1024, 98, 50


class Sizes(NamedTuple):
    """What a comparison is run at.

    Args:
        batch: studies, with both views.
        words: of every report, its end counted.
        hidden: size of the GRU, and width of a transformer.
        attention: units of the layer that scores a location.
        vocabulary: words there are.
        values: what locations are projected to; None for the encoder's own channels.
    """

    batch: int = 32
    words: int = 45
    hidden: int = 256
    attention: int = 128
    vocabulary: int = 400
    values: int | None = 128


def peaks() -> dict[str, float]:
    """This machine's rates: products in GFLOP/s, tanh and divisions in billions a second."""
    square, cells = torch.randn(1536, 1536), torch.randn(32 * LOCATIONS * 128)

    def best(run: Callable[[], Tensor]) -> float:
        times = []
        for _ in range(8):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return min(times)

    return {
        "products_gflops": 2e-9 * 1536**3 / best(lambda: square @ square),
        "tanh_g": 1e-9 * cells.numel() / best(cells.tanh),
        "divisions_g": 1e-9 * cells.numel() / best(cells.reciprocal),
    }


def bound(sizes: Sizes, rates: dict[str, float]) -> dict[str, float]:
    """Least seconds of a training step: products, tanh and divisions each at their peak.

    A product of a weight costs three (forward, gradient of input, gradient of weight), but the
    maps need no gradient. Each tanh of attention costs a division, which the attention model makes
    of it, and is counted once, though the backward pass needs it again; sigmoids count as tanh.
    """
    values = sizes.values or CHANNELS
    places, tokens = sizes.batch * LOCATIONS, sizes.batch * sizes.words
    shown = sizes.hidden + values
    cells = 2 * places * CHANNELS * values if sizes.values else 0
    cells += 3 * places * values * sizes.attention
    gates = WORD_SIZE + values + sizes.hidden
    cells += 3 * tokens * (3 * sizes.hidden * gates + sizes.attention * sizes.hidden)
    cells += 3 * tokens * shown * sizes.vocabulary
    cells += 3 * tokens * LOCATIONS * (values + sizes.attention)
    return {
        "products_s": 2e-9 * cells / rates["products_gflops"],
        "tanh_s": 1e-9 * tokens * 3 * sizes.hidden / rates["tanh_g"],
        "divisions_s": 1e-9 * tokens * LOCATIONS * sizes.attention / rates["divisions_g"],
    }
