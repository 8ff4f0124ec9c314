"""The labeller: from a report's text to the 14 CheXpert classes, and to its facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from xray_report.metrics.findings.lexicon import (
    CLASSES_OF,
    DEGREES,
    FACT_ATTRIBUTES,
    SIDE_TERMS,
    SIZE_TERMS,
    SIZES,
    ZONE_TERMS,
)
from xray_report.metrics.findings.negation import Assertion, Mention, find_mentions
from xray_report.metrics.findings.phrases import (
    Match,
    Role,
    cleaned_sentences,
    cleaned_word,
    normal_form,
    normal_words,
)
from xray_report.text.facts import CHEXPERT_CLASSES, Fact

# The 14 classes.

_INDEX: Final = {name: index for index, name in enumerate(CHEXPERT_CLASSES)}
_NO_FINDING: Final = _INDEX["No Finding"]
_DEVICES: Final = _INDEX["Support Devices"]
_OTHER: Final = len(CHEXPERT_CLASSES)
"""Index of findings outside the classes."""
_INDICES: Final = {
    finding: tuple(_INDEX[name] for name in names) for finding, names in CLASSES_OF.items()
}
_RANK: Final = (Assertion.UNMENTIONED, Assertion.ABSENT, Assertion.UNCERTAIN, Assertion.PRESENT)
"""Which assertion counts where sentences differ: the last of these, as in CheXpert."""


@dataclass(frozen=True)
class Labels(Mapping[str, Assertion]):
    """What a report says of each of the 14 classes, in CheXpert's order.

    "No Finding" is PRESENT where the report has words and none of them names an abnormality,
    certain or not, inside the classes or outside, but for support devices; ABSENT otherwise.
    """

    assertions: tuple[Assertion, ...]

    def __getitem__(self, name: str) -> Assertion:
        return self.assertions[_INDEX[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(CHEXPERT_CLASSES)

    def __len__(self) -> int:
        return len(CHEXPERT_CLASSES)


def label_reports(texts: Iterable[str]) -> list[Labels]:
    """Label many reports."""
    return [label_report(text) for text in texts]


@lru_cache(maxsize=1 << 15)
def label_report(text: str) -> Labels:
    """Label a report, raw or cleaned. A text without a word leaves every class unmentioned."""
    ranks = [0] * (_OTHER + 1)
    sentences = cleaned_sentences(text)
    for sentence in sentences:
        for index, rank in _ranks(sentence):
            if rank > ranks[index]:
                ranks[index] = rank
    if sentences:
        found = max(ranks[:_DEVICES] + ranks[_DEVICES + 1 :]) >= _RANK.index(Assertion.UNCERTAIN)
        ranks[_NO_FINDING] = _RANK.index(Assertion.ABSENT if found else Assertion.PRESENT)
    return Labels(tuple(_RANK[rank] for rank in ranks[:_OTHER]))


def mentioned_classes(text: str) -> dict[str, str]:
    """The classes that a report mentions: `present`, `uncertain` or `absent`."""
    said = label_report(text).items()
    return {name: one.value for name, one in said if one is not Assertion.UNMENTIONED}


@lru_cache(maxsize=1 << 17)
def _ranks(sentence: str) -> tuple[tuple[int, int], ...]:
    """(class or `_OTHER`, place in `_RANK`) of what one cleaned sentence says.

    Reports repeat sentences, so the labels of each are remembered.
    """
    ranks: dict[int, int] = {}
    for mention in find_mentions(normal_words(sentence))[1]:
        if not mention.explained:
            rank = _RANK.index(mention.assertion)
            for index in _INDICES.get(mention.finding, (_OTHER,)):
                ranks[index] = max(ranks.get(index, 0), rank)
    return tuple(ranks.items())


def finding_words(words: Sequence[str]) -> list[int]:
    """Places of the words that name a present finding in a report, its words in order.

    Args:
        words: of a report, cleaned or with short words, numbers and marks among them.
    """
    read = [(place, form) for place, word in enumerate(words) for form in cleaned_word(word)]
    places: set[int] = set()
    start = 0
    for end in (*(i for i, (_, word) in enumerate(read) if word == "."), len(read)):
        mentions = find_mentions([normal_form(word) for _, word in read[start:end]])[1]
        present = (one for one in mentions if one.assertion is Assertion.PRESENT)
        places.update(read[start + one.end - 1][0] for one in present)
        start = end + 1
    return sorted(places)


# Facts: which side, zone and size a sentence gives to which finding.


class Attribute(NamedTuple):
    """A word of a sentence that names sides, a zone or a size, and its position."""

    position: int
    sides: tuple[str, ...]
    zone: str
    size: str


@lru_cache(maxsize=1 << 15)
def read_facts(text: str, said: Assertion = Assertion.PRESENT) -> frozenset[Fact]:
    """Facts that a report, raw or cleaned, states as present; an uncertain finding is none.

    With `said` ABSENT the facts that it denies, with the sides and sizes that it denies them of.
    """
    sentences = cleaned_sentences(text)
    return frozenset().union(*(_facts_of_sentence(sentence, said) for sentence in sentences))


def named_findings(text: str) -> set[str]:
    """Findings that a report states, and with each of the side, zone and size it says of them.

    "Small left pleural effusion" gives `pleural_effusion`, `pleural_effusion|left` and
    `pleural_effusion|small`.
    """
    facts = read_facts(text)
    qualified = {f"{fact.finding}|{word}" for fact in facts for word in fact[1:] if word}
    return {fact.finding for fact in facts} | qualified


@lru_cache(maxsize=1 << 17)
def _facts_of_sentence(sentence: str, said: Assertion) -> frozenset[Fact]:
    """Several words for one finding in a sentence make one finding."""
    words = normal_words(sentence)
    matches, mentions = find_mentions(words)
    if not any(mention.finding in FACT_ATTRIBUTES for mention in mentions):
        return frozenset()
    shared: dict[str, list[Attribute]] = {}
    carried: list[Attribute] = []
    for mention, attributes in zip(mentions, _bound(words, matches, mentions), strict=True):
        if mention.explained:
            carried += attributes
        elif mention.assertion is said:
            shared.setdefault(mention.finding, []).extend([*carried, *attributes])
            carried = []
    return frozenset(
        fact
        for finding, attributes in shared.items()
        if finding in FACT_ATTRIBUTES
        for fact in _facts_of_finding(finding, attributes)
    )


_SEPARATORS: Final = frozenset({"and", "with", "but", "there"})


def _bound(
    words: Sequence[str], matches: Sequence[Match], mentions: Sequence[Mention]
) -> list[list[Attribute]]:
    """Give each attribute to a mention: the next one, or the one before a separating word."""
    bound: list[list[Attribute]] = [[] for _ in mentions]
    for attribute in _attributes(words, matches):
        index = sum(mention.end <= attribute.position for mention in mentions)
        if index == len(mentions):
            index -= 1
        elif index and not _separated(words, mentions[index - 1].end, attribute.position):
            index -= _separated(words, attribute.position, mentions[index].start)
        bound[index].append(attribute)
    return bound


def _attributes(words: Sequence[str], matches: Sequence[Match]) -> Iterator[Attribute]:
    """Attributes among the words that are no part of a cue or of a part of the chest."""
    taken = {
        position
        for match in matches
        if match.role not in (Role.FINDING, Role.STATE)
        for position in range(match.start, match.end)
    }
    for position, word in enumerate(words):
        if position not in taken:
            sides = SIDE_TERMS.get(word, ())
            zone, size = ZONE_TERMS.get(word, ""), SIZE_TERMS.get(word, "")
            if sides or zone or size:
                yield Attribute(position, sides, zone, size)


def _separated(words: Sequence[str], start: int, end: int) -> bool:
    return not _SEPARATORS.isdisjoint(words[start:end])


def _facts_of_finding(finding: str, attributes: Sequence[Attribute]) -> Iterator[Fact]:
    kinds = FACT_ATTRIBUTES[finding]
    places = [(side, item.position) for item in attributes for side in item.sides]
    zones = [(item.zone, item.position) for item in attributes if item.zone and "zone" in kinds]
    sizes = [(size, item.position) for item in attributes if (size := _size(item.size, kinds))]
    if "side" not in kinds or not places:
        places = [("", -1)]
    several = len({side for side, _ in places}) > 1
    for side, position in places:
        near = _nearest(zones, position)
        for zone in [near] if several else [zone for zone, _ in zones] or [""]:
            yield Fact(finding, side, zone, _nearest(sizes, position))


def _size(size: str, kinds: Sequence[str]) -> str:
    if "size" in kinds:
        return SIZES.get(size, size)
    return DEGREES.get(size, size) if "degree" in kinds else ""


def _nearest(values: Sequence[tuple[str, int]], position: int) -> str:
    """The value of the nearest word, so that "small left, large right" keeps its pairs."""
    return min(values, key=lambda item: abs(item[1] - position), default=("", 0))[0]
