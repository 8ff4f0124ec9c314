"""Feature caches that are damaged, foreign or cannot be written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.data.small_caches import (
    EXPECTED,
    ON_DISK,
    SHAPE,
    FakeEncoder,
    fill,
)
from xray_report.data.features import FeatureCache
from xray_report.errors import DataError


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


def test_a_cache_that_finds_no_room_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match=r"has 1e-07 GB left: free some; name another"):
        fill(tmp_path, FakeEncoder())
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match=r"cannot keep features in .*file"):
        fill(blocked / "cache", FakeEncoder())
