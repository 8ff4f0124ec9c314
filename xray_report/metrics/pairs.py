"""The one thing every score asks of its input: as many hypotheses as references."""

from __future__ import annotations

from collections.abc import Sequence

from xray_report.errors import DataError


def check_pairs(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    """Raise `DataError` unless both lists have the same length and are not single strings."""
    if isinstance(hypotheses, str) or isinstance(references, str):
        raise DataError("hypotheses and references must be lists of texts, got a single text")
    if len(hypotheses) != len(references):
        raise DataError(
            f"{len(hypotheses)} hypotheses but {len(references)} references: "
            "give exactly one hypothesis for each reference, in the same order"
        )
