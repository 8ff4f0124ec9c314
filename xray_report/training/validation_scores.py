"""The few scores that are worth computing after every epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from xray_report.metrics.bleu import corpus_bleu
from xray_report.metrics.cider import cider
from xray_report.metrics.findings.scores import fact_scores, finding_scores
from xray_report.training.generated import Generated


def validation_scores(
    generated: Sequence[Generated], clean: Callable[[str], str]
) -> dict[str, float]:
    """BLEU-4, CIDEr (0..10), F1 of facts and of findings, and the share of distinct reports."""
    hypotheses = [one.hypothesis for one in generated]
    references = [clean(one.reference) for one in generated]
    return {
        "bleu4": corpus_bleu(hypotheses, references)["bleu4"],
        "cider": float(np.mean(cider(hypotheses, references))) if hypotheses else 0.0,
        "facts_f1": fact_scores(hypotheses, references)["facts/f1"],
        "findings_f1": finding_scores(hypotheses, references)["findings/micro_f1"],
        "distinct": len(set(hypotheses)) / max(1, len(hypotheses)),
    }
