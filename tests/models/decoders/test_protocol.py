"""Selecting rows and studies of states, of whatever nesting their trees are."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from xray_report.models.decoders.protocol import DecoderState, map_tree, select_rows, select_studies


class Pair(NamedTuple):
    one: Any
    other: Any


def trees(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def grow(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.lists(parts, max_size=3).map(tuple) | st.builds(Pair, parts, parts)

    return st.recursive(leaves, grow, max_leaves=6)


shapes = trees(st.lists(st.integers(0, 3), max_size=2).map(lambda sizes: torch.zeros(sizes)))
"""Trees of the shapes that leaves have beyond their first dimension."""


def filled(shape: Any, count: int) -> Any:
    """A tree whose leaves have `count` rows, row i filled with i."""
    index = torch.arange(float(count))
    return map_tree(lambda leaf: index.view(-1, *[1] * leaf.dim()) + leaf, shape)


def check(tree: Any, shape: Any, rows: Tensor) -> None:
    """Row i of every leaf is filled with rows[i], and the nesting is that of `shape`."""
    assert type(tree) is type(shape)
    if isinstance(shape, Tensor):
        assert tree.shape == (len(rows), *shape.shape)
        assert torch.equal(tree, rows.view(-1, *[1] * shape.dim()).expand_as(tree).to(tree.dtype))
        return
    assert len(tree) == len(shape)
    for part, own in zip(tree, shape, strict=True):
        check(part, own, rows)


@given(rows=shapes, studies=shapes, batch=st.integers(1, 4), wide=st.integers(1, 3), data=st.data())
def test_rows_are_picked_everywhere_and_studies_left_alone(
    rows: Any, studies: Any, batch: int, wide: int, data: st.DataObject
) -> None:
    count = batch * wide
    state = DecoderState(filled(rows, count), filled(studies, batch), filled(torch.zeros(2), count))
    picked = torch.tensor(data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=9)))
    found = select_rows(state, picked)
    check(found.rows, rows, picked)
    check(found.attention, torch.zeros(2), picked)
    assert found.studies is state.studies
    check(state.rows, rows, torch.arange(count))


@given(rows=shapes, studies=shapes, batch=st.integers(1, 4), wide=st.integers(1, 3), data=st.data())
def test_studies_are_picked_with_all_their_rows(
    rows: Any, studies: Any, batch: int, wide: int, data: st.DataObject
) -> None:
    state = DecoderState(filled(rows, batch * wide), filled(studies, batch))
    chosen = torch.tensor(
        data.draw(st.lists(st.integers(0, batch - 1), min_size=1, max_size=4, unique=True))
    )
    found = select_studies(state, chosen, batch)
    check(found.rows, rows, (chosen.unsqueeze(1) * wide + torch.arange(wide)).flatten())
    check(found.studies, studies, chosen)
    assert found.attention is None
