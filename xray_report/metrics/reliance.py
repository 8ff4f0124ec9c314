"""Image reliance: what is lost when the studies' images are exchanged.

A report is a function of its study's images alone, so decoding with the images of study j in the
place of study i's gives exactly study j's report. Exchanging the images is therefore the same as
exchanging the reports, and costs no second decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
SEED = 4


def exchange(items: Sequence[Item], seed: int = SEED) -> list[Item]:
    """Give every study another study's item: a random cycle, so none keeps its own.

    A single study has no partner and keeps its item.
    """
    order = np.random.default_rng(seed).permutation(len(items))
    exchanged = list(items)
    for place, source in zip(order, np.roll(order, 1), strict=True):
        exchanged[place] = items[source]
    return exchanged
