from __future__ import annotations

import json
from pathlib import Path

import pytest

from xray_report.errors import DataError
from xray_report.metrics.files import (
    ReportRecord,
    merge_records,
    read_metrics,
    read_reports,
    write_metrics,
    write_reports,
)
from xray_report.metrics.intervals import aggregate_runs, unequal_runs

RECORDS = [
    ReportRecord("b", "Référence.", "hypothesis", -0.5, -12.25),
    ReportRecord("a", "line\nbreak\u2028", ""),
]


def test_reports_round_trip_from_file_and_folder(tmp_path: Path) -> None:
    write_reports(tmp_path / "reports.jsonl", RECORDS)
    assert read_reports(tmp_path) == read_reports(tmp_path / "reports.jsonl") == RECORDS
    assert len((tmp_path / "reports.jsonl").read_bytes().split(b"\n")) == 3


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
        ('{"study_id": "a", "reference": "x", "hypothesis": "y"}\n' * 2, "'a' stands more than"),
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


def test_aggregate_is_mean_and_sample_deviation() -> None:
    runs = [{"a/x": 1.0, "a/x_low": 0.5, "only": 3.0}, {"a/x": 3.0, "a/x_low": 2.0}]
    found = aggregate_runs(runs)
    assert found == {"runs": 2, "a/x/mean": 2.0, "a/x/std": pytest.approx(2**0.5)}


def test_unequal_runs_are_said_to_be() -> None:
    runs = [{"studies": 10.0, "a": 1.0, "a_low": 0.5}, {"studies": 10.0, "a": 2.0}]
    assert unequal_runs(runs) == []
    assert unequal_runs([*runs, {"studies": 12.0, "b": 1.0}]) == [
        "the runs hold different numbers of studies (10, 12)",
        "left out, not in every run: 2 metrics, such as a",
    ]


def test_aggregate_needs_two_runs_with_something_in_common() -> None:
    with pytest.raises(DataError, match="at least two runs, got 1"):
        aggregate_runs([{"a": 1.0}])
    with pytest.raises(DataError, match="no metric in common"):
        aggregate_runs([{"a": 1.0}, {"b": 1.0}])
