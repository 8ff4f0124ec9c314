"""What reaches the decoder of a study's pooled views."""

import torch
from torch import Tensor

from xray_report.models.decoders.views import MapReader, PooledViews, ViewMaps


def read(features: Tensor, view_mask: Tensor, channel_norm: bool = False) -> ViewMaps:
    views: ViewMaps = MapReader(8, channel_norm).eval()(features, view_mask)
    return views


def test_peaks_tell_a_small_bright_place_from_the_same_sum_spread_out() -> None:
    torch.manual_seed(0)
    both_views = torch.ones(1, 2, dtype=torch.bool)
    spread = read(torch.full((1, 2, 8, 7, 7), 1 / 49), both_views)
    point = torch.zeros(1, 2, 8, 7, 7)
    point[..., 3, 3] = 1.0
    focal = read(point, both_views)
    average = PooledViews(8, 4, "none").eval()
    with_peaks = PooledViews(8, 4, "none", peaks=True).eval()
    torch.testing.assert_close(average(spread), average(focal))
    assert not torch.allclose(with_peaks(spread), with_peaks(focal))


def test_peaks_of_a_missing_view_are_never_read() -> None:
    torch.manual_seed(0)
    pooled = PooledViews(8, 4, peaks=True).eval()
    features = torch.rand(1, 2, 8, 7, 7)
    frontal_only = torch.tensor([[True, False]])
    changed = features.clone()
    changed[:, 1] = float("nan")
    expected = pooled(read(features, frontal_only, channel_norm=True))
    torch.testing.assert_close(pooled(read(changed, frontal_only, channel_norm=True)), expected)
