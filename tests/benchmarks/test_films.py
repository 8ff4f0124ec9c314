"""A film stored another way: the changes, and what is measured of them on small models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from tests.benchmarks.films import (
    AUROC,
    CHANGES,
    SCORES,
    Classifier,
    Film,
    Seen,
    Subject,
    auroc_changes,
    data_options,
    in_val,
    measure,
    seen,
    show,
    subject_of,
)
from tests.test_assemble import options
from tests.tiny_source import LABELS, TinySource
from tests.training.test_report_module import fit
from tests.training.test_report_module import options as report_options
from xray_report.assemble import training
from xray_report.data.phantom.source import PhantomSource
from xray_report.errors import DataError, OptionError, XrayReportError
from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.extractor import FeatureExtractor
from xray_report.models.encoders.protocol import Preprocessing
from xray_report.training.report_module import ReportModule

FILM = np.random.default_rng(0).integers(0, 256, (60, 40), np.uint8)


def changed(name: str) -> Film:
    return np.ascontiguousarray(CHANGES[name](FILM))


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_film_is_a_film(name: str) -> None:
    film = changed(name)
    assert film.dtype == np.uint8
    assert film.ndim == 2
    assert np.array_equal(film, FILM) == (name == "as it is")


def test_changes_do_what_they_say() -> None:
    assert np.array_equal(255 - changed("inverted"), FILM)
    assert np.array_equal(changed("mirrored")[:, ::-1], FILM)
    assert changed("on its left side").shape == (40, 60)
    assert np.array_equal(np.rot90(changed("on its left side")), changed("upside down"))
    assert np.array_equal(np.rot90(changed("on its right side")), FILM)
    assert changed("half the pixels a side").shape == (30, 20)
    assert (
        changed("darker (gamma 1.5)").mean() < FILM.mean() < changed("brighter (gamma 0.67)").mean()
    )
    assert changed("half the contrast").std() == pytest.approx(FILM.std() / 2, rel=0.01)
    for name, level in (("black border of a tenth", 0), ("white border of a tenth", 255)):
        film = changed(name)
        assert np.array_equal(film[6:-6, 4:-4], FILM)
        assert (film[:6] == level).all()


FEW = {name: CHANGES[name] for name in ("as it is", "inverted", "upside down")}
STUDIES = in_val(TinySource((0, 12, 0)).studies())
EYE = FeatureExtractor(DenseNetEncoder(Preprocessing(32)), "cpu", "float32")


def classifying() -> Subject:
    torch.manual_seed(0)
    heads = Classifier(LABELS, torch.randn(3, 1024), torch.zeros(3))
    return Subject(EYE, heads, None, STUDIES)


def test_an_auroc_that_falls_is_seen_to_fall() -> None:
    subject = classifying()
    truth = np.array(
        [[one.labels[name] for name in LABELS] for one in STUDIES for _ in one.images]  # type: ignore[index]
    )
    found = {
        "as it is": Seen(truth.astype(np.float32), None),
        "same": Seen(3 * truth.astype(np.float32), None),
        "inverted": Seen(-truth.astype(np.float32), None),
    }
    changes, labels = auroc_changes(subject, found, min_positives=5)
    assert changes["as it is"] == (1, 0, 0, 0)
    assert changes["same"] == (1, 0, 0, 0)
    assert changes["inverted"] == (0, -1, -1, -1)
    assert labels == list(LABELS)
    with pytest.raises(DataError, match=r"no label is positive on 20 of the 20 films"):
        auroc_changes(subject, found, min_positives=20)


def test_every_film_of_a_study_is_changed() -> None:
    """An encoder's maps of inverted noise are others; of the same film, the same."""
    first, again, inverted = (
        seen(classifying(), CHANGES[name]).logits for name in ("as it is", "as it is", "inverted")
    )
    assert first is not None
    assert again is not None
    assert inverted is not None
    assert first.shape == (20, 3)  # of twelve studies four have one view
    assert np.array_equal(first, again)
    assert (np.abs(first - inverted) > 1e-4).any(1).all()


@pytest.mark.slow
def test_reports_are_scored_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = report_options(tmp_path)["encoder"] | {"image_size": 64}
    writer = fit(tmp_path, encoder=small)[1].module
    assert isinstance(writer, ReportModule)
    extractor = FeatureExtractor(writer.model.encoder, "cpu", "float32")
    result = measure(Subject(extractor, None, writer.eval(), STUDIES), 1, FEW)
    assert (result["studies"], result["films"]) == (12, 20)
    assert set(result["changes"]) == set(FEW)
    for name, scores in result["changes"].items():
        assert set(scores) == set(SCORES.values())
        for one in scores.values():
            assert one["low"] <= one["moved"] <= one["high"]
            assert name != "as it is" or one["moved"] == 0
    show(result)
    assert "upside down" in capsys.readouterr().out


@pytest.mark.slow
def test_a_checkpoint_brings_its_data_and_its_labels(tmp_path: Path) -> None:
    source = PhantomSource(train=3, val=4, test=1, image_size=64, cache_dir=tmp_path)
    chosen = options(
        "model=chexnet", "encoder.weights=random", "encoder.image_size=64", "data.train=3",
        "data.val=4", "data.test=1", "data.image_size=64", f"data.cache_dir={tmp_path}",
    )  # fmt: skip
    made = training(source, chosen)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(made.module)
    trainer.save_checkpoint(tmp_path / "best.ckpt")
    subject = subject_of(tmp_path / "best.ckpt", {})
    assert subject.classifier is not None
    assert subject.classifier.names == made.datamodule.label_names
    assert {one.study_id for one in subject.studies} == {
        one.study_id for one in source.studies() if one.split == "val"
    }
    other = subject_of(tmp_path / "best.ckpt", {"val": 2})
    assert len(other.studies) == 2
    changes = measure(subject, 1, FEW)["changes"]
    assert set(changes["inverted"]) == {AUROC}


@pytest.mark.parametrize(
    ("given", "message"),
    [("model.x=1", "model is no option"), ("data=phantom", "data must be given by option")],
)
def test_only_data_options_are_taken(given: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        data_options([given])


def test_another_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(XrayReportError, match="foreign checkpoint"):
        subject_of(tmp_path / "other.ckpt", {})
