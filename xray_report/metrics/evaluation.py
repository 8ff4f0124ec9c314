"""All scores of a system's reports, beside its rivals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xray_report.errors import DataError
from xray_report.metrics.baselines import text_baselines
from xray_report.metrics.diagnostics import (
    Indices,
    collapse_panel,
    comparison_rate,
    exchange,
    is_abnormal,
    strata,
)
from xray_report.metrics.intervals import RESAMPLES, intervals, paired_differences
from xray_report.metrics.protocols import Protocol, study_scores, usable_protocols
from xray_report.metrics.rule_labeller import Labeller, RuleLabeller
from xray_report.metrics.study_scores import StudyScores


def is_overall(key: str) -> bool:
    """Whether a key is no class's own (`findings/edema/f1`): those are for the model alone."""
    return key.count("/") == 1


@dataclass(frozen=True)
class CorpusScorer:
    """What all systems of one evaluation share.

    Args:
        references: N texts.
        protocols: how to score.
        train_texts: training reports, for protocols that need them.
        labeller: reads findings; None for none.
        resamples: of the bootstrap.
    """

    references: Sequence[str]
    protocols: Sequence[Protocol]
    train_texts: Sequence[str] | None = None
    labeller: Labeller | None = None
    resamples: int = RESAMPLES

    def families(
        self, hypotheses: Sequence[str], protocols: Sequence[Protocol] | None = None
    ) -> list[StudyScores]:
        """Per-study scores of N hypotheses: a family a protocol, then the labeller's."""
        chosen = self.protocols if protocols is None else protocols
        found = [study_scores(p, hypotheses, self.references, self.train_texts) for p in chosen]
        if self.labeller is not None:
            found.extend(self.labeller.families(hypotheses, self.references))
        return found

    def scored(self, families: Sequence[StudyScores]) -> dict[str, float]:
        """Corpus scores with `_low` and `_high`."""
        points = {key: value for family in families for key, value in family.corpus().items()}
        return points | intervals(families, self.resamples)

    def against(self, name: str, first: StudyScores, second: StudyScores) -> dict[str, float]:
        """Difference second - first of every score, with its interval, as `<name>/<key>`."""
        found: dict[str, float] = {}
        for key, result in paired_differences(first, second, self.resamples).items():
            if is_overall(key):
                found[f"{name}/{key}"] = result.difference
                found[f"{name}/{key}_low"], found[f"{name}/{key}_high"] = result.low, result.high
        return found

    def baseline(
        self, name: str, texts: Sequence[str], model: Sequence[StudyScores] = ()
    ) -> dict[str, float]:
        """`baseline/<name>/<key>` of N texts, and `versus_<name>/<key>` of a model's families."""
        rivals = self.families(texts)
        scores = self.scored(rivals).items()
        found = {f"baseline/{name}/{key}": value for key, value in scores if is_overall(key)}
        if model:
            for ours, theirs in zip(model, rivals, strict=True):
                found |= self.against(f"versus_{name}", theirs, ours)
        return found

    def baselines(self, systems: Mapping[str, Sequence[str]]) -> dict[str, float]:
        """Scores of several baselines where there is no model."""
        metrics = {"studies": float(len(self.references))}
        for name, texts in systems.items():
            metrics |= self.baseline(name, texts)
        return metrics


# ------------------------------------------------------------------------------
# Everything that is said about one set of generated reports, as one flat dictionary.
#
# In go N study ids, hypotheses and references, raw or cleaned; and where they are known: training
# reports (for the protocol `r2gen`, copied reports, seen and novel references), validation reports
# (with training reports, for the text baselines), the words a model may write, numbers of views,
# labels, and further baselines such as `nearest` and `two_constants`.
#
# Out come, as fractions (CIDEr 0..10) and with 95 % intervals over studies under `<key>_low` and
# `<key>_high`: `<protocol>/<score>`, `findings/*`, `facts/*`; `shuffled/<key>`, the scores of
# exchanged images, and `reliance/<key>`, what exchanging them costs; `baseline/<name>/<key>` and
# `versus_<name>/<key>` (score minus baseline). Without: `studies`, `collapse/*`, `prior/rate`,
# `prior/reference_rate`, `strata/<stratum>/<key>`, `strata/<stratum>/studies` and
# `findings/<class>/studies`, the references that hold a class.


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
    labeller: Labeller | None = None,
    protocols: Sequence[Protocol] | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, float]:
    """Score N reports in every way there is; their order changes nothing.

    Returns and takes what the module's docstring says; `labels` are `Study.labels` (where they do
    not say whether a study is normal, its reference is read), `baselines` further ones by name, in
    the order of `study_ids`. `reliance=False` leaves out `shuffled/*` and `reliance/*`.

    Raises:
        DataError: lists of different lengths, no studies, or an id that stands twice.
    """
    order = _sorted_order(study_ids, hypotheses, references)
    told, truth = [hypotheses[i] for i in order], [references[i] for i in order]
    chosen = usable_protocols(train_texts) if protocols is None else protocols
    labeller = labeller or RuleLabeller()
    scorer = CorpusScorer(truth, chosen, train_texts, labeller, resamples)
    families = scorer.families(told)
    metrics = {"studies": float(len(told))} | scorer.scored(families)
    metrics |= labeller.support(truth)
    metrics |= collapse_panel(told, truth, train_texts, vocabulary_words)
    metrics |= {"prior/rate": comparison_rate(told), "prior/reference_rate": comparison_rate(truth)}
    said = [is_abnormal(labels[i]) for i in order] if labels else [None] * len(order)
    read = labeller.abnormal(truth)
    groups = strata(
        truth,
        abnormal=[b if a is None else a for a, b in zip(said, read, strict=True)],
        train_texts=train_texts,
        views=[views[i] for i in order] if views else None,
    )
    for name, members in groups.items():
        metrics |= _stratum(name, members, families)
    if reliance:
        metrics |= _reliance(scorer, told, families)
    known = _baselines(train_texts, val_texts, len(told))
    known |= {name: [texts[i] for i in order] for name, texts in (baselines or {}).items()}
    for name, texts in known.items():
        metrics |= scorer.baseline(name, texts, families)
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
        raise DataError(f"study {twice!r} stands more than once; gather and de-duplicate first")
    return sorted(range(len(study_ids)), key=study_ids.__getitem__)


def _stratum(name: str, members: Indices, families: Sequence[StudyScores]) -> dict[str, float]:
    """CIDEr keeps the document frequencies of the whole corpus.

    Counts that are all zero, such as facts of normal studies, are left out: they score nothing.
    """
    found = {f"strata/{name}/studies": float(len(members))}
    for family in families:
        if family.rows[members].any() or not family.counts:
            scores = family.corpus(members).items()
            found |= {f"strata/{name}/{key}": value for key, value in scores if is_overall(key)}
    return found


def _reliance(
    scorer: CorpusScorer, told: Sequence[str], families: Sequence[StudyScores]
) -> dict[str, float]:
    exchanged = scorer.families(exchange(told))
    scores = scorer.scored(exchanged).items()
    found = {f"shuffled/{key}": value for key, value in scores if is_overall(key)}
    for ours, theirs in zip(families, exchanged, strict=True):
        found |= scorer.against("reliance", theirs, ours)
    return found


def _baselines(
    train_texts: Sequence[str] | None, val_texts: Sequence[str] | None, studies: int
) -> dict[str, list[str]]:
    if not train_texts or not val_texts:
        return {}
    return text_baselines(train_texts, val_texts, studies)
