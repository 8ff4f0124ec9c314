"""What `evaluate_texts` asks of a labeller, and the package's own as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from xray_report.metrics.findings.labeller import label_reports
from xray_report.metrics.findings.scores import (
    class_key,
    fact_study_scores,
    finding_study_scores,
    normality,
    positives,
)
from xray_report.metrics.study_scores import StudyScores
from xray_report.text.facts import CHEXPERT_CLASSES


class Labeller(Protocol):
    """Reads findings from texts."""

    def families(
        self, hypotheses: Sequence[str], references: Sequence[str]
    ) -> Sequence[StudyScores]:
        """Finding scores, one row a study."""
        ...

    def abnormal(self, references: Sequence[str]) -> list[bool | None]:
        """Whether each report tells of an abnormality; None where it says nothing."""
        ...

    def support(self, references: Sequence[str]) -> dict[str, float]:
        """How many reports have each class, as `findings/<class>/studies`."""
        ...


class RuleLabeller:
    """The rule-based labeller of metrics/findings: 14 CheXpert classes, and facts."""

    def families(
        self, hypotheses: Sequence[str], references: Sequence[str]
    ) -> Sequence[StudyScores]:
        """Families `findings/*` and `facts/*`."""
        return (
            finding_study_scores(hypotheses, references),
            fact_study_scores(hypotheses, references),
        )

    def abnormal(self, references: Sequence[str]) -> list[bool | None]:
        """Read from "No Finding" of each reference."""
        verdicts = normality(label_reports(references))
        return [bool(abnormal) if normal or abnormal else None for normal, abnormal in verdicts]

    def support(self, references: Sequence[str]) -> dict[str, float]:
        """Reports that have each of the 14 classes for certain."""
        totals = positives(label_reports(references)).sum(axis=0)
        return {
            f"findings/{class_key(name)}/studies": float(total)
            for name, total in zip(CHEXPERT_CLASSES, totals, strict=True)
        }
