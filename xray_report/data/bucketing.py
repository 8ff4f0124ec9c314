"""Batches of studies of like report length, so that little is computed on padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle, islice

import numpy as np
from torch.utils.data import Sampler


class BucketBatchSampler(Sampler[list[int]]):
    """Yields lists of indices whose lengths are close to each other.

    An epoch's order depends on (seed, epoch) alone. Shuffled indices are cut into pools of
    `pool_batches` batches, each pool is sorted by length and cut into batches, and the batches
    are shuffled. With several ranks each takes every `world_size`-th batch; the last few batches
    are repeated so that all ranks have equally many.

    Args:
        lengths: length of each item, such as its number of tokens.
        batch_size: items a batch; the last batch may be smaller.
        shuffle: False gives batches in order of length, the same every epoch.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        pool_batches: int = 16,
    ) -> None:
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self.rank, self.world_size, self.pool_batches = rank, world_size, pool_batches
        self.epoch = 0

    @property
    def sampler(self) -> BucketBatchSampler:
        """Where Lightning looks for `set_epoch`: so a resumed run goes on in the same order."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration has."""
        self.epoch = epoch

    def __len__(self) -> int:
        batches = -(-len(self.lengths) // self.batch_size)
        return -(-batches // self.world_size)

    def __iter__(self) -> Iterator[list[int]]:
        batches = self._batches()
        batches = list(islice(cycle(batches), len(self) * self.world_size))
        self.epoch += 1
        yield from batches[self.rank :: self.world_size]

    def _batches(self) -> list[list[int]]:
        if not self.shuffle:
            return self._cut(np.argsort(self.lengths, kind="stable"))
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(len(self.lengths))
        pool = self.batch_size * self.pool_batches
        batches: list[list[int]] = []
        for start in range(0, len(order), pool):
            part = order[start : start + pool]
            batches += self._cut(part[np.argsort(self.lengths[part], kind="stable")])
        return [batches[i] for i in random.permutation(len(batches))]

    def _cut(self, order: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[list[int]]:
        return [
            order[start : start + self.batch_size].tolist()
            for start in range(0, len(order), self.batch_size)
        ]
