"""From report text, raw or cleaned, to sentences of normalised words."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from xray_report.metrics.findings.stems import FORMS, STEMS
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
