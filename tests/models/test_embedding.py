from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from xray_report.errors import OptionError
from xray_report.models.embedding import WordEmbedding

VECTORS = torch.arange(24.0).view(8, 3) / 10
KNOWN = torch.tensor([False, False, False, False, True, False, True, True])


def trained(embedding: WordEmbedding) -> torch.Tensor:
    """All rows after a few steps that pull at every one of them, with decay."""
    optimizer = torch.optim.AdamW(embedding.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(5):
        optimizer.zero_grad()
        embedding(torch.arange(8)).square().sum().backward()
        optimizer.step()
    return embedding(torch.arange(8)).detach()


def test_known_rows_never_move_and_all_others_do() -> None:
    embedding = WordEmbedding(8, 3, VECTORS, KNOWN)
    before = embedding(torch.arange(8)).detach()
    after = trained(embedding)
    assert torch.equal(after[KNOWN], VECTORS[KNOWN])
    assert ((after[~KNOWN] - before[~KNOWN]).abs() > 0.01).any(-1).all()
    assert torch.equal(embedding.rows(), after)


def test_without_word_which_are_known_all_are() -> None:
    assert torch.equal(WordEmbedding(8, 3, VECTORS).rows(), VECTORS)
    assert WordEmbedding(8, 3, VECTORS).known.all()


def test_trainable_starts_from_the_vectors_and_moves_them() -> None:
    embedding = WordEmbedding(8, 3, VECTORS, KNOWN, trainable=True)
    assert torch.equal(embedding(torch.tensor([4, 7])), VECTORS[[4, 7]])
    assert (trained(embedding)[4:] != VECTORS[4:]).any(-1).all()


def test_new_rows_have_the_spread_of_the_vectors() -> None:
    torch.manual_seed(0)
    known = torch.arange(4000) % 2 == 0
    embedding = WordEmbedding(4000, 10, torch.randn(4000, 10) * 3, known)
    fresh = embedding(torch.arange(5, 4000, 2))
    assert abs(fresh.std().item() - 3) < 0.1


def test_the_state_dict_carries_rows_and_which_are_known() -> None:
    saved = WordEmbedding(8, 3, VECTORS, KNOWN)
    loaded = WordEmbedding(8, 3)
    loaded.load_state_dict(saved.state_dict())
    tokens = torch.tensor([[0, 4], [7, 1]])
    assert torch.equal(loaded(tokens), saved(tokens))
    assert torch.equal(trained(loaded)[6], VECTORS[6])


def test_gradients_reach_only_learnt_rows() -> None:
    embedding = WordEmbedding(8, 3, VECTORS, KNOWN)
    F.mse_loss(embedding(torch.arange(8)), torch.zeros(8, 3)).backward()
    assert embedding.learnt.grad is not None
    moved = embedding.learnt.grad.abs().sum(-1) > 0
    assert moved.tolist() == [True, True, True, True, False, True, False, False]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"vocabulary_size": 0, "dimension": 3}, "vocabulary_size"),
        ({"vocabulary_size": 8, "dimension": -1}, "dimension"),
        ({"vocabulary_size": 8, "dimension": 4, "vectors": VECTORS}, r"\[8, 4\].*\[8, 3\]"),
        ({"vocabulary_size": 8, "dimension": 3, "vectors": VECTORS, "known": KNOWN[:5]}, "known"),
        ({"vocabulary_size": 8, "dimension": 3, "trainable": 1}, "trainable"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(OptionError, match=named):
        WordEmbedding(**arguments)  # type: ignore[arg-type]
