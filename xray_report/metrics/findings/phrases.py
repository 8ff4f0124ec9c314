"""From report text to the phrases of the lexicon found in each sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from functools import lru_cache
from itertools import product
from typing import Any, Final, NamedTuple

from xray_report.metrics.findings.lexicon import (
    BREAKS,
    DEVICE_TERMS,
    EXPLANATIONS,
    FINDING_TERMS,
    FORMS,
    NEGATION_AFTER,
    NEGATION_BEFORE,
    NEGATION_EITHER,
    NOT_A_MENTION,
    NOT_SAID,
    OTHER_TERMS,
    PARTS,
    PSEUDO_NEGATION,
    STATES,
    STEMS,
    UNCERTAIN_AFTER,
    UNCERTAIN_BEFORE,
    UNCERTAIN_BETWEEN,
    UNCERTAIN_EITHER,
)
from xray_report.text.cleaning import Cleaner

_CLEAN: Final = Cleaner()
_BLANKS: Final = str.maketrans(dict.fromkeys('(),:-"?!', " "))
"""The cleaner remembers tokens; without capitals and these marks it meets fewer of them."""
_SHORTEST_STEM: Final = min(map(len, STEMS))
_LONGEST_STEM: Final = max(map(len, STEMS))


def sentences(text: str) -> list[str]:
    """Split a report at its full stops into cleaned sentences.

    Cleaning is idempotent, so raw and already cleaned text give the same sentences.
    """
    cleaned = _CLEAN(text.lower().translate(_BLANKS))
    return [sentence for piece in cleaned.split(".") if (sentence := piece.strip())]


def words_of(sentence: str) -> list[str]:
    """Words of a cleaned sentence as the rules see them."""
    return [normal_form(word) for word in sentence.split()]


@lru_cache(maxsize=1 << 15)
def normal_form(word: str) -> str:
    """The form under which the rules know a word: its stem's, or itself without a plural s."""
    if word in FORMS:
        return FORMS[word]
    for length in range(min(len(word), _LONGEST_STEM), _SHORTEST_STEM - 1, -1):
        if word[:length] in STEMS:
            return STEMS[word[:length]]
    plural = len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if plural else word


# ------------------------------------------------------------------------------
# Finding the phrases of the rule tables in a sentence.

_END: Final = ""


class Mark(NamedTuple):
    """A phrase found in a sentence: words[start:end] play this role."""

    start: int
    end: int
    role: Any
    value: Any


class PhraseBook:
    """Phrases by their words; the longest phrase that begins at a word is found.

    A phrase is written as words in normal form with spaces between; `a|b` is either word, and a
    leading `?` makes a word optional: "no ?significant|interval change".
    """

    def __init__(self, entries: Iterable[tuple[str, Any, Any]]) -> None:
        """Take (phrase, role, value) entries; a later entry of the same words wins."""
        self._root: dict[str, Any] = {}
        for phrase, role, value in entries:
            for words in _expanded(phrase):
                node = self._root
                for word in words:
                    node = node.setdefault(word, {})
                node[_END] = (role, value)

    def marks(self, words: Sequence[str]) -> list[Mark]:
        """Phrases in a sentence from left to right, none overlapping another."""
        found, start, count = [], 0, len(words)
        while start < count:
            node = self._root.get(words[start])
            best, position = None, start
            while node is not None:
                position += 1
                if _END in node:
                    best = Mark(start, position, *node[_END])
                node = node.get(words[position]) if position < count else None
            if best is not None:
                found.append(best)
            start = best.end if best is not None else start + 1
        return found


def _expanded(phrase: str) -> Iterator[tuple[str, ...]]:
    choices = [
        (*word.lstrip("?").split("|"), *([""] if word.startswith("?") else []))
        for word in phrase.split()
    ]
    for words in product(*choices):
        yield tuple(word for word in words if word)


# ------------------------------------------------------------------------------
# The rule tables in one phrase book.


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
    (BREAKS, Role.BREAK),
    (UNCERTAIN_BEFORE, Role.UNCERTAIN_BEFORE),
    (UNCERTAIN_AFTER, Role.UNCERTAIN_AFTER),
    (UNCERTAIN_EITHER, Role.UNCERTAIN_EITHER),
    (UNCERTAIN_BETWEEN, Role.UNCERTAIN_BETWEEN),
    (NEGATION_BEFORE, Role.NEGATION_BEFORE),
    (NEGATION_AFTER, Role.NEGATION_AFTER),
    (NEGATION_EITHER, Role.NEGATION_EITHER),
    (NOT_SAID, Role.NOT_SAID),
    (EXPLANATIONS, Role.EXPLANATION),
    (PSEUDO_NEGATION, Role.NOTHING),
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
