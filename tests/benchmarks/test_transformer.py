"""The equal network is equal: it writes the same words and has the same loss."""

from __future__ import annotations

import pytest
import torch

from tests.benchmarks.gpu import gpt2_loss
from tests.benchmarks.training import by_model, case
from tests.benchmarks.training_bound import Sizes
from tests.benchmarks.transformer import equal_gpt2, run
from xray_report.models.maps import MapShape


def test_both_write_the_same_words() -> None:
    pytest.importorskip("transformers")
    sizes = {"width": 16, "layers": 2, "heads": 2, "feed_forward": 24}
    found = run(3, length=6, vocabulary=30, repeats=1, maps=MapShape(5, 2, 3), **sizes)
    assert found["equal reports, share"] == 1
    assert found["ours over transformers"] > 0


def test_both_have_the_same_loss() -> None:
    pytest.importorskip("transformers")
    given = case(Sizes(batch=2, words=5, hidden=16, vocabulary=20), "transformer")
    given.model.eval()
    theirs = gpt2_loss(given, equal_gpt2(given.model))
    # Ours has a bias before the vocabulary, GPT-2 has none.
    with torch.no_grad():
        given.model.vocabulary.bias.zero_()
    torch.testing.assert_close(theirs, by_model(given), rtol=1e-4, atol=1e-4)
