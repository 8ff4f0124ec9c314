"""Reading one sentence: which findings it mentions, and what it says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from xray_report.metrics.findings import cues
from xray_report.metrics.findings.phrases import Mark, PhraseBook
from xray_report.metrics.findings.terms import FINDING_TERMS, PART_IN_STATE, PARTS, STATES

FINDING, PART, STATE = "finding", "part", "state"
NEGATION_BEFORE, NEGATION_AFTER = "negation before", "negation after"
UNCERTAIN_BEFORE, UNCERTAIN_AFTER = "uncertain before", "uncertain after"
BREAK, EXPLAINED, NOTHING = "break", "explained", "nothing"

FARTHEST_STATE: Final = 8
"""Words that may stand between a part of the chest and what is said of it."""


class Assertion(Enum):
    """What a report says of a finding."""

    PRESENT = "present"
    UNCERTAIN = "uncertain"
    ABSENT = "absent"
    UNMENTIONED = "unmentioned"


class Mention(NamedTuple):
    """A finding at words[start:end] of a sentence.

    Args:
        explained: whether it is only the sign of the finding named next, as an opacity that is
            "consistent with atelectasis".
    """

    start: int
    end: int
    finding: str
    assertion: Assertion
    explained: bool = False


def _entries() -> Iterator[tuple[str, str, Any]]:
    tables = ((PARTS, PART), (STATES, STATE), (FINDING_TERMS, FINDING))
    for table, role in tables:
        for value, phrases in table.items():
            for phrase in phrases:
                yield phrase, role, value
    for role, phrases in (
        (BREAK, cues.BREAKS),
        (UNCERTAIN_BEFORE, cues.UNCERTAIN_BEFORE),
        (UNCERTAIN_AFTER, cues.UNCERTAIN_AFTER),
        (NEGATION_BEFORE, cues.NEGATION_BEFORE),
        (NEGATION_AFTER, cues.NEGATION_AFTER),
        (NOTHING, cues.PSEUDO_NEGATION),
        (EXPLAINED, cues.EXPLANATIONS),
        (NOTHING, cues.NO_MENTION),
    ):
        for phrase in phrases:
            yield phrase, role, None


BOOK: Final = PhraseBook(_entries())


def read(words: Sequence[str]) -> tuple[list[Mark], list[Mention]]:
    """Read a sentence of normalised words: its phrases, and its mentions from left to right."""
    marks = BOOK.marks(words)
    return marks, _asserted(_with_parts(marks))


def _with_parts(marks: list[Mark]) -> list[Mark]:
    """Replace parts and states that belong together by the finding they speak of.

    "Heart ... enlarged" asserts by itself: its value is (finding, assertion), and it begins a new
    clause. "Enlarged heart" is a mention like any other.
    """
    if not any(mark.role == PART for mark in marks):
        return marks
    read: list[Mark] = []
    for index, mark in enumerate(marks):
        if mark.role == PART:
            read += _said_of_part(marks, index)
        elif mark.role != STATE:
            read.append(mark)
    return sorted(read, key=lambda mark: mark.end)


def _said_of_part(marks: list[Mark], index: int) -> list[Mark]:
    part = marks[index]
    before = marks[index - 1] if index else None
    negated = uncertain = False
    for mark in marks[index + 1 :]:
        if mark.role in (FINDING, BREAK) or mark.start - part.end > FARTHEST_STATE:
            break
        if mark.role == STATE and (part.value, mark.value) in PART_IN_STATE:
            return [_predicate(part, mark, negated, uncertain)]
        negated |= mark.role == NEGATION_BEFORE
        uncertain |= mark.role == UNCERTAIN_BEFORE
    if before is not None and before.role == STATE and part.start - before.end <= 1:
        said = PART_IN_STATE.get((part.value, before.value))
        if said is not None:
            finding, there = said
            return [Mark(before.start, part.end, FINDING, finding if there else None)]
    return []


def _predicate(part: Mark, state: Mark, negated: bool, uncertain: bool) -> Mark:
    finding, there = PART_IN_STATE[part.value, state.value]
    assertion = Assertion.PRESENT if there != negated else Assertion.ABSENT
    if uncertain and assertion is Assertion.PRESENT:
        assertion = Assertion.UNCERTAIN
    return Mark(part.start, state.end, PART, (finding, assertion))


def _asserted(marks: list[Mark]) -> list[Mention]:
    """Walk over a sentence with the cue that is in force, and say what becomes of each finding."""
    mentions: list[Mention] = []
    clause, force = 0, Assertion.PRESENT
    for mark in marks:
        if mark.role == FINDING and mark.value is not None:
            mentions.append(Mention(mark.start, mark.end, mark.value, force))
        elif mark.role == PART:
            mentions.append(Mention(mark.start, mark.end, *mark.value))
            clause, force = len(mentions), Assertion.PRESENT
        elif mark.role == BREAK:
            clause, force = len(mentions), Assertion.PRESENT
        elif mark.role == NEGATION_BEFORE:
            force = Assertion.ABSENT
        elif mark.role == UNCERTAIN_BEFORE and force is not Assertion.ABSENT:
            force = Assertion.UNCERTAIN
        elif mark.role == NEGATION_AFTER:
            mentions[clause:] = [
                _changed(mention, Assertion.ABSENT) for mention in mentions[clause:]
            ]
        elif mark.role == UNCERTAIN_AFTER:
            mentions[clause:] = [
                _changed(mention, Assertion.UNCERTAIN) for mention in mentions[clause:]
            ]
        elif mark.role == EXPLAINED:
            mentions[clause:] = [mention._replace(explained=True) for mention in mentions[clause:]]
    if mentions and mentions[-1].explained:
        mentions = [mention._replace(explained=False) for mention in mentions]
    return mentions


def _changed(mention: Mention, assertion: Assertion) -> Mention:
    if mention.assertion is Assertion.ABSENT:
        return mention
    return mention._replace(assertion=assertion)
