from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.tiny_source import LABELS, TEXTS, TinySource
from xray_report.data.datamodule import ChestDataModule
from xray_report.data.dataset import LoaderOptions, TextOptions, exchanged
from xray_report.errors import DataError, OptionError
from xray_report.models.encoders.protocol import Preprocessing
from xray_report.tokens import BOS_ID, EOS_ID, PAD_ID


class BrightnessEncode:
    """Stands in for an encoder: every channel of a map is the image, pooled to 7 x 7."""

    identity = "brightness"
    batch = 4

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float16]:
        gray = torch.from_numpy(images).float()[:, None] / 255
        pooled = torch.nn.functional.adaptive_avg_pool2d(gray, 7)
        return pooled.expand(-1, 1024, -1, -1).half().numpy()


def with_images(**options: object) -> ChestDataModule:
    return ChestDataModule(
        TinySource(),
        LoaderOptions(batch_size=3),
        text=TextOptions(),
        preprocess=Preprocessing(size=64),
        image_size=64,
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
        assert (batch.tokens[:, 0] == BOS_ID).all()
        for study_id, tokens, reference, mask in zip(
            batch.study_ids, batch.tokens, batch.references, batch.view_mask, strict=True
        ):
            assert data.vocabulary is not None
            words = data.vocabulary.decode(tokens.tolist())
            assert data.text is not None
            assert words == data.text.cleaner(reference)
            ended = tokens[tokens != PAD_ID]
            assert ended[-1] == EOS_ID
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
    assert data.vocabulary is not None
    assert "unheard" not in data.vocabulary.words
    assert "effusion" in data.vocabulary.words


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
            image_size=64,
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
        assert batch.features.shape == (len(batch.study_ids), 2, 1024, 7, 7)
        assert (batch.features[~batch.view_mask] == 0).all()
        assert (batch.features[batch.view_mask] > 0).any()


def test_studies_without_the_target_are_left_out() -> None:
    with pytest.raises(DataError, match="impression"):
        ChestDataModule(TinySource(), LoaderOptions(), text=TextOptions(target="impression"))


def test_an_empty_split_is_named() -> None:
    data = ChestDataModule(TinySource((8, 0, 0)), LoaderOptions(), text=TextOptions())
    with pytest.raises(DataError, match=r"tiny .* split val"):
        data.val_dataloader()


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
    ],
)
def test_bad_loader_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        LoaderOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"target": "history"}, "data.target"),
        ({"max_words": 0}, "text.max_words"),
        ({"max_words": "abc"}, "text.max_words"),
        ({"min_count": None}, "text.min_count"),
    ],
)
def test_bad_text_options(options: dict[str, object], named: str) -> None:
    with pytest.raises(OptionError, match=named):
        TextOptions(**options)  # type: ignore[arg-type]


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
        image_size=64,
    )
    assert len(list(data.train_dataloader())) == 8
    assert len(list(data.val_dataloader())) == 1


def test_exchanged_images_need_cached_features() -> None:
    data = with_images()
    data.loader = LoaderOptions(images="exchanged")
    with pytest.raises(OptionError, match=r"loader\.images=exchanged works on cached features"):
        data.train_dataloader()


def test_a_single_example_has_no_one_to_exchange_with() -> None:
    example, other, *_ = with_images().dataset("train").examples
    assert [one.row for one in exchanged([example, other])] == [1, 0]
    with pytest.raises(OptionError, match="two training studies or more"):
        exchanged([example])


def test_a_cache_folder_may_be_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    data = with_images(encode=BrightnessEncode())
    data.loader = LoaderOptions(cache_dir="~/cache")
    data.dataset("val")
    assert list(tmp_path.glob("cache/*.npy"))


def test_pictures_are_drawn_once_before_loader_processes_ask() -> None:
    class Drawn(TinySource):
        prepared = 0

        def prepare(self) -> None:
            self.prepared += 1

    source = Drawn()
    data = ChestDataModule(source, LoaderOptions(), text=TextOptions(), image_size=64)
    data.prepare_data()
    assert source.prepared == 1
