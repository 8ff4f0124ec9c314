from __future__ import annotations

import pytest

from xray_report.exchange import exchange


@pytest.mark.parametrize("studies", [2, 3, 10, 57])
def test_everybody_gets_anothers(studies: int) -> None:
    items = list(range(studies))
    exchanged = exchange(items, 4)
    assert sorted(exchanged) == items
    assert all(a != b for a, b in zip(items, exchanged, strict=True))
    assert exchange(items, 4) == exchanged


def test_few() -> None:
    assert exchange(["only"], 0) == ["only"]
    assert exchange([], 0) == []
