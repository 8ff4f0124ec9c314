"""The LightningDataModule: studies in, batches out."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from xray_report.data.audit import Audited
from xray_report.data.dataset import (
    Batch,
    Example,
    LoaderOptions,
    StudyDataset,
    TextOptions,
    already_a_batch,
    build_vocabulary,
    exchanged,
    make_examples,
    one_thread,
    with_text,
)
from xray_report.data.features import Encode, FeatureCache
from xray_report.data.study import SPLITS, DrawnSource, Split, Study, StudySource, report_text
from xray_report.errors import DataError, ImageError, OptionError
from xray_report.text.vocabulary import Vocabulary

DECODED_TOGETHER = 64
"""Studies a batch, at least, where reports are decoded from cached maps."""


class ChestDataModule(pl.LightningDataModule):
    """Batches of a study source, with text for report models or labels for CheXNet.

    Args:
        source: the data set.
        text: how reports become words; None for labels only, which keeps studies without a report.
        vocabulary: of a trained model; None builds it from the training split.
        encode: a frozen encoder to cache features of; None yields images instead.
        preprocess, image_size: how images are made ready where they are not encoded.
        regions: also yield where labels lie.
        seed: orders the training batches.
    """

    def __init__(
        self,
        source: StudySource,
        loader: LoaderOptions,
        *,
        text: TextOptions | None,
        vocabulary: Vocabulary | None = None,
        encode: Encode | None = None,
        preprocess: Callable[[Tensor], Tensor] | None = None,
        image_size: int = 224,
        regions: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.source, self.loader, self.text = source, loader, text
        self.encode, self.preprocess = encode, preprocess
        self.image_size, self.regions, self.seed = image_size, regions, seed
        studies = source.studies()
        self.studies: list[Study] = with_text(studies, text) if text else studies
        self.without_text = len(studies) - len(self.studies)
        self.vocabulary = vocabulary
        if text and vocabulary is None:
            self.vocabulary = build_vocabulary(self.studies, text)
        self.datasets: dict[Split, StudyDataset] = {}
        self.unreadable: list[str] = []

    def read_images_by(
        self,
        preprocess: Callable[[Tensor], Tensor],
        image_size: int,
        encode: Encode | None = None,
    ) -> None:
        """Set how images are made ready, once an encoder is there; arguments as above."""
        self.preprocess, self.image_size, self.encode = preprocess, image_size, encode

    def split(self, split: Split) -> list[Study]:
        """Studies of one split."""
        return [study for study in self.studies if study.split == split]

    def references(self, split: Split) -> list[str]:
        """Report texts of one split, as published."""
        assert self.text is not None
        return [report_text(study, self.text.target) or "" for study in self.split(split)]

    def prepare_data(self) -> None:
        """Fill the feature cache of the splits that training needs (one process only)."""
        print(used_line(self.source, self.studies, self.without_text), file=sys.stderr)
        if self.encode is None and isinstance(self.source, DrawnSource):
            self.source.prepare()  # once, not in each process of the loader
        for split in dict.fromkeys(("train", self.loader.validate_on)):
            self.dataset(split)

    def dataset(self, split: Split) -> StudyDataset:
        """The split's data set, its features cached. Raises `DataError` if it has no study."""
        if split not in self.datasets:
            self.datasets[split] = self._make(split)
        return self.datasets[split]

    def _make(self, split: Split) -> StudyDataset:
        studies = self.split(split)
        if not studies:
            raise DataError(
                f"{self.source.name} has no usable study in split {split}; "
                "check data.split and what was dropped with `xray-report data audit`"
            )
        if self.loader.images == "exchanged" and self.encode is None:
            raise OptionError(
                "loader.images=exchanged works on cached features: it cannot go with "
                "encoder.trainable=true or model=chexnet"
            )
        cache = self._cache(studies) if self.encode else None
        examples = self._examples(studies, split)
        if cache is not None:  # without any readable image there is nothing to report on
            if self.loader.images == "exchanged" and split == "train":
                examples = exchanged(examples)
            examples = [one for one in examples if cache.view_mask[one.row].any()]
        return StudyDataset(
            examples,
            self.source.label_names,
            features=cache,
            view_mask=None if cache is None else cache.view_mask,
            preprocess=self.preprocess,
            image_size=self.image_size,
            regions=self.regions,
        )

    def _examples(self, studies: Sequence[Study], split: Split) -> list[Example]:
        if self.text is None:
            return [Example(study, row, (), "") for row, study in enumerate(studies)]
        assert self.vocabulary is not None
        return make_examples(studies, split, self.text, self.vocabulary)

    def _cache(self, studies: Sequence[Study]) -> FeatureCache:
        assert self.encode is not None
        return FeatureCache.open_or_fill(
            studies,
            self.encode,
            Path(self.loader.cache_dir).expanduser(),
            image_size=self.image_size,
            workers=self.loader.workers,
            strict=self.source.strict,
            prepare=self.source.prepare if isinstance(self.source, DrawnSource) else None,
        )

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Report images that could not be read, each once. Raises the first if `data.strict`."""
        for error in batch.errors:
            if self.source.strict or not isinstance(error, ImageError):
                raise error
            if str(error) not in self.unreadable:
                self.unreadable.append(str(error))
                print(f"left out, {len(self.unreadable)} by now: {error}", file=sys.stderr)
        return batch

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled, length-bucketed training batches."""
        return self.batches("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Validation batches in order of length; large ones where the maps are cached.

        Decoding costs little more for many studies than for few.
        """
        size = self.loader.batch_size
        if self.encode is not None:
            size = max(size, DECODED_TOGETHER)
        return self.batches(self.loader.validate_on, shuffle=False, batch_size=size)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Test batches in order of length."""
        return self.batches("test", shuffle=False)

    def sample(self, studies: int) -> Batch:
        """Batch of the first `studies` validation studies."""
        dataset = self.dataset(self.loader.validate_on)
        return dataset.__getitems__(list(range(min(studies, len(dataset)))))

    def pictures(self, studies: int) -> Tensor:
        """Grey images of the same studies, uint8 [studies, 2, S, S], as a person looks at them."""
        dataset = self.dataset(self.loader.validate_on)
        return dataset.gray(list(range(min(studies, len(dataset)))))

    def batches(
        self, split: Split, *, shuffle: bool, batch_size: int | None = None
    ) -> DataLoader[Batch]:
        """Loader of one split; every process of a distributed run takes its share."""
        dataset = self.dataset(split)
        trainer = self.trainer
        sampler = BucketBatchSampler(
            [len(example.token_ids) for example in dataset.examples],
            batch_size or self.loader.batch_size,
            shuffle=shuffle,
            seed=self.seed,
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
        )
        sampler.set_epoch(trainer.current_epoch if trainer else 0)
        workers = 0 if dataset.features is not None else self.loader.workers
        return DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=already_a_batch,
            num_workers=workers,
            worker_init_fn=one_thread if workers else None,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
        )


# ------------------------------------------------------------------------------
# Batches of studies of like report length, so that little is computed on padding.


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


# ------------------------------------------------------------------------------
# What of a data set a run uses and what was left out, in a line for people.


def used_line(source: StudySource, used: Sequence[Study], without_text: int) -> str:
    """Such as `iu_xray: train 2069, val 296, test 590 studies; left out: 104 no image found`.

    Args:
        source: the data set, which knows what its own rules left out.
        used: studies that are left, each with its split.
        without_text: studies left out since nothing of the section to be written is there.
    """
    sides = Counter(study.split for study in used)
    counts = ", ".join(f"{split} {sides[split]}" for split in SPLITS)
    dropped = dict(source.dropped) if isinstance(source, Audited) else {}
    dropped[f"without words in {source.target}"] = without_text
    left_out = ", ".join(f"{count} {rule}" for rule, count in dropped.items() if count)
    return f"{source.name}: {counts} studies" + (f"; left out: {left_out}" if left_out else "")
