from __future__ import annotations

import json
from pathlib import Path

from tests.commands.console import failure, run


def test_results_that_cannot_be_compared_are_named(tmp_path: Path) -> None:
    def result(name: str, *rows: tuple[str, str]) -> Path:
        path = tmp_path / name
        lines = [{"study_id": s, "reference": r, "hypothesis": "x"} for s, r in rows]
        path.write_text("\n".join(map(json.dumps, lines)))
        return path

    first = result("a.jsonl", ("1", "heart"), ("2", "lungs"))
    assert "different studies: 2 are in one only, the first is '2'" in failure(
        "compare", first, result("b.jsonl", ("1", "heart"), ("3", "lungs"))
    )
    assert "1 studies have different references, the first is 2" in failure(
        "compare", first, result("c.jsonl", ("2", "bones"), ("1", "heart"))
    )
    assert "does not exist" in failure("compare", first, tmp_path / "d.jsonl")


def test_names_keep_their_brackets(tmp_path: Path) -> None:
    path = tmp_path / "m[beam=5].jsonl"
    path.write_text(json.dumps({"study_id": "1", "reference": "heart", "hypothesis": "x"}))
    assert "m[beam=5].jsonl" in "".join(run("compare", path, path).output.split())
