"""Checks of options, each failing with one line that names the option and says what it may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from xray_report.errors import OptionError


def check_count(name: str, value: object, least: int = 1) -> int:
    """`value`; `OptionError` unless it is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        kind = "a positive integer" if least == 1 else f"an integer of at least {least}"
        raise OptionError(f"{name} must be {kind}, got {value!r}")
    return value


def check_number(
    name: str,
    value: object,
    above: float = -math.inf,
    least: float = -math.inf,
    most: float = math.inf,
) -> float:
    """`value`; `OptionError` unless it is finite, above `above` and from `least` to `most`."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and math.isfinite(value) and above < value and least <= value <= most:  # type: ignore[arg-type, operator]
        return value  # type: ignore[return-value]
    limits = [f"above {above:g}"] if above > -math.inf else []
    limits += [f"of at least {least:g}"] if least > -math.inf else []
    limits += [f"at most {most:g}"] if most < math.inf else []
    kind = " ".join(["a finite number", " and ".join(limits)]).rstrip()
    raise OptionError(f"{name} must be {kind}, got {value!r}")


def check_share(name: str, value: object) -> float:
    """`value`; `OptionError` unless it is a number from 0 to below 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise OptionError(f"{name} must be a number from 0 to below 1, got {value!r}")
    return float(value)


def check_choice(name: str, value: str, choices: Sequence[str]) -> str:
    """`value`; `OptionError` unless it is one of `choices`."""
    if value not in choices:
        raise OptionError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    return value


def check_flag(name: str, value: object) -> bool:
    """`value`; `OptionError` unless it is true or false and nothing that merely counts as such."""
    if not isinstance(value, bool):
        raise OptionError(f"{name} must be true or false, got {value!r}")
    return value


def as_path(name: str, value: str | Path) -> Path:
    """The path that `value` names, `~` expanded; `OptionError` unless it is text or a path."""
    if not isinstance(value, (str, Path)) or not str(value) or "\0" in str(value):
        raise OptionError(f"{name} must be a path, got {value!r}")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise OptionError(f"{name}={value}: nobody of that name has a home folder") from None


def as_tuple(name: str, value: object) -> tuple[object, ...]:
    """`value` as a tuple; a lone word would be taken for its letters, so it is refused."""
    if isinstance(value, (list, tuple)):
        return tuple(dict.fromkeys(value))
    raise OptionError(f"{name} must be a list, got {value!r}")
