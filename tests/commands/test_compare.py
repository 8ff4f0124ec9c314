from __future__ import annotations

import json
from pathlib import Path

from tests.commands.console import failure, run
from xray_report.commands.compare import latex_table, side_names
from xray_report.metrics.study_scores import Difference


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


def test_sides_are_named_by_the_folders_in_which_they_differ(tmp_path: Path) -> None:
    one, other = tmp_path / "seed_0" / "evaluate", tmp_path / "seed_1" / "evaluate"
    assert side_names(one, other) == ("seed_0/evaluate", "seed_1/evaluate")
    assert side_names(one / "reports.jsonl", other) == ("seed_0/evaluate", "seed_1/evaluate")
    assert side_names(tmp_path / "beam", tmp_path / "greedy") == ("beam", "greedy")
    assert side_names(tmp_path / "a.jsonl", tmp_path / "b.jsonl") == ("a.jsonl", "b.jsonl")
    assert side_names(one, one) == ("first", "second")
    for folder, text in ((one, "heart big"), (other, "heart small")):
        folder.mkdir(parents=True)
        row = {"study_id": "1", "reference": "heart big", "hypothesis": text}
        (folder / "reports.jsonl").write_text(json.dumps(row))
    said = " ".join(run("compare", one, other).output.split())
    assert "difference: seed_1/evaluate - seed_0/evaluate" in said


def test_latex_escapes_names_and_marks_clear_differences() -> None:
    rows = {
        "clean/bleu4": Difference(0.5, 0.25, -0.25, -0.5, -0.125, 0.002),
        "findings/micro_f1": Difference(0.5, 0.5, 0.0, -0.125, 0.125, 1.0),
    }
    lines = latex_table(("a_b", "50%"), rows).splitlines()
    assert lines[0] == r"\begin{tabular}{lrrrr}"
    assert lines[2] == r"score & a\_b & 50\% & difference (95\,\%) & $p$ \\"
    bold = r"\textbf{$-$0.250 ($-$0.500 to $-$0.125)}"
    assert lines[4] == rf"clean/bleu4 & 0.500 & 0.250 & {bold} & 0.002 \\"
    assert lines[5].startswith(
        r"findings/micro\_f1 & 0.500 & 0.500 & +0.000 ($-$0.125 to +0.125) &"
    )
    assert lines[-1] == r"\end{tabular}"


def test_latex_is_printed_alone(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps({"study_id": "1", "reference": "heart", "hypothesis": "x"}))
    said = run("compare", path, path, "--latex").stdout
    assert said.startswith(r"\begin{tabular}")
    assert said.rstrip().endswith(r"\end{tabular}")
