"""Finding the phrases of the rule tables in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any, Final, NamedTuple

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
