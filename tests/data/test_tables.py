from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from xray_report.data.tables import iterate_table, read_table
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


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_on_any_system_and_nowhere_else(tmp_path: Path, end: str) -> None:
    """What `str.splitlines` also takes for the end of a line is a letter of a cell here."""
    rows = ["id,report", "1,a\x0cb\u2028c\x85d", f'2,"Clear.{end}{end}Dry."', "3,ok"]
    path = tmp_path / "table.csv"
    path.write_bytes(end.join(rows).encode())
    found = [row["report"] for _, row in read_table(path, ["id", "report"])]
    assert found == ["a\x0cb\u2028c\x85d", f"Clear.{end}{end}Dry.", "ok"]


def test_rows_come_one_at_a_time_where_a_table_is_large(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("id,report\n1,Clear.\n2,Dry.,too,much\n")
    rows = iterate_table(path, ["id"])
    assert next(rows) == (f"{path}, row 2", {"id": "1", "report": "Clear."})
    with pytest.raises(DataError, match=r"row 3: more cells"):
        next(rows)


@pytest.mark.parametrize(
    ("content", "first"),
    [
        ("id;report\n1;Clear, dry.\n2;Wet; old\n", 2),
        ("id\treport\n1\tClear, dry.\n", 2),
        ("sep=;\r\nid;report\r\n1;Clear, dry.\r\n", 3),
        ('sep=,\nid,report\n1,"Clear, dry."\n', 3),
    ],
)
def test_separators_of_spreadsheets(tmp_path: Path, content: str, first: int) -> None:
    path = table(tmp_path, content)
    if "Wet" in content:
        with pytest.raises(DataError, match="row 3: more cells than the header"):
            read_table(path, ("id", "report"))
        path = table(tmp_path, content[: content.index("2;")])
    rows = read_table(path, ("id", "report"))
    assert rows == [(f"{path}, row {first}", {"id": "1", "report": "Clear, dry."})]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('id,report\n1,a\n2,"Clear.\n3,Dry.\n', 3),
        ('id,report\n1,a\n2,"Clear.\n3,"Dry, cold."\n', 3),
        ('sep=,\nid,report\n1,"a\nb"\n2,"Said "dry".\n', 5),
    ],
)
def test_the_line_of_a_quote_left_open_is_named(tmp_path: Path, content: str, line: int) -> None:
    with pytest.raises(DataError, match=f"from line {line} on, where a quote"):
        read_table(table(tmp_path, content), ("id", "report"))


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


def test_a_table_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress(b"id,text\n1," + bytes(70 << 20), 1)
    with pytest.raises(
        DataError, match=r"t\.csv\.gz: unpacks to more than 67 MB.*gunzip"
    ) as caught:
        read_table(table(tmp_path, packed, "t.csv.gz"), ("id",))
    assert "gunzip" in str(caught.value)
    assert "\n" not in str(caught.value)
