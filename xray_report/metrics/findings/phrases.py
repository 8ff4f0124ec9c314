"""From report text to the phrases of the lexicon that occur in each sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from functools import lru_cache
from itertools import product
from typing import Any, Final, NamedTuple

from xray_report.metrics.findings.lexicon import (
    BREAKS,
    CHEST_PARTS,
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
    PART_STATES,
    PSEUDO_NEGATION,
    STEMS,
    UNCERTAIN_AFTER,
    UNCERTAIN_BEFORE,
    UNCERTAIN_BETWEEN,
    UNCERTAIN_EITHER,
)
from xray_report.text.cleaning import Cleaner

# Sentences and words.

_CLEANER: Final = Cleaner()
_BLANKS: Final = str.maketrans(dict.fromkeys('(),:-"?!', " "))
"""The cleaner remembers tokens; without capitals and these marks it meets fewer of them."""
_SHORTEST_STEM: Final = min(map(len, STEMS))
_LONGEST_STEM: Final = max(map(len, STEMS))


def cleaned_sentences(text: str) -> list[str]:
    """Split a report at its full stops into cleaned sentences.

    Cleaning is idempotent, so raw and already cleaned text give the same sentences.
    """
    cleaned = _CLEANER(text.lower().translate(_BLANKS))
    return [sentence for piece in cleaned.split(".") if (sentence := piece.strip())]


@lru_cache(maxsize=1 << 15)
def cleaned_word(word: str) -> tuple[str, ...]:
    """What cleaning leaves of one word of a report: nothing, a word, a full stop, or several."""
    # After another word, since a full stop that begins a text goes.
    return tuple(_CLEANER(f"word {word.lower().translate(_BLANKS)}").split()[1:])


def normal_words(sentence: str) -> list[str]:
    """Words of a cleaned sentence in normal form."""
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


# Phrases.


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


class Match(NamedTuple):
    """A phrase found in a sentence: words[start:end] play this role.

    Args:
        value: the name of a finding, part or state; "" for a cue.
    """

    start: int
    end: int
    role: Any
    value: Any


class PhraseBook:
    """Phrases by their words; the longest phrase that begins at a word is found.

    A phrase is written as words in normal form with spaces between; `a|b` is either word, and a
    leading `?` makes a word optional: "no ?significant|interval change".
    """

    _END: Final = ""

    def __init__(self, entries: Iterable[tuple[str, Any, Any]]) -> None:
        """Take (phrase, role, value) entries; a later entry of the same words wins."""
        self._root: dict[str, Any] = {}
        for phrase, role, value in entries:
            for words in _expanded(phrase):
                node = self._root
                for word in words:
                    node = node.setdefault(word, {})
                node[self._END] = (role, value)

    def find(self, words: Sequence[str]) -> list[Match]:
        """Phrases in a sentence from left to right, none overlapping another."""
        found, start, count = [], 0, len(words)
        while start < count:
            node = self._root.get(words[start])
            best, position = None, start
            while node is not None:
                position += 1
                if self._END in node:
                    best = Match(start, position, *node[self._END])
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


# The lexicon as one phrase book.

_NAMED: Final = (
    (CHEST_PARTS, Role.PART),
    (PART_STATES, Role.STATE),
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


def _entries() -> Iterator[tuple[str, Role, str]]:
    for table, role in _NAMED:
        for value, phrases in table.items():
            for phrase in phrases:
                yield _normal_phrase(phrase), role, value
    for phrases, role in _CUES:
        for phrase in phrases:
            yield _normal_phrase(phrase), role, ""


def _normal_phrase(phrase: str) -> str:
    return re.sub("[a-z]+", lambda match: normal_form(match[0]), phrase)


LEXICON: Final = PhraseBook(_entries())
