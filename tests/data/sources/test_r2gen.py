from __future__ import annotations

import json
from pathlib import Path

import pytest

from xray_report.data.sources.r2gen import read_annotation
from xray_report.errors import DataError

ENTRY = {"id": "1", "report": "Clear.", "image_path": ["a/0.png", "a/1.png"]}


def test_an_entry_keeps_its_paths(tmp_path: Path) -> None:
    path = tmp_path / "annotation.json"
    path.write_text(json.dumps({"train": [ENTRY]}))
    (entry,) = read_annotation(path)
    assert entry.image_paths == ("a/0.png", "a/1.png")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"train": null}', "train is no list"),
        ('{"train": 5}', "train is no list"),
        ('{"train": [' + "1" * 5000 + "]}", "not valid JSON"),
        (json.dumps({"test": [{**ENTRY, "image_path": "a/0.png"}]}), "image_path a list"),
        (json.dumps({"test": [{**ENTRY, "image_path": None}]}), "image_path a list"),
        (json.dumps({"test": [{"id": "1"}]}), "lacks"),
    ],
    ids=["null", "number", "digits", "one path", "no path", "no report"],
)
def test_a_malformed_annotation_is_named(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "annotation.json"
    path.write_text(content)
    with pytest.raises(DataError, match=words):
        read_annotation(path)
