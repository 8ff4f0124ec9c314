"""The labeller: a report's text to the 14 CheXpert classes and to its facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from xray_report.metrics.findings.facts import facts_of
from xray_report.metrics.findings.reading import Assertion, read
from xray_report.metrics.findings.terms import CLASSES_OF
from xray_report.metrics.findings.words import normal_form, sentences, words_of
from xray_report.text.facts import CHEXPERT_CLASSES, Fact

_NO_FINDING: Final = CHEXPERT_CLASSES.index("No Finding")
_DEVICES: Final = CHEXPERT_CLASSES.index("Support Devices")
_RANK: Final = (
    Assertion.UNMENTIONED,
    Assertion.ABSENT,
    Assertion.UNCERTAIN,
    Assertion.PRESENT,
)
"""What outranks what where sentences differ, weakest first, as in CheXpert."""
_OTHER: Final = len(CHEXPERT_CLASSES)
_INDEX: Final = {name: index for index, name in enumerate(CHEXPERT_CLASSES)}
_INDICES: Final = {
    finding: tuple(_INDEX[name] for name in names) for finding, names in CLASSES_OF.items()
}


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


@lru_cache(maxsize=1 << 17)
def _ranks(sentence: str) -> tuple[tuple[int, int], ...]:
    """(class or anything else, place in `_RANK`) of what one cleaned sentence says.

    Reports repeat sentences, so readings are remembered.
    """
    ranks: dict[int, int] = {}
    for mention in read(words_of(sentence))[1]:
        if not mention.explained:
            rank = _RANK.index(mention.assertion)
            for index in _INDICES.get(mention.finding, (_OTHER,)):
                ranks[index] = max(ranks.get(index, 0), rank)
    return tuple(ranks.items())


@lru_cache(maxsize=1 << 17)
def _facts(sentence: str) -> frozenset[Fact]:
    words = words_of(sentence)
    return facts_of(words, *read(words))


@lru_cache(maxsize=1 << 15)
def label_report(text: str) -> Labels:
    """Label a report, raw or cleaned. A text without a word leaves every class unmentioned."""
    ranks = [0] * (_OTHER + 1)
    pieces = sentences(text)
    for sentence in pieces:
        for index, rank in _ranks(sentence):
            if rank > ranks[index]:
                ranks[index] = rank
    if pieces:
        found = max(ranks[:_DEVICES] + ranks[_DEVICES + 1 :]) >= _RANK.index(Assertion.UNCERTAIN)
        ranks[_NO_FINDING] = _RANK.index(Assertion.ABSENT if found else Assertion.PRESENT)
    return Labels(tuple(_RANK[rank] for rank in ranks[:_OTHER]))


def label_reports(texts: Iterable[str]) -> list[Labels]:
    """Label many reports."""
    return [label_report(text) for text in texts]


@lru_cache(maxsize=1 << 15)
def read_facts(text: str) -> frozenset[Fact]:
    """Facts that a report, raw or cleaned, states as present."""
    return frozenset().union(*(_facts(sentence) for sentence in sentences(text)))


def finding_words(words: Sequence[str]) -> list[int]:
    """Places of the words that name a present finding in a cleaned report, its words in order."""
    places: list[int] = []
    start = 0
    for end in (*(i for i, word in enumerate(words) if word == "."), len(words)):
        mentions = read([normal_form(word) for word in words[start:end]])[1]
        present = (one for one in mentions if one.assertion is Assertion.PRESENT)
        places += [start + one.end - 1 for one in present]
        start = end + 1
    return sorted(set(places))
