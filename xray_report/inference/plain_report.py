"""A report as plain values, for JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from xray_report.inference.generator import Report
from xray_report.inference.protocol import Hypothesis
from xray_report.inference.readable import readable
from xray_report.text.vocabulary import Vocabulary


def plain_report(report: Report, vocabulary: Vocabulary) -> dict[str, Any]:
    """Study id, readable report, and all hypotheses, best first, with a log-probability a word."""
    return {
        "study_id": report.study_id,
        "report": report.readable,
        "hypotheses": [_plain(one, vocabulary) for one in report.hypotheses],
    }


def _plain(one: Hypothesis, vocabulary: Vocabulary) -> dict[str, Any]:
    text = vocabulary.decode(one.token_ids)
    return {
        "report": readable(text),
        "text": text,
        "score": _finite(one.score),
        "log_prob": _finite(one.log_prob),
        "finished": one.finished,
        "words": _words(text.split(), one.word_log_probs),
        "end_log_prob": _finite(one.word_log_probs[-1]) if one.finished else None,
    }


def _words(words: Sequence[str], log_probs: Sequence[float]) -> list[dict[str, Any]]:
    # The end's log-probability, where there is one, comes after those of the words.
    return [
        {"word": word, "log_prob": _finite(log_prob)}
        for word, log_prob in zip(words, log_probs, strict=False)
    ]


def _finite(value: float) -> float | None:
    """JSON knows no infinity."""
    return value if math.isfinite(value) else None
