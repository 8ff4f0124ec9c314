from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from xray_report.data import tables
from xray_report.data.tables import read_table
from xray_report.errors import DataError


def table(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_quotes_line_breaks_marks_and_short_rows(tmp_path: Path) -> None:
    text = '\ufeffid, report \r\n1,"Clear, ""dry""\nlungs."\r\n2\r\n3,ok,,\r\n'
    path = table(tmp_path, text)
    places, rows = zip(*read_table(path, ("id", "report")), strict=True)
    assert places == (f"{path}, row 2", f"{path}, row 3", f"{path}, row 4")
    assert [row["report"] for row in rows] == ['Clear, "dry"\nlungs.', "", "ok"]
    packed = table(tmp_path, gzip.compress(text.encode()), "t.csv.gz")
    assert tuple(row for _, row in read_table(packed, ("id",))) == rows


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("id,report\n", "header but no rows"),
        ("id,text\n1,a\n", "no column 'report'; it has id, text"),
        ('id,"a\nb"\n1,a\n', "no column 'report'; it has id, a b"),
        ("id,report,report\n1,a,b\n", "column 'report' stands twice"),
        ("id,report\n1,a\n2,Clear, dry lungs.\n", "row 3: more cells than the header"),
        ('id,report\n1,"Clear.\n2,Dry.\n', "not a readable CSV (unexpected end of data)"),
        ("id,report\n1,Cl\xear\n".encode("latin-1"), "not UTF-8 (byte 14 is 0xea)"),
        ("id,report\n1,a\n".encode("utf-16"), "not UTF-8"),
    ],
)
def test_a_table_that_would_lose_text_is_refused(
    tmp_path: Path, content: str | bytes, words: str
) -> None:
    path = table(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_table(path, ("id", "report"))
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_gzip_and_missing_file(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"id\n" + bytes(range(256)) * 20))
    packed[40] ^= 0xFF
    for content in (b"no gzip", bytes(packed), bytes(packed[:60])):
        with pytest.raises(DataError, match=r"t.csv.gz: cannot be read"):
            read_table(table(tmp_path, content, "t.csv.gz"), ("id",))
    with pytest.raises(DataError, match="No such file"):
        read_table(tmp_path / "none.csv", ("id",))


def test_a_packed_table_that_unpacks_to_gigabytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "LARGEST_UNPACKED", 1000)
    fits, bomb = b"id\n" + b"1" * 997, b"id\n" + b"1" * 998
    ((_, row),) = read_table(table(tmp_path, gzip.compress(fits), "a.csv.gz"), ("id",))
    assert len(row["id"]) == 997
    with pytest.raises(DataError, match=r"b\.csv\.gz: unpacks to more than .* unpack it yourself"):
        read_table(table(tmp_path, gzip.compress(bomb), "b.csv.gz"), ("id",))
