from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.tiny_source import LABELS, TEXTS, TinySource
from xray_report.data.augmentation import Augmentation
from xray_report.data.datamodule import BucketBatchSampler, ChestDataModule
from xray_report.data.dataset import Batch, LoaderOptions, TextOptions, exchanged
from xray_report.data.features import RECORD
from xray_report.data.study import Split, Study
from xray_report.errors import DataError, OptionError
from xray_report.models.encoders.protocol import Preprocessing
from xray_report.tokens import WORD_TOKENS


class BrightnessEncode:
    """Stands in for an encoder: each of five channels is the image, pooled to 3 x 4."""

    identity = "brightness"
    size = 64
    batch = 4

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float16]:
        gray = torch.from_numpy(images).float()[:, None] / 255
        pooled = torch.nn.functional.adaptive_avg_pool2d(gray, (3, 4))
        return pooled.expand(-1, 5, -1, -1).half().numpy()


def with_images(**options: object) -> ChestDataModule:
    return ChestDataModule(
        TinySource(),
        LoaderOptions(batch_size=3),
        text=TextOptions(),
        preprocess=Preprocessing(size=64),
        **options,  # type: ignore[arg-type]
    )


def test_batches_hold_what_the_studies_say() -> None:
    data = with_images()
    seen: dict[str, str] = {}
    for batch in data.train_dataloader():
        size = len(batch.study_ids)
        assert batch.features is None
        assert batch.images is not None
        assert batch.images.shape == (size, 2, 3, 64, 64)
        assert batch.images.dtype == torch.float32
        assert batch.labels.shape == (size, 2, len(LABELS))
        assert (batch.tokens[:, 0] == WORD_TOKENS.bos).all()
        for study_id, tokens, reference, mask in zip(
            batch.study_ids, batch.tokens, batch.references, batch.view_mask, strict=True
        ):
            assert data.tokenizer is not None
            words = data.tokenizer.decode(tokens.tolist())
            assert words == data.tokenizer.normalise(reference)
            ended = tokens[tokens != WORD_TOKENS.pad]
            assert ended[-1] == WORD_TOKENS.eos
            index = int(study_id.removeprefix("tiny-"))
            assert reference == TEXTS[index % 4]
            assert mask.tolist() == [True, index % 3 != 0]
            seen[study_id] = reference
    assert len(seen) == 8


def test_a_missing_view_has_unknown_labels_and_no_regions() -> None:
    batch = next(iter(with_images(regions=True).val_dataloader()))
    assert batch.regions is not None
    assert batch.labels[~batch.view_mask].isnan().all()
    assert batch.regions[~batch.view_mask].isnan().all()


def test_regions_lie_where_the_source_drew_them() -> None:
    data = with_images(regions=True)
    batch = data.dataset("train").__getitems__([3])  # the marked one
    assert batch.regions is not None
    opacity = batch.regions[0, 0, 2]
    assert (opacity[:7, :7] == 1).all()
    assert opacity.sum() == 49


def test_vocabulary_comes_from_train_alone() -> None:
    class Leaky(TinySource):
        def studies(self):  # type: ignore[no-untyped-def]
            studies = super().studies()
            return [*studies[:-1], replace(studies[-1], findings="Unheard words.")]

    data = ChestDataModule(Leaky(), LoaderOptions(), text=TextOptions())
    assert data.tokenizer is not None
    assert "unheard" not in data.tokenizer.words
    assert "effusion" in data.tokenizer.words


def test_features_are_encoded_once_and_read_by_batch(tmp_path: Path) -> None:
    calls = []

    class Counting(BrightnessEncode):
        def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float16]:
            calls.append(len(images))
            return super().__call__(images)

    def build() -> ChestDataModule:
        return ChestDataModule(
            TinySource(),
            LoaderOptions(batch_size=3, cache_dir=str(tmp_path), workers=0),
            text=TextOptions(),
            encode=Counting(),
        )

    first = build()
    first.prepare_data()
    present = sum(len(study.images) for study in first.split("train") + first.split("val"))
    assert sum(calls) == present  # a missing view is never encoded
    again = build()
    again.prepare_data()
    assert sum(calls) == present
    for batch in again.val_dataloader():
        assert batch.images is None
        assert batch.features is not None
        assert batch.features.shape == (len(batch.study_ids), 2, 5, 3, 4)
        assert (batch.features[~batch.view_mask] == 0).all()
        assert (batch.features[batch.view_mask] > 0).any()


def in_train(most: int | None, source: TinySource, text: TextOptions | None) -> list[str]:
    loader = LoaderOptions(train_studies=most)
    data = ChestDataModule(source, loader, text=text, preprocess=Preprocessing(size=64))
    assert [len(data.split(split)) for split in ("val", "test")] == [4, 4]  # whole, always
    return [example.study.study_id for example in data.dataset("train").examples]


@pytest.mark.parametrize("text", [TextOptions(), None])
def test_fewer_training_studies_are_a_part_of_more(text: TextOptions | None) -> None:
    source = TinySource((30, 4, 4))
    every = in_train(None, source, text)
    found = {most: in_train(most, source, text) for most in (5, 20, 30, 31)}
    assert [len(ids) for ids in found.values()] == [5, 20, 30, 30]
    assert set(found[5]) < set(found[20])
    assert found[30] == found[31] == every
    assert found[20] == [one for one in every if one in found[20]]  # in the order of all
    assert found[5] != every[:5]  # not the first of a file, which may be sorted


def test_one_more_training_study_changes_little_of_a_part() -> None:
    """A shuffle of all would draw anew."""
    fewer = set(in_train(10, TinySource((30, 4, 4)), None))
    assert len(fewer & set(in_train(10, TinySource((31, 4, 4)), None))) >= 9


def test_fewer_training_studies_have_text_and_make_the_vocabulary(
    capfd: pytest.CaptureFixture[str],
) -> None:
    class HalfWritten(TinySource):
        def studies(self):  # type: ignore[no-untyped-def]
            return [
                replace(study, findings=None if n % 2 else f"word{chr(ord('a') + n)}")
                for n, study in enumerate(super().studies())
            ]

    data = ChestDataModule(
        HalfWritten((16, 4, 4)),
        LoaderOptions(train_studies=3),
        text=TextOptions(tokenizer={"min_count": 1}),
        preprocess=Preprocessing(size=64),
    )
    data.prepare_data()
    assert len(data.references("train")) == 3  # of eight with a text, eight without
    assert data.tokenizer is not None
    words = [word for word in data.tokenizer.words if word.startswith("word")]
    assert sorted(words) == sorted(data.references("train"))
    said = capfd.readouterr().err
    assert "tiny: train 3, val 2, test 2 studies; left out: 4 without words in findings" in said
    assert "13 beyond loader.train_studies" in said


def test_studies_without_the_target_are_left_out() -> None:
    data = ChestDataModule(TinySource(), LoaderOptions(), text=TextOptions(target="impression"))
    with pytest.raises(DataError, match="impression"):
        assert data.tokenizer


def test_an_empty_split_is_named() -> None:
    data = ChestDataModule(TinySource((8, 0, 0)), LoaderOptions(), text=TextOptions())
    for ask in (data.val_dataloader, lambda: data.setup("fit"), lambda: data.setup("validate")):
        with pytest.raises(DataError, match=r"tiny .* split val"):
            ask()
    data.setup()  # what there is


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "loader.batch_size"),
        ({"batch_size": 2.5}, "loader.batch_size"),
        ({"batch_size": "abc"}, "loader.batch_size"),
        ({"workers": None}, "loader.workers"),
        ({"images": "blind"}, "loader.images"),
        ({"workers": -1}, "loader.workers"),
        ({"cache_dir": None}, "loader.cache_dir"),
        ({"validate_on": "dev"}, "loader.validate_on"),
        ({"train_studies": 0}, "loader.train_studies"),
        ({"train_studies": 2.5}, "loader.train_studies"),
    ],
)
def test_bad_loader_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        LoaderOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"target": "history"}, "data.target"),
        ({"max_tokens": 0}, "text.max_tokens"),
        ({"max_tokens": "abc"}, "text.max_tokens"),
        ({"tokenizer": {"min_count": None}}, "text.tokenizer.min_count"),
        ({"tokenizer": None}, "text.tokenizer must be options by name"),
        ({"tokenizer": {"cleaner": {"lower_case": "no"}}}, "text.tokenizer.cleaner.lower_case"),
    ],
)
def test_bad_text_options(options: dict[str, object], named: str) -> None:
    with pytest.raises(OptionError, match=named):
        TextOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("longest", [8, 9, 10, 11])
def test_a_report_is_as_long_as_the_text_says_with_its_end(longest: int) -> None:
    """The first text is ten tokens: its words and full stops, and its end."""
    text = TextOptions(max_tokens=longest, tokenizer={"cleaner": {"drop_short_words": False}})
    data = ChestDataModule(
        TinySource(), LoaderOptions(), text=text, preprocess=Preprocessing(size=64)
    )
    tokens = data.dataset("train").examples[0].token_ids
    assert data.tokenizer is not None
    whole = data.tokenizer.encode(TEXTS[0])
    assert len(whole) == 12
    assert list(tokens) == whole[: longest + 1]
    assert (tokens[-1] == WORD_TOKENS.eos) == (longest >= 11)  # a cut report has no end to learn


def test_workers_give_the_same_batches() -> None:
    def images(workers: int) -> list[np.ndarray]:
        data = with_images()
        data.loader = LoaderOptions(batch_size=3, workers=workers)
        return [batch.images.numpy() for batch in data.train_dataloader()]

    for one, other in zip(images(0), images(1), strict=True):
        assert np.array_equal(one, other)


def test_a_report_that_is_only_xxxx_is_left_out_and_counted() -> None:
    class Deidentified(TinySource):
        def studies(self):  # type: ignore[no-untyped-def]
            first, *rest = super().studies()
            return [replace(first, findings="XXXX. XX"), *rest]

    data = ChestDataModule(Deidentified(), LoaderOptions(), text=TextOptions())
    assert "tiny-000" not in {study.study_id for study in data.studies}
    assert data.without_text == 1


def test_cached_maps_are_decoded_in_large_batches(tmp_path: Path) -> None:
    data = ChestDataModule(
        TinySource(),
        LoaderOptions(batch_size=1, cache_dir=str(tmp_path), validate_on="train"),
        text=TextOptions(),
        encode=BrightnessEncode(),
    )
    assert len(list(data.train_dataloader())) == 8
    assert len(list(data.val_dataloader())) == 1


def test_exchanged_images_need_cached_features() -> None:
    loader, pixels = LoaderOptions(images="exchanged"), Preprocessing(size=64)
    with pytest.raises(OptionError, match=r"loader\.images=exchanged works on cached features"):
        ChestDataModule(TinySource(), loader, text=TextOptions(), preprocess=pixels)
    data = ChestDataModule(TinySource(), loader, text=TextOptions())
    with pytest.raises(OptionError, match=r"loader\.images=exchanged works on cached features"):
        data.make_ready(pixels)


def with_features(folder: Path, **options: object) -> ChestDataModule:
    given = {"batch_size": 3, "cache_dir": str(folder)}
    loader = {name: options.pop(name) for name in ("images", "validate_on") if name in options}
    return ChestDataModule(
        TinySource(),
        LoaderOptions(**given, **loader),  # type: ignore[arg-type]
        text=TextOptions(),
        encode=BrightnessEncode(),
        **options,  # type: ignore[arg-type]
    )


def seen(loader: Iterable[Batch]) -> dict[str, list[float]]:
    """What each study's images look like, in the slots that it has."""
    return {
        study_id: maps.float().mean((1, 2, 3)).tolist()
        for batch in loader
        for study_id, maps in zip(batch.study_ids, batch.features, strict=True)  # type: ignore[arg-type]
    }


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_exchanged_studies_see_anothers_images_and_keep_their_report(
    tmp_path: Path, split: Split
) -> None:
    own = with_features(tmp_path, test_split=split)
    other = with_features(tmp_path, test_split=split, exchange_seed=1)
    before, after = seen(own.test_dataloader()), seen(other.predict_dataloader())
    assert before.keys() == after.keys()
    assert sorted(before.values()) == sorted(after.values())
    assert all(before[name] != after[name] for name in before)
    rows, examples = other.image_rows(split), other.dataset(split).examples
    assert own.image_rows(split) == list(range(len(before)))
    for row, example in zip(rows, examples, strict=True):
        assert after[example.study.study_id] == before[examples[row].study.study_id]
    texts = {s: r for b in other.test_dataloader() for s, r in zip(b[0], b.references, strict=True)}
    for example in examples:
        assert texts[example.study.study_id] == example.reference
    dataset = other.dataset(split, 1)
    for n, row in enumerate(rows):
        assert torch.equal(dataset.gray([n]), other.dataset(split).gray([row]))


def test_training_on_exchanged_images_leaves_other_splits_alone(tmp_path: Path) -> None:
    own, blind = with_features(tmp_path), with_features(tmp_path, images="exchanged")
    assert seen(own.val_dataloader()) == seen(blind.val_dataloader())
    assert seen(own.test_dataloader()) == seen(blind.test_dataloader())
    before, after = seen(own.train_dataloader()), seen(blind.train_dataloader())
    assert all(before[name] != after[name] for name in before)
    memorised = with_features(tmp_path, images="exchanged", validate_on="train")
    assert seen(memorised.val_dataloader()) == after


def test_copies_of_training_films_are_encoded_once_and_drawn_by_epoch(tmp_path: Path) -> None:
    class Counting(BrightnessEncode):
        images = 0

        def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float16]:
            self.images += len(images)
            return super().__call__(images)

    def made(copies: int) -> tuple[ChestDataModule, Counting]:
        data, encode = (
            with_features(tmp_path, augment=Augmentation(shift=0.2, copies=copies)),
            Counting(),
        )
        data.encode = encode
        return data, encode

    plain = with_features(tmp_path)
    own, beside = seen(plain.train_dataloader()), seen(plain.val_dataloader())
    images = int(plain.dataset("train").features.view_mask.sum())  # type: ignore[union-attr]
    data, encode = made(2)
    epochs = []
    for epoch in range(12):
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        epochs.append(seen(loader))
        assert epochs[-1].keys() == own.keys()
    assert encode.images == 2 * images
    for study_id, unchanged in own.items():
        drawn = {tuple(epoch[study_id]) for epoch in epochs}
        assert tuple(unchanged) in drawn
        assert len(drawn) == 3
    assert seen(data.val_dataloader()) == beside
    again, encode = made(2)
    assert seen(again.train_dataloader()) == epochs[0]
    assert encode.images == 0
    more, encode = made(3)
    more.train_dataloader()
    assert encode.images == images
    memorised = with_features(tmp_path, validate_on="train", augment=Augmentation(0.2, copies=2))
    assert seen(memorised.val_dataloader()) == own


def test_a_single_example_has_no_one_to_exchange_with() -> None:
    example, other, *_ = with_images().dataset("train").examples
    assert [one.row for one in exchanged([example, other], 0)] == [1, 0]
    with pytest.raises(OptionError, match="two studies or more"):
        exchanged([example], 0)


class Unread(TinySource):
    """Counts how often it is read."""

    read = 0

    def studies(self) -> list[Study]:
        self.read += 1
        return super().studies()


def test_nothing_is_read_before_it_is_needed_nor_twice(tmp_path: Path) -> None:
    source = Unread()
    data = ChestDataModule(
        source,
        LoaderOptions(cache_dir=str(tmp_path)),
        text=TextOptions(),
        encode=BrightnessEncode(),
    )
    assert source.read == 0
    assert not list(tmp_path.iterdir())
    data.setup("fit")
    assert data.tokenizer
    assert not list(tmp_path.iterdir())  # the vocabulary can be had without encoding an image
    data.prepare_data()
    data.setup("test")
    assert len(list(data.test_dataloader())) == 1
    assert source.read == 1


@pytest.mark.parametrize("split", ["dev", None, ["test"]])
def test_an_unknown_split_to_test_on_is_refused(split: object) -> None:
    with pytest.raises(OptionError, match="split must be one of train, val, test"):
        ChestDataModule(Unread(), LoaderOptions(), text=None, test_split=split)  # type: ignore[arg-type]


class Predicting(pl.LightningModule):
    """Tells the ids of what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.tested: list[str] = []

    def test_step(self, batch: Batch, index: int) -> None:
        self.tested += batch.study_ids

    def predict_step(self, batch: Batch, index: int) -> list[str]:
        assert batch.features is not None
        assert batch.features.dtype == torch.float16
        return batch.study_ids


@pytest.mark.parametrize(("split", "studies"), [("test", 4), ("train", 8)])
def test_a_trainer_encodes_tests_and_predicts_one_split_alone(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, split: Split, studies: int
) -> None:
    data, module = with_features(tmp_path, test_split=split), Predicting()
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    predicted = trainer.predict(module, datamodule=data)
    assert predicted is not None
    names = [name for batch in predicted for name in batch]
    assert sorted(names) == sorted(study.study_id for study in data.split(split))
    (index,) = tmp_path.glob("features/*/*.idx")
    images = sum(len(study.images) for study in data.split(split))
    assert index.stat().st_size == images * RECORD.itemsize
    trainer.test(module, datamodule=data, verbose=False)
    assert module.tested == names
    assert len(names) == studies
    assert not [one for one in recwarn if "sampler" in str(one.message)]


def test_a_cache_folder_may_be_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    data = with_features(tmp_path)
    data.loader = LoaderOptions(cache_dir="~/cache")
    data.dataset("val")
    assert list(tmp_path.glob("cache/features/*/*.bin"))


def test_pictures_are_drawn_once_before_loader_processes_ask() -> None:
    class Drawn(TinySource):
        prepared = 0

        def prepare(self) -> None:
            self.prepared += 1

    source = Drawn()
    data = ChestDataModule(source, LoaderOptions(), text=TextOptions())
    data.prepare_data()
    assert source.prepared == 1


LENGTHS = st.lists(st.integers(1, 120), min_size=1, max_size=200)


@given(LENGTHS, st.integers(1, 40), st.booleans(), st.integers(0, 3))
def test_every_item_comes_once_an_epoch(
    lengths: list[int], size: int, shuffle: bool, epoch: int
) -> None:
    sampler = BucketBatchSampler(lengths, size, shuffle=shuffle)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert len(batches) == len(sampler)
    assert max(map(len, batches)) <= size


@given(LENGTHS, st.integers(1, 40), st.integers(2, 5), st.integers(0, 3))
def test_every_item_comes_once_an_epoch_in_one_of_its_versions(
    lengths: list[int], size: int, versions: int, epoch: int
) -> None:
    def batches(versions: int) -> list[list[int]]:
        sampler = BucketBatchSampler(lengths, size, shuffle=True, versions=versions)
        sampler.set_epoch(epoch)
        return list(sampler)

    several, count = batches(versions), len(lengths)
    assert [[i % count for i in batch] for batch in several] == batches(1)
    assert max(i for batch in several for i in batch) < versions * count
    assert several == batches(versions)


@given(LENGTHS, st.integers(1, 8), st.integers(2, 4))
def test_ranks_share_all_items_and_take_equally_many_batches(
    lengths: list[int], size: int, world_size: int
) -> None:
    shares = [
        list(BucketBatchSampler(lengths, size, shuffle=True, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    assert len({len(share) for share in shares}) == 1
    assert {i for share in shares for batch in share for i in batch} == set(range(len(lengths)))


def test_batches_hold_like_lengths() -> None:
    lengths = [5, 80] * 64
    batches = BucketBatchSampler(lengths, 16, shuffle=True)
    spread = [max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in batches]
    assert sum(spread) == 0


def test_epochs_differ_and_repeat_by_seed() -> None:
    def epochs(seed: int) -> list[list[list[int]]]:
        sampler = BucketBatchSampler(list(range(50)), 4, shuffle=True, seed=seed)
        return [list(sampler), list(sampler)]

    first, second = epochs(0)
    assert first != second
    assert [first, second] == epochs(0)
    assert epochs(1)[0] != first
