"""Facts of a sentence: its positive findings with the side, zone and size said of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from xray_report.metrics.findings.book import Role
from xray_report.metrics.findings.phrases import Mark
from xray_report.metrics.findings.places import (
    DEGREES,
    SIDE_TERMS,
    SIZE_TERMS,
    SIZES,
    TOLD_BY,
    ZONE_TERMS,
)
from xray_report.metrics.findings.reading import Assertion, Mention
from xray_report.text.facts import Fact

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
        for fact in _facts(finding, attributes)
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


def _facts(finding: str, attributes: Sequence[Attribute]) -> Iterator[Fact]:
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
