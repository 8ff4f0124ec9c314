"""What a generated report finds, misses and invents, against its reference."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from xray_report.metrics.findings.labeller import label_report, read_facts
from xray_report.metrics.findings.negation import Assertion
from xray_report.text.facts import Fact, chexpert_classes

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class Altered(NamedTuple):
    """A finding told with another side, zone or size than the reference's."""

    truth: Fact
    told: Fact


class Differences(NamedTuple):
    """Findings of two reports, sorted.

    Args:
        agreed: in both, to the last detail.
        altered: in both, with another side, zone or size.
        missed: in the reference alone.
        invented: in the hypothesis alone.
    """

    agreed: tuple[Fact, ...]
    altered: tuple[Altered, ...]
    missed: tuple[Fact, ...]
    invented: tuple[Fact, ...]

    @property
    def mistakes(self) -> int:
        """Findings altered, missed and invented."""
        return len(self.altered) + len(self.missed) + len(self.invented)


def sentences(text: str) -> list[str]:
    """Sentences of a report as they stand."""
    return [sentence for sentence in _SENTENCE_END.split(text.strip()) if sentence]


def findings_in(text: str) -> frozenset[Fact]:
    """What a report says is there: facts, and CheXpert classes that no fact stands for."""
    return frozenset().union(*map(_findings_of_sentence, sentences(text)))


def _findings_of_sentence(sentence: str) -> frozenset[Fact]:
    facts = read_facts(sentence)
    present = {name for name, said in label_report(sentence).items() if said is Assertion.PRESENT}
    others = present - chexpert_classes(facts) - {"No Finding"}
    return facts | {Fact(name.lower().replace(" ", "_")) for name in others}


def differences(reference: str, hypothesis: str) -> Differences:
    """Compare the findings of two reports."""
    truth, told = findings_in(reference), findings_in(hypothesis)
    altered = tuple(_altered(sorted(truth - told), sorted(told - truth)))
    return Differences(
        tuple(sorted(truth & told)),
        altered,
        tuple(sorted(truth - told - {pair.truth for pair in altered})),
        tuple(sorted(told - truth - {pair.told for pair in altered})),
    )


def _altered(missed: list[Fact], invented: list[Fact]) -> Iterator[Altered]:
    """Pair findings of one name, those with most details in common first; each once."""
    pairs = [Altered(a, b) for a in missed for b in invented if a.finding == b.finding]
    pairs.sort(key=lambda pair: -sum(a == b for a, b in zip(*pair, strict=True)))
    seen: set[tuple[str, Fact]] = set()
    for pair in pairs:
        ends = {("truth", pair.truth), ("told", pair.told)}
        if seen.isdisjoint(ends):
            seen |= ends
            yield pair


def in_words(fact: Fact) -> str:
    """A fact as a person says it: "small right pleural effusion"."""
    parts = (fact.size, fact.side, fact.zone, fact.finding.replace("_", " "))
    return " ".join(part for part in parts if part)
