"""The LightningDataModule: studies in, batches out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from xray_report.data.batch import Batch
from xray_report.data.bucketing import BucketBatchSampler
from xray_report.data.dataset import Example, StudyDataset
from xray_report.data.examples import TextOptions, build_vocabulary, make_examples, with_text
from xray_report.data.features import Encode, FeatureCache
from xray_report.data.study import SPLITS, DrawnSource, Split, Study, StudySource
from xray_report.data.target import report_text
from xray_report.errors import DataError, OptionError
from xray_report.text.vocabulary import Vocabulary

IMAGES = ("own", "exchanged")


@dataclass(frozen=True)
class LoaderOptions:
    """How batches are made.

    Args:
        batch_size: studies a batch.
        workers: processes that decode images; cached features need none.
        cache_dir: folder of the feature cache.
        strict: whether one unreadable image stops the run instead of being reported.
        validate_on: split that validation runs on (`train` only for memorising experiments).
        images: `own`, or `exchanged` to train on other studies' images: the blind control.
    """

    batch_size: int = 64
    workers: int = 0
    cache_dir: str = ".cache"
    strict: bool = False
    validate_on: Split = "val"
    images: str = "own"

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise OptionError(
                f"loader.batch_size must be a positive integer, got {self.batch_size}"
            )
        if self.workers < 0:
            raise OptionError(f"loader.workers must be zero or more, got {self.workers}")
        if self.validate_on not in SPLITS:
            raise OptionError(
                f"loader.validate_on must be one of {', '.join(SPLITS)}: {self.validate_on!r}"
            )
        if self.images not in IMAGES:
            raise OptionError(f"loader.images must be one of {', '.join(IMAGES)}: {self.images!r}")


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
        self.vocabulary = vocabulary
        if text and vocabulary is None:
            self.vocabulary = build_vocabulary(self.studies, text)
        self.datasets: dict[Split, StudyDataset] = {}

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
            Path(self.loader.cache_dir),
            image_size=self.image_size,
            workers=self.loader.workers,
            strict=self.loader.strict,
            prepare=self.source.prepare if isinstance(self.source, DrawnSource) else None,
        )

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled, length-bucketed training batches."""
        return self.batches("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Validation batches in order of length."""
        return self.batches(self.loader.validate_on, shuffle=False)

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

    def batches(self, split: Split, *, shuffle: bool) -> DataLoader[Batch]:
        """Loader of one split; every process of a distributed run takes its share."""
        dataset = self.dataset(split)
        trainer = self.trainer
        sampler = BucketBatchSampler(
            [len(example.token_ids) for example in dataset.examples],
            self.loader.batch_size,
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


def exchanged(examples: Sequence[Example]) -> list[Example]:
    """Each example with the images of the one half the list away: none keeps its own."""
    half = len(examples) // 2
    rows = [example.row for example in examples]
    return [
        replace(one, row=row) for one, row in zip(examples, rows[half:] + rows[:half], strict=True)
    ]


def already_a_batch(batch: Any) -> Any:
    """Collate nothing: `StudyDataset.__getitems__` made the batch."""
    return batch


def one_thread(worker: int) -> None:
    """Keep decoding workers from fighting over the cores."""
    torch.set_num_threads(1)
