"""What reaches the decoder of a study's pooled views."""

import torch

from xray_report.models.pooling import PooledViews


def test_peaks_tell_a_small_bright_place_from_the_same_sum_spread_out() -> None:
    torch.manual_seed(0)
    spread = torch.full((1, 2, 8, 7, 7), 1 / 49)
    focal = torch.zeros(1, 2, 8, 7, 7)
    focal[..., 3, 3] = 1.0
    both_views = torch.ones(1, 2, dtype=torch.bool)
    average = PooledViews(8, 4, "none").eval()
    with_peaks = PooledViews(8, 4, "none", peaks=True).eval()
    torch.testing.assert_close(average(spread, both_views), average(focal, both_views))
    assert not torch.allclose(with_peaks(spread, both_views), with_peaks(focal, both_views))


def test_peaks_of_a_missing_view_are_never_read() -> None:
    torch.manual_seed(0)
    pooled = PooledViews(8, 4, peaks=True, channel_norm=True).eval()
    features = torch.rand(1, 2, 8, 7, 7)
    frontal_only = torch.tensor([[True, False]])
    changed = features.clone()
    changed[:, 1] = 1e6
    torch.testing.assert_close(pooled(features, frontal_only), pooled(changed, frontal_only))
