"""Which text of a study is the one to be written."""

from __future__ import annotations

from xray_report.data.study import Study
from xray_report.errors import OptionError

TARGETS = ("findings", "impression", "both")


def text_or_none(text: str | None) -> str | None:
    """`text` as it stands, or None if there is nothing but white space in it."""
    return text if text and text.strip() else None


def report_text(study: Study, target: str) -> str | None:
    """The study's text as published, or None if it has none.

    `target` is `findings`, `impression`, or `both`: findings then impression, or whichever of
    them there is. Raises `OptionError` for any other.
    """
    if target == "findings":
        return study.findings
    if target == "impression":
        return study.impression
    if target == "both":
        return " ".join(text for text in (study.findings, study.impression) if text) or None
    raise OptionError(f"data.target must be one of {', '.join(TARGETS)}, got {target!r}")
