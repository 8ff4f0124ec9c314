"""Special tokens: ids that stand for no text."""

from __future__ import annotations

from typing import Final, NamedTuple


class SpecialTokens(NamedTuple):
    """The special ids of a tokenizer, which models and searches read from there.

    Args:
        pad: fills a batch up behind the end of a report; never equal to `eos`.
        unknown: stands for words that the vocabulary lacks; None where every text has tokens.
        bos: begins a report.
        eos: ends it; may equal `bos`.
    """

    pad: int
    unknown: int | None
    bos: int
    eos: int

    @property
    def never_generated(self) -> tuple[int, ...]:
        """Ids that no search writes: `pad`, `unknown` and `bos`, but not `eos`."""
        ids = dict.fromkeys((self.pad, self.unknown, self.bos))
        return tuple(one for one in ids if one is not None and one != self.eos)


MOST_TOKENS: Final = 4096
"""Longest report that a model may be made for; a stranger's could name more, and never end."""

WORD_TOKENS: Final = SpecialTokens(pad=0, unknown=1, bos=2, eos=3)
"""Of the tokenizer of words."""
