from __future__ import annotations

import pytest

from xray_report.text.missing import is_placeholder, text_or_none

MISSING = ["nan", "NaN", "None", " none ", "NULL", "null", "NA", "n/a", "N/A", "#N/A", "<NA>"]
REPORTS = ["None.", "nana", "No", "NA catheter.", "-", "no finding", "x"]


@pytest.mark.parametrize("text", MISSING)
def test_what_programs_write_for_nothing_is_no_report(text: str) -> None:
    assert is_placeholder(text)
    assert text_or_none(text) is None


@pytest.mark.parametrize("text", ["", "  ", "\n", None])
def test_nothing_is_no_report_and_no_placeholder(text: str | None) -> None:
    assert text_or_none(text) is None
    assert not is_placeholder(text or "")


@pytest.mark.parametrize("text", REPORTS)
def test_reports_stay_as_they_stand(text: str) -> None:
    assert text_or_none(f" {text}") == f" {text}"
