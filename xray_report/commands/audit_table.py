"""An audit as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

SHARES = ("normal", "with a vector", "unknown to train", "also in train")
"""Fractions under these names are shown in per cent."""
SHOWN = 20
"""Unreadable images listed in the table; the JSON has them all."""


def audit_table(numbers: Mapping[str, Any]) -> Table:
    """One row a number; mappings are indented under their name."""
    table = Table("", "", title=f"Audit of {numbers['data']}", show_header=False)
    table.columns[1].justify = "right"
    table.columns[1].overflow = "fold"
    for depth, name, value in _rows(numbers, 0, ""):
        table.add_row("  " * depth + escape(name), escape(value))
    return table


def _rows(numbers: Mapping[str, Any], depth: int, above: str) -> Iterator[tuple[int, str, str]]:
    for name, value in numbers.items():
        share = any(f"{above}/{name}".endswith(end) or above.endswith(end) for end in SHARES)
        if isinstance(value, Mapping):
            yield depth, name, ""
            yield from _rows(value, depth + 1, name)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield depth, name, str(len(value))
            yield from ((depth + 1, str(row["study"]), str(row["error"])) for row in value[:SHOWN])
        else:
            yield depth, name, _text(value, share)


def _text(value: Any, share: bool) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{100 * value:.1f} %" if share else f"{value:.1f}".removesuffix(".0")
    return f"{value:,}" if isinstance(value, int) else str(value)
