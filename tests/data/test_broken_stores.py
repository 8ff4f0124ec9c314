"""Feature stores that are shared, killed, damaged, deleted, or cannot be written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.data.small_stores import (
    EXPECTED,
    MAP_BYTES,
    STUDIES,
    FakeEncoder,
    Flat,
    files,
    fill,
    study,
    values,
)
from xray_report.data.features import RECORD, FeatureStore
from xray_report.errors import DataError

MANY = 60
FILLER = f"""
import sys, time
from pathlib import Path
from tests.data.small_stores import FakeEncoder, Flat, fill, study

class Slow(FakeEncoder):
    def __call__(self, images):
        time.sleep(float(sys.argv[2]))
        return super().__call__(images)

encoder = Slow(batch=2)
fill(Path(sys.argv[1]), encoder, [study(str(n), Flat(n)) for n in range({MANY})])
print(len(encoder.seen))
"""
NUMBERED = [study(str(n), Flat(n)) for n in range(MANY)]


def filler(folder: Path, pause: float) -> subprocess.Popen[str]:
    """A process that fills a store, two images at a time."""
    command = [sys.executable, "-c", FILLER, str(folder), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_may_fill_at_once(tmp_path: Path) -> None:
    processes = [filler(tmp_path, 0.02) for _ in range(2)]
    encoded = [int(one.communicate(timeout=120)[0]) for one in processes]
    assert [one.returncode for one in processes] == [0, 0]
    assert MANY in encoded  # whoever came first found nothing
    encoder = FakeEncoder()
    features = fill(tmp_path, encoder, NUMBERED)
    assert encoder.seen == []
    assert values(features)[:, 0].tolist() == list(range(MANY))


def test_what_a_killed_filling_has_written_is_not_lost(tmp_path: Path) -> None:
    process = filler(tmp_path, 0.1)
    until = time.monotonic() + 120
    while sum(path.stat().st_size for path in files(tmp_path, ".idx")) < 6 * RECORD.itemsize:
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    kept = sum(path.stat().st_size for path in files(tmp_path, ".idx")) // RECORD.itemsize
    encoder = FakeEncoder()
    features = fill(tmp_path, encoder, NUMBERED)
    assert 6 <= kept < MANY
    assert len(encoder.seen) == MANY - kept
    assert values(features)[:, 0].tolist() == list(range(MANY))


def test_a_failing_encoder_loses_only_what_it_was_at(tmp_path: Path) -> None:
    class Failing(FakeEncoder):
        def __call__(self, images: np.ndarray) -> np.ndarray:
            if self.seen:
                raise RuntimeError("out of luck")
            return super().__call__(images)

    with pytest.raises(RuntimeError, match="out of luck"):
        fill(tmp_path, Failing())
    encoder = FakeEncoder()
    np.testing.assert_array_equal(values(fill(tmp_path, encoder)), EXPECTED)
    assert len(encoder.seen) == 3


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_is_found_named_and_encoded_anew(tmp_path: Path) -> None:
    features = fill(tmp_path, FakeEncoder(batch=100))
    (part,) = files(tmp_path, ".bin")
    flip(part, 2 * MAP_BYTES + 5)  # the third image: 20, of study b
    np.testing.assert_array_equal(values(features, [0, 2]), EXPECTED[[0, 2]])
    with pytest.raises(DataError) as caught:
        features.read([0, 1])
    assert str(caught.value) == (
        f"{part}: map 2 is damaged on disk; run again to encode it anew, "
        "and if this comes again, delete the file"
    )
    encoder = FakeEncoder()
    np.testing.assert_array_equal(values(fill(tmp_path, encoder)), EXPECTED)
    assert encoder.seen == [20]


@pytest.mark.parametrize("lost", [1, 7, RECORD.itemsize - 1])
def test_a_torn_record_is_passed_over(tmp_path: Path, lost: int) -> None:
    fill(tmp_path, FakeEncoder(batch=100))
    (index,) = files(tmp_path, ".idx")
    os.truncate(index, index.stat().st_size - lost)
    encoder = FakeEncoder()
    np.testing.assert_array_equal(values(fill(tmp_path, encoder)), EXPECTED)
    assert encoder.seen == [51]


def test_records_without_a_whole_map_are_passed_over(tmp_path: Path) -> None:
    fill(tmp_path, FakeEncoder(batch=100))
    (part,) = files(tmp_path, ".bin")
    os.truncate(part, part.stat().st_size - MAP_BYTES - 1)
    encoder = FakeEncoder()
    np.testing.assert_array_equal(values(fill(tmp_path, encoder)), EXPECTED)
    assert encoder.seen == [41, 51]


def test_deleting_the_store_while_it_is_read_is_one_line(tmp_path: Path) -> None:
    features = fill(tmp_path, FakeEncoder())
    shutil.rmtree(tmp_path / "features")
    with pytest.raises(DataError) as caught:
        features.read([0])
    assert "deleted while in use" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_cutting_it_short_while_it_is_read_is_one_line(tmp_path: Path) -> None:
    features = fill(tmp_path, FakeEncoder())
    os.truncate(files(tmp_path, ".bin")[0], 0)
    with pytest.raises(DataError, match="cut short while in use; run again"):
        features.read([0])


@pytest.mark.parametrize(("name", "anew"), [("meta.json", 6), (".idx", 1)])
def test_any_byte_of_a_description_or_index_may_change(
    name: str, anew: int, tmp_path: Path
) -> None:
    """What it was of is encoded anew: it is never taken for something else, and never an error."""
    fill(tmp_path, FakeEncoder(batch=100))
    (path,) = files(tmp_path, name)
    folder, before = path.parent, path.read_bytes()
    kept = {one: one.read_bytes() for one in folder.iterdir()}
    for at in range(len(before)):
        for changed in {before[at] ^ 1, ord(" ")} - {before[at]}:
            path.write_bytes(before[:at] + bytes([changed]) + before[at + 1 :])
            encoder = FakeEncoder(batch=100)
            np.testing.assert_array_equal(values(fill(tmp_path, encoder)), EXPECTED)
            assert len(encoder.seen) == anew, at
            for one in folder.iterdir():
                one.write_bytes(kept[one]) if one in kept else one.unlink()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"shape": [1, 2]}', "[" * 100_000, None])
def test_a_store_with_a_damaged_description_is_filled_anew(
    tmp_path: Path, content: str | None
) -> None:
    fill(tmp_path, FakeEncoder())
    (meta,) = files(tmp_path, "meta.json")
    meta.write_text(meta.read_text().replace("fake", "fawn") if content is None else content)
    encoder = FakeEncoder()
    np.testing.assert_array_equal(values(fill(tmp_path, encoder)), EXPECTED)
    assert len(encoder.seen) == 6
    assert fill(tmp_path, FakeEncoder()).view_mask.sum() == 8 - 1


def test_an_encoder_whose_identity_hides_the_size_of_its_maps_is_refused(tmp_path: Path) -> None:
    class Larger(FakeEncoder):
        def __call__(self, images: np.ndarray) -> np.ndarray:
            return super().__call__(images).repeat(2, -1)

    fill(tmp_path, FakeEncoder(), STUDIES[:1])
    with pytest.raises(DataError, match=r"holds maps of \[4, 2, 3\], the encoder makes \[4, 2, 6"):
        fill(tmp_path, Larger())


def test_a_store_that_finds_no_room_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match=r"has 1e-07 GB left: free some; name another loader\.c"):
        fill(tmp_path, FakeEncoder())
    assert not files(tmp_path, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk: /dev/full")
def test_a_disk_that_fills_up_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def full(self: Path, mode: str = "r", *args: int, **options: int):
        return opened(Path("/dev/full"), "wb", 0) if mode == "xb" else opened(self, mode, *args)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(DataError, match=r"cannot keep features in .*No space left"):
        fill(tmp_path, FakeEncoder())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match=r"file.* cannot be read .*name another loader\.cache_dir"):
        fill(blocked / "cache", FakeEncoder())


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_read_only_store_can_be_read_but_not_added_to(tmp_path: Path) -> None:
    fill(tmp_path, FakeEncoder())
    (folder,) = tmp_path.glob("features/*")
    folder.chmod(0o500)
    try:
        np.testing.assert_array_equal(values(fill(tmp_path, FakeEncoder())), EXPECTED)
        with pytest.raises(DataError, match=r"cannot keep features in .*Permission denied"):
            fill(tmp_path, FakeEncoder(), [study("new", Flat(99))])
    finally:
        folder.chmod(0o700)


def test_old_caches_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "features-abc.npy").write_bytes(b"old")
    assert len(FeatureStore(tmp_path, FakeEncoder()).fill(STUDIES, workers=0, progress=False)) == 5
    assert (tmp_path / "features-abc.npy").read_bytes() == b"old"
