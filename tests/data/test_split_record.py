"""What a checkpoint knows of its split, and what it gives away of it."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.tiny_source import TinySource, tiny_study
from xray_report.data.splits import changed, overlapping, record_split

STUDIES = TinySource((8, 4, 4)).studies()
RECORD = record_split(STUDIES)


def test_the_record_is_plain_and_names_nobody() -> None:
    assert {name: part["studies"] for name, part in RECORD.items()} == {
        "train": 8, "val": 4, "test": 4,
    }  # fmt: skip
    text = json.dumps(RECORD)
    assert "tiny" not in text
    assert "patient" not in text
    assert record_split(STUDIES[::-1]) == RECORD


def test_studies_and_patients_that_are_in_it_are_found() -> None:
    test = [one for one in STUDIES if one.split == "test"]
    assert overlapping(test, RECORD["train"]) == []
    assert overlapping(STUDIES[6:10], RECORD["train"]) == ["tiny-006", "tiny-007"]
    again = replace(tiny_study(40, "test"), patient_id="patient-003")
    alone = replace(tiny_study(41, "test"), patient_id=None)
    assert overlapping([again, alone], RECORD["train"]) == ["tiny-040"]
    assert overlapping(test, {}) == []


def test_another_split_is_told_in_words() -> None:
    test = [one for one in STUDIES if one.split == "test"]
    assert changed(test, RECORD["test"]) == ""
    assert changed(test[1:], RECORD["test"]) == "3 studies, not 4"
    assert changed([tiny_study(40, "test"), *test[1:]], RECORD["test"]) == "other studies"
