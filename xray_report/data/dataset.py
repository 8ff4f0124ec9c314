"""Studies as batches: what DataLoader workers run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from xray_report.data.batch import Batch
from xray_report.data.loading import load_gray
from xray_report.data.pairs import ViewPair, pair_views
from xray_report.data.study import Region, Study
from xray_report.tokens import PAD_ID

REGION_GRID = 14
"""Regions are handed on at this resolution; models pool them to their own map."""


class FeatureReader(Protocol):
    """Maps of studies by row, as the feature cache reads them."""

    def read(self, indices: Sequence[int]) -> NDArray[np.float16]:
        """Float16 [B, 2, 1024, 7, 7] of rows `indices`."""
        ...


@dataclass(frozen=True)
class Example:
    """One study made ready: its row in the feature cache, its words and its reference."""

    study: Study
    row: int
    token_ids: tuple[int, ...]
    reference: str


class StudyDataset(Dataset[Batch]):
    """Examples to batches, a whole batch at a time (`__getitems__`).

    Args:
        examples: the split's studies.
        label_names: order of the labels' last axis.
        features: cached maps; None to load images instead.
        preprocess: uint8 [N, S, S] -> float32 [N, 3, S, S], used when `features` is None.
        image_size: S, pixels.
        regions: whether to draw where labels lie (only sources that know it can).
    """

    def __init__(
        self,
        examples: Sequence[Example],
        label_names: Sequence[str],
        *,
        features: FeatureReader | None = None,
        view_mask: NDArray[np.bool_] | None = None,
        preprocess: Callable[[Tensor], Tensor] | None = None,
        image_size: int = 224,
        regions: bool = False,
    ) -> None:
        self.examples, self.label_names = list(examples), tuple(label_names)
        self.features, self.view_mask, self.preprocess = features, view_mask, preprocess
        self.image_size, self.regions = image_size, regions

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> Batch:
        """One batch of the examples `indices`, less those of which no image can be read."""
        examples = [self.examples[i] for i in indices]
        pairs = [pair_views(example.study) for example in examples]
        if self.features is not None:
            assert self.view_mask is not None
            rows = [example.row for example in examples]
            features = torch.from_numpy(self.features.read(rows))
            mask = torch.from_numpy(self.view_mask[rows])
            return self._batch(examples, pairs, mask)._replace(features=features)
        loaded = load_gray(pairs, self.image_size)
        kept = loaded.view_mask.any(1).nonzero()[:, 0].tolist()
        return self._batch(
            [examples[n] for n in kept], [loaded.pairs[n] for n in kept], loaded.view_mask[kept]
        )._replace(images=self._prepared(loaded.gray[kept]), errors=loaded.errors)

    def _batch(
        self, examples: Sequence[Example], pairs: Sequence[ViewPair], view_mask: Tensor
    ) -> Batch:
        """All of a batch but its images or features."""
        labels = torch.from_numpy(self._labels(examples, pairs))
        return Batch(
            study_ids=[example.study.study_id for example in examples],
            images=None,
            features=None,
            view_mask=view_mask,
            tokens=pad([example.token_ids for example in examples]),
            references=[example.reference for example in examples],
            labels=labels,
            regions=self._regions(pairs, labels) if self.regions else None,
        )

    def image_labels(self) -> Tensor:
        """Labels [M, C] of every present view, without loading an image."""
        pairs = [pair_views(example.study) for example in self.examples]
        present = torch.tensor([[image is not None for image in pair] for pair in pairs])
        return torch.from_numpy(self._labels(self.examples, pairs))[present]

    def gray(self, indices: Sequence[int]) -> Tensor:
        """Grey images, uint8 [N, 2, S, S], of the same N examples as a batch of `indices` holds.

        A missing or unreadable view is black.
        """
        loaded = load_gray([pair_views(self.examples[i].study) for i in indices], self.image_size)
        return loaded.gray[loaded.view_mask.any(1)]

    def _prepared(self, gray: Tensor) -> Tensor:
        assert self.preprocess is not None
        images = self.preprocess(gray.flatten(0, 1))
        return images.view(len(gray), 2, *images.shape[1:])

    def _labels(
        self, examples: Sequence[Example], pairs: Sequence[ViewPair]
    ) -> NDArray[np.float32]:
        labels = np.full((len(pairs), 2, len(self.label_names)), np.nan, np.float32)
        for rows, example, pair in zip(labels, examples, pairs, strict=True):
            for row, image in zip(rows, pair, strict=True):
                if image is None:
                    continue
                known = example.study.labels if image.labels is None else image.labels
                if known:
                    row[:] = [known.get(name, np.nan) for name in self.label_names]
        return labels

    def _regions(self, pairs: Sequence[ViewPair], labels: Tensor) -> Tensor:
        shape = (len(pairs), 2, len(self.label_names), REGION_GRID, REGION_GRID)
        grid = torch.zeros(shape)
        for slots, pair in zip(grid, pairs, strict=True):
            for slot, image in zip(slots, pair, strict=True):
                regions = getattr(image.pixels, "regions", None) if image else None
                if regions is None:
                    slot.fill_(torch.nan)
                else:
                    self._draw(slot, regions())
        # A label that is unknown, or present but nowhere drawn, has no place to learn.
        nowhere = (labels == 1) & (grid.sum((-2, -1)) == 0)
        grid[nowhere | labels.isnan()] = torch.nan
        return grid

    def _draw(self, slot: Tensor, regions: Sequence[Region]) -> None:
        for region in regions:
            if region.label in self.label_names and region.mask.any():
                mask = torch.from_numpy(region.mask).float()[None]
                # The share of each cell that the finding covers.
                cells = torch.nn.functional.adaptive_avg_pool2d(mask, REGION_GRID)[0]
                at = self.label_names.index(region.label)
                slot[at] = torch.maximum(slot[at], cells)


def pad(sequences: Sequence[Sequence[int]]) -> Tensor:
    """Int64 [B, T] of `sequences`, the shorter ones filled with PAD."""
    longest = max((len(sequence) for sequence in sequences), default=0)
    tokens = torch.full((len(sequences), longest), PAD_ID)
    for row, sequence in zip(tokens, sequences, strict=True):
        row[: len(sequence)] = torch.tensor(sequence, dtype=torch.int64)
    return tokens
