"""The labeller: a report's text to the 14 CheXpert classes and to its facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from xray_report.metrics.findings.lexicon import (
    CLASSES_OF,
    DEGREES,
    SIDE_TERMS,
    SIZE_TERMS,
    SIZES,
    TOLD_BY,
    ZONE_TERMS,
)
from xray_report.metrics.findings.negation import Assertion, Mention, read
from xray_report.metrics.findings.phrases import Mark, Role, normal_form, sentences, words_of
from xray_report.text.facts import CHEXPERT_CLASSES, Fact

_SEPARATORS: Final = frozenset({"and", "with", "but", "there"})


class Attribute(NamedTuple):
    """A word at a place of a sentence that tells side, zone or size."""

    position: int
    sides: tuple[str, ...]
    zone: str
    size: str


def facts_of(
    words: Sequence[str], marks: Sequence[Mark], mentions: Sequence[Mention]
) -> frozenset[Fact]:
    """Positive facts of a sentence; an uncertain finding makes none.

    Several words for one finding in a sentence make one finding.
    """
    told = [mention for mention in mentions if mention.finding in TOLD_BY]
    if not told:
        return frozenset()
    shared: dict[str, list[Attribute]] = {}
    carried: list[Attribute] = []
    for mention, attributes in zip(mentions, _bound(words, marks, mentions), strict=True):
        if mention.explained:
            carried += attributes
        elif mention.assertion is Assertion.PRESENT:
            shared.setdefault(mention.finding, []).extend([*carried, *attributes])
            carried = []
    return frozenset(
        fact
        for finding, attributes in shared.items()
        if finding in TOLD_BY
        for fact in _facts_of_finding(finding, attributes)
    )


def _attributes(words: Sequence[str], marks: Sequence[Mark]) -> Iterator[Attribute]:
    taken = {
        position
        for mark in marks
        if mark.role not in (Role.FINDING, Role.STATE)
        for position in range(mark.start, mark.end)
    }
    for position, word in enumerate(words):
        if position not in taken:
            sides = SIDE_TERMS.get(word, ())
            zone, size = ZONE_TERMS.get(word, ""), SIZE_TERMS.get(word, "")
            if sides or zone or size:
                yield Attribute(position, sides, zone, size)


def _bound(
    words: Sequence[str], marks: Sequence[Mark], mentions: Sequence[Mention]
) -> list[list[Attribute]]:
    """Give each attribute to a mention: the next one, or the one before a separating word."""
    bound: list[list[Attribute]] = [[] for _ in mentions]
    for attribute in _attributes(words, marks):
        index = sum(mention.end <= attribute.position for mention in mentions)
        if index == len(mentions):
            index -= 1
        elif index and not _parted(words, mentions[index - 1].end, attribute.position):
            index -= _parted(words, attribute.position, mentions[index].start)
        bound[index].append(attribute)
    return bound


def _parted(words: Sequence[str], start: int, end: int) -> bool:
    return not _SEPARATORS.isdisjoint(words[start:end])


def _facts_of_finding(finding: str, attributes: Sequence[Attribute]) -> Iterator[Fact]:
    told = TOLD_BY[finding].split()
    places = [(side, item.position) for item in attributes for side in item.sides]
    zones = [(item.zone, item.position) for item in attributes if item.zone and "zone" in told]
    sizes = [(size, item.position) for item in attributes if (size := _size(item.size, told))]
    if "side" not in told or not places:
        places = [("", -1)]
    several = len({side for side, _ in places}) > 1
    for side, position in places:
        near = _nearest(zones, position)
        for zone in [near] if several else [zone for zone, _ in zones] or [""]:
            yield Fact(finding, side, zone, _nearest(sizes, position))


def _nearest(values: Sequence[tuple[str, int]], position: int) -> str:
    """The value whose word stands nearest, so that "small left, large right" keeps its pairs."""
    return min(values, key=lambda item: abs(item[1] - position), default=("", 0))[0]


def _size(size: str, told: Sequence[str]) -> str:
    if "size" in told:
        return SIZES.get(size, size)
    return DEGREES.get(size, size) if "degree" in told else ""


# ------------------------------------------------------------------------------
# The labeller: a report's text to the 14 CheXpert classes and to its facts.

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
