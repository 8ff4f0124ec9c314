"""Evaluation of a small model on the tiny source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tiny_source import TEXTS, TinySource
from tests.training.test_report_module import fit
from xray_report.data.phantom.source import PhantomSource
from xray_report.evaluation.page import write_evaluation_page
from xray_report.evaluation.run import (
    Decoded,
    EvaluationOptions,
    data_note,
    data_of,
    decode,
    score,
)
from xray_report.inference.checkpoint import ReportCheckpoint, joint_decoder, load_checkpoint
from xray_report.inference.generator import ReportGenerator
from xray_report.inference.greedy import GreedySearch


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> ReportCheckpoint:
    folder = tmp_path_factory.mktemp("evaluated")
    trainer, _ = fit(folder, epochs=1)
    trainer.save_checkpoint(folder / "model.ckpt")
    return load_checkpoint(folder / "model.ckpt")


def decoded(checkpoint: ReportCheckpoint, folder: Path, **options: object) -> Decoded:
    chosen = EvaluationOptions(cache_dir=str(folder), device="cpu", workers=0, **options)  # type: ignore[arg-type]
    data = data_of(checkpoint, TinySource((8, 4, 7)), chosen)
    generator = ReportGenerator(
        checkpoint.model.encoder, joint_decoder([checkpoint]), checkpoint.vocabulary, GreedySearch()
    )
    return decode(generator, data, chosen)


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


def test_an_ensemble_of_one_model_writes_what_it_writes(
    checkpoint: ReportCheckpoint, tmp_path: Path
) -> None:
    alone = decoded(checkpoint, tmp_path)
    options = EvaluationOptions(cache_dir=str(tmp_path), device="cpu", workers=0)
    generator = ReportGenerator(
        None, joint_decoder([checkpoint, checkpoint]), checkpoint.vocabulary, GreedySearch()
    )
    data = data_of(checkpoint, TinySource((8, 4, 7)), options)
    assert texts(decode(generator, data, options)) == texts(alone)


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
    generator = ReportGenerator(
        checkpoint.model.encoder, joint_decoder([checkpoint]), checkpoint.vocabulary, GreedySearch()
    )
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
