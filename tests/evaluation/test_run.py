"""Evaluation of a small model on the tiny source."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny_source import TEXTS, TinySource
from tests.training.test_report_module import fit
from xray_report.data.datamodule import ChestDataModule
from xray_report.data.phantom.source import PhantomSource
from xray_report.errors import CheckpointError, DataError, OptionError, XrayReportError
from xray_report.evaluation.page import write_evaluation_page
from xray_report.evaluation.run import (
    Decoded,
    EvaluationOptions,
    check_split,
    checked_options,
    data_note,
    data_of,
    decode,
    evaluation_options,
    evaluation_trainer,
    module_of,
    record,
    said_note,
    score,
    source_of,
    warning_counts,
    with_reports,
    write,
)
from xray_report.inference import film_check
from xray_report.inference.beam import BeamSearch
from xray_report.inference.checkpoint import ReportCheckpoint, load_checkpoint
from xray_report.inference.consensus import ConsensusSearch
from xray_report.inference.greedy import GreedySearch
from xray_report.inference.search import Search
from xray_report.metrics.files import read_metrics
from xray_report.training.report_module import ReportModule


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> ReportCheckpoint:
    folder = tmp_path_factory.mktemp("evaluated")
    trainer, _ = fit(folder, epochs=1)
    trainer.save_checkpoint(folder / "model.ckpt")
    return load_checkpoint(folder / "model.ckpt")


def decoded(checkpoint: ReportCheckpoint, folder: Path, **options: object) -> Decoded:
    chosen = EvaluationOptions(cache_dir=str(folder), device="cpu", workers=0, **options)  # type: ignore[arg-type]
    data = data_of(checkpoint, TinySource((8, 4, 7)), chosen)
    return decode(evaluation_trainer(chosen), module_of([checkpoint], GreedySearch()), data, chosen)


def texts(found: Decoded) -> dict[str, str]:
    return {report.study_id: report.text for report in found.reports}


def test_batch_size_changes_nothing(checkpoint: ReportCheckpoint, tmp_path: Path) -> None:
    one, all_at_once = (decoded(checkpoint, tmp_path, batch_size=size) for size in (1, 64))
    assert texts(one) == texts(all_at_once)


@pytest.mark.parametrize(("name", "known"), [("tiny", 3), ("other", 8)])
def test_baselines_know_as_many_training_studies_as_the_model_did(
    checkpoint: ReportCheckpoint, tmp_path: Path, name: str, known: int
) -> None:
    about = {**checkpoint.about, "options": {"loader": {"train_studies": 3}}}
    fewer = replace(checkpoint, hyperparameters={**checkpoint.hyperparameters, "about": about})
    source = TinySource((8, 4, 4))
    source.name = name
    options = EvaluationOptions(cache_dir=str(tmp_path), device="cpu", workers=0)
    data = data_of(fewer, source, options)
    assert len(data.references("train")) == known
    assert len(data.split("test")) == 4


def test_exchanged_images_give_every_study_anothers_report(
    checkpoint: ReportCheckpoint, tmp_path: Path
) -> None:
    own = decoded(checkpoint, tmp_path)
    other = decoded(checkpoint, tmp_path, images="shuffled")
    assert sorted(other.rows) == own.rows
    assert all(row != index for index, row in enumerate(other.rows))
    assert [r.text for r in other.reports] == [own.reports[row].text for row in other.rows]
    assert other.references == own.references


@pytest.mark.parametrize("images", ["own", "shuffled"])
@pytest.mark.parametrize("search", [GreedySearch(max_length=20), BeamSearch(beam_width=2)])
def test_lightnings_own_test_and_predict_give_the_same_reports(
    checkpoint: ReportCheckpoint, tmp_path: Path, search: Search, images: str
) -> None:
    options = EvaluationOptions(cache_dir=str(tmp_path), device="cpu", workers=0, images=images)

    def data() -> ChestDataModule:
        return data_of(checkpoint, TinySource((8, 4, 7)), options)

    trainer = evaluation_trainer(options)
    reports = decode(trainer, module_of([checkpoint], search), data(), options).reports
    expected = {report.study_id: report for report in reports}
    assert len(expected) == 7

    module = ReportModule.load_from_checkpoint(checkpoint.path)
    module.search = search
    predicted = trainer.predict(module, datamodule=data())
    assert predicted is not None
    assert {report.study_id: report for batch in predicted for report in batch} == expected

    tested = ReportModule.load_from_checkpoint(checkpoint.path)
    tested.search = search
    trainer.test(tested, datamodule=data(), verbose=False)
    assert tested.reports == expected
    assert {one.study_id: one.hypothesis for one in tested.generated} == {
        name: report.text for name, report in expected.items()
    }


def test_an_ensemble_of_one_model_writes_what_it_writes(
    checkpoint: ReportCheckpoint, tmp_path: Path
) -> None:
    alone = decoded(checkpoint, tmp_path)
    options = EvaluationOptions(cache_dir=str(tmp_path), device="cpu", workers=0)
    both = module_of([checkpoint, checkpoint], GreedySearch())
    data = data_of(checkpoint, TinySource((8, 4, 7)), options)
    assert texts(decode(evaluation_trainer(options), both, data, options)) == texts(alone)


@pytest.mark.parametrize("models", [1, 2])
def test_verdicts_of_a_model_without_any_are_refused_before_data_are_read(
    checkpoint: ReportCheckpoint, models: int
) -> None:
    search = ConsensusSearch(utility={"bleu": 1, "verdicts": 1})
    with pytest.raises(OptionError, match=r"utility\.verdicts needs a model"):
        module_of([checkpoint] * models, search)


def test_consensus_among_reports_writes_training_reports(
    checkpoint: ReportCheckpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = EvaluationOptions(cache_dir=str(tmp_path), device="cpu", workers=0)
    data = data_of(checkpoint, TinySource((8, 4, 7)), options)
    asked = ConsensusSearch(candidates="reports", n_candidates=6)
    search = with_reports(asked, [checkpoint], data, "test")
    assert isinstance(search, ConsensusSearch)
    assert (
        f"among {len(search.reports)} reports, the different ones of 8 train"
        in capsys.readouterr().out
    )
    found = decode(evaluation_trainer(options), module_of([checkpoint], search), data, options)
    normalise = checkpoint.tokenizer.normalise
    known = {normalise(one) for one in data.references("train")}
    assert {normalise(report.text) for report in found.reports} <= known
    with_reports(asked, [checkpoint], data, "train")
    assert "own report is among them" in capsys.readouterr().out
    for other in (GreedySearch(), ConsensusSearch()):
        assert with_reports(other, [checkpoint], data, "test") is other
    assert capsys.readouterr().out == ""
    nothing = data_of(checkpoint, TinySource((0, 4, 7)), options)
    with pytest.raises(DataError, match="chooses among training reports, and tiny has no train"):
        with_reports(asked, [checkpoint], nothing, "test")


def test_scores_stand_beside_baselines(checkpoint: ReportCheckpoint, tmp_path: Path) -> None:
    options = EvaluationOptions(cache_dir=str(tmp_path), device="cpu", workers=0, resamples=20)
    data = data_of(checkpoint, TinySource((8, 4, 7)), options)
    metrics = score(decoded(checkpoint, tmp_path), data, options)
    for name in ("constant", "most_frequent", "random", "nearest", "two_constants"):
        assert 0 <= metrics[f"baseline/{name}/clean/bleu4"] <= 1
    assert metrics["clean/bleu4_low"] <= metrics["clean/bleu4"] <= metrics["clean/bleu4_high"]
    assert metrics["studies"] == 7
    assert not any(key.startswith("ceiling/") for key in metrics)  # nobody knows the truth here


def test_with_exchanged_images_nothing_is_said_of_reliance(
    checkpoint: ReportCheckpoint, tmp_path: Path
) -> None:
    options = EvaluationOptions(
        cache_dir=str(tmp_path), device="cpu", workers=0, resamples=20, images="shuffled",
        image_baselines=False,
    )  # fmt: skip
    data = data_of(checkpoint, TinySource((8, 4, 7)), options)
    found = decoded(checkpoint, tmp_path, images="shuffled")
    metrics = score(found, data, options)
    assert "clean/bleu4" in metrics
    assert not any(key.startswith(("shuffled/", "reliance/")) for key in metrics)


def test_references_are_neither_cleaned_nor_cut(
    checkpoint: ReportCheckpoint, tmp_path: Path
) -> None:
    assert set(decoded(checkpoint, tmp_path).references) <= set(TEXTS)


def test_the_page_shows_all_the_worst_first_with_the_views_they_have(
    checkpoint: ReportCheckpoint, tmp_path: Path
) -> None:
    found = decoded(checkpoint, tmp_path)
    generator = module_of([checkpoint], GreedySearch()).generator()
    page = tmp_path / "report.html"
    options = EvaluationOptions(page_studies=5, batch_size=2)
    about = {"version": "1.2", "decode": {"beam_width": "<5>"}}
    write_evaluation_page(page, "tiny", options, {}, found, generator, about, note="Noise.")
    text = page.read_text(encoding="utf-8")
    assert "Noise. Research software, not for clinical use." in text
    assert "the worst first" in text
    total = len(found.reports)
    assert total > 5
    assert f"The {total - 5} with the fewest mistakes have no films here" in text
    assert '<th scope="row">version</th><td>1.2</td>' in text
    assert "&lt;5&gt;" in text
    mistakes = [int(number) for number in re.findall(r'data-mistakes="(\d+)', text)]
    assert mistakes == sorted(mistakes, reverse=True)
    studies = text.split("<article>")[1:]
    assert len(studies) == total
    ids = [report.study_id for report in found.reports]
    for place, study in enumerate(studies):
        number = int(study.split("tiny-")[1][:3])
        assert study.count("<figcaption>lateral<") == (place < 5 and number % 3 != 0)
        assert study.count("<figcaption>frontal<") == (place < 5)
        words = found.reports[ids.index(f"tiny-{number:03d}")].pieces
        looked = place < 5 and any(len(word) > 4 for word in words)
        assert ("data-heat" in study) == looked, (place, words)


# The checkpoint's own data set.


def of_phantom(checkpoint: ReportCheckpoint, **changes: Any) -> ReportCheckpoint:
    """As it were of a run on the phantom data."""
    saved = {
        "_target_": "xray_report.data.phantom.source.PhantomSource", "seed": 3, "train": 4,
        "val": 1, "test": 2, "cache_dir": "/of/a/stranger", **changes,
    }  # fmt: skip
    about = {**checkpoint.about, "options": {"data": saved}}
    return replace(checkpoint, hyperparameters={**checkpoint.hyperparameters, "about": about})


def test_the_data_set_is_that_of_training_and_its_cache_ours(
    checkpoint: ReportCheckpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = EvaluationOptions(cache_dir=str(tmp_path), device="cpu")
    source = source_of(of_phantom(checkpoint), {}, options)
    assert isinstance(source, PhantomSource)
    assert (source.seed, source.train, source.cache_dir) == (3, 4, str(tmp_path))
    assert capsys.readouterr().out == ""
    source = source_of(of_phantom(checkpoint), {"test": 5}, options)
    assert isinstance(source, PhantomSource)
    assert (source.seed, source.test) == (3, 5)
    assert capsys.readouterr().out == "data.test=5 (at training: 2)\n"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_target_": "numpy.load"}, r"'numpy\.load' is none of the data sets"),
        ({"_target_": "tests.tiny_source.TinySource"}, "none of the data sets .* data=NAME"),
        ({"_target_": None}, "none of the data sets"),
        ({"sead": 3}, r"data\.sead is no option \(did you mean 'seed'"),
        ({"seed": {"_target_": "os.system"}}, r"data\.seed must be"),
        ({"train": torch.zeros(1)}, r"data\.train must be plain"),
    ],
)
def test_nothing_that_a_checkpoint_names_is_run(
    checkpoint: ReportCheckpoint, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(XrayReportError, match=message) as caught:
        source_of(of_phantom(checkpoint, **changes), {}, EvaluationOptions(device="cpu"))
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_does_not_say_its_data_asks_for_them(
    checkpoint: ReportCheckpoint,
) -> None:
    with pytest.raises(CheckpointError, match="name the data set to evaluate on, such as data="):
        source_of(checkpoint, {}, EvaluationOptions(device="cpu"))


def check(checkpoint: ReportCheckpoint, sizes: tuple[int, ...], **options: Any) -> None:
    chosen = EvaluationOptions(device="cpu", **options)
    check_split([checkpoint], data_of(checkpoint, TinySource(sizes), chosen), chosen)


def test_training_studies_are_not_tested_on(
    checkpoint: ReportCheckpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was trained on the first eight."""
    check(checkpoint, (8, 4, 4))
    assert capsys.readouterr().out == ""
    check(checkpoint, (8, 4, 7))
    assert "note: the test split is not the checkpoint's own: 7 studies, not 4" in (
        capsys.readouterr().out
    )
    with pytest.raises(DataError, match=r"3 of the 9 test studies, such as tiny-005.*model\.ckpt"):
        check(checkpoint, (4, 1, 9))
    check(checkpoint, (4, 1, 9), allow_overlap=True)
    assert "note: 3 of the 9 test studies" in capsys.readouterr().out
    check(checkpoint, (8, 4, 4), split="train")


def test_a_trace_is_left(checkpoint: ReportCheckpoint, tmp_path: Path) -> None:
    options = EvaluationOptions(
        cache_dir=str(tmp_path), device="cpu", workers=0, resamples=20, image_baselines=False
    )
    source = PhantomSource(seed=3, train=1, val=1, test=1, cache_dir=tmp_path)
    given = {"decode": {"_target_": "x.BeamSearch", "beam_width": 3}, "data": None}
    about = record([checkpoint], source, given, options, "1.2")
    write(tmp_path / "out", {"clean/bleu4": 0.1}, decoded(checkpoint, tmp_path), about, "Noise.")
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    digest = hashlib.sha256(checkpoint.path.read_bytes()).hexdigest()
    assert found["checkpoints"][0] == {
        "path": str(checkpoint.path), "sha256": digest, "epoch": 1, "trained on": "tiny",
    }  # fmt: skip
    assert found["data"]["name"] == "phantom"
    assert found["data"]["seed"] == 3
    assert found["decode"]["beam_width"] == 3
    assert found["evaluation"]["split"] == "test"
    assert found["version"] == "1.2"
    assert datetime.fromisoformat(found["date"]).tzinfo is not None
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["about/sha256"] == digest
    assert json.loads(metrics["about/data"])["seed"] == 3
    assert read_metrics(tmp_path / "out") == {"clean/bleu4": 0.1}  # texts are no scores


def test_films_and_reports_are_checked(
    checkpoint: ReportCheckpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The tiny source's noise is enlarged for the encoder, so that neighbours are nearly alike.
    monkeypatch.setattr(film_check, "LEAST_CORRELATION", 1.01)
    found = decoded(checkpoint, tmp_path)
    assert "keeps no statistics of its training films" in capsys.readouterr().out
    noisy = {f"tiny-{index:03d}" for index in range(12, 19)}
    assert {name for name, one in found.warnings.items() if "noise" in one} == noisy
    write(tmp_path / "out", {}, found, {}, "")
    kept = json.loads((tmp_path / "out" / "warnings.json").read_text())
    assert kept == {name: one for name, one in found.warnings.items() if one}
    counts = warning_counts(found.warnings)
    assert counts["warned/noise"] == len(noisy)
    assert counts["warned/studies"] == len(kept)
    unfinished = sum(not report.hypotheses[0].finished for report in found.reports)
    assert counts.get("warned/cut", 0) == unfinished
    page, generator = tmp_path / "page.html", module_of([checkpoint], GreedySearch()).generator()
    write_evaluation_page(page, "tiny", EvaluationOptions(), {}, found, generator, {})
    assert page.read_text(encoding="utf-8").count("is noise: neighbouring pixels") >= len(noisy)


def test_exchanged_films_are_not_checked(
    checkpoint: ReportCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film_check, "LEAST_CORRELATION", 1.01)
    found = decoded(checkpoint, tmp_path, images="shuffled")
    assert not any("noise" in one for one in found.warnings.values())


def test_drawn_studies_are_said_to_be_drawn() -> None:
    assert "drawn, not real" in data_note(PhantomSource(train=1, val=1, test=1))
    assert data_note(TinySource()) == ""


def test_a_model_of_drawings_is_said_to_be_one_whatever_it_reads(
    checkpoint: ReportCheckpoint, tmp_path: Path
) -> None:
    about = {**checkpoint.about, "data": "phantom"}
    drawn = replace(checkpoint, hyperparameters={**checkpoint.hyperparameters, "about": about})
    assert said_note([checkpoint], TinySource()) == ""
    note = said_note([checkpoint, drawn], TinySource())
    assert "only ever seen drawn (phantom) studies" in note
    both = said_note([drawn], PhantomSource(train=1, val=1, test=1))
    assert "drawn, not real" in both
    assert note in both
    # Where the page and the console show it.
    options = EvaluationOptions(page_studies=1)
    generator = module_of([drawn], GreedySearch()).generator()
    page, found = tmp_path / "report.html", decoded(checkpoint, tmp_path)
    write_evaluation_page(page, "tiny", options, {}, found, generator, {}, note=note)
    assert note in page.read_text(encoding="utf-8").split("<article>")[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("images", "none"),
        ("split", "dev"),
        ("seed", -1),
        ("seed", "abc"),
        ("workers", -1),
        ("batch_size", 0),
        ("device", None),
        ("device", ["cpu"]),
        ("device", "quantum"),
        ("cache_dir", None),
        ("image_baselines", "maybe"),
        ("allow_overlap", "no"),
        ("foo", 1),
    ],
)
def test_bad_options_are_named(name: str, value: object) -> None:
    with pytest.raises(OptionError, match=name) as caught:
        evaluation_options({name: value})
    assert "loader" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_good_ones_are_taken() -> None:
    assert evaluation_options({"seed": 3, "image_baselines": False}).seed == 3


def test_verbose_is_a_switch() -> None:
    given = {"paths": {"runs_dir": "a", "output_dir": "b"}, "verbose": 3}
    with pytest.raises(OptionError, match="verbose must be true or false, got 3"):
        checked_options(given)
