"""Evaluation of a small model on the tiny source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tiny_source import TEXTS, TinySource
from tests.training.test_report_module import fit
from xray_report.data.datamodule import ChestDataModule
from xray_report.data.phantom.source import PhantomSource
from xray_report.errors import OptionError
from xray_report.evaluation.page import write_evaluation_page
from xray_report.evaluation.run import (
    Decoded,
    EvaluationOptions,
    data_note,
    data_of,
    decode,
    evaluation_options,
    evaluation_trainer,
    module_of,
    score,
)
from xray_report.inference.beam import BeamSearch
from xray_report.inference.checkpoint import ReportCheckpoint, load_checkpoint
from xray_report.inference.greedy import GreedySearch
from xray_report.inference.search import Search
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


def test_the_page_shows_the_worst_with_the_views_they_have(
    checkpoint: ReportCheckpoint, tmp_path: Path
) -> None:
    found = decoded(checkpoint, tmp_path)
    generator = module_of([checkpoint], GreedySearch()).generator()
    page = tmp_path / "report.html"
    write_evaluation_page(page, "tiny", "test", {}, found, generator, note="Noise.", most=5)
    text = page.read_text(encoding="utf-8")
    assert "Noise. Research software, not for clinical use." in text
    assert "the worst first" in text
    mistakes = [int(number) for number in re.findall(r"(\d+) mistake", text)]
    assert mistakes == sorted(mistakes, reverse=True)
    studies = text.split("<article>")[1:]
    assert len(studies) == 5
    for study in studies:
        number = int(study.split("tiny-")[1][:3])
        assert study.count("<figcaption>lateral<") == (number % 3 != 0)
        assert study.count("<figcaption>frontal<") == 1


def test_drawn_studies_are_said_to_be_drawn() -> None:
    assert "drawn, not real" in data_note(PhantomSource(train=1, val=1, test=1))
    assert data_note(TinySource()) == ""


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
