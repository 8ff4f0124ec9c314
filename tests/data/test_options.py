from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xray_report.data.sources.csv import CSVSource
from xray_report.data.sources.nih_chestxray14 import NIHChestXray14
from xray_report.data.splits import SplitOptions
from xray_report.errors import OptionError
from xray_report.options import as_path


@pytest.mark.parametrize("value", ["abc", None, 1.0, -0.1, float("nan"), True])
@pytest.mark.parametrize("name", ["val_share", "test_share"])
def test_shares_are_numbers_below_one(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=rf"data\.{name} must be a number"):
        SplitOptions("study", **{name: value})


def test_shares_leave_something_for_train() -> None:
    with pytest.raises(OptionError, match=r"must stay below 1, for train"):
        SplitOptions("study", val_share=0.5, test_share=0.5)


@pytest.mark.parametrize("value", [2017, None, "", "a\0b", "~nobody-of-this-name/x"])
def test_what_is_no_path_is_named(value: Any) -> None:
    with pytest.raises(OptionError, match=r"^data\.root"):
        as_path("data.root", value)


def test_a_home_folder_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert as_path("data.root", "~/x") == Path("/somewhere/x")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: NIHChestXray14(2017), r"data\.root must be a path, got 2017"),  # type: ignore[arg-type]
        (
            lambda: CSVSource("t.csv", columns={"study_id": "id", "image": "x"}, labels="Edema"),
            r"data\.labels must be a list",
        ),
        (
            lambda: CSVSource("t.csv", columns={"study_id": "id", "image": "x"}, labels=None),
            r"data\.labels must be a list",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(make: Callable[[], object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        make()
