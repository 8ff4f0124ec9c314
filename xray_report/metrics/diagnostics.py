"""What is wrong with a model, measured: collapse, claims about earlier studies, strata, blindness.

`warnings_of` puts it in words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from xray_report.errors import DataError
from xray_report.metrics.protocols import clean_tokens
from xray_report.metrics.study_scores import Indices, check_pairs

# Collapse: a model that writes the same report for all studies.


def collapse_panel(
    hypotheses: Sequence[str],
    references: Sequence[str],
    train_texts: Sequence[str] | None = None,
    vocabulary_words: Sequence[str] | None = None,
) -> dict[str, float]:
    """Diversity of the hypotheses, and of the references beside it, after `clean_tokens`.

    Returns:
        `collapse/distinct_reports` (a count), `collapse/distinct_share`,
        `collapse/most_frequent_share`, `collapse/distinct1`, `collapse/distinct2` (distinct
        words and word pairs per word and pair), `collapse/words_per_report`, the same as
        `collapse/reference_*`; `collapse/words_used` (a count), `collapse/length_ratio` (words of
        all hypotheses per word of all references); with training reports
        `collapse/copied_share` and `collapse/reference_copied_share` (reports that occur word
        for word in train); with a vocabulary `collapse/vocabulary_share` (its words used, of
        those that `clean_tokens` leaves anything of).

    Raises:
        DataError: the two lists differ in length.
    """
    check_pairs(hypotheses, references)
    left, right = list(map(clean_tokens, hypotheses)), list(map(clean_tokens, references))
    ours, theirs = _diversity(left), _diversity(right)
    words = {word for text in left for word in text.split()}
    panel = ours | {f"reference_{key}": value for key, value in theirs.items()}
    panel["words_used"] = float(len(words))
    panel["length_ratio"] = ours["words_per_report"] / max(theirs["words_per_report"], 1e-9)
    if train_texts is not None:
        known = set(map(clean_tokens, train_texts))
        panel["copied_share"] = _share(left, known)
        panel["reference_copied_share"] = _share(right, known)
    if vocabulary_words is not None:
        panel["vocabulary_share"] = _share(sorted(_clean_words(vocabulary_words)), words)
    return {f"collapse/{key}": value for key, value in panel.items()}


def _clean_words(words: Sequence[str]) -> set[str]:
    """Words of a vocabulary as they are in clean text; the full stop is one."""
    # After a word, since a full stop that begins a text goes.
    return {token for word in words for token in clean_tokens(f"word {word}").split()[1:]}


def _diversity(texts: Sequence[str]) -> dict[str, float]:
    """Distinct reports, the most frequent one's share, and distinct-1/2 of Li et al. 2016."""
    counts = Counter(texts)
    words = [text.split() for text in texts]
    total = sum(len(tokens) for tokens in words)
    bigrams = [bigram for tokens in words for bigram in pairwise(tokens)]
    studies = max(len(texts), 1)
    return {
        "distinct_reports": float(len(counts)),
        "distinct_share": len(counts) / studies,
        "most_frequent_share": max(counts.values(), default=0) / studies,
        "distinct1": len({word for tokens in words for word in tokens}) / max(total, 1),
        "distinct2": len(set(bigrams)) / max(len(bigrams), 1),
        "words_per_report": total / studies,
    }


def _share(texts: Sequence[str], known: set[str]) -> float:
    return sum(text in known for text in texts) / max(len(texts), 1)


# Claims of a comparison with an earlier study, which a model that sees one study cannot make.
#
# The phrases follow the lists of Ramesh et al. 2022 ("Improving radiology report generation systems
# by removing hallucinated references to non-existent priors"). They are matched on cleaned text, in
# which words of one or two letters are gone, so that raw and generated texts are judged alike.

_EXAM = r"(?:exam\w*|stud(?:y|ies)|radiograph\w*|films?|images?|imaging|rays?|chest|scans?)"
_EARLIER = rf"(?:prior|previous|earlier|last|old|preceding)(?: \w+){{0,2}} {_EXAM}"
_SEEN = r"(?:seen|noted|described|identified|demonstrated|visuali[sz]ed|present)"
_MOVED = r"(?:increased|decreased|improved|worsened|resolved|cleared|progressed|enlarged)"

_CLAIMS = re.compile(
    r"\b(?:"
    r"unchanged|stable|redemonstrat\w*|"
    r"(?:no|without)(?: (?!evidence)\w+){0,2} (?:interval )?change|"
    r"(?:the|short) interval|"
    r"interval (?:change|increas|decreas|develop|improve|worsen|resol|clear|placement|remov|"
    r"progress|appear|enlarge|growth|follow)\w*|"
    r"compar(?:ed|ing) (?:with|the|prior|previous|chest|study|exam)|comparison (?:with|the|made)|"
    rf"(?:since|from|than|with|per|seen|the|her|his|patient) (?:the )?{_EARLIER}|"
    r"(?:than|since) (?:before|previously|prior|previous|the (?:prior|previous))|"
    r"(?:the|from) (?:prior|previous)(?= \.|$)|"
    rf"previously {_SEEN}|"
    rf"(?:again|once more) (?:\w+ )?{_SEEN}|{_SEEN} again|(?:there|have been|has been|are) again|"
    rf"(?:has|have) (?:been )?(?:\w+ly )?{_MOVED}(?= \.| since| from| compared| size| the|$)|"
    r"(?:worsening|worsened|improving|progression)|"
    r"remain(?:s|ed)?|persist\w*|no longer|newly|similar (?:prior|previous)"
    r")(?!\w)"
)
_DENIALS = re.compile(
    r"\b(?:no|without|not|none)(?: \w+){0,2} "
    rf"(?:comparisons?|priors?|{_EARLIER})(?: \w+){{0,3}}(?: available| for comparison)?\b"
)


def claims_comparison(text: str) -> bool:
    """Whether a report, raw or cleaned, claims to compare with an earlier study.

    "No prior studies are available for comparison" is the opposite of a claim.
    """
    return _CLAIMS.search(_DENIALS.sub(" ", clean_tokens(text))) is not None


def comparison_rate(texts: Sequence[str]) -> float:
    """Share of texts that claim a comparison, 0..1; 0 for no texts."""
    return sum(map(claims_comparison, texts)) / max(len(texts), 1)


# Strata: groups of studies to score apart, since one mean hides where a model fails.

NO_FINDING: Final = "No Finding"
NOT_DISEASE: Final = frozenset({NO_FINDING, "Support Devices"})


def is_abnormal(labels: Mapping[str, float] | None) -> bool | None:
    """Whether a study's labels name a finding; None where they do not say.

    "No Finding" decides where it is given. Otherwise a study is abnormal where any finding but
    "Support Devices" is present; labels without "No Finding" may be too few to call one normal.
    """
    if not labels:
        return None
    no_finding = labels.get(NO_FINDING)
    if no_finding in (0.0, 1.0):
        return no_finding == 0.0
    found = any(value == 1 for name, value in labels.items() if name not in NOT_DISEASE)
    return True if found else None


def strata(
    references: Sequence[str],
    *,
    abnormal: Sequence[bool | None] | None = None,
    train_texts: Sequence[str] | None = None,
    views: Sequence[int] | None = None,
) -> dict[str, Indices]:
    """Indices of the studies of each stratum that has any.

    Args:
        references: N raw texts.
        abnormal: N flags, None where unknown -> `normal`, `abnormal`.
        train_texts: training reports -> `seen_reference` (occurs in train after cleaning),
            `novel_reference`.
        views: N numbers of views -> `one_view`, `two_views` (two or more).

    Returns:
        Those, and by words of the cleaned reference, split at the terciles, `short_reference`,
        `medium_reference`, `long_reference`.

    Raises:
        DataError: a list of another length than the references.
    """
    cleaned = list(map(clean_tokens, references))
    groups = dict(_by_length(cleaned))
    if abnormal is not None:
        groups |= _by_flag(abnormal, "abnormal", "normal", len(cleaned))
    if train_texts is not None:
        known = set(map(clean_tokens, train_texts))
        seen = [text in known for text in cleaned]
        groups |= _by_flag(seen, "seen_reference", "novel_reference", len(cleaned))
    if views is not None:
        both = [number > 1 if number else None for number in views]
        groups |= _by_flag(both, "two_views", "one_view", len(cleaned))
    return {name: indices for name, indices in groups.items() if len(indices)}


def _by_flag(
    flags: Sequence[bool | None], true_name: str, false_name: str, studies: int
) -> dict[str, Indices]:
    if len(flags) != studies:
        raise DataError(f"{true_name}: {len(flags)} values for {studies} studies")
    return {
        name: np.array([i for i, flag in enumerate(flags) if flag is wanted], dtype=np.int64)
        for name, wanted in ((true_name, True), (false_name, False))
    }


def _by_length(cleaned: Sequence[str]) -> Iterator[tuple[str, Indices]]:
    lengths = np.array([len(text.split()) for text in cleaned], dtype=np.int64)
    low, high = np.quantile(lengths, [1 / 3, 2 / 3]) if len(lengths) else (0, 0)
    yield "short_reference", np.flatnonzero(lengths <= low)
    yield "medium_reference", np.flatnonzero((lengths > low) & (lengths <= high))
    yield "long_reference", np.flatnonzero(lengths > high)


# Image reliance: what is lost when the studies' images are exchanged.
#
# A report is a function of its study's images alone, so decoding with the images of study j in the
# place of study i's gives exactly study j's report. Exchanging the images is therefore the same as
# exchanging the reports, and costs no second decoding.

EXCHANGE_SEED = 4


# What the numbers mean, in words, from a metrics dictionary alone.

MIN_STUDIES = 10
"""Fewer studies than this say nothing about collapse or reliance."""

RELIANCE_SCORES = ("clean/bleu4", "clean/cider", "findings/micro_f1", "facts/f1")
"""Scores that should fall when images are exchanged; those not in the metrics are passed over."""

NEGLIGIBLE = 0.05
"""A loss of less than this share of the score, when images are exchanged, counts as none."""


def with_warnings(metrics: Mapping[str, float]) -> dict[str, float | str]:
    """The metrics and, under `warning/<name>`, what is wrong with them in words."""
    return {**metrics, **{f"warning/{name}": text for name, text in warnings_of(metrics).items()}}


def warnings_of(metrics: Mapping[str, float]) -> dict[str, str]:
    """All warnings that apply, by name; an empty dictionary means none do."""
    found = {
        "collapsed": collapse_warning(metrics),
        "image_blind": reliance_warning(metrics),
        "not_better_than_constant": constant_warning(metrics),
    }
    return {name: text for name, text in found.items() if text is not None}


def collapse_warning(metrics: Mapping[str, float]) -> str | None:
    """A warning where the model writes (nearly) the same report for all studies, else None.

    Collapsed means: one report is given to at least half of the studies and twice the share of the
    most frequent reference, or the distinct reports are at most a tenth of the distinct references.
    Under 10 studies nothing is said.
    """
    if metrics.get("studies", 0) < MIN_STUDIES or "collapse/distinct_reports" not in metrics:
        return None
    top = metrics["collapse/most_frequent_share"]
    distinct = metrics["collapse/distinct_reports"]
    expected = metrics["collapse/reference_distinct_reports"]
    frequent = top >= max(0.5, 2 * metrics["collapse/reference_most_frequent_share"])
    if not (frequent or distinct <= 0.1 * expected):
        return None
    return (
        f"COLLAPSED: {distinct:.0f} different report{'' if distinct == 1 else 's'} for "
        f"{metrics['studies']:.0f} studies (the references hold {expected:.0f}), and one of them "
        f"is given to {top:.0%} of the studies. Scores of such a model say little about its "
        "reading of images."
    )


def reliance_warning(metrics: Mapping[str, float]) -> str | None:
    """A warning where exchanging the studies' images costs next to nothing, else None.

    A model passes when two of `RELIANCE_SCORES` (or the only one there is) fall clearly: the
    interval of the loss leaves out zero and the loss is at least a twentieth of the score. One
    alone would too often fall by chance, for there are four.
    """
    present = [key for key in RELIANCE_SCORES if f"reliance/{key}_low" in metrics]
    if not present or metrics.get("studies", 0) < MIN_STUDIES:
        return None
    lowered = [
        key
        for key in present
        if metrics[f"reliance/{key}_low"] > 0
        and metrics[f"reliance/{key}"] > NEGLIGIBLE * metrics[key]
    ]
    if len(lowered) >= min(2, len(present)):
        return None
    key = present[0]
    return (
        "IMAGE-BLIND: with the studies' images exchanged the scores stay (nearly) the same "
        f"({key} changes by {-metrics[f'reliance/{key}']:+.3f}): the reports hardly depend on "
        "the images."
    )


def constant_warning(metrics: Mapping[str, float]) -> str | None:
    """A warning where the model does not clearly beat the best constant report on BLEU-4.

    BLEU-4 of `clean`, or of the first protocol there is; None where the model does beat it.
    """
    versus = next((k for k in metrics if re.fullmatch("versus_constant/.*/bleu4", k)), "")
    if f"{versus}_low" not in metrics or metrics[f"{versus}_low"] > 0:
        return None
    score = versus.removeprefix("versus_constant/")
    return (
        f"NOT BETTER THAN ONE FIXED REPORT: {score} {metrics[score]:.3f} against "
        f"{metrics[f'baseline/constant/{score}']:.3f} for giving every study the same report "
        f"(difference {metrics[versus]:+.3f}, 95 % interval {metrics[f'{versus}_low']:+.3f} to "
        f"{metrics[f'{versus}_high']:+.3f}).{_findings_beside(metrics)}"
    )


def _findings_beside(metrics: Mapping[str, float]) -> str:
    key = "findings/micro_f1"
    low = f"versus_constant/{key}_low"
    if low not in metrics:
        return ""
    verb = "do beat it" if metrics[low] > 0 else "do not beat it either"
    ours, theirs = metrics[key], metrics[f"baseline/constant/{key}"]
    return f" Its findings {verb}: {key} {ours:.3f} against {theirs:.3f}."
