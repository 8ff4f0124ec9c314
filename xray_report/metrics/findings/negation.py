"""Reading one sentence: which findings it mentions; does it affirm, deny or doubt them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

from xray_report.metrics.findings.lexicon import PART_IN_STATE, STATES_ALONE
from xray_report.metrics.findings.phrases import BOOK, Mark, Role

FARTHEST_STATE: Final = 8
"""Words that may stand between a part of the chest and what is said of it."""

SIGNS: Final = frozenset({"opacity", "interstitial_markings"})
EXPLAINING: Final = frozenset({"atelectasis", "edema", "hiatal_hernia"})
"""A sign "consistent with" an explanation is that finding's look, and not counted beside it."""


class Assertion(Enum):
    """What a report says of a finding."""

    PRESENT = "present"
    UNCERTAIN = "uncertain"
    ABSENT = "absent"
    UNMENTIONED = "unmentioned"


class Mention(NamedTuple):
    """A finding at words[start:end] of a sentence.

    Args:
        explained: whether it is only a sign of the finding named next, as an opacity that is
            "consistent with atelectasis".
    """

    start: int
    end: int
    finding: str
    assertion: Assertion
    explained: bool = False


_FORCE: Final = {
    Role.NEGATION_BEFORE: Assertion.ABSENT,
    Role.NEGATION_AFTER: Assertion.ABSENT,
    Role.NEGATION_EITHER: Assertion.ABSENT,
    Role.UNCERTAIN_BEFORE: Assertion.UNCERTAIN,
    Role.UNCERTAIN_AFTER: Assertion.UNCERTAIN,
    Role.UNCERTAIN_EITHER: Assertion.UNCERTAIN,
    Role.UNCERTAIN_BETWEEN: Assertion.UNCERTAIN,
    Role.NOT_SAID: Assertion.UNMENTIONED,
}
_AFTER: Final = (Role.NEGATION_AFTER, Role.UNCERTAIN_AFTER)
_EITHER: Final = (Role.NEGATION_EITHER, Role.UNCERTAIN_EITHER)


def read(words: Sequence[str]) -> tuple[list[Mark], list[Mention]]:
    """Read a sentence of normalised words: its phrases, and its mentions from left to right."""
    marks = BOOK.marks(words)
    return marks, _asserted(_with_parts(marks))


def _with_parts(marks: list[Mark]) -> list[Mark]:
    """Replace parts and states that belong together by the finding they speak of.

    "Heart ... enlarged" asserts by itself: its value is (finding, assertion), and it begins a new
    clause. "Enlarged heart" is a mention like any other.
    """
    read: list[Mark] = []
    for index, mark in enumerate(marks):
        if mark.role is Role.PART:
            read += _said_of_part(marks, index)
        elif mark.role is not Role.STATE:
            read.append(mark)
        elif mark.value in STATES_ALONE:
            read.append(Mark(mark.start, mark.end, Role.FINDING, "other"))
    return sorted(read, key=lambda mark: mark.end)


def _said_of_part(marks: list[Mark], index: int) -> list[Mark]:
    part = marks[index]
    between: list[Mark] = []
    for mark in marks[index + 1 :]:
        far = mark.start - part.end > FARTHEST_STATE
        if far or mark.role in (Role.FINDING, Role.BREAK):
            break
        if mark.role is Role.STATE and (part.value, mark.value) in PART_IN_STATE:
            return [_predicate(part, mark, [cue.role for cue in between])]
        between.append(mark)
    before = marks[index - 1] if index else part
    if before.role is Role.STATE and part.start - before.end <= 1:
        finding, there = PART_IN_STATE.get((part.value, before.value), ("", False))
        return [Mark(before.start, part.end, Role.FINDING, finding)] if there else []
    return []


def _predicate(part: Mark, state: Mark, cues: Sequence[Role]) -> Mark:
    finding, there = PART_IN_STATE[part.value, state.value]
    if Role.NEGATION_BEFORE in cues:
        there = not there
    assertion = Assertion.PRESENT if there else Assertion.ABSENT
    if there and Role.UNCERTAIN_BEFORE in cues:
        assertion = Assertion.UNCERTAIN
    return Mark(part.start, state.end, Role.PART, (finding, assertion))


def _asserted(marks: list[Mark]) -> list[Mention]:
    """Walk over a sentence with the cue that is in force, and say what becomes of each finding."""
    mentions: list[Mention] = []
    clause, force = 0, Assertion.PRESENT
    for index, mark in enumerate(marks):
        role = mark.role
        if role is Role.FINDING:
            mentions.append(Mention(mark.start, mark.end, mark.value, force))
        elif role is Role.PART:
            mentions.append(Mention(mark.start, mark.end, *mark.value))
            clause, force = len(mentions), Assertion.PRESENT
        elif role is Role.BREAK:
            clause, force = len(mentions), Assertion.PRESENT
        elif role is Role.EXPLANATION:
            mentions[clause:] = _explained(mentions[clause:], marks[index + 1 :])
        elif role in _AFTER or (role in _EITHER and not _next_finding(marks[index + 1 :])):
            mentions[clause:] = [_changed(mention, _FORCE[role]) for mention in mentions[clause:]]
        elif role is Role.UNCERTAIN_BETWEEN:
            mentions[-1:] = [_changed(mention, _FORCE[role]) for mention in mentions[-1:]]
            force = _FORCE[role] if force is not Assertion.ABSENT else force
        elif role in _FORCE and force is not Assertion.ABSENT:
            force = _FORCE[role]
    return mentions


def _next_finding(marks: list[Mark]) -> str:
    """The finding that the clause goes on to name, or ""."""
    for mark in marks:
        if mark.role in (Role.FINDING, Role.BREAK, Role.PART):
            return mark.value if mark.role is Role.FINDING else ""
    return ""


def _explained(mentions: list[Mention], rest: list[Mark]) -> list[Mention]:
    if _next_finding(rest) not in EXPLAINING:
        return mentions
    return [mention._replace(explained=mention.finding in SIGNS) for mention in mentions]


def _changed(mention: Mention, assertion: Assertion) -> Mention:
    if mention.assertion is Assertion.ABSENT:
        return mention
    return mention._replace(assertion=assertion)
