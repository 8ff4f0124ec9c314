"""Exchanging what belongs to studies: the control for a model that does not look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


def exchange(items: Sequence[Item], seed: int) -> list[Item]:
    """Give every study another study's item: a random cycle, so none keeps its own.

    A single study has no partner and keeps its item.
    """
    order = np.random.default_rng(seed).permutation(len(items))
    exchanged = list(items)
    for place, source in zip(order, np.roll(order, 1), strict=True):
        exchanged[place] = items[source]
    return exchanged
