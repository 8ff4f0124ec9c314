"""Word embedding whose pre-trained rows stay as they came, and dropout of words' components."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xray_report.errors import OptionError
from xray_report.options import check_count, check_flag, check_share

_FRESH_STD = 0.5
"""Spread of random rows when no vector says better; GloVe's components have about this one."""


class WordEmbedding(nn.Module):
    """Vectors of words: the known ones frozen, all others learnt.

    Known rows live in a buffer and not in a parameter, so that no optimiser, weight decay or
    momentum can move them. The buffer `known` is part of the state, hence a module built with
    sizes alone becomes the saved one on `load_state_dict`.

    Args:
        vocabulary_size: V, number of words.
        dimension: D, length of a word's vector.
        vectors: float [V, D] pre-trained vectors, or None for random ones.
        known: bool [V], True where `vectors` holds a real vector, so not for special tokens;
            None means all.
        trainable: learn every row, starting from the vectors (fine-tuning).
    """

    known: Tensor
    vectors: Tensor

    def __init__(
        self,
        vocabulary_size: int,
        dimension: int,
        vectors: Tensor | None = None,
        known: Tensor | None = None,
        trainable: bool = False,
    ) -> None:
        super().__init__()
        rows = check_count("vocabulary_size", vocabulary_size)
        columns = check_count("dimension", dimension)
        check_flag("embedding.trainable", trainable)
        given = _known_rows(rows, vectors, known)
        start = _starting_rows(rows, columns, vectors, given)
        self.learnt = nn.Parameter(start.clone())
        self.register_buffer("known", given & (not trainable))
        self.register_buffer("vectors", start.masked_fill(~given[:, None], 0.0))

    @property
    def vocabulary_size(self) -> int:
        """Number of words."""
        return self.learnt.shape[0]

    @property
    def dimension(self) -> int:
        """Length of a word's vector."""
        return self.learnt.shape[1]

    def forward(self, tokens: Tensor) -> Tensor:
        """Vectors [..., D] of int64 `tokens` [...]."""
        learnt = F.embedding(tokens, self.learnt)
        frozen = F.embedding(tokens, self.vectors)
        return torch.where(self.known[tokens].unsqueeze(-1), frozen, learnt)

    def rows(self) -> Tensor:
        """Vectors [V, D] of all words."""
        return torch.where(self.known.unsqueeze(-1), self.vectors, self.learnt)


def _known_rows(rows: int, vectors: Tensor | None, known: Tensor | None) -> Tensor:
    if vectors is None:
        return torch.zeros(rows, dtype=torch.bool)
    given = torch.ones(rows, dtype=torch.bool) if known is None else known.bool().clone()
    if given.shape != (rows,):
        raise OptionError(f"known must have shape [{rows}], got {list(given.shape)}")
    return given


def _starting_rows(rows: int, columns: int, vectors: Tensor | None, known: Tensor) -> Tensor:
    """Vectors where known, random rows of the same spread elsewhere."""
    if vectors is None:
        return torch.randn(rows, columns) * _FRESH_STD
    if vectors.shape != (rows, columns):
        raise OptionError(
            f"word vectors must have shape [{rows}, {columns}] (vocabulary by dimension), "
            f"got {list(vectors.shape)}"
        )
    given = vectors.detach().to(torch.float32)
    spread = float(given[known].std()) if int(known.sum()) > 1 else _FRESH_STD
    return torch.where(known[:, None], given, torch.randn(rows, columns) * spread)


class SequenceDropout(nn.Module):
    """One mask a report, kept over its words (Gal and Ghahramani 2016, arXiv:1512.05287).

    Drawing a mask of [B, T, H] numbers takes a twentieth of a training step on a CPU; this one
    takes nothing.

    Args:
        name: of the option, for the error message.
        share: of the components to drop while training, in [0, 1).
    """

    def __init__(self, name: str, share: float) -> None:
        super().__init__()
        self.p = check_share(name, share)

    def forward(self, sequence: Tensor) -> Tensor:
        """[B, T, H] with components of dim 2 dropped and the rest scaled up; as is in eval."""
        if not self.training or self.p == 0:
            return sequence
        return sequence * F.dropout(sequence.new_ones(len(sequence), 1, sequence.shape[2]), self.p)
