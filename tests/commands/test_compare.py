from __future__ import annotations

import json
from pathlib import Path

from tests.commands.test_score_commands import failure, run


def test_results_that_cannot_be_compared_are_named(tmp_path: Path) -> None:
    def result(name: str, *rows: tuple[str, str]) -> Path:
        path = tmp_path / name
        lines = [{"study_id": s, "reference": r, "hypothesis": "x"} for s, r in rows]
        path.write_text("\n".join(map(json.dumps, lines)))
        return path

    first = result("a.jsonl", ("1", "heart"), ("2", "lungs"))
    assert "different studies: 2 stand in one only, the first is '2'" in failure(
        "compare", first, result("b.jsonl", ("1", "heart"), ("3", "lungs"))
    )
    assert "1 studies have different references, the first is 2" in failure(
        "compare", first, result("c.jsonl", ("2", "bones"), ("1", "heart"))
    )
    assert "does not exist" in failure("compare", first, tmp_path / "d.jsonl")


def test_aggregate_tells_of_runs_that_are_no_repeats(tmp_path: Path) -> None:
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


def test_names_keep_their_brackets(tmp_path: Path) -> None:
    path = tmp_path / "m[beam=5].jsonl"
    path.write_text(json.dumps({"study_id": "1", "reference": "heart", "hypothesis": "x"}))
    assert "m[beam=5].jsonl" in "".join(run("compare", path, path).output.split())
