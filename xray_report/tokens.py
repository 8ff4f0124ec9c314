"""Special token ids, which text, models and inference share."""

from __future__ import annotations

from typing import Final, NamedTuple


class SpecialTokens(NamedTuple):
    """Ids with a meaning of their own in a tokenizer's vocabulary.

    Args:
        pad: fills sequences up; never equal to `eos`, which is learnt where padding is not.
        unknown: stands for what the vocabulary lacks; None where it lacks nothing.
        bos, eos: begin and end every report; they may be one and the same id.
    """

    pad: int
    unknown: int | None
    bos: int
    eos: int

    @property
    def never_generated(self) -> tuple[int, ...]:
        """Ids that no search may write."""
        ids = (self.pad, self.unknown, self.bos)
        return tuple(id for id in ids if id is not None and id != self.eos)


WORD_TOKENS: Final = SpecialTokens(pad=0, unknown=1, bos=2, eos=3)
"""Those of a vocabulary of words."""

PAD_ID, UNK_ID, BOS_ID, EOS_ID = WORD_TOKENS.pad, 1, WORD_TOKENS.bos, WORD_TOKENS.eos

SPECIAL_WORDS: Final = ("<pad>", "<unk>", "startseq", "endseq")
"""Words of ids 0..3, as they stand in a vocabulary's word list."""

NEVER_GENERATED: Final = WORD_TOKENS.never_generated
