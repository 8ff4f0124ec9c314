"""Which findings a sentence mentions, and whether it affirms, negates or doubts each."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

from xray_report.metrics.findings.lexicon import (
    OF_FINDINGS_TOO,
    PART_IN_STATE,
    SIDE_TERMS,
    STATE_OF_ANOTHER,
    STATES_ALONE,
    ZONE_TERMS,
)
from xray_report.metrics.findings.phrases import END, LEXICON, Match, Role

FARTHEST_STATE: Final = 8
"""Words that may come between a part of the chest and the state it is said to be in."""

SIGNS: Final = frozenset({"opacity", "interstitial_markings"})
EXPLAINING: Final = frozenset({"atelectasis", "edema", "hiatal_hernia"})
"""A sign "consistent with" one of these is how it looks, and not counted beside it."""


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


def find_mentions(words: Sequence[str]) -> tuple[list[Match], list[Mention]]:
    """The phrases of a sentence, and the findings it mentions, from left to right.

    Args:
        words: in normal form.
    """
    matches = LEXICON.find([*words, END])
    return matches, _without_heading(words, _asserted(_with_parts(words, matches)))


def _without_heading(words: Sequence[str], mentions: list[Mention]) -> list[Mention]:
    """Leave out what only names what is to be said: "Pneumothorax: no pneumothorax"."""
    if len(mentions) > 1 and mentions[0].start == 0:
        first, second, *_ = mentions
        answered = second.finding == first.finding and second.assertion is Assertion.ABSENT
        if answered and not {"no", "there", "negative"}.isdisjoint(words[first.end :][:1]):
            return mentions[1:]
    return mentions


# "Heart ... enlarged": a part of the chest and its state together are a finding.


def _with_parts(words: Sequence[str], matches: list[Match]) -> list[Match]:
    """Replace parts and states that belong together by the finding they name.

    "Heart ... enlarged" asserts by itself: its value is (finding, assertion), and it begins a new
    clause, as "normal heart" does. "Enlarged heart" is a mention like any other.
    """
    found: list[Match] = []
    for index, match in enumerate(matches):
        if match.role is Role.PART:
            found += _finding_of_part(words, matches, index)
        elif match.role is not Role.STATE:
            found.append(match)
        elif match.value in STATES_ALONE:
            found.append(Match(match.start, match.end, Role.FINDING, "other"))
    return sorted(found, key=lambda match: match.end)


def _finding_of_part(words: Sequence[str], matches: list[Match], index: int) -> list[Match]:
    part = matches[index]
    between: list[Role] = []
    for place, match in enumerate(matches[index + 1 :], index + 1):
        far = match.start - part.end > FARTHEST_STATE
        if far or match.role in (Role.FINDING, Role.BREAK, Role.UNCERTAIN_ANEW):
            break
        if not STATE_OF_ANOTHER.isdisjoint(words[part.end : match.start]):
            break
        if match.role is Role.STATE and (part.value, match.value) in PART_IN_STATE:
            if _says_of_next(words, matches[place : place + 2]):
                break
            return [_predicate(part, match, between)]
        between.append(match.role)
    before = matches[index - 1] if index else part
    if before.role is Role.STATE and part.start - before.end <= 1:
        finding, present = PART_IN_STATE.get((part.value, before.value), ("", False))
        if present:
            return [Match(before.start, part.end, Role.FINDING, finding)]
        if finding and part.start == before.end:
            return [Match(before.start, part.end, Role.PART, (finding, Assertion.ABSENT))]
    return []


def _says_of_next(words: Sequence[str], matches: Sequence[Match]) -> bool:
    """Whether the first match, a state, is said of the finding or part that is the second."""
    state, *rest = matches
    if rest and rest[0].role is Role.PART and rest[0].start == state.end:
        return words[state.start - 1] == "and"  # "heart and enlarged aorta"
    if not rest or rest[0].role is not Role.FINDING or words[state.end - 1] not in OF_FINDINGS_TOO:
        return False
    gap = words[state.end : rest[0].start]
    return all(word in SIDE_TERMS or word in ZONE_TERMS or word == "lobe" for word in gap)


def _predicate(part: Match, state: Match, between: Sequence[Role]) -> Match:
    finding, present = PART_IN_STATE[part.value, state.value]
    if Role.NEGATION_BEFORE in between:
        present = not present
    assertion = Assertion.PRESENT if present else Assertion.ABSENT
    if present and Role.UNCERTAIN_BEFORE in between:
        assertion = Assertion.UNCERTAIN
    return Match(part.start, state.end, Role.PART, (finding, assertion))


# Cues: a `before` cue holds from where it occurs to the end of its clause; an `after` cue changes
# the mentions of its clause that came before it.

_ASSERTION_OF_CUE: Final = {
    Role.NEGATION_BEFORE: Assertion.ABSENT,
    Role.NEGATION_AFTER: Assertion.ABSENT,
    Role.NEGATION_EITHER: Assertion.ABSENT,
    Role.UNCERTAIN_BEFORE: Assertion.UNCERTAIN,
    Role.UNCERTAIN_AFTER: Assertion.UNCERTAIN,
    Role.UNCERTAIN_EITHER: Assertion.UNCERTAIN,
    Role.UNCERTAIN_BETWEEN: Assertion.UNCERTAIN,
    Role.UNCERTAIN_ANEW: Assertion.UNCERTAIN,
    Role.NEGATION_ALONE: Assertion.ABSENT,
    Role.NOT_SAID: Assertion.UNMENTIONED,
}
_AFTER: Final = (Role.NEGATION_AFTER, Role.UNCERTAIN_AFTER)
_EITHER: Final = (Role.NEGATION_EITHER, Role.UNCERTAIN_EITHER)


def _asserted(matches: list[Match]) -> list[Mention]:
    """The mentions of a sentence, each as the cues of its clause have it; ABSENT is final."""
    mentions: list[Mention] = []
    clause, current = 0, Assertion.PRESENT  # first mention of the clause, cue that holds in it
    for index, match in enumerate(matches):
        role = match.role
        if role is Role.FINDING:
            mentions.append(Mention(match.start, match.end, match.value, current))
        elif role is Role.PART:
            mentions.append(Mention(match.start, match.end, *match.value))
            clause, current = len(mentions), Assertion.PRESENT
        elif role is Role.BREAK:
            clause, current = len(mentions), Assertion.PRESENT
        elif role is Role.UNCERTAIN_ANEW:
            clause, current = len(mentions), _ASSERTION_OF_CUE[role]
        elif role is Role.NEGATION_ALONE:
            if mentions[clause:] and mentions[-1].end == match.start:
                mentions[clause:] = _weakened(mentions[clause:], _ASSERTION_OF_CUE[role])
        elif role is Role.EXPLANATION:
            mentions[clause:] = _explained(mentions[clause:], matches[index + 1 :])
        elif role in _AFTER or (role in _EITHER and not _next_finding(matches[index + 1 :])):
            mentions[clause:] = _weakened(mentions[clause:], _ASSERTION_OF_CUE[role])
        elif role is Role.UNCERTAIN_BETWEEN:
            mentions[-1:] = _weakened(mentions[-1:], _ASSERTION_OF_CUE[role])
            current = _ASSERTION_OF_CUE[role] if current is not Assertion.ABSENT else current
        elif role in _ASSERTION_OF_CUE and current is not Assertion.ABSENT:
            current = _ASSERTION_OF_CUE[role]
    return mentions


def _next_finding(matches: list[Match]) -> str:
    """The finding that the clause goes on to name, or ""."""
    for match in matches:
        if match.role in (Role.FINDING, Role.BREAK, Role.PART):
            return match.value if match.role is Role.FINDING else ""
    return ""


def _explained(mentions: list[Mention], rest: list[Match]) -> list[Mention]:
    if _next_finding(rest) not in EXPLAINING:
        return mentions
    return [mention._replace(explained=mention.finding in SIGNS) for mention in mentions]


def _weakened(mentions: list[Mention], assertion: Assertion) -> list[Mention]:
    return [
        mention if mention.assertion is Assertion.ABSENT else mention._replace(assertion=assertion)
        for mention in mentions
    ]
