"""Benchmark: seconds of scoring reports, beside the packages that define the scores.

3,000 pairs of reports, words exchanged so that no two texts are alike and nothing remembered
helps; each way scores them once. Ours does all protocols with intervals, the others do one
protocol and no interval.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from sacrebleu.metrics.bleu import BLEU

from xray_report.data.phantom.source import PhantomSource
from xray_report.metrics.evaluation import evaluate_texts
from xray_report.metrics.findings.labeller import label_report
from xray_report.metrics.protocols import clean_tokens, protocol_scores


def written(seed: int, number: int) -> list[str]:
    """Reports of drawn studies, each with two of its words exchanged."""
    chance = random.Random(seed)
    studies = PhantomSource(seed=seed, train=number, val=1, test=1).studies()
    return [exchanged(study.findings or "", chance) for study in studies[:number]]


def exchanged(text: str, chance: random.Random) -> str:
    words = text.split()
    one, other = chance.randrange(len(words)), chance.randrange(len(words))
    words[one], words[other] = words[other], words[one]
    return " ".join(words)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def by_packages(hypotheses: list[str], references: list[str]) -> None:
    """BLEU, ROUGE-L and CIDEr of one protocol by sacrebleu and pycocoevalcap."""
    left, right = ([clean_tokens(text) for text in side] for side in (hypotheses, references))
    BLEU(tokenize="none", smooth_method="none", force=True).corpus_score(left, [right])
    given, truth = ({i: [t] for i, t in enumerate(side)} for side in (left, right))
    Bleu(4).compute_score(truth, given, verbose=0)
    for scorer in (Rouge(), Cider()):
        scorer.compute_score(truth, given)


def run(studies: int = 3000, training: int = 2000, validation: int = 300) -> dict[str, float]:
    """Time all.

    Args:
        studies: whose reports are scored.
        training: reports that a baseline copies from and novelty is measured against.
        validation: reports that baselines are chosen on.

    Returns:
        Seconds, and reports a second of the labeller, each read for once.
    """
    hypotheses, references = written(1, studies), written(2, studies)
    train, val = written(3, training), written(4, validation)
    ids = [f"{number:05d}" for number in range(studies)]
    label_report("The rules are read when first needed.")
    labels = seconds(lambda: [label_report(text) for text in hypotheses])
    packages = seconds(lambda: by_packages(hypotheses, references))
    points = seconds(lambda: protocol_scores(hypotheses, references, train_texts=train))
    everything = seconds(
        lambda: evaluate_texts(ids, hypotheses, references, train_texts=train, val_texts=val)
    )
    return {
        "studies": studies,
        "labeller, reports/s": studies / labels,
        "sacrebleu and pycocoevalcap, one protocol, no intervals, s": packages,
        "ours, all protocols, no intervals, s": points,
        "ours, all protocols, findings, baselines and intervals, s": everything,
    }
