from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from xray_report.data.download import check_whole, unpack
from xray_report.errors import DataError


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
