from __future__ import annotations

import torch

from xray_report.models.embedding import SequenceDropout


def test_the_same_components_drop_for_all_words_of_a_report() -> None:
    torch.manual_seed(0)
    dropped = SequenceDropout("dropout", 0.4)(torch.ones(50, 6, 40))
    assert torch.equal(dropped, dropped[:, :1].expand(-1, 6, -1))
    assert abs((dropped == 0).float().mean().item() - 0.4) < 0.05
    torch.testing.assert_close(dropped.max(), torch.tensor(1 / 0.6))


def test_reports_drop_different_components() -> None:
    torch.manual_seed(0)
    first, second = SequenceDropout("dropout", 0.5)(torch.ones(2, 3, 64))
    assert not torch.equal(first, second)


def test_nothing_drops_in_evaluation() -> None:
    sequence = torch.randn(2, 3, 4)
    assert SequenceDropout("dropout", 0.9).eval()(sequence) is sequence
