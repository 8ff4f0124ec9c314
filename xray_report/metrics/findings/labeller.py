"""The labeller: a report's text to the 14 CheXpert classes and to its facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from xray_report.metrics.findings.facts import facts_of
from xray_report.metrics.findings.reading import Assertion, read
from xray_report.metrics.findings.terms import CLASS_OF
from xray_report.metrics.findings.words import sentences, words_of
from xray_report.text.facts import CHEXPERT_CLASSES, Fact

_NO_FINDING: Final = CHEXPERT_CLASSES.index("No Finding")
_RANK: Final = (
    Assertion.UNMENTIONED,
    Assertion.ABSENT,
    Assertion.UNCERTAIN,
    Assertion.PRESENT,
)
"""What outranks what where sentences differ, weakest first, as in CheXpert."""
_OTHER: Final = len(CHEXPERT_CLASSES)
_INDEX: Final = {name: index for index, name in enumerate(CHEXPERT_CLASSES)}


@dataclass(frozen=True)
class Labels(Mapping[str, Assertion]):
    """What a report says of each of the 14 classes, in CheXpert's order.

    "No Finding" is PRESENT where the report has words and none of them tells of an abnormality,
    certain or not, inside the classes or outside, but for support devices; ABSENT otherwise.
    """

    assertions: tuple[Assertion, ...]

    def __getitem__(self, name: str) -> Assertion:
        return self.assertions[_INDEX[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(CHEXPERT_CLASSES)

    def __len__(self) -> int:
        return len(CHEXPERT_CLASSES)


class SentenceReading(NamedTuple):
    """Of one sentence: ranks (places in `_RANK`) of the 14 classes and of anything else, facts."""

    ranks: tuple[tuple[int, int], ...]
    facts: frozenset[Fact]


@lru_cache(maxsize=1 << 17)
def read_sentence(sentence: str) -> SentenceReading:
    """Read one cleaned sentence; reports repeat sentences, so readings are remembered."""
    words = words_of(sentence)
    marks, mentions = read(words)
    ranks: dict[int, int] = {}
    for mention in mentions:
        if not mention.explained:
            index = _INDEX.get(CLASS_OF.get(mention.finding, ""), _OTHER)
            ranks[index] = max(ranks.get(index, 0), _RANK.index(mention.assertion))
    return SentenceReading(tuple(ranks.items()), facts_of(words, marks, mentions))


def label_report(text: str) -> Labels:
    """Label a report, raw or cleaned. A text without a word leaves every class unmentioned."""
    ranks = [0] * (_OTHER + 1)
    pieces = sentences(text)
    for sentence in pieces:
        for index, rank in read_sentence(sentence).ranks:
            ranks[index] = max(ranks[index], rank)
    labels = [_RANK[rank] for rank in ranks]
    if pieces:
        labels[_NO_FINDING] = _no_finding(labels)
    return Labels(tuple(labels[:_OTHER]))


def _no_finding(labels: list[Assertion]) -> Assertion:
    found = any(
        label in (Assertion.PRESENT, Assertion.UNCERTAIN)
        for index, label in enumerate(labels)
        if index != _INDEX["Support Devices"]
    )
    return Assertion.ABSENT if found else Assertion.PRESENT


def label_reports(texts: Iterable[str]) -> list[Labels]:
    """Label many reports."""
    return [label_report(text) for text in texts]


def read_facts(text: str) -> frozenset[Fact]:
    """Facts that a report, raw or cleaned, states as present."""
    return frozenset().union(*(read_sentence(sentence).facts for sentence in sentences(text)))
