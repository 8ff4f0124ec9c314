from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from xray_report.data import folders
from xray_report.data.folders import is_file, is_folder, opened_archive, walk
from xray_report.errors import DataError


def test_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.touch()
    assert (is_file(file), is_folder(file)) == (True, False)
    assert (is_file(tmp_path), is_folder(tmp_path)) == (False, True)
    assert not is_file(tmp_path / "gone")


def test_a_text_where_a_path_belongs_is_named(tmp_path: Path) -> None:
    text = tmp_path / ("The lungs are clear. " * 20)
    for ask in (is_file, is_folder, lambda path: list(walk(path))):
        with pytest.raises(DataError, match="cannot be looked at"):
            ask(text)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_unpacks_to_gigabytes_is_refused_before_it_is_read(
    kind: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "LARGEST_PIECE", 10_000)
    header = tarfile.TarInfo("a")
    header.type, header.size = kind, 1 << 20
    packed = gzip.compress(header.tobuf() + bytes(1 << 20))
    claims = pytest.raises(tarfile.ReadError, match="a header claims 1 MB")
    with claims, opened_archive(io.BytesIO(packed)) as archive:
        archive.getmembers()


def test_an_archive_is_read_as_tarfile_reads_it() -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name in ("a" * 200, "b"):
            member = tarfile.TarInfo(name)
            member.size = 100_000
            archive.addfile(member, io.BytesIO(name[:1].encode() * 100_000))
    made.seek(0)
    with opened_archive(made) as archive:
        found = {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]
    assert found == {"a" * 200: b"a" * 100_000, "b": b"b" * 100_000}
