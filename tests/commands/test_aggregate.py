from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.console import failure, run
from xray_report.commands.runs import aggregate_runs, unequal_runs
from xray_report.errors import DataError


def test_aggregate_is_mean_and_sample_deviation() -> None:
    runs = [{"a/x": 1.0, "a/x_low": 0.5, "only": 3.0}, {"a/x": 3.0, "a/x_low": 2.0}]
    found = aggregate_runs(runs)
    assert found == {"runs": 2, "a/x/mean": 2.0, "a/x/std": pytest.approx(2**0.5)}


def test_unequal_runs_are_said_to_be() -> None:
    runs = [{"studies": 10.0, "a": 1.0, "a_low": 0.5}, {"studies": 10.0, "a": 2.0}]
    assert unequal_runs(runs) == []
    assert unequal_runs([*runs, {"studies": 12.0, "b": 1.0}]) == [
        "the runs hold different numbers of studies (10, 12)",
        "left out, not in every run: 2 metrics, such as a",
    ]


def test_aggregate_needs_two_runs_with_something_in_common() -> None:
    with pytest.raises(DataError, match="at least two runs, got 1"):
        aggregate_runs([{"a": 1.0}])
    with pytest.raises(DataError, match="no metric in common"):
        aggregate_runs([{"a": 1.0}, {"b": 1.0}])


def test_runs_that_are_no_repeats_are_named(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text('{"clean/bleu4": 0.1, "studies": 3, "x[red]/y": 1}')
    second.write_text('{"clean/bleu4": 0.2, "studies": 4, "x[red]/y": 1, "only/here": 1}')
    result = run("aggregate", first, second)
    assert "different numbers of studies (3, 4)" in result.output
    assert "not in every run: 1 metrics, such as only/here" in result.output
    assert "x[red]/y" in result.output
    (tmp_path / "metrics.json").symlink_to(first)
    assert "is given more than once" in failure("aggregate", first, second, first)
    assert "is given more than once" in failure("aggregate", first, tmp_path)
