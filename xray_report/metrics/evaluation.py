"""All scores of a system's reports, beside the same scores of its baselines.

The result is one flat dictionary, in fractions (CIDEr 0..10). With 95 % intervals over studies
under `<key>_low` and `<key>_high`:
- `<protocol>/<score>`, `findings/*`, `facts/*`: the system's scores;
- `shuffled/<key>`: its scores when the studies' images are exchanged, and `reliance/<key>`, what
  the exchange costs;
- `baseline/<name>/<key>`, and `versus_<name>/<key>`: the system's score minus the baseline's.

Without intervals: `studies`; `collapse/*`; `prior/rate`, `prior/reference_rate`;
`strata/<stratum>/<key>`, `strata/<stratum>/studies`; and `findings/<class>/studies`, the number of
references that hold a class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xray_report.errors import DataError
from xray_report.exchange import exchange
from xray_report.metrics.baselines import text_baselines
from xray_report.metrics.diagnostics import (
    EXCHANGE_SEED,
    collapse_panel,
    comparison_rate,
    is_abnormal,
    strata,
)
from xray_report.metrics.findings.scores import (
    abnormal_reports,
    class_support,
    fact_study_scores,
    finding_study_scores,
)
from xray_report.metrics.protocols import Protocol, protocol_study_scores, usable_protocols
from xray_report.metrics.study_scores import (
    RESAMPLES,
    Indices,
    StudyScores,
    intervals,
    paired_differences,
)


def evaluate_texts(
    study_ids: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    train_texts: Sequence[str] | None = None,
    val_texts: Sequence[str] | None = None,
    vocabulary_words: Sequence[str] | None = None,
    views: Sequence[int] | None = None,
    labels: Sequence[Mapping[str, float] | None] | None = None,
    baselines: Mapping[str, Sequence[str]] | None = None,
    reliance: bool = True,
    protocols: Sequence[Protocol] | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, float]:
    """Score N reports, raw or cleaned, in every way there is; their order changes nothing.

    Args:
        study_ids, hypotheses, references: N each, in one order.
        train_texts: training reports, for the protocol `r2gen`, copied reports, and seen and novel
            references.
        val_texts: validation reports; with the training reports they give the text baselines.
        vocabulary_words: the words a model may write.
        views: numbers of views.
        labels: `Study.labels`; where they do not say whether a study is normal, its reference is
            labelled.
        baselines: reports of further baselines by name, such as `nearest`, in the order of
            `study_ids`.
        reliance: False leaves out `shuffled/*` and `reliance/*`.
        protocols: how to score texts; all usable ones by default.
        resamples: of the bootstrap.

    Returns:
        The keys in this module's docstring.

    Raises:
        DataError: lists of different lengths, no studies, or an id that occurs twice.
    """
    order = _sorted_order(study_ids, hypotheses, references)
    hypotheses, references = [hypotheses[i] for i in order], [references[i] for i in order]
    chosen = usable_protocols(train_texts) if protocols is None else protocols
    scorer = CorpusScorer(references, chosen, train_texts, resamples)
    system = scorer.study_scores(hypotheses)
    metrics = {"studies": float(len(order))} | scorer.with_intervals(system)
    metrics |= class_support(references)
    metrics |= collapse_panel(hypotheses, references, train_texts, vocabulary_words)
    metrics["prior/rate"] = comparison_rate(hypotheses)
    metrics["prior/reference_rate"] = comparison_rate(references)
    abnormal = abnormal_reports(references)
    if labels:
        given = [is_abnormal(labels[i]) for i in order]
        abnormal = [b if a is None else a for a, b in zip(given, abnormal, strict=True)]
    groups = strata(
        references,
        abnormal=abnormal,
        train_texts=train_texts,
        views=[views[i] for i in order] if views else None,
    )
    for name, members in groups.items():
        metrics |= _stratum(name, members, system)
    if reliance:
        metrics |= _reliance(scorer, hypotheses, system)
    others: dict[str, list[str]] = {}
    if train_texts and val_texts:
        others = text_baselines(train_texts, val_texts, len(order))
    others |= {name: [texts[i] for i in order] for name, texts in (baselines or {}).items()}
    for name, texts in others.items():
        metrics |= scorer.baseline(name, texts, system)
    return metrics


def _sorted_order(
    study_ids: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]
) -> list[int]:
    lengths = (len(study_ids), len(hypotheses), len(references))
    if len(set(lengths)) > 1:
        raise DataError("{} study ids, {} hypotheses and {} references".format(*lengths))
    if not study_ids:
        raise DataError("no studies to score")
    if len(set(study_ids)) < len(study_ids):
        twice = next(i for i in study_ids if list(study_ids).count(i) > 1)
        raise DataError(f"study {twice!r} occurs more than once; gather and de-duplicate first")
    return sorted(range(len(study_ids)), key=study_ids.__getitem__)


def _stratum(name: str, members: Indices, system: Sequence[StudyScores]) -> dict[str, float]:
    """CIDEr keeps the document frequencies of the whole corpus.

    Counts that are all zero, such as facts of normal studies, are left out: they score nothing.
    """
    found = {f"strata/{name}/studies": float(len(members))}
    for family in system:
        if family.rows[members].any() or not family.counts:
            scores = family.corpus(members).items()
            found |= {f"strata/{name}/{key}": value for key, value in scores if is_overall(key)}
    return found


def _reliance(
    scorer: CorpusScorer, hypotheses: Sequence[str], system: Sequence[StudyScores]
) -> dict[str, float]:
    exchanged = scorer.study_scores(exchange(hypotheses, EXCHANGE_SEED))
    scores = scorer.with_intervals(exchanged).items()
    found = {f"shuffled/{key}": value for key, value in scores if is_overall(key)}
    return found | scorer.differences("reliance", exchanged, system)


@dataclass(frozen=True)
class CorpusScorer:
    """Scores any system's reports of the same studies; scores of one family share their rows.

    Args:
        references: N texts.
        protocols: how to score texts; findings and facts are always scored.
        train_texts: training reports, for protocols that need them.
        resamples: of the bootstrap.
    """

    references: Sequence[str]
    protocols: Sequence[Protocol]
    train_texts: Sequence[str] | None = None
    resamples: int = RESAMPLES

    def study_scores(self, hypotheses: Sequence[str]) -> list[StudyScores]:
        """Per-study scores of N hypotheses: one family a protocol, then findings and facts."""
        return [
            *(
                protocol_study_scores(protocol, hypotheses, self.references, self.train_texts)
                for protocol in self.protocols
            ),
            finding_study_scores(hypotheses, self.references),
            fact_study_scores(hypotheses, self.references),
        ]

    def with_intervals(self, families: Sequence[StudyScores]) -> dict[str, float]:
        """Corpus scores with `_low` and `_high`."""
        points = {key: value for family in families for key, value in family.corpus().items()}
        return points | intervals(families, self.resamples)

    def differences(
        self, name: str, first: Sequence[StudyScores], second: Sequence[StudyScores]
    ) -> dict[str, float]:
        """Difference second - first of every score, with its interval, as `<name>/<key>`."""
        found: dict[str, float] = {}
        for one, other in zip(first, second, strict=True):
            for key, result in paired_differences(one, other, self.resamples).items():
                if is_overall(key):
                    found[f"{name}/{key}"] = result.difference
                    found[f"{name}/{key}_low"] = result.low
                    found[f"{name}/{key}_high"] = result.high
        return found

    def baseline(
        self, name: str, texts: Sequence[str], system: Sequence[StudyScores] | None = None
    ) -> dict[str, float]:
        """`baseline/<name>/<key>` of N texts, and `versus_<name>/<key>` of a system's scores."""
        baseline = self.study_scores(texts)
        scores = self.with_intervals(baseline).items()
        found = {f"baseline/{name}/{key}": value for key, value in scores if is_overall(key)}
        return found | (self.differences(f"versus_{name}", baseline, system) if system else {})


def is_overall(key: str) -> bool:
    """False for one class's score, such as `findings/edema/f1`, which only the system gets."""
    return key.count("/") == 1
