"""Scoring several systems against the same references: a model and its rivals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xray_report.metrics.bootstrap import RESAMPLES, intervals, paired_differences
from xray_report.metrics.protocols import Protocol, study_scores
from xray_report.metrics.rule_labeller import Labeller
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
