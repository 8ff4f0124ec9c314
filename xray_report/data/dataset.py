"""From studies to batches: images loaded or features read, reports as token sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from xray_report.data.images import resize_gray
from xray_report.data.study import (
    SPLITS,
    TARGETS,
    Region,
    Split,
    Study,
    StudyImage,
    ViewPair,
    pair_views,
    report_text,
)
from xray_report.errors import DataError, OptionError, XrayReportError
from xray_report.exchange import exchange
from xray_report.options import as_path, check_choice, check_count
from xray_report.text.tokenizer import Tokenizer, tokenizer_named
from xray_report.tokens import MOST_TOKENS

FRONTAL_SLOT, LATERAL_SLOT = 0, 1


class Batch(NamedTuple):
    """One batch of studies. A NamedTuple, since Lightning moves and torch pins those.

    Args:
        study_ids: B ids.
        images: float32 [B, 2, 3, S, S], normalised as the encoder asks, or None.
        features: float16 [B, 2, C, h, w] from a frozen encoder, or None; never both images and
            features.
        view_mask: bool [B, 2]; slot 0 frontal, slot 1 lateral; False where a view is missing.
        tokens: int64 [B, T], BOS words EOS PAD.
        references: B report texts, as published (not cleaned).
        labels: float32 [B, 2, C], 1 present, 0 absent, NaN unknown; image by image.
        regions: float32 [B, 2, C, G, G] where labels lie, NaN unknown, or None.
        errors: why images of the batch could not be read. Their views are masked, and a study
            without any other is not in the batch, which may leave it with none (B = 0).
    """

    study_ids: list[str]
    images: Tensor | None
    features: Tensor | None
    view_mask: Tensor
    tokens: Tensor
    references: list[str]
    labels: Tensor
    regions: Tensor | None = None
    errors: tuple[XrayReportError, ...] = ()


# Images of whole batches, one unreadable file among them or not.


class Loaded(NamedTuple):
    """Grey images uint8 [N, 2, S, S], black where there is none, and what became of each.

    Args:
        pairs: as they were given, None in place of an image that could not be read.
        errors: why it could not.
    """

    gray: Tensor
    pairs: list[ViewPair]
    errors: tuple[XrayReportError, ...]

    @property
    def view_mask(self) -> Tensor:
        """Bool [N, 2], True where an image was read."""
        present = [[image is not None for image in pair] for pair in self.pairs]
        return torch.tensor(present, dtype=torch.bool).view(-1, 2)


def load_gray(pairs: Sequence[ViewPair], size: int) -> Loaded:
    """Load and resize the images of `pairs`; errors are returned, not raised.

    A loader's process cannot raise them without a traceback, and whether one unreadable image
    stops the run is not for it to say.
    """
    gray = np.zeros((len(pairs), 2, size, size), np.uint8)
    errors: list[XrayReportError] = []
    read = [
        ViewPair(*(_load(image, slot, errors) for image, slot in zip(pair, slots, strict=True)))
        for pair, slots in zip(pairs, gray, strict=True)
    ]
    return Loaded(torch.from_numpy(gray), read, tuple(errors))


def _load(
    image: StudyImage | None, slot: NDArray[np.uint8], errors: list[XrayReportError]
) -> StudyImage | None:
    """Fill one slot [S, S]; the image if that went well."""
    if image is None:
        return None
    try:
        slot[:] = resize_gray(image.pixels.load(), len(slot))
    except XrayReportError as error:
        errors.append(error)
        return None
    return image


# Studies as batches: what DataLoader workers run.

REGION_GRID = 14
"""Side of the grid that regions are given on; models pool it to their own map."""


class FeatureReader(Protocol):
    """Maps of N studies by row, as the feature store reads them."""

    @property
    def view_mask(self) -> NDArray[np.bool_]:
        """Bool [N, 2], True where there is a map."""
        ...

    def read(self, indices: Sequence[int]) -> NDArray[np.float16]:
        """Float16 [B, 2, C, h, w] of rows `indices`."""
        ...


@dataclass(frozen=True)
class Example:
    """One study made ready.

    Args:
        study: whose report it is.
        row: of its images' features.
        token_ids: its report, BOS ... EOS.
        reference: its report as published.
        imaged: the study whose images it is given, where images were exchanged.
    """

    study: Study
    row: int
    token_ids: tuple[int, ...]
    reference: str
    imaged: Study | None = None

    @property
    def views(self) -> ViewPair:
        """The images that it is given."""
        return pair_views(self.imaged or self.study)


class Preprocess(Protocol):
    """How grey pixels become the input of an encoder."""

    @property
    def size(self) -> int:
        """Side S of the images it takes, pixels."""
        ...

    def __call__(self, pixels: Tensor) -> Tensor:
        """Uint8 [N, S, S] -> float32 [N, 3, S, S]."""
        ...


class StudyDataset(Dataset[Batch]):
    """Examples to batches, a whole batch at a time: an index is a list of examples.

    Args:
        examples: the split's studies.
        label_names: order of the labels' last axis.
        features: maps of a frozen encoder; None to load images instead.
        versions: how often `features` has each study, all of one version behind all of another;
            example i in version v has the index i + v * len(examples).
        preprocess: used when `features` is None.
        image_size: side that images are resized to, pixels.
        regions: whether to draw where labels lie (only sources that know it can).
        pad_id: fills token sequences up to the longest of the batch, where there are any.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        label_names: Sequence[str],
        *,
        features: FeatureReader | None = None,
        versions: int = 1,
        preprocess: Preprocess | None = None,
        image_size: int,
        regions: bool = False,
        pad_id: int = 0,
    ) -> None:
        self.examples, self.label_names = list(examples), tuple(label_names)
        self.features, self.versions, self.preprocess = features, versions, preprocess
        self.image_size, self.regions, self.pad_id = image_size, regions, pad_id

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int | list[int]) -> Batch:
        return self.__getitems__([index] if isinstance(index, int) else index)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """One batch of the examples `indices`, less those of which no image can be read."""
        versions, at = np.divmod(np.asarray(indices, dtype=np.int64), len(self.examples))
        examples = [self.examples[i] for i in at]
        if self.features is not None:
            of_each = len(self.features.view_mask) // self.versions
            rows = [one.row + int(v) * of_each for one, v in zip(examples, versions, strict=True)]
            features = torch.from_numpy(self.features.read(rows))
            mask = torch.from_numpy(self.features.view_mask[rows])
            own = [pair_views(example.study) for example in examples]
            return self._batch(examples, own, mask)._replace(features=features)
        loaded = load_gray([example.views for example in examples], self.image_size)
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
            tokens=pad([example.token_ids for example in examples], self.pad_id),
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
        loaded = load_gray([self.examples[i].views for i in indices], self.image_size)
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


def pad(sequences: Sequence[Sequence[int]], pad_id: int) -> Tensor:
    """Int64 [B, T] of `sequences`, the shorter ones filled with `pad_id`."""
    longest = max((len(sequence) for sequence in sequences), default=0)
    tokens = torch.full((len(sequences), longest), pad_id)
    for row, sequence in zip(tokens, sequences, strict=True):
        row[: len(sequence)] = torch.tensor(sequence, dtype=torch.int64)
    return tokens


# From studies to examples: which text a study is trained on, and the words of it.


@dataclass(frozen=True)
class TextOptions:
    """How reports become token sequences.

    Args:
        target: section to write, as the source says, or the checkpoint that is evaluated.
        name: kind of tokenizer, see `xray_report.text.tokenizer`.
        max_tokens: longest report, tokens with the end counted, at most `MOST_TOKENS`. Longer ones
            are cut in training, and have no end to learn; references are never cut.
        tokenizer: the tokenizer's own options, for `Tokenizer.fit`.
    """

    target: str = "findings"
    name: str = "words"
    max_tokens: int = 100
    tokenizer: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("data.target", self.target, TARGETS)
        check_count("text.max_tokens", self.max_tokens, most=MOST_TOKENS)
        if not isinstance(self.tokenizer, Mapping):
            raise OptionError(f"text.tokenizer must be options by name, got {self.tokenizer!r}")
        tokenizer_named(self.name).check_options(**self.tokenizer)


def fit_tokenizer(studies: Sequence[Study], options: TextOptions) -> Tokenizer:
    """Tokenizer of the training reports alone. Raises `DataError` if there are none."""
    texts = [
        text
        for study in studies
        if study.split == "train" and (text := report_text(study, options.target))
    ]
    if not texts:
        raise DataError(
            f"no training study has {options.target} text to learn from; "
            "choose another data.target, or a data set that has reports"
        )
    return tokenizer_named(options.name).fit(texts, **options.tokenizer)


def with_text(studies: Sequence[Study], target: str, tokenizer: Tokenizer) -> list[Study]:
    """Studies whose target section has at least one token."""
    return [study for study in studies if tokenizer.normalise(report_text(study, target) or "")]


def make_examples(
    studies: Sequence[Study], split: Split, options: TextOptions, tokenizer: Tokenizer
) -> list[Example]:
    """Examples of one split, in the order of `studies`; rows count within the split."""
    chosen = [study for study in studies if study.split == split]
    return [_example(study, row, options, tokenizer) for row, study in enumerate(chosen)]


def _example(study: Study, row: int, options: TextOptions, tokenizer: Tokenizer) -> Example:
    reference = report_text(study, options.target) or ""
    tokens = tokenizer.encode(reference)[: options.max_tokens + 1]  # BOS is none of them
    return Example(study, row, tuple(tokens), reference)


def exchanged(examples: Sequence[Example], seed: int) -> list[Example]:
    """Each example with the images of another one: none keeps its own.

    Raises `OptionError` for a single example, which has no one to exchange with.
    """
    if len(examples) < 2:
        raise OptionError("images can be exchanged among two studies or more, not in one")
    return [
        replace(one, row=other.row, imaged=other.study)
        for one, other in zip(examples, exchange(examples, seed), strict=True)
    ]


# How batches are made.

IMAGE_CHOICES = ("own", "exchanged")


@dataclass(frozen=True)
class LoaderOptions:
    """How batches are made.

    Args:
        batch_size: studies a batch.
        workers: processes that decode images; features that are on disk need none.
        cache_dir: folder of the feature store.
        validate_on: split that validation runs on (`train` only for memorising experiments).
        images: `own`, or `exchanged` to train on other studies' images: the blind control.
        train_studies: most training studies that are used, None for all. Which ones depends on
            their ids alone: a smaller number takes a part of a larger one's, whatever the seed, so
            that an encoder and the decoders on it can learn from the same.
    """

    batch_size: int = 64
    workers: int = 0
    cache_dir: str = ".cache"
    validate_on: Split = "val"
    images: str = "own"
    train_studies: int | None = None

    def __post_init__(self) -> None:
        check_count("loader.batch_size", self.batch_size, 1)
        check_count("loader.workers", self.workers, 0)
        as_path("loader.cache_dir", self.cache_dir)
        check_choice("loader.validate_on", self.validate_on, SPLITS)
        check_choice("loader.images", self.images, IMAGE_CHOICES)
        if self.train_studies is not None:
            check_count("loader.train_studies", self.train_studies)

    def check_exchange(self, cached: bool) -> None:
        """Raise `OptionError` where images are to be exchanged that are not `cached` features."""
        if self.images == "exchanged" and not cached:
            raise OptionError(
                "loader.images=exchanged works on cached features: it cannot go with "
                "encoder.trainable=true or model=chexnet"
            )


def already_a_batch(batch: Any) -> Any:
    """Collate nothing: `StudyDataset` made the batch."""
    return batch
