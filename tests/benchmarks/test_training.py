"""The competitors compute the same loss, so that times compare the same work."""

from __future__ import annotations

import pytest
import torch

from tests.benchmarks.training import (
    by_model,
    case,
    compare,
    compare_with_prefixes,
    compare_with_raw_maps,
    ours,
    plain,
    prefix_loss,
)
from tests.benchmarks.training_bound import Sizes

SMALL = Sizes(batch=3, words=4, hidden=8, attention=6, vocabulary=20, values=5)


@pytest.mark.parametrize("values", [5, None])
def test_the_plain_loop_is_the_same_model(values: int | None) -> None:
    given = case(SMALL._replace(values=values))
    given.model.eval()
    torch.testing.assert_close(plain(given), ours(given, False), rtol=1e-4, atol=1e-4)


def test_prefixes_are_scored_as_the_report_is() -> None:
    """One row with a prefix as long as the report: the loss of its last word."""
    given = case(SMALL._replace(batch=1, words=1))
    given.model.eval()
    torch.testing.assert_close(prefix_loss(given, 1), by_model(given), rtol=1e-4, atol=1e-4)


def test_every_competitor_is_timed() -> None:
    found = compare(SMALL, 1, compile=False)
    for name in ("ours", "eager", "plain", "transformer"):
        assert found[f"{name}, words/s"] > 0
    assert found["fused by torch.compile"] is False
    assert found["profile of eager"]["products_share"] > 0
    assert compare_with_raw_maps(SMALL, 1, compile=False)["ours over raw"] > 0
    assert compare_with_prefixes(SMALL, 1, compile=False)["ours over prefixes"] > 0
