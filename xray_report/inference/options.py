"""Options that every search understands, checked once when the search is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from xray_report.errors import OptionError
from xray_report.options import as_tuple, check_count, check_number
from xray_report.tokens import EOS_ID, NEVER_GENERATED

Options = TypeVar("Options", bound="SearchOptions")


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What may be asked of any search.

    Args:
        max_length: longest report in tokens, the end token counted; a report that has not ended
            by then is returned unfinished.
        min_length: fewest words before a report may end.
        no_repeat_ngram: no run of this many words occurs twice in a report; 0 allows all.
        repetition_penalty: log-probabilities of words already written are multiplied by it
            (Keskar et al. 2019, CTRL, section 4.1, on log-probabilities); 1 is off.
        banned_words: words never written.
        forced_words: words every finished report contains: a report cannot end before they are
            in it, and where it would end or run out of room the best missing one comes next.
        return_attention: keep the attention of each word; costs memory, not time.
        banned_ids: token ids of `banned_words`; filled in by `resolve`.
        forced_ids: token ids of `forced_words`; filled in by `resolve`.

    Raises:
        OptionError: a value is out of range; the message names the option.
    """

    max_length: int = 80
    min_length: int = 0
    no_repeat_ngram: int = 0
    repetition_penalty: float = 1.0
    banned_words: tuple[str, ...] = ()
    forced_words: tuple[str, ...] = ()
    return_attention: bool = False
    banned_ids: tuple[int, ...] = ()
    forced_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("banned_words", "forced_words", "banned_ids", "forced_ids"):
            object.__setattr__(self, name, as_tuple(name, getattr(self, name)))
        check_count("max_length", self.max_length)
        check_count("min_length", self.min_length, least=0)
        check_count("no_repeat_ngram", self.no_repeat_ngram, least=0)
        check_number("repetition_penalty", self.repetition_penalty, above=0.0)
        if self.min_length >= self.max_length:
            raise OptionError(
                f"min_length must be below max_length ({self.max_length}), got {self.min_length}"
            )
        self._check_words()

    def _check_words(self) -> None:
        forced = max(len(self.forced_words), len(self.forced_ids))
        if forced >= self.max_length:
            raise OptionError(
                f"forced_words must be fewer than max_length ({self.max_length}), got {forced}"
            )
        both = set(self.banned_words) & set(self.forced_words)
        if both:
            raise OptionError(f"{min(both)!r} is both in banned_words and in forced_words")
        special = set(self.forced_ids) & {EOS_ID, *NEVER_GENERATED}
        if special or EOS_ID in self.banned_ids:
            raise OptionError("banned_words and forced_words must not be special tokens")

    def resolve(self: Options, words: Sequence[str]) -> Options:
        """This search with the ids of its banned and forced words, `words[id]` being a word.

        Raises:
            OptionError: a banned or forced word is not among `words`.
        """
        if not (self.banned_words or self.forced_words):
            return self
        ids = {word: index for index, word in enumerate(words)}
        return replace(
            self,
            banned_ids=look_up("banned_words", self.banned_words, ids),
            forced_ids=look_up("forced_words", self.forced_words, ids),
        )

    def check_resolved(self) -> None:
        """Raise OptionError where words were given and `resolve` has not been called."""
        resolved = len(self.banned_ids) >= len(self.banned_words)
        if not (resolved and len(self.forced_ids) >= len(self.forced_words)):
            raise OptionError(
                "banned_words and forced_words need a vocabulary: use search.resolve(words)"
            )

    @property
    def needs_history(self) -> bool:
        """Whether a constraint looks at the words already written."""
        return bool(self.no_repeat_ngram or self.repetition_penalty != 1 or self.forced_ids)


def look_up(name: str, words: Sequence[str], ids: dict[str, int]) -> tuple[int, ...]:
    """Token ids of `words`; OptionError where the vocabulary lacks one."""
    for word in words:
        if word not in ids:
            raise OptionError(
                f"{name}: {word!r} is not among the {len(ids)} words of the vocabulary"
            )
    return tuple(ids[word] for word in words)
