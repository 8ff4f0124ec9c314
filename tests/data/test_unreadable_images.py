"""Training on images goes on without the unreadable ones, and says so; `data.strict` stops it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.tiny_source import TinySource
from xray_report.data.datamodule import ChestDataModule
from xray_report.data.dataset import LoaderOptions, TextOptions
from xray_report.data.images import FilePixels
from xray_report.data.study import Study, StudyImage, View
from xray_report.errors import ImageError, MissingExtraError
from xray_report.models.chexnet import CheXNet
from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.protocol import Preprocessing
from xray_report.training.chexnet import CheXNetModule

ANY = {"text": TextOptions(), "preprocess": Preprocessing(size=64), "image_size": 64}


class Damaged(TinySource):
    """The frontal images of training studies 0 and 1 are text files; study 0 has no other."""

    def __init__(self, folder: Path, *, strict: bool = False) -> None:
        super().__init__()
        self.folder, self.strict = folder, strict
        self.dropped = {"no image found": 2}

    def studies(self) -> list[Study]:
        return [self._damage(n, study) for n, study in enumerate(super().studies())]

    def _damage(self, index: int, study: Study) -> Study:
        if index > 1:
            return study
        path = self.folder / f"{index}.png"
        path.write_text("no image")
        return replace(
            study, images=(StudyImage(FilePixels(path), View.FRONTAL), *study.images[1:])
        )


def module(folder: Path, workers: int = 0, *, strict: bool = False) -> ChestDataModule:
    loader = LoaderOptions(batch_size=4, workers=workers)
    return ChestDataModule(Damaged(folder, strict=strict), loader, **ANY)  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_goes_on_with_the_studys_other_view(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    data = module(tmp_path, workers)
    masks: dict[str, list[bool]] = {}
    for _ in range(2):
        for batch in data.train_dataloader():
            data.on_before_batch_transfer(batch, 0)
            assert batch.images is not None
            assert len(batch.images) == len(batch.study_ids) == len(batch.tokens)
            assert batch.labels[~batch.view_mask].isnan().all()
            masks |= dict(zip(batch.study_ids, batch.view_mask.tolist(), strict=True))
    assert "tiny-000" not in masks
    assert masks["tiny-001"] == [False, True]
    assert len(masks) == 7
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(data.unreadable) == 2  # each once, not once an epoch
    assert all("not a PNG, JPEG or DICOM" in line for line in said)


@pytest.mark.parametrize("workers", [0, 1])
def test_strict_stops_with_one_line(tmp_path: Path, workers: int) -> None:
    data = module(tmp_path, workers, strict=True)
    with pytest.raises(ImageError) as caught:
        for batch in data.train_dataloader():
            data.on_before_batch_transfer(batch, 0)
    assert "\n" not in str(caught.value)


def test_a_missing_package_always_stops(tmp_path: Path) -> None:
    data = module(tmp_path)
    batch = data.dataset("train").__getitems__([2])
    with pytest.raises(MissingExtraError):
        data.on_before_batch_transfer(batch._replace(errors=(MissingExtraError("pydicom"),)), 0)


def test_a_batch_without_any_readable_image_is_skipped(tmp_path: Path) -> None:
    data = module(tmp_path)
    batch = data.dataset("train").__getitems__([0])
    assert batch.study_ids == []
    assert batch.images is not None
    assert batch.images.shape == (0, 2, 3, 64, 64)
    labels = data.source.label_names
    classifier = CheXNet(DenseNetEncoder(), len(labels))
    chexnet = CheXNetModule(classifier, labels, torch.ones(len(labels)), {})
    assert chexnet.training_step(batch, 0) is None
    chexnet.validation_step(batch, 0)
    assert chexnet.scored == {}


def test_pictures_are_of_the_studies_of_the_sample(tmp_path: Path) -> None:
    data = module(tmp_path)
    data.loader = replace(data.loader, validate_on="train")
    assert data.sample(3).study_ids == ["tiny-001", "tiny-002"]
    pictures = data.pictures(3)
    assert pictures.shape == (2, 2, 64, 64)
    assert not pictures[0, 0].any()
    assert pictures[0, 1].any()


def test_a_run_says_what_it_uses_and_what_it_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = module(tmp_path)
    data.without_text = 3
    data.prepare_data()
    assert capsys.readouterr().err == (
        "tiny: train 8, val 4, test 4 studies; "
        "left out: 2 no image found, 3 without words in findings\n"
    )
