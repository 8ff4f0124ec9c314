"""The feature store: what it keeps, what it encodes, and what it leaves out."""

from __future__ import annotations

import pickle
import re
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.small_stores import (
    EXPECTED,
    SHAPE,
    STUDIES,
    FakeEncoder,
    Flat,
    Missing,
    files,
    fill,
    study,
    values,
)
from xray_report.data.features import (
    RECORD,
    Decoding,
    FeatureStore,
    StudyFeatures,
    checks,
    describe,
)
from xray_report.data.study import Study
from xray_report.errors import DataError, ImageError, MissingExtraError


@pytest.mark.parametrize("workers", [0, 2])
def test_maps_lie_in_their_slots_and_missing_views_are_masked(tmp_path: Path, workers: int) -> None:
    features = fill(tmp_path, FakeEncoder(), workers=workers)
    maps = features.read(range(5))
    assert maps.dtype == np.float16
    assert maps.shape == (5, 2, *SHAPE)
    np.testing.assert_array_equal(maps[..., 0, 0, 0], EXPECTED)
    np.testing.assert_array_equal(features.view_mask, EXPECTED > 0)


def test_every_cell_of_a_map_comes_back_in_its_place(tmp_path: Path) -> None:
    numbers = np.arange(24, dtype=np.float16).reshape(SHAPE)

    class Numbered(FakeEncoder):
        def __call__(self, images: np.ndarray) -> np.ndarray:
            return super().__call__(images) + numbers

    maps = fill(tmp_path, Numbered()).read([1, 0])
    np.testing.assert_array_equal(maps[0, 0], 20 + numbers)
    np.testing.assert_array_equal(maps[1, 1], 11 + numbers)


def test_read_keeps_the_order_and_repeats_asked_for(tmp_path: Path) -> None:
    fill(tmp_path, FakeEncoder(), STUDIES[3:])  # so that the maps lie in two parts
    features = fill(tmp_path, FakeEncoder())
    assert len(features.parts) == 2
    order = [4, 0, 2, 0, 1]
    np.testing.assert_array_equal(values(features, order), EXPECTED[order])
    assert features.read([]).shape == (0, 2, *SHAPE)
    again = pickle.loads(pickle.dumps(features))
    np.testing.assert_array_equal(again.read(order), features.read(order))
    for wrong in (5, -1):
        with pytest.raises(IndexError):
            features.read([0, wrong])


def test_each_image_is_encoded_once_whatever_studies_share_it(tmp_path: Path) -> None:
    first, second = FakeEncoder(), FakeEncoder()
    fill(tmp_path, first)
    assert sorted(first.seen) == [10, 11, 20, 31, 41, 51]
    features = fill(tmp_path, second)
    assert second.seen == []
    np.testing.assert_array_equal(values(features), EXPECTED)


def test_only_what_is_new_is_encoded(tmp_path: Path) -> None:
    fill(tmp_path, FakeEncoder())
    encoder = FakeEncoder()
    for studies in (STUDIES[1:3], STUDIES[::-1], [study("another", Flat(51), Flat(20))]):
        fill(tmp_path, encoder, studies)
    assert encoder.seen == []
    one_more = [*STUDIES, study("f", Flat(60), Flat(11))]
    features = fill(tmp_path, encoder, one_more)
    assert encoder.seen == [60]
    np.testing.assert_array_equal(values(features), [*EXPECTED.tolist(), [60, 11]])


def test_an_encoder_has_a_store_of_its_own(tmp_path: Path) -> None:
    fill(tmp_path, FakeEncoder())
    other = FakeEncoder("other weights")
    fill(tmp_path, other)
    assert len(other.seen) == 6
    assert len(list(tmp_path.glob("features/*"))) == 2


def test_find_encodes_nothing(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, FakeEncoder())
    with pytest.raises(DataError, match=r"none of the images of 5 studies; .*loader\.cache_dir"):
        store.find(STUDIES)
    fill(tmp_path, FakeEncoder(), STUDIES[:2])
    np.testing.assert_array_equal(
        values(store.find(STUDIES)), [[10, 11], [20, 0], [0, 0], [0, 0], [10, 0]]
    )


def test_filling_leaves_the_random_numbers_of_training_alone(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    fill(tmp_path, FakeEncoder(), workers=1)
    assert torch.equal(before, torch.random.get_rng_state())


def test_unreadable_images_are_counted_reported_and_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        features = fill(tmp_path, FakeEncoder())
        assert features.view_mask[3].tolist() == [False, True]
        said = " ".join(capsys.readouterr().err.split())
        assert said == (
            "1 of 8 images could not be read and are left out; "
            "the first, of study d: flat-None: broken"
        )


def test_a_skipped_image_is_encoded_once_it_can_be_read(tmp_path: Path) -> None:
    fill(tmp_path, FakeEncoder(), [study("a", Flat(10), Flat(None, "plugin.dcm"))])
    cured = [study("a", Flat(10), Flat(11, "plugin.dcm"))]
    for encoder, encoded in ((FakeEncoder(), [11]), (FakeEncoder(), [])):
        features = fill(tmp_path, encoder, cured)
        assert encoder.seen == encoded
        assert features.view_mask.all()


@pytest.mark.parametrize("filled_before", [False, True])
def test_strict_stops_at_an_unreadable_image(tmp_path: Path, filled_before: bool) -> None:
    if filled_before:
        fill(tmp_path, FakeEncoder())
    with pytest.raises(ImageError, match="flat-None: broken"):
        fill(tmp_path, FakeEncoder(), strict=True)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_no_image_error_is_never_skipped(tmp_path: Path, workers: int) -> None:
    studies = [study("a", Flat(1)), study("b", Missing(2))]
    with pytest.raises(MissingExtraError, match=r"^install pydicom$"):
        fill(tmp_path, FakeEncoder(), studies, workers=workers)


def test_nothing_readable_says_why_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of the images of 1 studies.*flat-None: broken"):
        fill(tmp_path, FakeEncoder(), [study("a", Flat(None))])
    assert not list(tmp_path.iterdir())


def test_progress_is_said_where_no_terminal_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path, FakeEncoder(), progress=True)
    assert "Encoding images: 7 of 7" in capsys.readouterr().err


def test_images_are_made_ready_only_if_one_is_missing(tmp_path: Path) -> None:
    prepared = []
    for _ in range(2):
        fill(tmp_path, FakeEncoder(), STUDIES[:2], prepare=lambda: prepared.append(1))
    assert prepared == [1]


def test_a_study_may_have_no_image(tmp_path: Path) -> None:
    features = fill(tmp_path, FakeEncoder(), [Study("none"), study("a", Flat(10))])
    assert values(features).tolist() == [[0, 0], [10, 0]]


def test_images_are_resized_to_the_encoders_size() -> None:
    class Ramp(Flat):
        def load(self) -> np.ndarray:
            return np.tile(np.arange(0, 200, dtype=np.uint8), (100, 1))

    _, image = Decoding([Ramp(0)], 32)[0]
    assert image.shape == (32, 32)
    assert abs(float(image.mean()) - 99.5) < 2


# 200,000 studies.

MANY = 200_000


def resident_bytes() -> int:
    """What of this process is in memory now."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("resident memory is read from /proc")
    found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text())
    assert found
    return int(found[1]) * 1024


def test_the_index_of_400_000_images_is_small(tmp_path: Path) -> None:
    keys = np.random.default_rng(0).bytes(16 * 2 * MANY)
    records = np.zeros(2 * MANY, RECORD)
    records["image"] = np.frombuffer(keys, "S16")
    store = FeatureStore(tmp_path, FakeEncoder())
    store.folder.mkdir(parents=True)
    (store.folder / "meta.json").write_bytes(describe("fake", (4, 1, 1)))
    records["check"] = checks(records)
    records.tofile(store.folder / "part-a.idx")
    with (store.folder / "part-a.bin").open("wb") as file:
        file.truncate(2 * MANY * 8)
    asked = records["image"][::-1].reshape(MANY, 2)
    tracemalloc.start()
    features = store.look_up(asked)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(features.record.ravel(), np.arange(2 * MANY)[::-1])
    assert kept < 10e6
    assert peak < 60e6


def test_memory_stays_flat_on_200_000_studies(tmp_path: Path) -> None:
    """A sparse file of 40 GB, read in small batches from everywhere."""
    with (tmp_path / "part-a.bin").open("wb") as file:
        file.truncate(MANY * 2 * 2 * 1024 * 49)
    features = StudyFeatures(
        tmp_path,
        ("part-a",),
        (1024, 7, 7),
        np.zeros((MANY, 2), np.int32),
        np.arange(2 * MANY).reshape(MANY, 2),
        np.full((MANY, 2), zlib.crc32(bytes(2 * 1024 * 49)), np.uint32),
    )
    rows = np.random.default_rng(0).integers(0, MANY, (40, 16))
    features.read(rows[0].tolist())
    before = resident_bytes()
    for batch in rows:
        assert not features.read(batch.tolist()).any()
    assert resident_bytes() - before < 60e6, "640 studies are 128 MB: they must not stay resident"


def test_there_is_one_file_a_filling_and_none_where_nothing_is_new(tmp_path: Path) -> None:
    for _ in range(2):
        fill(tmp_path, FakeEncoder())
    assert len(files(tmp_path, ".bin")) == len(files(tmp_path, ".idx")) == 1
