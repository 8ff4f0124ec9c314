"""Whether a model says different things about different studies, or one thing about all.

On BLEU a single normal report beats many published models, so every evaluation shows these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from xray_report.metrics.pairs import check_pairs
from xray_report.metrics.preparation import clean

MIN_STUDIES = 10
"""Fewer studies than this say nothing about collapse."""


def _diversity(texts: Sequence[str]) -> dict[str, float]:
    """Distinct reports, the most frequent one's share, and distinct-1/2 of Li et al. 2016."""
    counts = Counter(texts)
    words = [text.split() for text in texts]
    total = sum(len(tokens) for tokens in words)
    pairs = [pair for tokens in words for pair in pairwise(tokens)]
    studies = max(len(texts), 1)
    return {
        "distinct_reports": float(len(counts)),
        "distinct_share": len(counts) / studies,
        "most_frequent_share": max(counts.values(), default=0) / studies,
        "distinct1": len({word for tokens in words for word in tokens}) / max(total, 1),
        "distinct2": len(set(pairs)) / max(len(pairs), 1),
        "words_per_report": total / studies,
    }


def collapse_panel(
    hypotheses: Sequence[str],
    references: Sequence[str],
    train_texts: Sequence[str] | None = None,
    vocabulary_words: Sequence[str] | None = None,
) -> dict[str, float]:
    """Diversity of the hypotheses, and of the references beside it, after `clean`.

    Returns:
        `collapse/distinct_reports` (a count), `collapse/distinct_share`,
        `collapse/most_frequent_share`, `collapse/distinct1`, `collapse/distinct2` (distinct
        words and word pairs per word and pair), `collapse/words_per_report`, the same as
        `collapse/reference_*`; `collapse/words_used` (a count), `collapse/length_ratio` (words of
        all hypotheses per word of all references); with training reports
        `collapse/copied_share` and `collapse/reference_copied_share` (reports that stand word
        for word in train); with a vocabulary `collapse/vocabulary_share` (its words used).

    Raises:
        DataError: the two lists differ in length.
    """
    check_pairs(hypotheses, references)
    left, right = [clean(text) for text in hypotheses], [clean(text) for text in references]
    ours, theirs = _diversity(left), _diversity(right)
    used = {word for text in left for word in text.split()}
    panel = ours | {f"reference_{key}": value for key, value in theirs.items()}
    panel["words_used"] = float(len(used))
    panel["length_ratio"] = ours["words_per_report"] / max(theirs["words_per_report"], 1e-9)
    if train_texts is not None:
        known = {clean(text) for text in train_texts}
        panel["copied_share"] = _share(left, known)
        panel["reference_copied_share"] = _share(right, known)
    if vocabulary_words is not None:
        panel["vocabulary_share"] = _share(sorted(set(vocabulary_words)), used)
    return {f"collapse/{key}": value for key, value in panel.items()}


def _share(texts: Sequence[str], known: set[str]) -> float:
    return sum(text in known for text in texts) / max(len(texts), 1)
