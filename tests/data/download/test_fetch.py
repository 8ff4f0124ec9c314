from __future__ import annotations

import errno
import hashlib
import io
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.data.download.server import Behaviour, serving
from xray_report.data import download as module
from xray_report.data.download import fetch
from xray_report.errors import DataError, OutputError

DATA = random.Random(0).randbytes(300_000)
SHA = hashlib.sha256(DATA).hexdigest()[:8]


@pytest.fixture
def server() -> Iterator[Behaviour]:
    with serving({"a.bin": DATA}) as behaviour:
        yield behaviour


def get(server: Behaviour, path: Path, **options: Any) -> Path:
    return fetch(f"{server.url}/a.bin", path, pause=0.0, **options)


def test_whole_file_with_progress(server: Behaviour, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = get(
        server,
        tmp_path / "sub" / "a.bin",
        sha256_prefix=SHA,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert path.read_bytes() == DATA
    assert seen[-1] == (len(DATA), len(DATA))
    assert [file.name for file in path.parent.iterdir()] == ["a.bin"]


def test_file_that_is_there_is_not_fetched_again(server: Behaviour, tmp_path: Path) -> None:
    get(server, tmp_path / "a.bin", sha256_prefix=SHA)
    get(server, tmp_path / "a.bin", sha256_prefix=SHA)
    assert len(server.ranges) == 1


def test_cut_connection_is_taken_up_where_it_broke(server: Behaviour, tmp_path: Path) -> None:
    server.cuts = [100_000, 50_000]
    assert get(server, tmp_path / "a.bin", sha256_prefix=SHA).read_bytes() == DATA
    assert server.ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_next_run_goes_on_after_giving_up(server: Behaviour, tmp_path: Path) -> None:
    server.cuts = [10_000] * 5
    with pytest.raises(DataError, match="cut at 50000 of 300000 bytes, 5 times; what came"):
        get(server, tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()
    assert get(server, tmp_path / "a.bin").read_bytes() == DATA
    assert server.ranges[-1] == "bytes=50000-"


def test_changed_file_is_fetched_from_the_start(server: Behaviour, tmp_path: Path) -> None:
    server.cuts = [10_000] * 5
    with pytest.raises(DataError, match="5 times"):
        get(server, tmp_path / "a.bin")
    server.files["a.bin"], server.tag = DATA[::-1], '"two"'
    assert get(server, tmp_path / "a.bin").read_bytes() == DATA[::-1]


def test_server_without_ranges_or_validator(server: Behaviour, tmp_path: Path) -> None:
    server.cuts, server.ignore_ranges = [100_000], True
    assert get(server, tmp_path / "a.bin").read_bytes() == DATA
    server.cuts, server.tag = [100_000], None
    assert get(server, tmp_path / "b.bin").read_bytes() == DATA
    assert server.ranges[2:] == [None, None]


def test_part_longer_than_the_file_is_started_anew(server: Behaviour, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(b"x" * 400_000)
    (tmp_path / "a.bin.part.json").write_text('{"validator": "\\"one\\""}')
    assert get(server, tmp_path / "a.bin").read_bytes() == DATA


def test_corrupt_file_is_removed(server: Behaviour, tmp_path: Path) -> None:
    server.files["a.bin"] = b"tampered" + DATA[8:]
    with pytest.raises(DataError, match=r"has SHA-256 .*, not .*it was removed, run"):
        get(server, tmp_path / "a.bin", sha256_prefix=SHA)
    assert not list(tmp_path.iterdir())
    server.files["a.bin"] = DATA
    assert get(server, tmp_path / "a.bin", sha256_prefix=SHA).read_bytes() == DATA


def test_busy_server_is_asked_again(server: Behaviour, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    assert get(server, tmp_path / "a.bin").read_bytes() == DATA


def test_refusal_is_told_at_once(server: Behaviour, tmp_path: Path) -> None:
    server.statuses = [403]
    with pytest.raises(DataError, match=r"the server refused it \(403 Forbidden\)"):
        get(server, tmp_path / "a.bin")
    with pytest.raises(DataError, match=r"the server refused it \(404"):
        fetch(f"{server.url}/b.bin", tmp_path / "b.bin")
    assert len(server.ranges) == 2


def test_no_server(tmp_path: Path) -> None:
    with serving({}) as gone:
        pass
    with pytest.raises(DataError, match=r"no connection .*refused"):
        get(gone, tmp_path / "a.bin")


def test_full_disk_is_seen_before_anything_is_written(
    server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=module.SPARE + 1000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match="make room or choose another DEST"):
        get(server, tmp_path / "a.bin")
    assert not list(tmp_path.glob("*.bin*"))


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://host/a.bin", "http://[bad", "http://"]
)
def test_only_addresses_of_http_are_fetched(tmp_path: Path, url: str) -> None:
    with pytest.raises(DataError, match=r"no address; only https"):
        fetch(url, tmp_path / "a.bin")


def test_a_place_that_cannot_be_written_is_named(server: Behaviour, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"a.bin cannot be written: .*name another place"):
        get(server, tmp_path / "file" / "a.bin")
    (tmp_path / "a.bin.part").mkdir()
    with pytest.raises(OutputError, match=r"a.bin.part cannot be written: Is a directory"):
        get(server, tmp_path / "a.bin")
    assert len(server.ranges) == 1  # what cannot be kept is not asked for again


def test_a_disk_that_fills_up_is_no_cut_connection(
    server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda *_, **__: Full())
    with pytest.raises(OutputError, match="No space left on device"):
        get(server, tmp_path / "a.bin")
    assert len(server.ranges) == 1
