"""Checks of options: what is refused, in which words, and what passes unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xray_report.errors import OptionError
from xray_report.options import (
    as_path,
    as_tuple,
    check_choice,
    check_count,
    check_flag,
    check_number,
    check_share,
)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (check_count, [1, 10**9], [0, -1, 1.0, True, "1", None]),
        (lambda name, value: check_count(name, value, 0), [0, 3], [-1, False]),
        (check_number, [-1, 0.5], [True, "1", None, float("nan"), float("inf")]),
        (lambda name, value: check_number(name, value, above=0, most=1), [0.1, 1], [0, 1.1]),
        (lambda name, value: check_number(name, value, least=0), [0], [-0.1]),
        (check_share, [0, 0.99], [1, -0.1, True, "0", float("nan")]),
        (check_flag, [True, False], [0, 1, "true", None]),
        (lambda name, value: check_choice(name, value, ["a", "b"]), ["a"], ["c", "", None]),
    ],
)
def test_values_pass_unchanged_or_are_refused_by_name(
    check: Callable[[str, Any], object], good: list[Any], bad: list[Any]
) -> None:
    assert [check("group.option", value) for value in good] == good
    for value in bad:
        with pytest.raises(OptionError, match=r"^group\.option must be "):
            check("group.option", value)


def test_a_list_becomes_a_tuple_without_repetitions_and_a_word_is_no_list() -> None:
    assert as_tuple("words", ["b", "a", "b"]) == ("b", "a")
    for value in ("ab", None, 3):
        with pytest.raises(OptionError, match=r"^words must be a list"):
            as_tuple("words", value)


@pytest.mark.parametrize("value", [2017, None, "", "a\0b", "~nobody-of-this-name/x"])
def test_what_is_no_path_is_named(value: Any) -> None:
    with pytest.raises(OptionError, match=r"^data\.root"):
        as_path("data.root", value)


def test_a_home_folder_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert as_path("data.root", "~/x") == Path("/somewhere/x")
