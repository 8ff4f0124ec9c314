"""The feature cache: what it keeps, when it is believed, and what it leaves out."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from xray_report.data.feature_fill import ImageJobs
from xray_report.data.features import FeatureCache, cache_path
from xray_report.data.study import Study, StudyImage, View
from xray_report.errors import DataError, ImageError, MissingExtraError

SHAPE = (4, 2, 3)
ON_DISK = (2, 3, 4)


class Flat:
    """A picture of one grey value; `None` cannot be read."""

    def __init__(self, value: int | None, name: str | None = None) -> None:
        self.value = value
        self.identity = name or f"flat-{value}"

    def load(self) -> np.ndarray:
        if self.value is None:
            raise ImageError(f"{self.identity}: broken")
        return np.full((40, 30), self.value, np.uint8)


class Missing(Flat):
    """A picture that needs a package."""

    def load(self) -> np.ndarray:
        raise MissingExtraError("install pydicom")


class FakeEncoder:
    """A map of the image's mean; remembers what it was shown."""

    def __init__(self, identity: str = "fake", batch: int = 3) -> None:
        self.identity, self.batch = identity, batch
        self.seen: list[float] = []

    def __call__(self, images: np.ndarray) -> np.ndarray:
        assert images.dtype == np.uint8
        assert images.shape[1:] == (32, 32)
        means = images.reshape(len(images), -1).mean(1)
        self.seen.extend(means.tolist())
        return np.broadcast_to(means[:, None, None, None], (len(images), *SHAPE)).astype(np.float16)


def study(name: str, frontal: Flat | None, lateral: Flat | None = None) -> Study:
    images = []
    if lateral is not None:
        images.append(StudyImage(lateral, View.LATERAL))
    if frontal is not None:
        images.append(StudyImage(frontal, View.FRONTAL))
    return Study(name, images=tuple(images))


STUDIES = [
    study("a", Flat(10), Flat(11)),
    study("b", Flat(20)),
    study("c", None, Flat(31)),
    study("d", Flat(None), Flat(41)),
    study("e", Flat(10, "flat-10"), Flat(51)),
]
EXPECTED = np.array([[10, 11], [20, 0], [0, 31], [0, 41], [10, 51]], np.float16)


def fill(
    folder: Path, encode: FakeEncoder, studies: list[Study] = STUDIES, **options
) -> FeatureCache:
    options = {"image_size": 32, "workers": 0, "progress": False, **options}
    return FeatureCache.open_or_fill(studies, encode, folder, **options)


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


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 2)


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def other_type(path: Path) -> None:
    np.save(path, np.zeros((5, 2, *ON_DISK), np.float32))


def other_shape(path: Path) -> None:
    np.save(path, np.zeros((4, 2, *ON_DISK), np.float16))


def garbage(path: Path) -> None:
    path.write_bytes(b"no array at all")


def sidecar(**changes: object):
    def spoil(path: Path) -> None:
        side = path.with_suffix(".json")
        side.write_text(json.dumps({**json.loads(side.read_text()), **changes}))

    return spoil


def broken_sidecar(path: Path) -> None:
    path.with_suffix(".json").write_text("{")


@pytest.mark.parametrize(
    "spoil",
    [
        truncate,
        lengthen,
        other_type,
        other_shape,
        garbage,
        Path.unlink,
        broken_sidecar,
        sidecar(key="another"),
        sidecar(format=0),
        sidecar(study_ids=["a"]),
        sidecar(shape=[5, 2, *SHAPE]),
    ],
)
def test_a_damaged_or_foreign_cache_is_rebuilt(tmp_path: Path, spoil) -> None:
    path = fill(tmp_path, FakeEncoder()).path
    key = path.stem.removeprefix("features-")
    spoil(path)
    with pytest.raises(DataError, match=key):
        FeatureCache.open(tmp_path, key)
    encoder = FakeEncoder()
    cache = fill(tmp_path, encoder)
    assert encoder.seen
    np.testing.assert_array_equal(cache.read(range(5))[..., 0, 0, 0], EXPECTED)


def test_a_failing_encoder_leaves_nothing_behind(tmp_path: Path) -> None:
    class Failing(FakeEncoder):
        def __call__(self, images: np.ndarray) -> np.ndarray:
            if self.seen:
                raise RuntimeError("out of luck")
            return super().__call__(images)

    with pytest.raises(RuntimeError, match="out of luck"):
        fill(tmp_path, Failing())
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match=r"cannot keep features in .*file"):
        fill(blocked / "cache", FakeEncoder())


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


def test_images_are_resized_to_the_encoders_size() -> None:
    class Ramp(Flat):
        def load(self) -> np.ndarray:
            return np.tile(np.arange(0, 200, dtype=np.uint8), (100, 1))

    _, image = ImageJobs([Ramp(0)], 32)[0]
    assert image.shape == (32, 32)
    assert abs(float(image.mean()) - 99.5) < 2
