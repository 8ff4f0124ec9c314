"""The one rule for a report that is not there, for every reader of tables and files."""

from __future__ import annotations

from typing import Final

PLACEHOLDERS: Final = frozenset(("nan", "-nan", "none", "null", "na", "n/a", "#na", "#n/a", "<na>"))
"""What programs write for a missing value, in lower case: no report consists of such a word."""


def is_placeholder(text: str) -> bool:
    """Whether a text is what a program wrote for a missing value, such as "nan" or "None".

    White space around it and its case do not matter. "None." with its full stop is a report.
    """
    return text.strip().lower() in PLACEHOLDERS


def text_or_none(text: str | None) -> str | None:
    """`text` as it stands; None if it is empty, white space, or a placeholder."""
    if text is None or not text.strip() or is_placeholder(text):
        return None
    return text
