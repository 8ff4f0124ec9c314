"""The fixed token ids, shared by text, models and inference."""

from __future__ import annotations

from typing import Final

PAD_ID: Final = 0
UNK_ID: Final = 1
BOS_ID: Final = 2
EOS_ID: Final = 3

SPECIAL_WORDS: Final = ("<pad>", "<unk>", "startseq", "endseq")
"""Words of ids 0..3, as they stand in a vocabulary's word list."""

NEVER_GENERATED: Final = (PAD_ID, UNK_ID, BOS_ID)
