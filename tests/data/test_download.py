from __future__ import annotations

import errno
import hashlib
import io
import random
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.data.file_server import Behaviour, serving
from xray_report.data import download as module
from xray_report.data.download import check_whole, fetch, unpack
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


def test_gits_own_sum_of_a_file_is_checked(server: Behaviour, tmp_path: Path) -> None:
    server.files["a.bin"] = b"hello\n"
    path = get(server, tmp_path / "a.bin", git_blob="ce013625030ba8dba906f756967f9e9ca394464a")
    assert path.read_bytes() == b"hello\n"
    path.write_bytes(b"hullo\n")
    with pytest.raises(DataError, match=r"has git SHA-1 .*, not ce013625.*it was removed, run"):
        get(server, tmp_path / "a.bin", git_blob="ce013625030ba8dba906f756967f9e9ca394464a")
    assert not path.exists()


def test_busy_server_is_asked_again(server: Behaviour, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    assert get(server, tmp_path / "a.bin").read_bytes() == DATA


def test_a_refusal_is_an_error_at_once(server: Behaviour, tmp_path: Path) -> None:
    server.statuses = [403]
    with pytest.raises(DataError, match=r"the server refused it \(403 Forbidden\)"):
        get(server, tmp_path / "a.bin")
    with pytest.raises(DataError, match=r"the server refused it \(404"):
        fetch(f"{server.url}/b.bin", tmp_path / "b.bin")
    assert len(server.ranges) == 2


def test_no_server(tmp_path: Path) -> None:
    with serving({}) as stopped:
        pass
    with pytest.raises(DataError, match=r"no connection .*refused"):
        get(stopped, tmp_path / "a.bin")


def test_full_disk_is_seen_before_anything_is_written(
    server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=module.SPARE_BYTES + 1000)
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


# Unpacking.


def pack(path: Path, members: dict[str, bytes], extra: tarfile.TarInfo | None = None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        if extra is not None:
            archive.addfile(extra)
    return path


def test_files_and_folders(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tgz", {"x.png": b"one", "sub/y.png": b"two"})
    seen: list[int] = []
    assert unpack(archive, tmp_path / "to", lambda done, total: seen.append(done)) == 2
    assert (tmp_path / "to/x.png").read_bytes() == b"one"
    assert (tmp_path / "to/sub/y.png").read_bytes() == b"two"
    assert len(seen) == 2


def test_what_is_there_with_the_right_size_is_left(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tgz", {"x": b"one", "y": b"two"})
    (tmp_path / "to").mkdir()
    (tmp_path / "to/x").write_bytes(b"ONE")
    (tmp_path / "to/y").write_bytes(b"t")
    unpack(archive, tmp_path / "to")
    assert (tmp_path / "to/x").read_bytes() == b"ONE"
    assert (tmp_path / "to/y").read_bytes() == b"two"


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "sub/../../out", "..\\out", "C:out"])
def test_no_path_leaves_the_folder(tmp_path: Path, name: str) -> None:
    archive = pack(tmp_path / "a.tgz", {name: b"evil"})
    with pytest.raises(DataError, match="not to be trusted"):
        unpack(archive, tmp_path / "to")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.tgz"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_no_links_and_no_devices(tmp_path: Path, kind: bytes) -> None:
    link = tarfile.TarInfo("link")
    link.type, link.linkname = kind, "/etc/passwd"
    with pytest.raises(DataError, match="'link' is a link, a device"):
        unpack(pack(tmp_path / "a.tgz", {}, link), tmp_path / "to")
    assert not (tmp_path / "to" / "link").exists()


def test_damaged_archive_is_named(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tgz", {"x": bytes(range(256)) * 400})
    archive.write_bytes(archive.read_bytes()[:300])
    with pytest.raises(DataError, match=r"a\.tgz: cannot be unpacked"):
        unpack(archive, tmp_path / "to")
    assert not (tmp_path / "to" / "x").exists()


def test_an_archive_that_came_damaged_is_removed(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tgz", {"x": bytes(range(256)) * 40})
    check_whole(archive)
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(DataError, match=r"a.tgz: came damaged .*it was removed, run"):
        check_whole(archive)
    assert not archive.exists()
