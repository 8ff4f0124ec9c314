from __future__ import annotations

import csv
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import Result

from tests.commands.console import failure, run
from tests.data.test_incoming import write_dicom
from tests.inference.checkpoints import contents, save
from xray_report import __version__
from xray_report.commands.reading import REFUSED, SCHEMA, WARNINGS
from xray_report.data.phantom.source import PhantomSource
from xray_report.data.study import pair_views
from xray_report.inference.film_check import Films, FilmStatistics
from xray_report.models.encoders.weights.files import FILMS_KEY


def predict(*arguments: object) -> Result:
    return run("predict", *arguments)


def mistake(*arguments: object) -> str:
    return failure("predict", *arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("user")
    save(folder / "model.ckpt")
    save(folder / "merge.ckpt", name="encoder_decoder", seed=1)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "frontal.png")
    Image.fromarray(pixels[::-1]).save(folder / "lateral.jpg")
    (folder / "cut.png").write_bytes((folder / "frontal.png").read_bytes()[:300])
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def usual(folder: Path) -> list[object]:
    return ["--frontal", folder / "frontal.png", "--checkpoint", folder / "model.ckpt"]


def test_a_report_is_printed_and_says_where_the_model_comes_from(usual: list[object]) -> None:
    result = predict(*usual)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1
    assert result.stdout[0].isupper()
    assert "phantom" in result.stderr


def test_either_view_alone_or_both(folder: Path, usual: list[object]) -> None:
    lateral = ["--lateral", folder / "lateral.jpg"]
    texts = [predict(*usual), predict(*usual, *lateral), predict(*usual[2:], *lateral)]
    assert [result.exit_code for result in texts] == [0, 0, 0]


def test_n_best_reports_with_scores_and_json(usual: list[object], tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"
    result = predict(*usual, "--n-best", 3, "--json", path)
    assert result.exit_code == 0
    saved = json.loads(path.read_text())
    assert result.stdout.splitlines() == [
        f"{one['score']:.3f}  {one['report'] or '(empty report)'}" for one in saved["hypotheses"]
    ]
    scores = [(one["finished"], one["score"]) for one in saved["hypotheses"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 3
    assert saved["report"] == saved["hypotheses"][0]["report"]


def test_json_on_the_screen_holds_each_words_log_probability(usual: list[object]) -> None:
    (best,) = json.loads(predict(*usual, "--json", "-").stdout)["hypotheses"]
    assert " ".join(one["word"] for one in best["words"]) == best["text"]
    total = sum(one["log_prob"] for one in best["words"]) + (best["end_log_prob"] or 0.0)
    assert total == pytest.approx(best["log_prob"], abs=1e-4)


def test_attention_is_drawn_over_both_views(usual: list[object], tmp_path: Path) -> None:
    path = tmp_path / "attention.png"
    assert predict(*usual, "--attention", path).exit_code == 0
    with Image.open(path) as picture:
        assert picture.width == 128
        assert picture.height % (64 + 18) == 0


def test_several_checkpoints_are_an_ensemble(folder: Path, usual: list[object]) -> None:
    one, both = predict(*usual, "--json", "-"), predict(
        *usual, "--checkpoint", folder / "merge.ckpt", "--json", "-"
    )  # fmt: skip
    assert both.exit_code == 0
    assert json.loads(one.stdout) != json.loads(both.stdout)


def test_mistakes_are_one_line_and_write_nothing(
    folder: Path, usual: list[object], tmp_path: Path
) -> None:
    model = ["--checkpoint", folder / "model.ckpt"]
    picture = tmp_path / "a.png"
    assert "--frontal FILE" in mistake(*model)
    twice = mistake(*usual, "--frontal", folder / "lateral.jpg")
    assert "--frontal was given 2 times" in twice
    assert "none.png" in mistake(*model, "--frontal", folder / "none.png")
    assert "cut.png" in mistake(*model, "--frontal", folder / "cut.png", "--attention", picture)
    assert "notes.txt" in mistake(*model, "--lateral", folder / "notes.txt")
    assert str(folder) in mistake(*model, "--lateral", folder)
    assert "none.ckpt" in mistake(*usual[:2], "--checkpoint", folder / "none.ckpt")
    assert "notes.txt" in mistake(*usual[:2], "--checkpoint", folder / "notes.txt")
    assert "beam_width must be a positive integer, got 0" in mistake(*usual, "--beam-width", 0)
    assert "n_best must be at most beam_width" in mistake(*usual, "--n-best", 9)
    assert "name it .png" in mistake(*usual, "--attention", tmp_path / "a.jpg")
    merge = [*usual[:2], "--checkpoint", folder / "merge.ckpt"]
    assert "needs an attention model" in mistake(*merge, "--attention", picture)
    blocked = folder / "notes.txt" / "a.json"
    assert f"{blocked} cannot be written" in mistake(*usual, "--json", blocked)
    assert not list(tmp_path.iterdir())


def test_without_any_checkpoint_the_bundled_model_writes_and_says_so(
    folder: Path, usual: list[object]
) -> None:
    result = predict(*usual[:2], "--runs-dir", folder / "none")
    assert result.exit_code == 0
    assert result.stdout.strip()
    first, *_, last = result.stderr.splitlines()
    assert "the bundled model writes, which knows drawings only" in first
    assert last == f"note: {BUNDLED_NOTE}"
    assert "bundled" not in predict(*usual).stderr


BUNDLED_NOTE = "This model has only ever seen drawn (phantom) studies: it cannot read films."


def test_a_device_that_is_not_there_is_refused(usual: list[object]) -> None:
    assert predict(*usual, "--device", "cpu").exit_code == 0
    assert "device=cuda:99 is not there" in mistake(*usual, "--device", "cuda:99")


# The JSON of one study, and its schema.


def check(value: Any, schema: dict[str, Any], where: str = "$") -> None:
    """Assert that a value fits a schema, by the rules of JSON Schema that ours uses."""
    notes = {"$schema", "title", "description"}
    kinds = {
        "type", "properties", "required", "additionalProperties", "items", "enum", "const",
        "minimum", "maximum", "pattern",
    }  # fmt: skip
    assert schema.keys() <= kinds | notes, f"{where}: a rule that is not checked here"
    names = {
        "null": type(None), "string": str, "boolean": bool, "number": (int, float), "array": list,
        "object": dict,
    }  # fmt: skip
    types = schema.get("type", [])
    allowed = [names[one] for one in ([types] if isinstance(types, str) else types)]
    assert not allowed or any(isinstance(value, one) for one in allowed), f"{where}: {value!r}"
    assert "number" not in types or not isinstance(value, bool), where
    assert value in schema.get("enum", [value]), f"{where}: {value!r}"
    assert value == schema.get("const", value), f"{where}: {value!r}"
    if isinstance(value, (int, float)):
        assert schema.get("minimum", value) <= value <= schema.get("maximum", value), where
    if "pattern" in schema:
        assert re.search(schema["pattern"], value), where
    if isinstance(value, dict):
        assert set(schema.get("required", ())) <= value.keys(), where
        others = schema.get("additionalProperties")
        for name, one in value.items():
            inner = schema.get("properties", {}).get(name, others)
            assert isinstance(inner, dict), f"{where}.{name} is not in the schema"
            check(one, inner, f"{where}.{name}")
    if isinstance(value, list):
        for number, one in enumerate(value):
            check(one, schema["items"], f"{where}[{number}]")


def kinds(record: dict[str, Any]) -> list[str]:
    return [one["kind"] for one in record["warnings"]]


def test_the_schema_is_printed_and_every_property_is_required() -> None:
    assert json.loads(predict("--schema").stdout) == SCHEMA
    assert set(SCHEMA["required"]) == set(SCHEMA["properties"])
    for wrong in ({"confidence": 0.5}, {"text": "a", "confidence": 2}, {"text": 1, "confidence": 0},
                  {"text": "a", "confidence": 0, "more": 1},
                  {"text": "a", "confidence": 0, "attention": {"frontal": None}}):  # fmt: skip
        with pytest.raises(AssertionError):
            check([{"attention": None, **wrong}], SCHEMA["properties"]["sentences"])


def test_the_json_of_one_study_says_all_there_is_to_say(folder: Path, usual: list[object]) -> None:
    record = json.loads(predict(*usual, "--json", "-", "--n-best", 2).stdout)
    check(record, SCHEMA)
    model = folder / "model.ckpt"
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    assert record["checkpoints"] == [{"path": str(model), "sha256": digest}]
    assert record["version"] == __version__
    assert record["files"] == [
        {
            "path": str(folder / "frontal.png"), "view": "frontal", "view_from": "given",
            "read_as": "frontal", "error": None,
        }
    ]  # fmt: skip
    assert len(record["hypotheses"]) == 2
    assert " ".join(one["text"] for one in record["sentences"]) == record["report"]
    words = [one for one in record["hypotheses"][0]["words"] if one["word"] != "."]
    weighed = sum(one["confidence"] * len(one["text"].split()) for one in record["sentences"])
    assert weighed == pytest.approx(sum(np.exp(one["log_prob"]) for one in words))
    assert "missing_view" in kinds(record)
    assert kinds(record)[-1] == "drawings"
    for one in record["sentences"]:
        assert one["attention"]["lateral"] is None  # the study has none
        shares = np.array(one["attention"]["frontal"])
        assert shares.shape == (2, 2)
        assert shares.sum() == pytest.approx(1, abs=1e-3)
        assert shares.std() > 0.01  # not the even share


def test_a_model_without_attention_says_so_in_its_json(folder: Path) -> None:
    given = ("--frontal", folder / "frontal.png", "--checkpoint", folder / "merge.ckpt")
    record = json.loads(predict(*given, "--json", "-").stdout)
    check(record, SCHEMA)
    assert [one["attention"] for one in record["sentences"]] == [None] * len(record["sentences"])


def test_a_model_that_does_not_end_is_warned_of(folder: Path, usual: list[object]) -> None:
    result = predict(*usual, "--json", "-", "--decode", "greedy")
    record = json.loads(result.stdout)
    assert not record["hypotheses"][0]["finished"]
    assert "cut" in kinds(record)
    assert "cut after 100 tokens" in predict(*usual, "--decode", "greedy").stderr


# Many studies.


@pytest.fixture(scope="module")
def films(folder: Path) -> Path:
    """Three studies, one of them with an unreadable view, and one that has nothing else."""
    films = folder / "films"
    (films / "deep" / "er").mkdir(parents=True)
    frontal = (folder / "frontal.png").read_bytes()
    for name in ("a_frontal.png", "b_pa.png", "deep/er/c_ap.png", "lone.png", "a.ap.png"):
        (films / name).write_bytes(frontal)
    (films / "a_lateral.jpg").write_bytes((folder / "lateral.jpg").read_bytes())
    (films / "b_lateral.png").write_bytes(frontal[:300])
    (films / "d_frontal.png").write_bytes(b"")
    return films


def test_a_folder_becomes_json_lines_and_bad_films_stop_nothing(
    folder: Path, films: Path, usual: list[object], tmp_path: Path
) -> None:
    out = tmp_path / "new" / "reports.jsonl"
    result = predict(*usual[2:], "--folder", films, "--out", out)
    assert result.exit_code == 1
    assert result.stdout == ""
    records = {one["study_id"]: one for one in map(json.loads, out.read_text().splitlines())}
    assert list(records) == ["a", "b", "d", "deep/er/c", "lone.png"]
    for record in records.values():
        check(record, SCHEMA)
        assert kinds(record)[-1] == "drawings"
    assert "unreadable" in kinds(records["b"])
    assert records["b"]["report"]
    assert [one["read_as"] for one in records["b"]["files"]] == [None, "frontal"]
    assert records["d"]["report"] is None
    assert kinds(records["d"]) == ["unreadable", "missing_view", "drawings"]
    assert records["d"]["sentences"] == records["d"]["hypotheses"] == []
    assert "a_frontal.png is not read: the study has another frontal image" in str(records["a"])
    assert "unknown_view" in kinds(records["lone.png"])
    assert {kind for record in records.values() for kind in kinds(record)} <= WARNINGS.keys()
    said = result.stderr
    assert f"error: {films / 'b_lateral.png'}" in said
    assert f"error: {films / 'd_frontal.png'}" in said
    assert "1 of the films do not say which others they belong to" in said
    assert "5 studies read, written to" in said
    assert "films that could not be read (named above): 2; studies without a report: 1 of 5" in said
    assert "drawn (phantom) studies" in said


def test_a_study_reads_the_same_alone_and_among_others(
    folder: Path, films: Path, usual: list[object], tmp_path: Path
) -> None:
    out = tmp_path / "reports.jsonl"
    predict(*usual[2:], "--folder", films, "--out", out, "--device", "cpu")
    first = json.loads(out.read_text().splitlines()[0])
    alone = predict(
        *usual[2:], "--frontal", films / "a.ap.png", "--lateral", films / "a_lateral.jpg",
        "--json", "-", "--device", "cpu",
    )  # fmt: skip
    assert json.loads(alone.stdout)["report"] == first["report"]


def test_batches_change_nothing_and_tell_how_far_they_are(
    films: Path, usual: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lines() -> tuple[list[Any], str]:
        out = tmp_path / "reports.jsonl"
        said = predict(*usual[2:], "--folder", films, "--out", out, "--device", "cpu").stderr
        records = [json.loads(line) for line in out.read_text().splitlines()]
        return [(one["study_id"], one["report"], kinds(one)) for one in records], said

    at_once, _ = lines()
    monkeypatch.setattr("xray_report.commands.reading.BATCH", 2)
    in_batches, said = lines()
    assert in_batches == at_once
    assert re.findall(r"\d of 5 studies read", said) == [
        "2 of 5 studies read", "4 of 5 studies read",
    ]  # fmt: skip


def test_a_table_becomes_a_table(folder: Path, usual: list[object], tmp_path: Path) -> None:
    table, out = folder / "films.csv", tmp_path / "reports.csv"
    table.write_text("study_id,frontal,lateral\ns1,frontal.png,lateral.jpg\ns2,,lateral.jpg\n")
    result = predict(*usual[2:], "--table", table, "--out", out, "--decode", "greedy")
    assert result.exit_code == 0
    first, second = csv.DictReader(out.open(encoding="utf-8", newline=""))
    assert (first["study_id"], second["study_id"]) == ("s1", "s2")
    assert first["report"]
    assert first["frontal"] == str(folder / "frontal.png")
    assert second["frontal"] == ""
    assert "missing_view" in second["warnings"]
    assert "drawings" in first["warnings"]
    assert all(0 <= float(one) <= 1 for one in first["sentence_confidences"].split())
    assert (first["error"], second["error"]) == ("", "")


def test_a_table_says_why_a_report_is_missing(
    folder: Path, usual: list[object], tmp_path: Path
) -> None:
    table, out = folder / "damaged.csv", tmp_path / "reports.csv"
    (folder / "damaged.png").write_bytes(b"no film")
    table.write_text(
        "study_id,frontal,lateral\ns1,damaged.png,\ns2,,\ns3,damaged.png,lateral.jpg\n"
    )
    result = predict(*usual[2:], "--table", table, "--out", out, "--decode", "greedy")
    assert result.exit_code == 1
    alone, none, half = csv.DictReader(out.open(encoding="utf-8", newline=""))
    assert (alone["report"], none["report"]) == ("", "")
    assert "damaged.png" in alone["error"]
    assert none["error"] == "the study has no image"
    assert half["report"]
    assert "damaged.png" in half["error"]


def test_rexranks_json_is_a_table_and_what_is_missing_is_named(
    folder: Path, usual: list[object], tmp_path: Path
) -> None:
    table = tmp_path / "test.json"
    entry = {"image_path": ["/frontal.png", "none.png"], "frontal_lateral": ["AP", "lateral"]}
    table.write_text(json.dumps({"s1": entry}))
    result = predict(*usual[2:], "--table", table, "--root", folder)
    assert result.exit_code == 1
    assert result.stdout.startswith("s1: ")
    assert "none.png: cannot be read (No such file" in result.stderr


def test_a_submission_to_rexrank_is_its_table_with_predictions(
    folder: Path, usual: list[object], tmp_path: Path
) -> None:
    table, out = tmp_path / "test.json", tmp_path / "prediction.json"
    entry = {"image_path": ["frontal.png"], "frontal_lateral": ["AP"], "report": "Heart big."}
    table.write_text(json.dumps({"s1": entry, "s2": entry | {"image_path": ["none.png"]}}))
    result = predict(*usual[2:], "--table", table, "--root", folder, "--out", out)
    assert result.exit_code == 1  # none.png
    found = json.loads(out.read_text())
    predicted = found["s1"].pop("model_prediction")
    assert found == {
        "s1": entry,
        "s2": entry | {"image_path": ["none.png"], "model_prediction": ""},
    }
    assert predicted
    said = mistake(*usual, "--out", out)
    assert "is ReXrank's form" in said
    scored = run("score", "--hypotheses", out, "--references", out, "--protocol", "clean")
    assert scored.exit_code == 0, scored.output
    assert "column 'model_prediction'" in scored.stderr


def test_a_study_without_an_image_is_named(
    folder: Path, usual: list[object], tmp_path: Path
) -> None:
    table = tmp_path / "films.csv"
    table.write_text("study_id,frontal\ns1,\n")
    result = predict(*usual[2:], "--table", table)
    assert result.exit_code == 1
    assert result.stdout == "s1: (no report: no image could be read)\n"
    assert "study s1 has no image" in result.stderr


def test_a_page_shows_films_reports_and_the_models_notice(
    folder: Path, films: Path, usual: list[object], tmp_path: Path
) -> None:
    out = tmp_path / "reports.html"
    assert predict(*usual[2:], "--folder", films, "--out", out).exit_code == 1
    text = out.read_text(encoding="utf-8")
    assert text.count("<article>") == 5
    assert "only ever seen drawn (phantom) studies" in text.split("<article>")[0]
    assert "not for clinical use" in text
    assert text.count('<img class="xray" src="data:image/jpeg') == 5
    assert "data-heat=" in text
    assert "<b>unreadable:</b>" in text
    assert "<h3>Reference</h3>" not in text
    assert "<mark" not in text


@pytest.mark.parametrize("decode", ["greedy", "beam", "consensus"])
def test_each_search_writes_a_report(folder: Path, usual: list[object], decode: str) -> None:
    record = json.loads(predict(*usual, "--json", "-", "--decode", decode).stdout)
    check(record, SCHEMA)
    assert record["decode"] == decode
    assert len(record["hypotheses"]) == 1


def test_consensus_chooses_among_given_reports(
    folder: Path, usual: list[object], tmp_path: Path
) -> None:
    plain, table, none = tmp_path / "known.txt", tmp_path / "known.csv", tmp_path / "none.txt"
    known = ["Lungs clear.", "Heart normal. No effusion."]
    plain.write_text("\n".join([*known, "Gibberish xyzzy."]))
    table.write_text("study_id,reference\n" + "\n".join(f'{i},"{r}"' for i, r in enumerate(known)))
    none.write_text("Gibberish xyzzy.\n")
    found = []
    for path, given in ((plain, 3), (table, 2)):
        chosen = [*usual, "--json", "-", "--decode", "consensus", "--reports", path]
        result = predict(*chosen, "--n-best", 2)
        assert result.exit_code == 0, result.stderr
        assert f"chooses among 2 of {given} reports of {path}" in result.stderr
        record = json.loads(result.stdout)
        check(record, SCHEMA)
        assert record["decode"] == "consensus among reports"
        assert {one["report"] for one in record["hypotheses"]} == set(known)
        assert record["report"] == record["hypotheses"][0]["report"]
        found.append(record["hypotheses"])
    assert found[0] == found[1]
    assert "could have written none" in mistake(*usual, "--decode", "consensus", "--reports", none)
    assert "n_best must be at most 5" in mistake(*chosen, "--n-best", 6)
    assert "--reports is of --decode consensus" in mistake(*usual, "--reports", plain)
    assert "none.csv" in mistake(*usual, "--decode", "consensus", "--reports", "none.csv")


def test_the_length_penalty_reaches_the_beam(usual: list[object]) -> None:
    def score(penalty: float) -> float:
        result = predict(*usual, "--json", "-", "--length-penalty", penalty)
        best = json.loads(result.stdout)["hypotheses"][0]
        assert best["score"] == pytest.approx(
            best["log_prob"] / (len(best["words"]) + best["finished"]) ** penalty, rel=1e-4
        )
        return best["score"]

    assert score(0.0) != score(1.0)


def test_what_does_not_go_together_is_refused(
    folder: Path, films: Path, usual: list[object], tmp_path: Path
) -> None:
    model = usual[2:]
    many = [*model, "--folder", films]
    assert "or else --folder DIR or --table FILE" in mistake(*usual, "--folder", films)
    assert "--root goes with --table" in mistake(*many, "--root", folder)
    assert "name it .jsonl, .csv, .html" in mistake(*many, "--out", tmp_path / "a.xlsx")
    assert "are of one study" in mistake(*many, "--json", "-")
    assert "are of one study" in mistake(*many, "--attention", tmp_path / "a.png")
    assert "not both" in mistake(*usual, "--json", "-", "--out", tmp_path / "a.csv")
    assert "--decode" in mistake(*usual, "--decode", "best")
    assert "--beam-width is of --decode beam" in mistake(
        *usual, "--decode", "greedy", "--beam-width", 3
    )
    assert "--length-penalty is of --decode beam" in mistake(
        *usual, "--decode", "consensus", "--length-penalty", 0.5
    )
    assert "finds one report" in mistake(*usual, "--decode", "greedy", "--n-best", 2)
    assert "at most 32" in mistake(*usual, "--decode", "consensus", "--n-best", 33)
    assert "give --folder" in mistake(*model, "--folder", folder / "none")
    assert not list(tmp_path.iterdir())


# Films that the model does not know.


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that remembers drawn films, and some of them: as they are and inverted."""
    folder = tmp_path_factory.mktemp("knowing")
    source = PhantomSource(train=60, val=12, test=4, image_size=64)
    drawn = [
        (study, slot, torch.from_numpy(image.pixels.load()))
        for study in source.studies()
        for slot, image in enumerate(pair_views(study))
        if image is not None
    ]
    films = [
        Films(torch.stack([film for one, _, film in drawn if one.split == split]),
              torch.tensor([slot for one, slot, _ in drawn if one.split == split]))
        for split in ("train", "val")
    ]  # fmt: skip
    known = FilmStatistics.learn(*films)
    assert known is not None
    torch.save({**contents(), FILMS_KEY: known.to_plain()}, folder / "model.ckpt")
    first = next(one for one, slot, _ in drawn if one.split == "test" and slot == 0)
    for one, slot, film in drawn:
        if one is first and slot == 0:
            (folder / "films").mkdir()
            Image.fromarray(film.numpy()).save(folder / "films" / "good_frontal.png")
            Image.fromarray(255 - film.numpy()).save(folder / "films" / "bad_frontal.png")
    return folder


def test_an_inverted_film_is_warned_of_with_its_reason(knowing: Path) -> None:
    model = ("--checkpoint", knowing / "model.ckpt", "--json", "-")
    for name, expected in (("good", []), ("bad", ["inverted"])):
        path = knowing / "films" / f"{name}_frontal.png"
        result = predict("--frontal", path, *model)
        assert result.exit_code == 0
        record = json.loads(result.stdout)
        check(record, SCHEMA)
        assert [kind for kind in kinds(record) if kind in REFUSED] == expected
        assert "unchecked" not in kinds(record)
        assert record["report"]
    told = next(one["text"] for one in record["warnings"] if one["kind"] == "inverted")
    assert told.startswith(f"{path} is read as frontal and looks inverted: it is nearer to ")


def test_strict_refuses_a_film_and_reads_the_others(knowing: Path, tmp_path: Path) -> None:
    model, out = ("--checkpoint", knowing / "model.ckpt", "--strict"), tmp_path / "reports.jsonl"
    good, bad = (knowing / "films" / f"{name}_frontal.png" for name in ("good", "bad"))
    assert predict("--frontal", good, *model).exit_code == 0
    refused = predict("--frontal", bad, *model)
    assert refused.exit_code == 1
    assert f"(no report: refused, {bad} is read as frontal and looks inverted" in refused.stdout
    result = predict("--folder", knowing / "films", *model, "--out", out)
    assert result.exit_code == 1
    assert "error: 1 of 2 studies refused (--strict)" in result.stderr
    records = {one["study_id"]: one for one in map(json.loads, out.read_text().splitlines())}
    assert records["good"]["report"]
    check(records["bad"], SCHEMA)
    assert records["bad"]["report"] is None
    assert "inverted" in kinds(records["bad"])
    page = tmp_path / "page.html"
    assert predict("--folder", knowing / "films", *model, "--out", page).exit_code == 1
    assert "inverted: " in page.read_text(encoding="utf-8")
    assert "is read as frontal and looks inverted" in mistake(
        "--frontal", bad, *model, "--attention", tmp_path / "a.png"
    )


def test_a_checkpoint_of_before_warns_that_it_knows_no_films(usual: list[object]) -> None:
    record = json.loads(predict(*usual, "--json", "-").stdout)
    assert "noise" in kinds(record)  # which takes no model to see
    assert "keeps no statistics of the films of its training" in mistake(*usual, "--strict")


def test_tags_against_a_film_are_warned_of(knowing: Path, tmp_path: Path) -> None:
    knee = write_dicom(tmp_path / "knee.dcm", BodyPartExamined="KNEE", ViewPosition="LL")
    model = ("--checkpoint", knowing / "model.ckpt", "--json", "-")
    record = json.loads(predict("--frontal", knee, *model).stdout)
    check(record, SCHEMA)
    assert {"body_part", "tagged_view"} <= set(kinds(record))
