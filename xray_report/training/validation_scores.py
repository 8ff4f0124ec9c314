"""The few scores that are worth computing after every epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from xray_report.metrics.bleu import corpus_bleu
from xray_report.metrics.cider import cider
from xray_report.metrics.findings.scores import fact_scores, finding_scores
from xray_report.training.generated import Generated

SCORES = ("loss", "bleu4", "cider", "facts_f1", "findings_f1", "distinct")


def validation_scores(
    generated: Sequence[Generated], clean: Callable[[str], str]
) -> dict[str, float]:
    """Loss (nats a word), BLEU-4, CIDEr, F1 of facts and findings, share of distinct reports."""
    hypotheses = [one.hypothesis for one in generated]
    references = [clean(one.reference) for one in generated]
    words = sum(one.words for one in generated)
    return {
        "loss": sum(one.loss * one.words for one in generated) / max(1, words),
        "bleu4": corpus_bleu(hypotheses, references)["bleu4"],
        "cider": float(np.mean(cider(hypotheses, references))) if hypotheses else 0.0,
        "facts_f1": fact_scores(hypotheses, references)["facts/f1"],
        "findings_f1": finding_scores(hypotheses, references)["findings/micro_f1"],
        "distinct": len(set(hypotheses)) / max(1, len(hypotheses)),
    }
