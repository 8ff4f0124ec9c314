from __future__ import annotations

from pathlib import Path

import pytest

from xray_report.data.folders import is_file, is_folder, walk
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
