"""Checks of constructor options, each failing with one line that names the option."""

from __future__ import annotations

from collections.abc import Sequence

from xray_report.errors import OptionError


def positive(name: str, value: int) -> int:
    """Return `value` if it is an integer above zero."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OptionError(f"{name} must be a positive integer, got {value!r}")
    return value


def probability(name: str, value: float) -> float:
    """Return `value` if it lies in [0, 1), as a share to drop or to smooth must."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise OptionError(f"{name} must be a number in [0, 1), got {value!r}")
    return float(value)


def one_of(name: str, value: str, choices: Sequence[str]) -> str:
    """Return `value` if it is among `choices`."""
    if value not in choices:
        raise OptionError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    return value


def switch(name: str, value: bool) -> bool:
    """Return `value` if it is true or false and nothing that merely counts as such."""
    if not isinstance(value, bool):
        raise OptionError(f"{name} must be true or false, got {value!r}")
    return value
