"""How decoders read the encoder's maps, location by location or pooled."""

import torch
from torch import Tensor

from xray_report.models.decoders.views import OBSERVED, MapReader, PooledViews, ViewMaps
from xray_report.models.maps import MapShape

CHANNELS = 6
MAPS = MapShape(CHANNELS, 7, 7)


def example(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    scale = torch.logspace(-2, 2, CHANNELS, dtype=torch.double).view(-1, 1, 1)
    features = scale * (3 + torch.randn(5, 2, CHANNELS, 7, 7, generator=draw, dtype=torch.double))
    view_mask = torch.ones(5, 2, dtype=torch.bool)
    view_mask[0, 1] = view_mask[3, 0] = False
    features[~view_mask] = float("nan")
    return features, view_mask


def test_channels_come_last_and_missing_views_as_zeros() -> None:
    features, view_mask = example()
    views = MapReader(MAPS, False).double()(features, view_mask)
    assert views.maps.shape == (5, 2, 49, CHANNELS)
    assert views.maps.is_contiguous()
    assert torch.equal(views.maps[1, 1, 3 * 7 + 4], features[1, 1, :, 3, 4])
    assert torch.equal(views.standardised(views.maps), views.maps)
    assert not views.maps[~view_mask].any()


def test_the_layout_in_memory_and_the_dtype_of_features_change_nothing() -> None:
    features, view_mask = example()
    half = features.half()
    last = half.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    reader = MapReader(MAPS, True)
    first, second = reader(half, view_mask).maps, reader(last, view_mask).maps
    assert first.dtype == torch.float32
    assert torch.equal(first, second)
    assert torch.equal(half.isnan(), features.isnan())  # the given features are left alone


def test_the_first_batch_standardises_itself() -> None:
    features, view_mask = example()
    reader = MapReader(MAPS, True).double().train()
    views = reader(features, view_mask)
    rows = views.standardised(views.maps)[view_mask][:, ::OBSERVED].flatten(0, 1)
    torch.testing.assert_close(rows.mean(0), torch.zeros(CHANNELS).double())
    torch.testing.assert_close(
        rows.var(0, unbiased=False), torch.ones(CHANNELS).double(), rtol=0.2, atol=0
    )


def test_later_batches_move_the_statistics_and_evaluation_does_not() -> None:
    reader = MapReader(MAPS, True).double().train()
    reader(*example(0))
    before = reader.mean.clone()
    reader(*example(1))
    assert not torch.equal(reader.mean, before)
    moved = reader.mean.clone()
    reader.eval()(*example(2))
    assert torch.equal(reader.mean, moved)


def test_gradients_reach_the_features() -> None:
    features, view_mask = example()
    features = features.nan_to_num().requires_grad_()
    MapReader(MAPS, True).double()(features, view_mask).maps.sum().backward()
    assert features.grad is not None
    assert features.grad[view_mask].eq(1).all()
    assert not features.grad[~view_mask].any()


POOLED_MAPS = MapShape(8, 7, 7)


def read(features: Tensor, view_mask: Tensor, channel_norm: bool = False) -> ViewMaps:
    views: ViewMaps = MapReader(POOLED_MAPS, channel_norm).eval()(features, view_mask)
    return views


def test_peaks_tell_a_small_bright_place_from_the_same_sum_spread_out() -> None:
    torch.manual_seed(0)
    both_views = torch.ones(1, 2, dtype=torch.bool)
    spread = read(torch.full((1, 2, 8, 7, 7), 1 / 49), both_views)
    point = torch.zeros(1, 2, 8, 7, 7)
    point[..., 3, 3] = 1.0
    focal = read(point, both_views)
    average = PooledViews(POOLED_MAPS, 4, "none").eval()
    with_peaks = PooledViews(POOLED_MAPS, 4, "none", peaks=True).eval()
    torch.testing.assert_close(average(spread), average(focal))
    assert not torch.allclose(with_peaks(spread), with_peaks(focal))


def test_peaks_of_a_missing_view_are_never_read() -> None:
    torch.manual_seed(0)
    pooled = PooledViews(POOLED_MAPS, 4, peaks=True).eval()
    features = torch.rand(1, 2, 8, 7, 7)
    frontal_only = torch.tensor([[True, False]])
    changed = features.clone()
    changed[:, 1] = float("nan")
    expected = pooled(read(features, frontal_only, channel_norm=True))
    torch.testing.assert_close(pooled(read(changed, frontal_only, channel_norm=True)), expected)
