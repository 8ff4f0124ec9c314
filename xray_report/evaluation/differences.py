"""What a generated report finds, misses and invents, against its reference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from xray_report.metrics.findings.labeller import label_report, read_facts
from xray_report.metrics.findings.negation import Assertion
from xray_report.metrics.findings.scores import class_key
from xray_report.text.cleaning import split_sentences
from xray_report.text.facts import Fact, chexpert_classes


class Altered(NamedTuple):
    """A finding of the reference, and the same with another side, zone or size in the report."""

    reference: Fact
    hypothesis: Fact


class FindingDifferences(NamedTuple):
    """Findings of two reports, sorted.

    Args:
        agreed: in both, to the last detail.
        altered: in both, with another side, zone or size.
        missed: in the reference alone.
        invented: in the hypothesis alone.
        contradicted: those of missed and invented that the other report denies.
    """

    agreed: tuple[Fact, ...]
    altered: tuple[Altered, ...]
    missed: tuple[Fact, ...]
    invented: tuple[Fact, ...]
    contradicted: tuple[Fact, ...] = ()

    @property
    def mistakes(self) -> int:
        """Findings altered, missed and invented."""
        return len(self.altered) + len(self.missed) + len(self.invented)


def compare_findings(reference: str, hypothesis: str) -> FindingDifferences:
    """Compare the findings of two reports."""
    truth, found = findings_in(reference), findings_in(hypothesis)
    altered = tuple(_altered(sorted(truth - found), sorted(found - truth)))
    missed = sorted(truth - found - {pair.reference for pair in altered})
    invented = sorted(found - truth - {pair.hypothesis for pair in altered})
    contradicted = [fact for fact in missed if denies(hypothesis, fact)]
    contradicted += [fact for fact in invented if denies(reference, fact)]
    return FindingDifferences(
        tuple(sorted(truth & found)), altered, tuple(missed), tuple(invented), tuple(contradicted)
    )


def _altered(missed: list[Fact], invented: list[Fact]) -> Iterator[Altered]:
    """Pair findings of one name, those with most details in common first; each once."""
    pairs = [Altered(a, b) for a in missed for b in invented if a.finding == b.finding]
    pairs.sort(key=lambda pair: -sum(a == b for a, b in zip(*pair, strict=True)))
    references: set[Fact] = set()
    hypotheses: set[Fact] = set()
    for pair in pairs:
        if pair.reference not in references and pair.hypothesis not in hypotheses:
            references.add(pair.reference)
            hypotheses.add(pair.hypothesis)
            yield pair


def findings_in(text: str) -> frozenset[Fact]:
    """The findings of a report: its facts, and CheXpert classes that none of them implies."""
    return frozenset().union(*map(_findings_of_sentence, split_sentences(text)))


def _findings_of_sentence(sentence: str) -> frozenset[Fact]:
    facts = read_facts(sentence)
    present = {name for name, said in label_report(sentence).items() if said is Assertion.PRESENT}
    others = present - chexpert_classes(facts) - {"No Finding"}
    return facts | {Fact(class_key(name)) for name in others}


def denies(text: str, fact: Fact) -> bool:
    """Whether a text says that there is no such finding: "no left effusion" denies a left one."""
    denied = read_facts(text, Assertion.ABSENT)
    if any(all(a in ("", b) for a, b in zip(one, fact, strict=True)) for one in denied):
        return True
    labels = label_report(text).items()
    return fact in {Fact(class_key(name)) for name, said in labels if said is Assertion.ABSENT}


def in_words(fact: Fact) -> str:
    """A fact as a person says it: "small right pleural effusion"."""
    parts = (fact.size, fact.side, fact.zone, fact.finding.replace("_", " "))
    return " ".join(part for part in parts if part)
