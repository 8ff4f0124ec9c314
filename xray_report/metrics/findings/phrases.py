"""From report text to the phrases of the lexicon that occur in each sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from functools import lru_cache
from itertools import pairwise, product
from typing import Any, Final, NamedTuple

from xray_report.metrics.findings.lexicon import (
    BREAKS,
    CHEST_PARTS,
    DEVICE_TERMS,
    EXPLANATIONS,
    FINDING_TERMS,
    FORMS,
    NEGATION_AFTER,
    NEGATION_ALONE,
    NEGATION_BEFORE,
    NEGATION_EITHER,
    NOT_A_MENTION,
    NOT_SAID,
    OTHER_TERMS,
    PART_STATES,
    PSEUDO_NEGATION,
    STEMS,
    UNCERTAIN_AFTER,
    UNCERTAIN_ANEW,
    UNCERTAIN_BEFORE,
    UNCERTAIN_BETWEEN,
    UNCERTAIN_EITHER,
)
from xray_report.text.cleaning import Cleaner

# Sentences and words.

_CLEANER: Final = Cleaner()
_MARKS: Final = str.maketrans({**dict.fromkeys('(),:-"?!', " "), ";": " . "})
"""A semicolon ends a clause. The cleaner remembers tokens; without capitals and these marks it
meets fewer of them."""
_ANSWER: Final = re.compile(r":\s*(?:no|none|negative|absent|nil|denied|0)(?=\s*(?:[.,;\n]|$))")
"""What a structured report says of what stands before the colon, and no more."""
_CLEAR: Final = re.compile(r"\bclear(?=,)")
_FULL_LINE: Final = 50
"""Characters of the shortest line that may go on in the next one."""
_BEGINS: Final = re.compile(r"[A-Z][a-z]|A(?= [a-z])|\d+[.)]|[-*\u2022]")
_GOES_ON: Final = re.compile(
    r"(?:[,(/-]|\b(?:an?|and|are|as|at|by|for|from|in|is|left|no|not|of|on|or|right|the|to|with|"
    r"without))$",
    re.IGNORECASE,
)
_SHORTEST_STEM: Final = min(map(len, STEMS))
_LONGEST_STEM: Final = max(map(len, STEMS))


def cleaned_sentences(text: str) -> list[str]:
    """Split a report at its full stops, semicolons and ends of lines into cleaned sentences.

    A line ends a sentence unless it was only full. Cleaning is idempotent, so raw and already
    cleaned text give the same sentences where full stops are all that ends them.
    """
    lower = _one_line(text).lower()
    if ":" in lower:
        lower = _ANSWER.sub(" none ;", lower)
    cleaned = _CLEANER(_CLEAR.sub("clear ;", lower).translate(_MARKS))
    return [sentence for piece in cleaned.split(".") if (sentence := piece.strip())]


def _one_line(text: str) -> str:
    """`text` with a semicolon where a line ends a sentence."""
    lines = text.splitlines()
    if len(lines) < 2:
        return text
    joined = lines[0].strip()
    for before, line in pairwise(map(str.strip, lines)):
        full = len(before) >= _FULL_LINE and not (line and _BEGINS.match(line))
        joined += f"{' ' if full or _GOES_ON.search(before) else ' ; '}{line}"
    return joined


@lru_cache(maxsize=1 << 15)
def cleaned_word(word: str) -> tuple[str, ...]:
    """What cleaning leaves of one word of a report: nothing, a word, a full stop, or several."""
    # After another word, since a full stop that begins a text goes.
    return tuple(_CLEANER(f"word {word.lower().translate(_MARKS)}").split()[1:])


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
    NEGATION_ALONE = auto()
    UNCERTAIN_BEFORE = auto()
    UNCERTAIN_ANEW = auto()
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


END: Final = "$"
"""Stands behind the last word of a sentence, for phrases that end one."""


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
    (UNCERTAIN_ANEW, Role.UNCERTAIN_ANEW),
    (UNCERTAIN_AFTER, Role.UNCERTAIN_AFTER),
    (UNCERTAIN_EITHER, Role.UNCERTAIN_EITHER),
    (UNCERTAIN_BETWEEN, Role.UNCERTAIN_BETWEEN),
    (NEGATION_BEFORE, Role.NEGATION_BEFORE),
    (NEGATION_AFTER, Role.NEGATION_AFTER),
    (NEGATION_EITHER, Role.NEGATION_EITHER),
    (NEGATION_ALONE, Role.NEGATION_ALONE),
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
