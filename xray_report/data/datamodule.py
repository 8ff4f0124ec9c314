"""The LightningDataModule: studies in, batches out."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain, cycle, islice
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from xray_report.data.augmentation import Augmentation, augmented
from xray_report.data.dataset import (
    Batch,
    Example,
    LoaderOptions,
    Preprocess,
    StudyDataset,
    TextOptions,
    already_a_batch,
    exchanged,
    fit_tokenizer,
    make_examples,
    with_text,
)
from xray_report.data.features import Encode, FeatureStore, StudyFeatures
from xray_report.data.images import one_thread
from xray_report.data.splits import marks_of
from xray_report.data.study import (
    SPLITS,
    Audited,
    DrawnSource,
    Split,
    Study,
    StudySource,
    report_text,
)
from xray_report.errors import DataError, ImageError, OptionError
from xray_report.exchange import exchange
from xray_report.options import check_choice
from xray_report.text.tokenizer import Tokenizer

DECODED_TOGETHER = 64
"""Studies a batch, at least, where reports are decoded from maps on disk."""

Relabel = Callable[[Sequence[Study], Sequence[str]], tuple[list[Study], tuple[str, ...]]]
"""Studies and the names of their labels -> those to use, relabelled, and the names of these."""


class ChestDataModule(pl.LightningDataModule):
    """Batches of a study source, with text for report models or labels for CheXNet.

    Nothing is read before `prepare_data` or `setup`, or before what they find is asked for.

    Args:
        source: the data set.
        loader: how batches are made.
        text: how reports become words; None for labels only, which keeps studies without a report.
        tokenizer: of a trained model; None fits one to the training split.
        encode: a frozen encoder whose features are read from a store; None yields images instead.
        preprocess: how images are made ready where they are not encoded.
        relabel: gives the studies other labels than the source's own; None leaves them.
        regions: also yield where labels lie.
        augment: changes the images of training batches, on their device; where features are read
            from a store, `augment.copies` of each training film are there, too.
        seed: orders the training batches.
        test_split: what `test_dataloader` and `predict_dataloader` give.
        exchange_seed: exchange the images of the studies that those give, by this seed, to see
            whether a model uses them; None leaves every study its own.

    Raises:
        OptionError: options that do not go together.
    """

    def __init__(
        self,
        source: StudySource,
        loader: LoaderOptions,
        *,
        text: TextOptions | None,
        tokenizer: Tokenizer | None = None,
        encode: Encode | None = None,
        preprocess: Preprocess | None = None,
        relabel: Relabel | None = None,
        regions: bool = False,
        augment: Augmentation | None = None,
        seed: int = 0,
        test_split: Split = "test",
        exchange_seed: int | None = None,
    ) -> None:
        super().__init__()
        check_choice("split", test_split, SPLITS)
        if encode or preprocess:
            loader.check_exchange(cached=encode is not None)
        self.source, self.loader, self.text = source, loader, text
        self.encode, self.preprocess, self.relabel = encode, preprocess, relabel
        self.regions, self.augment, self.seed = regions, augment or Augmentation(), seed
        self.test_split, self.exchange_seed = test_split, exchange_seed
        self.unreadable: list[str] = []
        self._tokenizer = tokenizer
        self._features: dict[Split, StudyFeatures] = {}
        self._datasets: dict[tuple[Split, int | None], StudyDataset] = {}
        self._described = False
        self._resumed = (0, 0)

    def make_ready(self, preprocess: Preprocess | None, encode: Encode | None = None) -> None:
        """Say how images are made ready, as the constructor does, once the encoder is there.

        So that mistakes in the data are found before its weights are fetched and read.
        """
        self.loader.check_exchange(cached=encode is not None)
        self.preprocess, self.encode = preprocess, encode

    # What the data set holds, read when it is first asked for.

    @cached_property
    def _labelled(self) -> tuple[list[Study], tuple[str, ...]]:
        """All studies with their labels, and the names of these."""
        studies, names = self.source.studies(), tuple(self.source.label_names)
        return (studies, names) if self.relabel is None else self.relabel(studies, names)

    @cached_property
    def _chosen(self) -> list[Study]:
        """Labelled studies, of training no more than `loader.train_studies`."""
        studies, most = self._labelled[0], self.loader.train_studies
        return studies if most is None else fewer_in_train(studies, most, self.text)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels, in the order of a batch's last axis."""
        return self._labelled[1]

    @cached_property
    def _read(self) -> tuple[list[Study], int]:
        """Studies that can be used, and how many have no text."""
        studies = self._chosen
        if self.text is None:
            return studies, 0
        if self._tokenizer is None:
            try:
                self._tokenizer = fit_tokenizer(studies, self.text)
            except DataError as error:
                line = used_line(self.source, studies, len(studies))
                raise DataError(f"{error} ({line})") from error
        usable = with_text(studies, self.text.target, self._tokenizer)
        return usable, len(studies) - len(usable)

    @property
    def studies(self) -> list[Study]:
        """All usable studies, each with its split."""
        return self._read[0]

    @property
    def without_text(self) -> int:
        """How many studies were left out since they have no text to write."""
        return self._read[1]

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Of the training reports; None where no text is asked for. Raises `DataError`."""
        if self.text and self._tokenizer is None:
            _ = self._read
        return self._tokenizer

    def split(self, split: Split) -> list[Study]:
        """Studies of one split."""
        return [study for study in self.studies if study.split == split]

    def references(self, split: Split) -> list[str]:
        """Report texts of one split, as published."""
        assert self.text is not None
        return [report_text(study, self.text.target) or "" for study in self.split(split)]

    # Lightning's hooks.

    def state_dict(self) -> dict[str, int]:
        """The epoch that training is in, and how many of its batches it has seen."""
        assert self.trainer is not None
        seen = int(self.trainer.fit_loop.epoch_loop.batch_progress.current.ready)
        epoch = int(self.trainer.current_epoch)
        if seen >= self.trainer.num_training_batches:
            epoch, seen = epoch + 1, 0
        return {"epoch": epoch, "batches": seen}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Where training goes on; before its loader is made, since Lightning restores it later."""
        if self.trainer is not None and self.trainer.state.fn == TrainerFn.FITTING:
            self._resumed = (state_dict["epoch"], state_dict["batches"])

    def prepare_data(self) -> None:
        """Draw images, or encode those whose features are missing, in one process for all.

        Inside a Trainer of the splits that its stage needs, else of those of training.
        """
        if not self._described:
            self._described = True
            beyond = len(self._labelled[0]) - len(self._chosen)
            said = used_line(self.source, self.studies, self.without_text, beyond)
            print(said, file=sys.stderr)
        if self.encode is None:
            if isinstance(self.source, DrawnSource):
                self.source.prepare()  # once, not in each process of the loader
            return
        stage = self.trainer.state.fn if self.trainer else None
        for split in self._splits(stage.value if stage else "fit"):
            self._fill(split, self.encode)

    def setup(self, stage: str | None = None) -> None:
        """Read the studies and their texts; data sets are made as loaders ask for them.

        Raises:
            DataError: the data set cannot be read, or a split that the stage needs is empty.
        """
        for split in self._splits(stage):
            self._studies_of(split)

    def _splits(self, stage: str | None) -> list[Split]:
        """Splits that a stage of the Trainer needs; without a stage all that are not empty."""
        if stage is None:
            return [split for split in SPLITS if self.split(split)]
        validated = self.loader.validate_on
        needed: dict[str, tuple[Split, ...]] = {
            "fit": ("train", validated),
            "validate": (validated,),
            "test": (self.test_split,),
            "predict": (self.test_split,),
        }
        return list(dict.fromkeys(needed[stage]))

    def _studies_of(self, split: Split) -> list[Study]:
        studies = self.split(split)
        if not studies:
            raise DataError(
                f"{self.source.name} has no usable study in split {split}; "
                "check data.split and what was dropped with `xray-report data audit`"
            )
        return studies

    def _fill(self, split: Split, encode: Encode) -> None:
        """Encode what the split lacks, unless this process has done so before."""
        if split not in self._features:
            self._features[split] = self._store(encode).fill(
                self._filmed(split),
                workers=self.loader.workers,
                strict=self.source.strict,
                prepare=self.source.prepare if isinstance(self.source, DrawnSource) else None,
            )

    def _filmed(self, split: Split) -> list[Study]:
        """Studies of a split; behind those of training their augmented copies, all of one number
        after all of another."""
        studies, numbers = self._studies_of(split), range(1, self._versions(split))
        copies = (augmented(studies, self.augment, number) for number in numbers)
        return [*studies, *chain.from_iterable(copies)]

    def _versions(self, split: Split) -> int:
        """How often the features of each study of a split are there, each time of other films."""
        return 1 if self.encode is None or split != "train" else 1 + self.augment.copies

    def _store(self, encode: Encode) -> FeatureStore:
        return FeatureStore(Path(self.loader.cache_dir).expanduser(), encode)

    # Data sets.

    @property
    def image_size(self) -> int:
        """Side of the images, pixels, as the encoder takes them."""
        taker = self.encode or self.preprocess
        if taker is None:
            raise OptionError("ChestDataModule needs encode or preprocess to make images ready")
        return taker.size

    def dataset(self, split: Split, exchange_seed: int | None = None) -> StudyDataset:
        """The split's data set; where features are read, of studies that have any image.

        Args:
            split: which.
            exchange_seed: of an exchange of the studies' images; None for none.

        Raises:
            DataError: it has no study, or the features cannot be had.
        """
        key = (split, exchange_seed)
        if key not in self._datasets:
            examples, features = self._examples(split), self._features_of(split)
            if features is not None:
                views = features.view_mask.reshape(self._versions(split), -1, 2)
                usable = (views[..., 0] | views[..., 1]).min(axis=0)
                examples = [one for one in examples if usable[one.row]]
            if exchange_seed is not None:
                examples = exchanged(examples, exchange_seed)
            self._datasets[key] = StudyDataset(
                examples,
                self.label_names,
                features=features,
                versions=self._versions(split),
                preprocess=self.preprocess,
                image_size=self.image_size,
                regions=self.regions,
                pad_id=self.tokenizer.special.pad if self.tokenizer else 0,
            )
        return self._datasets[key]

    def _examples(self, split: Split) -> list[Example]:
        studies = self._studies_of(split)
        if self.text is None:
            return [Example(study, row, (), "") for row, study in enumerate(studies)]
        assert self.tokenizer is not None
        return make_examples(studies, split, self.text, self.tokenizer)

    def _features_of(self, split: Split) -> StudyFeatures | None:
        """Features of the split: the first process of a machine encodes what it lacks by now."""
        if self.encode is None:
            return None
        if self.trainer is None or self.trainer.local_rank == 0:
            self._fill(split, self.encode)
        elif split not in self._features:
            self._features[split] = self._store(self.encode).find(self._filmed(split))
        return self._features[split]

    def _seed_of(self, split: Split) -> int | None:
        """Of the exchange of images in training and in its validation on the same studies."""
        return self.seed if self.loader.images == "exchanged" and split == "train" else None

    @property
    def _validated(self) -> StudyDataset:
        split = self.loader.validate_on
        return self.dataset(split, self._seed_of(split))

    def image_rows(self, split: Split) -> list[int]:
        """Whose images each of `dataset(split)` is tested with, as numbers of its examples."""
        rows = range(len(self.dataset(split)))
        tested = split == self.test_split and self.exchange_seed is not None
        return exchange(rows, self.exchange_seed or 0) if tested else list(rows)

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Report images that could not be read, each once. Raises the first if `data.strict`."""
        for error in batch.errors:
            if self.source.strict or not isinstance(error, ImageError):
                raise error
            if str(error) not in self.unreadable:
                self.unreadable.append(str(error))
                print(f"left out, {len(self.unreadable)} by now: {error}", file=sys.stderr)
        return batch

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment the images of a training batch, where it has any."""
        training = self.trainer is not None and self.trainer.training
        if not training or not self.augment or batch.images is None or not batch.study_ids:
            return batch
        present = batch.view_mask.nonzero(as_tuple=True)
        regions = None if batch.regions is None else batch.regions[present]
        images, regions = self.augment(batch.images[present], regions)
        batch.images[present] = images
        if batch.regions is not None and regions is not None:
            batch.regions[present] = regions
        return batch

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled, length-bucketed training batches."""
        return self._batches(self.dataset("train", self._seed_of("train")), shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Validation batches in order of length; large ones where maps are read.

        Decoding costs little more for many studies than for few.
        """
        size = self.loader.batch_size
        if self.encode is not None:
            size = max(size, DECODED_TOGETHER)
        return self._batches(self._validated, size)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Batches of the tested split in order of length, its images exchanged if so asked."""
        return self._batches(self.dataset(self.test_split, self.exchange_seed))

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The same batches as for testing."""
        return self.test_dataloader()

    def validation(self) -> Iterator[Batch]:
        """All validation studies in their order, the same in every process."""
        dataset = self._validated
        for start in range(0, len(dataset), DECODED_TOGETHER):
            yield dataset.__getitems__(range(len(dataset))[start : start + DECODED_TOGETHER])

    def some_of_train(self, most: int) -> Iterator[Batch]:
        """At most so many training studies, as good as drawn by lot, with their own films."""
        dataset = self.dataset("train", self._seed_of("train"))
        rows = some_rows(dataset, most)
        for start in range(0, len(rows), DECODED_TOGETHER):
            yield dataset.__getitems__(rows[start : start + DECODED_TOGETHER])

    def sample(self, studies: int) -> Batch:
        """Batch of the first `studies` validation studies."""
        dataset = self._validated
        return dataset.__getitems__(range(min(studies, len(dataset))))

    def pictures(self, studies: int) -> Tensor:
        """Grey images of the same studies, uint8 [studies, 2, S, S], for pictures."""
        dataset = self._validated
        return dataset.gray(range(min(studies, len(dataset))))

    def _batches(
        self, dataset: StudyDataset, batch_size: int | None = None, *, shuffle: bool = False
    ) -> DataLoader[Batch]:
        """Loader of one data set; every process of a distributed run takes its share."""
        trainer = self.trainer
        sampler = BucketBatchSampler(
            [len(example.token_ids) for example in dataset.examples],
            batch_size or self.loader.batch_size,
            shuffle=shuffle,
            versions=dataset.versions if shuffle else 1,
            seed=self.seed,
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
        )
        if shuffle:
            (epoch, sampler.skipped), self._resumed = self._resumed, (0, 0)
            sampler.set_epoch(max(epoch, trainer.current_epoch if trainer else 0))
        workers = 0 if dataset.features is not None else self.loader.workers
        return DataLoader(
            dataset,
            batch_size=None,  # the sampler's items are batches
            sampler=sampler,
            collate_fn=already_a_batch,
            num_workers=workers,
            worker_init_fn=one_thread if workers else None,
            persistent_workers=workers > 0,
            # Random numbers of its own: a resumed run makes another number of loaders.
            generator=torch.Generator().manual_seed(self.seed),
            pin_memory=trainer is not None and trainer.strategy.root_device.type == "cuda",
        )


# Batches of studies of like report length, so that little is computed on padding.


class BucketBatchSampler(DistributedSampler[list[int]]):
    """Yields lists of indices whose lengths are close to each other.

    An epoch's order depends on (seed, epoch) alone. Shuffled indices are cut into pools of
    `pool_batches` batches, each pool is sorted by length and cut into batches, and the batches
    are shuffled. With several ranks each takes every `world_size`-th batch; the last few batches
    are repeated so that all ranks have equally many. A `DistributedSampler`, so that Lightning
    leaves the sharing to it and sets its epoch: a resumed run goes on in the same order.

    Args:
        lengths: length of each item, such as its number of tokens.
        batch_size: items a batch; the last batch may be smaller.
        shuffle: False gives batches in order of length, the same every epoch.
        versions: of each item, of which every epoch draws one: item i in version v is the index
            i + v * len(lengths).

    Attributes:
        skipped: batches to leave out of the next epoch, which has been begun before.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        *,
        shuffle: bool,
        versions: int = 1,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        pool_batches: int = 16,
    ) -> None:
        self.lengths = np.asarray(lengths, dtype=np.int64)
        super().__init__(
            self.lengths,  # type: ignore[arg-type]
            num_replicas=world_size,
            rank=rank,
            shuffle=shuffle,
            seed=seed,
        )
        self.batch_size, self.pool_batches, self.versions = batch_size, pool_batches, versions
        self.skipped = 0

    def __len__(self) -> int:
        batches = -(-len(self.lengths) // self.batch_size)
        return -(-batches // self.num_replicas)

    def __iter__(self) -> Iterator[list[int]]:
        batches = self._batches()
        batches = list(islice(cycle(batches), len(self) * self.num_replicas))
        self.epoch += 1
        start, self.skipped = self.skipped, 0
        yield from batches[self.rank :: self.num_replicas][start:]

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
        batches = [batches[i] for i in random.permutation(len(batches))]
        if self.versions == 1:
            return batches
        drawn = order.size * random.integers(self.versions, size=order.size)
        return [[i + int(drawn[i]) for i in batch] for batch in batches]

    def _cut(self, order: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[list[int]]:
        return [
            order[start : start + self.batch_size].tolist()
            for start in range(0, len(order), self.batch_size)
        ]


# A part of the training studies.


def some_rows(dataset: StudyDataset, most: int) -> list[int]:
    """Numbers of at most so many examples, as good as drawn by lot, the same ones every time."""
    turns = [marks_of(one.study)[0] for one in dataset.examples]
    return sorted(range(len(turns)), key=turns.__getitem__)[:most]


def fewer_in_train(studies: Sequence[Study], most: int, text: TextOptions | None) -> list[Study]:
    """Studies in their order, but of training studies at most `most`, the same ones every time.

    A study's turn is the mark of its id, which is as good as drawn by lot and stays what it is
    when other studies come and go. Where a text is to be written, those that have one go first.
    """

    def turn(study: Study) -> tuple[bool, str]:
        silent = text is not None and not report_text(study, text.target)
        return silent, marks_of(study)[0]

    train = sorted((study for study in studies if study.split == "train"), key=turn)
    kept = {study.study_id for study in train[:most]}
    return [study for study in studies if study.split != "train" or study.study_id in kept]


# What of a data set a run uses and what was left out, in a line for people.


def used_line(
    source: StudySource, used: Sequence[Study], without_text: int, beyond: int = 0
) -> str:
    """Such as `iu_xray: train 2069, val 296, test 590 studies; left out: 104 no image found`.

    Args:
        source: the data set, which knows what its own rules left out.
        used: studies that are left, each with its split.
        without_text: studies left out since nothing of the section to be written is there.
        beyond: training studies that `loader.train_studies` leaves out.
    """
    sides = Counter(study.split for study in used)
    counts = ", ".join(f"{split} {sides[split]}" for split in SPLITS)
    dropped = dict(source.dropped) if isinstance(source, Audited) else {}
    dropped[f"without words in {source.target}"] = without_text
    dropped["beyond loader.train_studies"] = beyond
    left_out = ", ".join(f"{count} {rule}" for rule, count in dropped.items() if count)
    return f"{source.name}: {counts} studies" + (f"; left out: {left_out}" if left_out else "")
