"""Words as tokens: cleaned text, a vocabulary counted from the training reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from xray_report.errors import DataError, OptionError
from xray_report.options import check_count
from xray_report.text.cleaning import Cleaner, cleaner_of
from xray_report.text.tokenizer import Tokenizer, register_tokenizer
from xray_report.tokens import WORD_TOKENS

SPECIAL_WORDS = ("<pad>", "<unk>", "startseq", "endseq")
"""Words of the ids of `WORD_TOKENS`, 0..3, as they are in a vocabulary's word list."""


class Vocabulary:
    """Words by id. Ids 0..3 are the special tokens `WORD_TOKENS`.

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
        check_count("text.tokenizer.min_count", min_count)
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
        unknown = WORD_TOKENS.unknown
        words = (ids.get(word, unknown) for word in cleaned.split())
        return [WORD_TOKENS.bos, *words, WORD_TOKENS.eos]  # type: ignore[list-item]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the words up to the first EOS; special tokens among them are left out.

        Raises:
            OptionError: an id is outside the vocabulary.
        """
        words: list[str] = []
        for token in ids:
            if token == WORD_TOKENS.eos:
                break
            if not 0 <= token < len(self._words):
                raise OptionError(
                    f"token id {token} is outside the vocabulary of {len(self._words)} words; "
                    "decode with the vocabulary the model was trained with"
                )
            if token >= len(SPECIAL_WORDS):
                words.append(self._words[token])
        return words

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


@register_tokenizer("words")
class WordTokenizer(Tokenizer):
    """Words of cleaned reports; marks, too, where the cleaner makes them tokens.

    Args:
        vocabulary: the words.
        cleaner: the rules that turn a published report into words.
    """

    special = WORD_TOKENS

    def __init__(self, vocabulary: Vocabulary, cleaner: Cleaner | None = None) -> None:
        self.vocabulary, self.cleaner = vocabulary, cleaner or Cleaner()

    @classmethod
    def check_options(
        cls, min_count: int = 1, cleaner: Mapping[str, bool] | None = None, **unknown: Any
    ) -> None:
        """Raise `OptionError` for options that `fit` would refuse."""
        if unknown:
            raise OptionError(
                f"text.tokenizer.{min(unknown)} is no option: use min_count and cleaner"
            )
        check_count("text.tokenizer.min_count", min_count)
        cleaner_of({} if cleaner is None else cleaner)

    @classmethod
    def fit(
        cls,
        texts: Iterable[str],
        *,
        min_count: int = 1,
        cleaner: Mapping[str, bool] | None = None,
        **unknown: Any,
    ) -> WordTokenizer:
        """Clean the reports and count their words.

        Args:
            texts: reports as published, of the train split.
            min_count: words seen fewer times become unknown.
            cleaner: rules of `Cleaner` by name, on or off; those left out as it has them.
            unknown: refused.
        """
        cls.check_options(min_count, cleaner, **unknown)
        rules = cleaner_of({} if cleaner is None else cleaner)
        cleaned = [rules(text) for text in texts]
        if not any(cleaned):
            raise DataError(
                "no training report has a word to build a vocabulary from; choose another "
                "data.target, or a data set that has reports"
            )
        return cls(Vocabulary.build(cleaned, min_count), rules)

    @property
    def words(self) -> tuple[str, ...]:
        """All words by id."""
        return self.vocabulary.words

    def normalise(self, text: str) -> str:
        """The report cleaned; spaces as `Cleaner.join` puts them."""
        return self.cleaner.join(self.cleaner(text).split())

    def encode(self, text: str) -> list[int]:
        """BOS, the ids of the cleaned report's words (UNK for those not known), EOS."""
        return self.vocabulary.encode(self.cleaner(text))

    def decode(self, ids: Iterable[int]) -> str:
        """Words up to the first EOS, special tokens left out; spaces as `Cleaner.join` puts them.

        Raises `OptionError` if an id is outside the vocabulary.
        """
        return self.cleaner.join(self.vocabulary.decode(ids))

    def to_plain(self) -> dict[str, Any]:
        """{"name": "words", "words": [...], "cleaner": {rule: bool}}."""
        return {"name": self.name, "words": list(self.words), "cleaner": asdict(self.cleaner)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> WordTokenizer:
        """Inverse of `to_plain`. Rules of a later version that it does not name are off."""
        words, cleaner = plain.get("words"), plain.get("cleaner")
        if not isinstance(words, list) or not isinstance(cleaner, Mapping):
            raise OptionError("a tokenizer of words needs its list of words and its cleaner")
        return cls(Vocabulary(words), cleaner_of(cleaner))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WordTokenizer) and self.to_plain() == other.to_plain()

    def __hash__(self) -> int:
        return hash((self.words, self.cleaner))
