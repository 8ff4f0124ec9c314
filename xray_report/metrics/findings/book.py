"""The rule tables in one phrase book."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final

from xray_report.metrics.findings import cues
from xray_report.metrics.findings.more_terms import DEVICE_TERMS, NOT_A_MENTION, OTHER_TERMS
from xray_report.metrics.findings.phrases import PhraseBook
from xray_report.metrics.findings.terms import FINDING_TERMS, PARTS, STATES
from xray_report.metrics.findings.words import normal_form


class Role(Enum):
    """What a phrase does in a sentence."""

    FINDING = auto()
    PART = auto()
    STATE = auto()
    NEGATION_BEFORE = auto()
    NEGATION_AFTER = auto()
    NEGATION_EITHER = auto()
    UNCERTAIN_BEFORE = auto()
    UNCERTAIN_AFTER = auto()
    UNCERTAIN_EITHER = auto()
    UNCERTAIN_BETWEEN = auto()
    NOT_SAID = auto()
    BREAK = auto()
    EXPLANATION = auto()
    NOTHING = auto()


_NAMED: Final = (
    (PARTS, Role.PART),
    (STATES, Role.STATE),
    ({"other": OTHER_TERMS, "device": DEVICE_TERMS, **FINDING_TERMS}, Role.FINDING),
)
_CUES: Final = (
    (cues.BREAKS, Role.BREAK),
    (cues.UNCERTAIN_BEFORE, Role.UNCERTAIN_BEFORE),
    (cues.UNCERTAIN_AFTER, Role.UNCERTAIN_AFTER),
    (cues.UNCERTAIN_EITHER, Role.UNCERTAIN_EITHER),
    (cues.UNCERTAIN_BETWEEN, Role.UNCERTAIN_BETWEEN),
    (cues.NEGATION_BEFORE, Role.NEGATION_BEFORE),
    (cues.NEGATION_AFTER, Role.NEGATION_AFTER),
    (cues.NEGATION_EITHER, Role.NEGATION_EITHER),
    (cues.NOT_SAID, Role.NOT_SAID),
    (cues.EXPLANATIONS, Role.EXPLANATION),
    (cues.PSEUDO_NEGATION, Role.NOTHING),
    (NOT_A_MENTION, Role.NOTHING),
)


_WORD: Final = re.compile("[a-z]+")


def _entries() -> Iterator[tuple[str, Role, str]]:
    for table, role in _NAMED:
        for value, phrases in table.items():
            for phrase in phrases:
                yield _normal(phrase), role, value
    for phrases, role in _CUES:
        for phrase in phrases:
            yield _normal(phrase), role, ""


def _normal(phrase: str) -> str:
    return _WORD.sub(lambda match: normal_form(match[0]), phrase)


BOOK: Final = PhraseBook(_entries())
