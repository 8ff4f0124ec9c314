from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

from tests.commands.console import failure, run
from tests.metrics.conftest import write_report
from xray_report.errors import MissingExtraError
from xray_report.metrics.files import read_metrics, read_reports


def ids_of(annotation: Path) -> list[str]:
    return [entry["id"] for entry in json.loads(annotation.read_text(encoding="utf-8"))["test"]]


def predictions(folder: Path, name: str, ids: list[str], seed: int) -> Path:
    source = random.Random(seed)
    path = folder / name
    rows = [json.dumps({"id": study, "report": write_report(source)}) for study in reversed(ids)]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def test_score_two_files_joined_by_id(tmp_path: Path) -> None:
    generated, truth = tmp_path / "generated.csv", tmp_path / "truth.csv"
    generated.write_text("study_id,report\n2,The lungs are clear.\n1,The heart is big.\n")
    truth.write_text("study_id,report\n1,The heart is big.\n2,The lungs are clear.\n")
    result = run(
        "score", "--hypotheses", generated, "--references", truth, "--json", tmp_path / "m.json"
    )
    assert result.exit_code == 0, result.output
    assert "clean: corpus scores" in result.output
    assert "r2gen is left out: it needs training reports" in result.output
    metrics = read_metrics(tmp_path / "m.json")
    assert metrics["clean/bleu1"] == pytest.approx(1.0)
    assert metrics["studies"] == 2
    assert not any(key.startswith("r2gen/") for key in metrics)


def test_ids_under_another_name_are_found_or_asked_for(tmp_path: Path, annotation: Path) -> None:
    """As published outputs have them: column dicom_id, another order."""
    entries = json.loads(annotation.read_text(encoding="utf-8"))["test"]
    rows = [f'{one["id"]},"{one["report"]}"' for one in reversed(entries)]
    generated = tmp_path / "generated.csv"
    generated.write_text("\n".join(["dicom_id,report", *rows]), encoding="utf-8")
    real = ("--data", "iu_xray", "--annotation", annotation, "--protocol", "clean")
    found = run("score", "--hypotheses", generated, *real, "--json", tmp_path / "m.json")
    assert found.exit_code == 0, found.output
    assert f"joined by id: 'dicom_id' of {generated}" in found.stderr
    assert read_metrics(tmp_path / "m.json")["clean/bleu4"] == pytest.approx(1.0)
    generated.write_text("\n".join(["report", *(row.partition(",")[2] for row in rows)]))
    said = failure("score", "--hypotheses", generated, *real)
    assert "not joined by order: name the column of the ids by --id-column" in said
    said = failure(
        "score", "--hypotheses", generated, "--references", generated, "--id-column", "x"
    )
    assert said.endswith("has the column x")


def test_texts_without_ids_are_joined_by_order_and_it_is_said(tmp_path: Path) -> None:
    generated = tmp_path / "generated.txt"
    generated.write_text("lungs clear\n")
    found = run("score", "--hypotheses", generated, "--references", generated)
    assert "joined by order: neither" in found.stderr


def test_empty_texts_are_named_and_warnings_are_kept(tmp_path: Path) -> None:
    generated, truth = tmp_path / "generated.txt", tmp_path / "truth.txt"
    generated.write_text("\n" * 12)
    truth.write_text("".join(f"The heart is {'big ' * i}.\n" for i in range(12)))
    result = run(
        "score", "--hypotheses", generated, "--references", truth, "--json", tmp_path / "m.json"
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

    generated, out = tmp_path / "generated.txt", tmp_path / "out"
    generated.write_text("lungs clear\n")
    monkeypatch.setattr("xray_report.evaluation.tables.print_metrics", closed)
    monkeypatch.setattr("rich.console.Console.print", closed)
    score_generated = ("score", "--hypotheses", generated, "--references", generated)
    run(*score_generated, "--json", out / "s.json", "--reports", out / "reports.jsonl")
    run("baselines", "iu_xray", "--annotation", annotation, "--json", out / "b.json")
    run("compare", out, out, "--json", out / "c.json")
    run("aggregate", out / "s.json", out / "b.json", "--json", out / "a.json")
    assert {path.name for path in out.iterdir()} == {
        "s.json", "reports.jsonl", "b.json", "c.json", "a.json",
    }  # fmt: skip


def test_options_that_would_be_ignored_are_refused(tmp_path: Path, annotation: Path) -> None:
    generated = tmp_path / "generated.txt"
    generated.write_text("lungs clear\n")
    files = ("score", "--hypotheses", generated, "--references", generated)
    for option, value in (("split", "study"), ("annotation", annotation), ("root", tmp_path)):
        said = failure(*files, f"--{option}", value)
        assert said == f"--{option} goes with --data NAME, not with --references"
    assert failure(*files, "--train-column", "x") == "--train-column goes with --train FILE"
    real = ("--data", "iu_xray", "--annotation", annotation)
    said = failure("score", "--hypotheses", generated, *real, "--reference-column", "x")
    assert said == "--reference-column goes with --references FILE, not with --data"
    said = failure("baselines", "iu_xray", "--annotation", annotation, "--root", tmp_path)
    assert "leave out --root" in said


def test_a_misspelt_extra_is_refused_before_the_scoring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xray_report.metrics.evaluation.evaluate_texts", None)
    generated = tmp_path / "generated.txt"
    generated.write_text("lungs clear\n")
    files = ("score", "--hypotheses", generated, "--references", generated)
    assert "unknown extra score 'nope'" in failure(*files, "--extra", "nope")


def test_an_extra_without_its_package_ends_with_status_1_before_the_scoring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xray_report.metrics.evaluation.evaluate_texts", None)
    monkeypatch.setitem(sys.modules, "radeval", None)
    generated = tmp_path / "generated.txt"
    generated.write_text("lungs clear\n")
    files = ("score", "--hypotheses", generated, "--references", generated)
    said = failure(*files, "--extra", "radcliq")
    assert said == "radcliq needs the package radeval: pip install 'xray-report[radeval]'"


def test_an_extra_that_cannot_run_loses_no_other_score_and_ends_with_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object) -> dict[str, float]:
        raise MissingExtraError("green could not run")

    monkeypatch.setattr("xray_report.metrics.extras.check_extras", lambda names: None)
    monkeypatch.setattr("xray_report.metrics.extras.EXTRAS", {"green": offline})
    generated, out = tmp_path / "generated.txt", tmp_path / "m.json"
    generated.write_text("lungs clear\n")
    files = ("score", "--hypotheses", generated, "--references", generated, "--json", out)
    result = run(*files, "--extra", "green", "--protocol", "clean")
    assert str(result.exception) == "green could not run"
    assert isinstance(result.exception, MissingExtraError)
    assert read_metrics(out)["clean/bleu1"] == 1


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


def test_ids_of_another_split_are_named(tmp_path: Path, annotation: Path) -> None:
    generated = predictions(tmp_path, "a.jsonl", ids_of(annotation)[1:], 1)
    message = failure(
        "score", "--hypotheses", generated, "--data", "iu_xray", "--annotation", annotation
    )
    assert "1 ids of the test side of iu_xray, split r2gen are not in" in message
    assert "CXR201_IM-0001" in message


def test_mistakes_are_one_line(tmp_path: Path, annotation: Path) -> None:
    generated = tmp_path / "generated.txt"
    generated.write_text("lungs clear\n")
    score_generated = ("score", "--hypotheses", generated)
    assert "one of --references FILE and --data NAME" in failure(*score_generated)
    assert "one of --references" in failure(
        *score_generated, "--references", generated, "--data", "iu_xray"
    )
    assert "give --annotation FILE" in failure(*score_generated, "--data", "iu_xray")
    assert "DATA must be one of phantom, iu_xray" in failure("baselines", "mimic")
    assert "does not exist" in failure(*score_generated, "--references", tmp_path / "no.csv")
    assert "unknown protocol 'coco'" in failure(
        *score_generated, "--references", generated, "--protocol", "coco"
    )
    assert "protocol r2gen needs the training reports" in failure(
        *score_generated, "--references", generated, "--protocol", "r2gen"
    )
    assert "unknown extra score 'spice'" in failure(
        *score_generated, "--references", generated, "--extra", "spice"
    )
    (tmp_path / "metrics.json").write_text('{"clean/bleu4": 0.1}')
    assert "at least two runs, got 1" in failure("aggregate", tmp_path)
