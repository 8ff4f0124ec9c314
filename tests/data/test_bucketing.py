from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xray_report.data.datamodule import BucketBatchSampler

LENGTHS = st.lists(st.integers(1, 120), min_size=1, max_size=200)


@given(LENGTHS, st.integers(1, 40), st.booleans(), st.integers(0, 3))
def test_every_item_comes_once_an_epoch(
    lengths: list[int], size: int, shuffle: bool, epoch: int
) -> None:
    sampler = BucketBatchSampler(lengths, size, shuffle=shuffle)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert len(batches) == len(sampler)
    assert max(map(len, batches)) <= size


@given(LENGTHS, st.integers(1, 8), st.integers(2, 4))
def test_ranks_share_all_items_and_take_equally_many_batches(
    lengths: list[int], size: int, world_size: int
) -> None:
    shares = [
        list(BucketBatchSampler(lengths, size, shuffle=True, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    assert len({len(share) for share in shares}) == 1
    assert {i for share in shares for batch in share for i in batch} == set(range(len(lengths)))


def test_batches_hold_like_lengths() -> None:
    lengths = [5, 80] * 64
    batches = BucketBatchSampler(lengths, 16, shuffle=True)
    spread = [max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in batches]
    assert sum(spread) == 0


def test_epochs_differ_and_repeat_by_seed() -> None:
    def epochs(seed: int) -> list[list[list[int]]]:
        sampler = BucketBatchSampler(list(range(50)), 4, shuffle=True, seed=seed)
        return [list(sampler), list(sampler)]

    first, second = epochs(0)
    assert first != second
    assert [first, second] == epochs(0)
    assert epochs(1)[0] != first
