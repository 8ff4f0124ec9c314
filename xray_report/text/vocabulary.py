"""The words a model reads and writes, and their fixed ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from xray_report.errors import OptionError
from xray_report.tokens import BOS_ID, EOS_ID, SPECIAL_WORDS, UNK_ID


class Vocabulary:
    """Words by id. Ids 0..3 are the special tokens of `xray_report.tokens`.

    Args:
        words: every word in the order of its id, the four special words first. This list is all
            that needs to be stored: `Vocabulary(list(vocabulary.words))` equals `vocabulary`.

    Raises:
        OptionError: the special words are missing, a word occurs twice, or one is empty or holds
            white space.
    """

    def __init__(self, words: Sequence[str]) -> None:
        _check(words)
        self._words = tuple(words)
        special = len(SPECIAL_WORDS)
        # A report that happens to say "endseq" must not end there: specials are not words.
        self._ids = {word: i for i, word in enumerate(self._words[special:], start=special)}

    @classmethod
    def build(cls, texts: Iterable[str], min_count: int = 1) -> Vocabulary:
        """Count the words of cleaned texts (those of the train split only) and keep the frequent.

        Ids go by falling count, equal counts alphabetically, so the order of the texts does not
        matter.

        Args:
            texts: cleaned texts, words separated by white space.
            min_count: how often a word must occur; rarer ones become unknown.

        Raises:
            OptionError: `min_count` is not a positive integer, or no word occurs that often.
        """
        if isinstance(min_count, bool) or not isinstance(min_count, int) or min_count < 1:
            raise OptionError(f"min_count must be a positive integer, got {min_count!r}")
        counts = Counter(word for text in texts for word in text.split())
        for word in SPECIAL_WORDS:
            counts.pop(word, None)
        kept = [word for word, count in counts.items() if count >= min_count]
        if not kept:
            raise OptionError(
                f"no word occurs min_count={min_count} times in the training texts; "
                "lower min_count, or check that the studies have reports"
            )
        return cls([*SPECIAL_WORDS, *sorted(kept, key=lambda word: (-counts[word], word))])

    @property
    def words(self) -> tuple[str, ...]:
        """All words, by id."""
        return self._words

    def encode(self, cleaned: str) -> list[int]:
        """Return BOS, the ids of a cleaned text's words (UNK for those not known), and EOS."""
        ids = self._ids
        return [BOS_ID, *(ids.get(word, UNK_ID) for word in cleaned.split()), EOS_ID]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the words up to the first EOS; special tokens among them are left out.

        Raises:
            OptionError: an id is outside the vocabulary.
        """
        words = []
        for token in ids:
            if token == EOS_ID:
                break
            if not 0 <= token < len(self._words):
                raise OptionError(
                    f"token id {token} is outside the vocabulary of {len(self._words)} words; "
                    "decode with the vocabulary the model was trained with"
                )
            if token >= len(SPECIAL_WORDS):
                words.append(self._words[token])
        return " ".join(words)

    def __len__(self) -> int:
        return len(self._words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self._words == other._words

    def __hash__(self) -> int:
        return hash(self._words)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} words)"


def _check(words: Sequence[str]) -> None:
    if tuple(words[: len(SPECIAL_WORDS)]) != SPECIAL_WORDS:
        raise OptionError(
            f"a vocabulary begins with {', '.join(SPECIAL_WORDS)}; got {list(words[:4])}"
        )
    for word, count in Counter(words).items():
        if count > 1:
            raise OptionError(f"the vocabulary holds the word {word!r} {count} times")
        if word.split() != [word]:
            raise OptionError(f"the vocabulary's word {word!r} is empty or holds white space")
