from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.metrics.conftest import ANNOTATION, write_report
from xray_report.commands import baselines, compare, score
from xray_report.errors import XrayReportError
from xray_report.metrics.files import read_metrics, read_reports

app = typer.Typer()
app.command("score")(score.score)
app.command("compare")(compare.compare)
app.command("aggregate")(compare.aggregate)
app.command("baselines")(baselines.baselines)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def failure(*arguments: object) -> str:
    """The one line that the console script would print."""
    result = run(*arguments)
    assert isinstance(result.exception, XrayReportError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


@pytest.fixture
def annotation(tmp_path: Path) -> Path:
    """A small file in R2Gen's form."""
    source = random.Random(3)
    sides = {
        side: [
            {
                "id": f"CXR{start + i}_IM-0001",
                "report": write_report(source),
                "image_path": [f"CXR{start + i}_IM-0001/0.png", f"CXR{start + i}_IM-0001/1.png"],
                "split": side,
            }
            for i in range(size)
        ]
        for side, start, size in (("train", 1, 60), ("val", 101, 15), ("test", 201, 25))
    }
    path = tmp_path / "annotation.json"
    path.write_text(json.dumps(sides), encoding="utf-8")
    return path


def ids_of(annotation: Path) -> list[str]:
    return [entry["id"] for entry in json.loads(annotation.read_text(encoding="utf-8"))["test"]]


def predictions(folder: Path, name: str, ids: list[str], seed: int) -> Path:
    source = random.Random(seed)
    path = folder / name
    rows = [json.dumps({"id": study, "report": write_report(source)}) for study in reversed(ids)]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def test_score_two_files_joined_by_id(tmp_path: Path) -> None:
    told, truth = tmp_path / "told.csv", tmp_path / "truth.csv"
    told.write_text("study_id,report\n2,The lungs are clear.\n1,The heart is big.\n")
    truth.write_text("study_id,report\n1,The heart is big.\n2,The lungs are clear.\n")
    result = run(
        "score", "--hypotheses", told, "--references", truth, "--json", tmp_path / "m.json"
    )
    assert result.exit_code == 0, result.output
    assert "clean: corpus scores" in result.output
    assert "r2gen is left out: it needs training reports" in result.output
    metrics = read_metrics(tmp_path / "m.json")
    assert metrics["clean/bleu1"] == pytest.approx(1.0)
    assert metrics["studies"] == 2
    assert not any(key.startswith("r2gen/") for key in metrics)


def test_empty_texts_are_told_of_and_warnings_are_kept(tmp_path: Path) -> None:
    told, truth = tmp_path / "told.txt", tmp_path / "truth.txt"
    told.write_text("\n" * 12)
    truth.write_text("".join(f"The heart is {'big ' * i}.\n" for i in range(12)))
    result = run(
        "score", "--hypotheses", told, "--references", truth, "--json", tmp_path / "m.json"
    )
    assert result.exit_code == 0, result.output
    assert "12 of 12 hypotheses are empty; the first is of study 000001" in result.output
    written = json.loads((tmp_path / "m.json").read_text())
    assert written["warning/collapsed"].startswith("COLLAPSED: 1 different report for 12 studies")
    assert written["warning/collapsed"].split(".")[0] in " ".join(result.output.split())


def test_score_one_file_with_both_columns_and_training_reports(tmp_path: Path) -> None:
    both, train = tmp_path / "both.csv", tmp_path / "train.txt"
    both.write_text("key,mine,gold\na,lungs clear now,lungs clear now\n")
    train.write_text("lungs clear now\n" * 3)
    result = run(
        *("score", "--hypotheses", both, "--references", both, "--hypothesis-column", "mine"),
        *("--reference-column", "gold", "--id-column", "key", "--train", train),
        *("--protocol", "r2gen", "--json", tmp_path / "m.json"),
    )
    assert result.exit_code == 0, result.output
    metrics = read_metrics(tmp_path / "m.json")
    assert metrics["r2gen/bleu3"] == pytest.approx(1.0)
    assert "clean/bleu4" not in metrics
    assert metrics["collapse/copied_share"] == 1


def test_each_side_has_columns_of_its_own_and_they_are_named(tmp_path: Path) -> None:
    both = tmp_path / "both.csv"
    both.write_text("id,prediction,report\na,lungs clear now,heart big today\n")
    result = run("score", "--hypotheses", both, "--references", both, "--json", tmp_path / "m.json")
    assert result.exit_code == 0, result.output
    assert read_metrics(tmp_path / "m.json")["clean/bleu1"] == 0
    assert f"hypotheses: column 'prediction' of {both}" in result.output
    assert f"references: column 'report' of {both}" in result.output


def test_a_closed_pipe_loses_nothing(
    tmp_path: Path, annotation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object, **__: object) -> None:
        raise BrokenPipeError

    told, out = tmp_path / "told.txt", tmp_path / "out"
    told.write_text("lungs clear\n")
    monkeypatch.setattr("xray_report.metrics.table.print_metrics", closed)
    monkeypatch.setattr("rich.console.Console.print", closed)
    score_told = ("score", "--hypotheses", told, "--references", told)
    run(*score_told, "--json", out / "s.json", "--reports", out / "reports.jsonl")
    run("baselines", "iu_xray", "--annotation", annotation, "--json", out / "b.json")
    run("compare", out, out, "--json", out / "c.json")
    run("aggregate", out / "s.json", out / "b.json", "--json", out / "a.json")
    assert {path.name for path in out.iterdir()} == {
        "s.json", "reports.jsonl", "b.json", "c.json", "a.json",
    }  # fmt: skip


def test_options_that_would_be_ignored_are_refused(tmp_path: Path, annotation: Path) -> None:
    told = tmp_path / "told.txt"
    told.write_text("lungs clear\n")
    files = ("score", "--hypotheses", told, "--references", told)
    for option, value in (("split", "study"), ("annotation", annotation), ("root", tmp_path)):
        said = failure(*files, f"--{option}", value)
        assert said == f"--{option} goes with --data NAME, not with --references"
    assert failure(*files, "--train-column", "x") == "--train-column goes with --train FILE"
    real = ("--data", "iu_xray", "--annotation", annotation)
    said = failure("score", "--hypotheses", told, *real, "--reference-column", "x")
    assert said == "--reference-column goes with --references FILE, not with --data"
    said = failure("baselines", "iu_xray", "--annotation", annotation, "--root", tmp_path)
    assert "leave out --root" in said


def test_a_misspelt_extra_is_refused_before_the_scoring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xray_report.metrics.evaluation.evaluate_texts", None)
    told = tmp_path / "told.txt"
    told.write_text("lungs clear\n")
    files = ("score", "--hypotheses", told, "--references", told)
    assert "unknown extra score 'nope'" in failure(*files, "--extra", "nope")


def test_score_against_a_data_set_compare_and_aggregate(tmp_path: Path, annotation: Path) -> None:
    ids = ids_of(annotation)
    for name, seed in (("a", 1), ("b", 2)):
        result = run(
            *("score", "--hypotheses", predictions(tmp_path, f"{name}.jsonl", ids, seed)),
            *("--data", "iu_xray", "--split", "r2gen", "--annotation", annotation),
            *("--json", tmp_path / name / "metrics.json"),
            *("--reports", tmp_path / name / "reports.jsonl"),
        )
        assert result.exit_code == 0, result.output
        assert "constant" in result.output
    scored = [read_metrics(tmp_path / name) for name in ("a", "b")]
    assert "baseline/constant/r2gen/bleu4" in scored[0]
    assert [record.study_id for record in read_reports(tmp_path / "a")] == ids

    compared = run("compare", tmp_path / "a", tmp_path / "b", "--json", tmp_path / "c.json")
    assert compared.exit_code == 0, compared.output
    found = read_metrics(tmp_path / "c.json")
    gain = scored[1]["clean/bleu4"] - scored[0]["clean/bleu4"]
    assert found["clean/bleu4/difference"] == pytest.approx(gain)
    assert found["clean/bleu4/low"] <= gain <= found["clean/bleu4/high"]

    spread = run("aggregate", tmp_path / "a", tmp_path / "b", "--json", tmp_path / "s.json")
    assert spread.exit_code == 0, spread.output
    mean = (scored[0]["clean/bleu4"] + scored[1]["clean/bleu4"]) / 2
    assert read_metrics(tmp_path / "s.json")["clean/bleu4/mean"] == pytest.approx(mean)


def test_baselines_need_no_model_and_no_images(tmp_path: Path, annotation: Path) -> None:
    result = run(
        *("baselines", "iu_xray", "--split", "r2gen", "--annotation", annotation),
        *("--json", tmp_path / "m.json", "--protocol", "clean", "--protocol", "r2gen"),
    )
    assert result.exit_code == 0, result.output
    assert "60 train, 15 val, 25 test" in result.output
    metrics = read_metrics(tmp_path / "m.json")
    for name in ("constant", "most_frequent", "random"):
        for key in ("clean/bleu4", "clean/bleu4_low", "r2gen/cider_high", "findings/micro_f1"):
            assert f"baseline/{name}/{key}" in metrics


def test_real_baselines(tmp_path: Path) -> None:
    if not ANNOTATION.is_file():
        pytest.skip("R2Gen's annotation.json with the real reports is not there")
    result = run("baselines", "iu_xray", "--annotation", ANNOTATION, "--json", tmp_path / "m.json")
    assert result.exit_code == 0, result.output
    metrics = read_metrics(tmp_path / "m.json")
    assert metrics["studies"] == 590
    assert metrics["baseline/constant/clean/bleu4"] == pytest.approx(0.1655, abs=0.002)


def test_ids_of_another_split_are_named(tmp_path: Path, annotation: Path) -> None:
    told = predictions(tmp_path, "a.jsonl", ids_of(annotation)[1:], 1)
    message = failure(
        "score", "--hypotheses", told, "--data", "iu_xray", "--annotation", annotation
    )
    assert "1 ids of the test side of iu_xray, split r2gen are not in" in message
    assert "CXR201_IM-0001" in message


def test_mistakes_are_one_line(tmp_path: Path, annotation: Path) -> None:
    told = tmp_path / "told.txt"
    told.write_text("lungs clear\n")
    score_told = ("score", "--hypotheses", told)
    assert "one of --references FILE and --data NAME" in failure(*score_told)
    assert "one of --references" in failure(*score_told, "--references", told, "--data", "iu_xray")
    assert "give --annotation FILE" in failure(*score_told, "--data", "iu_xray")
    assert "unknown data set 'mimic'; choose from iu_xray" in failure("baselines", "mimic")
    assert "does not exist" in failure(*score_told, "--references", tmp_path / "no.csv")
    assert "unknown protocol 'coco'" in failure(
        *score_told, "--references", told, "--protocol", "coco"
    )
    assert "protocol r2gen needs the training reports" in failure(
        *score_told, "--references", told, "--protocol", "r2gen"
    )
    assert "unknown extra score 'spice'" in failure(
        *score_told, "--references", told, "--extra", "spice"
    )
    (tmp_path / "metrics.json").write_text('{"clean/bleu4": 0.1}')
    assert "at least two runs, got 1" in failure("aggregate", tmp_path)
