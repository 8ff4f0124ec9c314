"""The feature cache: what it keeps, when it is believed, and what it leaves out."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.small_caches import (
    EXPECTED,
    SHAPE,
    STUDIES,
    FakeEncoder,
    Flat,
    Missing,
    fill,
    study,
)
from xray_report.data.feature_fill import ImageJobs
from xray_report.data.features import FeatureCache, cache_path
from xray_report.data.study import Study
from xray_report.errors import DataError, ImageError, MissingExtraError


@pytest.mark.parametrize("workers", [0, 2])
def test_maps_lie_in_their_slots_and_missing_views_are_masked(tmp_path: Path, workers: int) -> None:
    cache = fill(tmp_path, FakeEncoder(), workers=workers)
    maps = cache.read(range(5))
    assert maps.dtype == np.float16
    assert maps.shape == (5, 2, *SHAPE)
    np.testing.assert_array_equal(maps[..., 0, 0, 0], EXPECTED)
    np.testing.assert_array_equal(cache.view_mask, EXPECTED > 0)
    assert cache.study_ids == ("a", "b", "c", "d", "e")


def test_every_cell_of_a_map_comes_back_in_its_place(tmp_path: Path) -> None:
    numbers = np.arange(24, dtype=np.float16).reshape(SHAPE)

    class Numbered(FakeEncoder):
        def __call__(self, images: np.ndarray) -> np.ndarray:
            return super().__call__(images) + numbers

    maps = fill(tmp_path, Numbered()).read([1, 0])
    np.testing.assert_array_equal(maps[0, 0], 20 + numbers)
    np.testing.assert_array_equal(maps[1, 1], 11 + numbers)


def test_read_keeps_the_order_and_repeats_asked_for(tmp_path: Path) -> None:
    cache = fill(tmp_path, FakeEncoder())
    order = [4, 0, 2, 0, 1]
    np.testing.assert_array_equal(cache.read(order)[..., 0, 0, 0], EXPECTED[order])
    assert cache.read([]).shape == (0, 2, *SHAPE)
    again = pickle.loads(pickle.dumps(cache))
    np.testing.assert_array_equal(again.read(order), cache.read(order))
    for wrong in (5, -1):
        with pytest.raises(IndexError):
            cache.read([0, wrong])


def test_the_second_run_encodes_nothing_and_shared_images_only_once(tmp_path: Path) -> None:
    first, second = FakeEncoder(), FakeEncoder()
    fill(tmp_path, first)
    assert sorted(first.seen) == [10, 11, 20, 31, 41, 51]
    cache = fill(tmp_path, second)
    assert second.seen == []
    np.testing.assert_array_equal(cache.read(range(5))[..., 0, 0, 0], EXPECTED)


def test_filling_leaves_the_random_numbers_of_training_alone(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    fill(tmp_path, FakeEncoder())
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("encoder", "studies", "size"),
    [
        (FakeEncoder("other"), STUDIES, 32),
        (FakeEncoder(), STUDIES[::-1], 32),
        (FakeEncoder(), [*STUDIES[:4], study("e", Flat(12), Flat(51))], 32),
        (FakeEncoder(), [study("z", Flat(10), Flat(11)), *STUDIES[1:]], 32),
    ],
    ids=["weights", "order", "pixels", "study"],
)
def test_another_key_is_another_cache(
    tmp_path: Path, encoder: FakeEncoder, studies: list[Study], size: int
) -> None:
    fill(tmp_path, FakeEncoder())
    fill(tmp_path, encoder, studies)
    assert encoder.seen
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_unreadable_images_are_counted_reported_and_remembered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        cache = fill(tmp_path, FakeEncoder())
        assert cache.skipped == (("d", "flat-None: broken"),)
        said = " ".join(capsys.readouterr().err.split())
        assert "1 of 8 images could not be read" in said
        assert "flat-None: broken" in said


def test_a_skipped_image_is_encoded_once_it_can_be_read(tmp_path: Path) -> None:
    fill(tmp_path, FakeEncoder(), [study("a", Flat(10), Flat(None, "plugin.dcm"))])
    cured = [study("a", Flat(10), Flat(11, "plugin.dcm"))]
    for encoder, encoded in ((FakeEncoder(), [10, 11]), (FakeEncoder(), [])):
        cache = fill(tmp_path, encoder, cured)
        assert sorted(encoder.seen) == encoded
        assert cache.view_mask.all()
        assert not cache.skipped


@pytest.mark.parametrize("filled_before", [False, True])
def test_strict_stops_at_an_unreadable_image(tmp_path: Path, filled_before: bool) -> None:
    if filled_before:
        fill(tmp_path, FakeEncoder())
    with pytest.raises(ImageError, match="flat-None: broken"):
        fill(tmp_path, FakeEncoder(), strict=True)
    assert len(list(tmp_path.iterdir())) == (2 if filled_before else 0)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_no_image_error_is_never_skipped(tmp_path: Path, workers: int) -> None:
    with pytest.raises(MissingExtraError, match=r"^install pydicom$"):
        fill(
            tmp_path, FakeEncoder(), [study("a", Flat(1)), study("b", Missing(2))], workers=workers
        )
    assert not list(tmp_path.iterdir())


def test_nothing_readable_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of the images of 1 studies.*flat-None: broken"):
        fill(tmp_path, FakeEncoder(), [study("a", Flat(None))])


def test_progress_is_said_where_no_terminal_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path, FakeEncoder(), progress=True)
    assert "Encoding images: 7 of 7" in capsys.readouterr().err


def resident_bytes() -> int:
    """What of this process is in memory now."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("resident memory is read from /proc")
    found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text())
    assert found
    return int(found[1]) * 1024


def test_memory_stays_flat_on_200_000_studies(tmp_path: Path) -> None:
    """A sparse file of 40 GB, read in small batches from everywhere."""
    studies, shape = 200_000, (7, 7, 1024)
    path = cache_path(tmp_path, "k")
    with path.open("wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (studies, 2, *shape)}
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        file.truncate(start + 2 * studies * 2 * 1024 * 49)
    mask = np.ones((studies, 2), bool)
    cache = FeatureCache(path, ("s",) * studies, mask, (), (studies, 2, *shape), start)
    rows = np.random.default_rng(0).integers(0, studies, (40, 16))
    cache.read(rows[0].tolist())
    before = resident_bytes()
    for batch in rows:
        assert not cache.read(batch.tolist()).any()
    assert resident_bytes() - before < 60e6, "640 studies are 128 MB: they must not stay resident"


def test_images_that_only_look_the_same_from_outside_are_both_encoded(tmp_path: Path) -> None:
    pair = [study("a", Flat(10, "001.dcm")), study("b", Flat(240, "001.dcm"))]
    cache = fill(tmp_path, FakeEncoder(), studies=pair)
    assert cache.read([0, 1])[:, 0].max((1, 2, 3)).tolist() == [10, 240]
    swapped = [study("a", Flat(240, "001.dcm")), study("b", Flat(10, "001.dcm"))]
    cache = fill(tmp_path, FakeEncoder(), studies=swapped)
    assert cache.read([0, 1])[:, 0].max((1, 2, 3)).tolist() == [240, 10]


def test_images_are_resized_to_the_encoders_size() -> None:
    class Ramp(Flat):
        def load(self) -> np.ndarray:
            return np.tile(np.arange(0, 200, dtype=np.uint8), (100, 1))

    _, image = ImageJobs([Ramp(0)], 32)[0]
    assert image.shape == (32, 32)
    assert abs(float(image.mean()) - 99.5) < 2
