from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xray_report.errors import DataError, OptionError
from xray_report.metrics.files import (
    HYPOTHESES,
    REFERENCES,
    TRAINING,
    ReportRecord,
    Side,
    TextTable,
    join_texts,
    merge_records,
    read_metrics,
    read_reports,
    read_texts,
    write_metrics,
    write_reports,
    write_table,
)

# Texts of any file.


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content", "ids"),
    [
        ("a.csv", 'study_id,report\n1,"Heart, normal."\n2,\n', ["1", "2"]),
        ("a.tsv", "uid\ttext\n1\tHeart, normal.\n2\t\n", ["1", "2"]),
        ("a.csv", 'sep=;\r\nstudy_id;report\r\n1;Heart, normal.\r\n2;""\r\n', ["1", "2"]),
        ("a.csv", "study_id;report\n1;Heart, normal.\n2;\n", ["1", "2"]),
        ("a.csv", '\ufefffindings\n"Heart, normal."\n""\n', None),
        ("a.json", '["Heart, normal.", ""]', None),
        ("a.json", '{"1": "Heart, normal.", "2": [""]}', ["1", "2"]),
        ("a.json", '[{"id": 1, "text": "Heart, normal."}, {"id": 2, "text": ""}]', ["1", "2"]),
        (
            "a.jsonl",
            '{"id": "1", "report": "Heart, normal."}\n\n{"id": "2", "report": ""}\n',
            ["1", "2"],
        ),
        ("a.jsonl", '"Heart, normal."\n""\n', None),
        ("a.csv", 'Study_ID, Report \n 1,"Heart, normal."\n2 ,\n', ["1", "2"]),
        (
            "a.json",
            '[{"image_id": 1, "caption": "Heart, normal."}, {"image_id": 2, "caption": ""}]',
            ["1", "2"],
        ),
        ("a.txt", "Heart, normal.\n\n", None),
        ("a", "Heart, normal.\r\n\r\n", None),
    ],
)
def test_formats(tmp_path: Path, name: str, content: str, ids: list[str] | None) -> None:
    table = read_texts(written(tmp_path, name, content), HYPOTHESES)
    assert table.texts == ["Heart, normal.", ""]
    assert table.ids == ids


def test_odd_separators_inside_a_text_part_no_line(tmp_path: Path) -> None:
    odd = "heart\u2028normal\x0clungs\x85clear"
    plain = written(tmp_path, "a.txt", f"{odd}\nx\n")
    assert read_texts(plain, REFERENCES).texts == [odd, "x"]
    quoted = written(tmp_path, "a.jsonl", '"heart\u2028normal"\n')
    assert read_texts(quoted, REFERENCES).texts == ["heart\u2028normal"]


def test_columns_by_option_and_by_side(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "key,mine,report,reference,hypothesis\nk,m,x,r,h\n")
    mine = read_texts(path, HYPOTHESES, column="mine", id_column="key")
    assert mine == TextTable(str(path), ["m"], ["k"], "mine", "key")
    assert read_texts(path, HYPOTHESES).texts == ["h"]
    assert read_texts(path, REFERENCES).texts == read_texts(path, TRAINING).texts == ["r"]


@pytest.mark.parametrize(
    ("side", "header", "column"),
    [
        (HYPOTHESES, "id,reference,report", "report"),
        (REFERENCES, "id,prediction,report", "report"),
        (HYPOTHESES, "id,reference,output", None),
        (REFERENCES, "id,hypothesis,prediction,generated", None),
        (TRAINING, "id,generated", None),
    ],
)
def test_no_side_reads_the_columns_of_the_other(
    tmp_path: Path, side: Side, header: str, column: str | None
) -> None:
    path = written(tmp_path, "a.csv", f"{header}\n{header}\n")
    if column is not None:
        assert read_texts(path, side).column == column
        return
    with pytest.raises(DataError, match=f"name one by {side.option}"):
        read_texts(path, side)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "holds no texts"),
        ("a.csv", "study_id,report\n", "holds no texts"),
        ("a.json", "[]", "holds no texts"),
        ("a.csv", "study_id,words\n1,x\n", "it has study_id, words: name one by --hyp"),
        ("a.csv", "study_id,report\n1,x\n1,y\n", "study_id '1' occurs more than once"),
        ("a.csv", "study_id,report\n1,x\n,y\n", "entry 2: study_id is empty"),
        ("a.csv", "study_id,report\n1,x\n2\n", "entry 2 has 1 fields for 2 columns"),
        ("a.csv", "study_id,report\n1,x, y\n", "entry 1 has 3 fields for 2 columns: put texts"),
        ("a.csv", "id,report,report\n1,x,y\n", "two columns named 'report'"),
        ("a.csv", 'id,report\n1,"x\n2,y\n', "line 2: not a readable table"),
        ("a.csv", 'sep=;\nid;report\n1;"x";\n2;"y\n', "line 4: not a readable table"),
        ("a.csv", "id,report\n1,NaN\n", "entry 1: the text is 'NaN', a missing value; leave"),
        ("a.csv", "id,report\n1,None\n", "entry 1: the text is 'None', a missing value"),
        ("a.txt", "null\n", "entry 1: the text is 'null', a missing value"),
        ("a.jsonl", '{"id": 1, "report": NaN}\n', "entry 1: expected a text, got float"),
        ("a.jsonl", '{"id": null, "report": "x"}\n', "entry 1: id is empty"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.csv", "report\nx\n\ny\n", 'row 3 is blank: write "" for an empty text'),
        ("a.jsonl", '{"id": "a", "text": "\\ud83d x"}\n', r"line 1: \\ud83d is half a character"),
        ("a.json", f"[{'1' * 5000}]", "a number has too many digits"),
        ("a.txt", "Herz größe".encode("latin-1"), "not UTF-8 text"),
        ("a.json", "{", "not JSON"),
        ("a.json", "3", "expected a list or an object"),
        ("a.json", '{"test": [{"id": "a", "report": "x"}]}', "'test' holds 1 entries and no text"),
        ("a.json", '{"annotations": [{"image_id": 1}]}', "annotation 1: expected image_id and cap"),
        ("a.json", '[{"text": "a"}, "b"]', "entry 2: expected an object"),
        ("a.json", '["a", 4]', "entry 2: expected a text, got int"),
        ("a.jsonl", '{"text": "a"}\n{"text"\n', "line 2: not JSON"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(DataError, match=message) as caught:
        read_texts(path, HYPOTHESES)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_columns_and_files_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "study_id,report\n1,x\n")
    with pytest.raises(DataError, match="no column 'words'; it has study_id, report"):
        read_texts(path, HYPOTHESES, column="words")
    with pytest.raises(DataError, match="no id column 'key'; it has study_id, report"):
        read_texts(path, HYPOTHESES, id_column="key")
    with pytest.raises(DataError, match="does not exist"):
        read_texts(tmp_path / "b.csv", HYPOTHESES)
    with pytest.raises(OptionError, match="bare texts"):
        read_texts(written(tmp_path, "a.txt", "x\n"), HYPOTHESES, column="report")


def table(name: str, texts: list[str], ids: list[str] | None = None) -> TextTable:
    return TextTable(name, texts, ids)


def test_join_is_by_id_whatever_the_order() -> None:
    rows, how = join_texts(table("h", ["x", "y"], ["2", "1"]), table("r", ["a", "b"], ["1", "2"]))
    assert rows == [("1", "y", "a"), ("2", "x", "b")]
    assert how == "joined by id: 'id' of h and 'id' of r"


def test_join_is_by_row_where_neither_side_has_ids_and_says_so() -> None:
    rows, how = join_texts(table("h", ["x"]), table("r", ["a"]))
    assert rows == [("000001", "x", "a")]
    assert how == "joined by order: neither h nor r has ids"


@pytest.mark.parametrize("ids", [(None, ["7"]), (["7"], None)], ids=["references", "hypotheses"])
def test_where_one_side_has_ids_nothing_is_joined_by_row(ids: tuple[Any, Any]) -> None:
    with pytest.raises(
        DataError, match=r"has ids \(such as '7'\) and . holds bare texts.*study_id"
    ):
        join_texts(table("h", ["x"], ids[0]), table("r", ["a"], ids[1]))


JOINS: dict[str, tuple[str, str, str | None]] = {
    "another name": ("dicom_id,report\nb,B\na,A\n", "study_id,report\na,A\nb,B\n", "'dicom_id'"),
    "another name on the right": ("id,report\nb,B\na,A\n", "key,report\na,A\nb,B\n", "'key'"),
    "no usual name": ("key,report\nb,B\na,A\n", "key,report\na,A\nb,B\n", "'key'"),
    "two unusual names": ("film,report\nb,B\na,A\n", "key,report\na,A\nb,B\n", "'film'"),
    "an id that counts rows": (
        "id,film,report\n0,b,B\n1,a,A\n", "study_id,report\na,A\nb,B\n", "'film'",
    ),
    "rows are counted on both sides": (",report\n0,A\n1,B\n", ",report\n0,A\n1,B\n", None),
    "columns that repeat values": (
        "model,report\nm,A\nm,B\n", "reader,report\nr,A\nr,B\n", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", JOINS)
def test_the_ids_are_found_by_their_values(case: str, tmp_path: Path) -> None:
    left, right, by = JOINS[case]
    rows, how = join_texts(
        read_texts(written(tmp_path, "h.csv", left), HYPOTHESES),
        read_texts(written(tmp_path, "r.csv", right), REFERENCES),
    )
    assert [(one, two) for _, one, two in rows] == [("A", "A"), ("B", "B")]
    assert how.startswith("joined by order" if by is None else "joined by id")
    assert (by or "") in how


REFUSED_JOINS: dict[str, tuple[str, str, str]] = {
    "no such column": (
        "film,report\nx,B\ny,A\n", "id,report\na,A\nb,B\n", r"no column of .*h\.csv .*--id-column",
    ),
    "one study is missing": (
        "key,report\na,A\nb,B\nd,D\n", "key,report\na,A\nb,B\nc,C\n", "1 ids of .*first is 'c'",
    ),
    "two columns disagree": (
        "id,film,report\n0,b,B\n1,a,A\n", "id,film,report\n0,a,A\n1,b,B\n",
        "fit together in different ways .*--id-column",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED_JOINS)
def test_ids_that_are_not_found_are_asked_for(case: str, tmp_path: Path) -> None:
    left, right, message = REFUSED_JOINS[case]
    files = (written(tmp_path, "h.csv", left), written(tmp_path, "r.csv", right))
    with pytest.raises(DataError, match=message) as caught:
        join_texts(read_texts(files[0], HYPOTHESES), read_texts(files[1], REFERENCES))
    assert "\n" not in str(caught.value)


def test_a_column_of_one_file_is_enough(tmp_path: Path) -> None:
    """Also against the usual name of a column that holds something else."""
    left = written(tmp_path, "h.csv", "id,film,report\n0,b,B\n1,a,A\n")
    right = written(tmp_path, "r.csv", "id,key,report\n0,a,A\n1,b,B\n")
    chosen = {"id_column": "film", "has_ids": False}
    both = read_texts(left, HYPOTHESES, **chosen), read_texts(right, REFERENCES, **chosen)  # type: ignore[arg-type]
    assert join_texts(*both).rows == [("a", "A", "A"), ("b", "B", "B")]


def test_coco_files_are_read_by_image_and_not_by_the_number_of_the_caption(tmp_path: Path) -> None:
    coco = {
        "info": {}, "images": [{"id": 7}, {"id": 9}],
        "annotations": [
            {"id": 9, "image_id": 7, "caption": "A"}, {"id": 7, "image_id": 9, "caption": "B"},
        ],
    }  # fmt: skip
    truth = read_texts(written(tmp_path, "r.json", json.dumps(coco)), REFERENCES)
    assert (truth.ids, truth.texts) == (["7", "9"], ["A", "B"])
    flat = read_texts(written(tmp_path, "f.json", json.dumps(coco["annotations"])), REFERENCES)
    assert flat.ids == ["7", "9"]
    coco["annotations"].append({"id": 3, "image_id": 9, "caption": "C"})  # type: ignore[union-attr]
    with pytest.raises(DataError, match="image '9' has 2 captions"):
        read_texts(written(tmp_path, "r.json", json.dumps(coco)), REFERENCES)


def test_a_long_report_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "id,report\n1," + "long " * 40_000 + "\n")
    assert len(read_texts(path, HYPOTHESES).texts[0]) == 200_000


def test_unequal_lengths_and_ids_are_named() -> None:
    with pytest.raises(DataError, match="h holds 1 texts but r holds 2"):
        join_texts(table("h", ["x"]), table("r", ["a", "b"]))
    with pytest.raises(DataError, match="1 ids of r are not in h, the first is '2'"):
        join_texts(table("h", ["x"], ["1"]), table("r", ["a", "b"], ["1", "2"]))
    with pytest.raises(DataError, match="1 ids of h are not in r, the first is '3'"):
        join_texts(table("h", ["x", "y"], ["1", "3"]), table("r", ["a"], ["1"]))


# Result folders.

RECORDS = [
    ReportRecord("b", "Référence.", "hypothesis", -0.5, -12.25),
    ReportRecord("a", "line\nbreak\u2028", ""),
]


def test_reports_round_trip_from_file_and_folder(tmp_path: Path) -> None:
    write_reports(tmp_path / "reports.jsonl", RECORDS)
    assert read_reports(tmp_path) == read_reports(tmp_path / "reports.jsonl") == RECORDS
    assert len((tmp_path / "reports.jsonl").read_bytes().split(b"\n")) == 3


def test_a_table_of_reports_is_read_again_side_by_side(tmp_path: Path) -> None:
    records = [*RECORDS, ReportRecord("c", 'He said "clear", no more.', "Lungs, clear.")]
    write_table(tmp_path / "reports.csv", records)
    first = (tmp_path / "reports.csv").read_text(encoding="utf-8").splitlines()[0]
    assert first == "study_id,reference,report"
    sides = [read_texts(tmp_path / "reports.csv", side) for side in (HYPOTHESES, REFERENCES)]
    assert [side.ids for side in sides] == [["b", "a", "c"]] * 2
    assert sides[0].texts == [one.hypothesis for one in records]
    assert sides[1].texts == [one.reference for one in records]


def test_metrics_round_trip_and_texts_are_left_out(tmp_path: Path) -> None:
    numbers = {"clean/bleu4": 0.125, "studies": 3, "bad": float("nan")}
    write_metrics(tmp_path / "metrics.json", numbers | {"note": "drawn"})
    assert read_metrics(tmp_path) == {"clean/bleu4": 0.125, "studies": 3.0}
    raw = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert raw["note"] == "drawn"
    assert raw["bad"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no reports"),
        ("not json\n", "line 1: not JSON"),
        ("[1]\n", "entry 1: expected a JSON object"),
        ('{"study_id": "a", "reference": "x"}\n', "entry 1: field 'hypothesis' is missing"),
        ('{"study_id": 3, "reference": "x", "hypothesis": "y"}\n', "field 'study_id'"),
        ('{"study_id": "a", "reference": "x", "hypothesis": "y"}\n' * 2, "'a' occurs more than"),
    ],
)
def test_bad_reports_are_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "reports.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_reports(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[]", "expected one dictionary"),
        (b'{"clean": {"bleu4": 1}}', "'clean' is nested"),
        (b"{", "not JSON"),
        (b'{"a": 1%s}' % (b"0" * 400), "'a' is too large a number"),
        (b'{"a": 1%s}' % (b"0" * 5000), "a number has too many digits"),
        (b'{"a": "\xe9"}', "not UTF-8"),
    ],
)
def test_bad_metrics_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_metrics(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"reports\.jsonl does not exist"):
        read_reports(tmp_path)


def test_two_processes_merge_to_one() -> None:
    whole = [ReportRecord(str(i), f"reference {i}", f"hypothesis {i}") for i in range(5)]
    first, second = whole[0::2], [*whole[1::2], whole[0]]  # padded as a distributed sampler does
    assert merge_records([first, second]) == merge_records([whole]) == whole


def test_a_submission_to_rexrank_holds_both_sides(tmp_path: Path) -> None:
    entry = {
        "image_path": ["a/0.png"], "report": "Findings: Heart big. Impression: Big.",
        "section_findings": "Heart big.", "model_prediction": "Heart normal.",
        "study_id": 7, "context": "",
    }  # fmt: skip
    path = tmp_path / "prediction.json"
    path.write_text(json.dumps({"CXR1_IM-1": entry, "CXR2_IM-2": entry | {"context": "x"}}))
    hypotheses, references = read_texts(path, HYPOTHESES), read_texts(path, REFERENCES)
    assert (hypotheses.column, references.column) == ("model_prediction", "report")
    assert hypotheses.texts == ["Heart normal."] * 2
    assert references.texts[0].startswith("Findings: Heart big.")
    assert hypotheses.ids == references.ids == ["CXR1_IM-1", "CXR2_IM-2"]
    parts = read_texts(path, REFERENCES, column="section_findings")
    assert join_texts(hypotheses, parts).rows[0] == ("CXR1_IM-1", "Heart normal.", "Heart big.")
