"""Benchmarks that take minutes, at sizes that take seconds: each still measures what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.benchmarks import archive, images, scoring
from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.protocol import Preprocessing


def test_archive_reads_every_training_study() -> None:
    found = archive.run(studies=120, batch=16)
    assert found["studies read"] == 117  # 3 are of validation
    assert 0 < found["before, MiB"] <= found["reading all batches, MiB"]


def test_maps_of_real_size_are_read_from_few_and_from_many() -> None:
    found = archive.real_size(few=4, many=8)
    assert [one["studies read"] for one in found.values()] == [3, 7]
    assert all(one["a batch, ms"] > 0 for one in found.values())


def test_texts_of_the_archive_are_all_different() -> None:
    studies = archive.Archive(500).studies()
    assert len({study.findings for study in studies}) == 500


def test_images_go_the_whole_way(tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(images.film(number, 64)).save(tmp_path / f"{number}.jpg")
    encoder = DenseNetEncoder(Preprocessing(32))
    assert images.whole_way(tmp_path, encoder, "float32", workers=0) > 0
    assert set(images.one_process(list(tmp_path.iterdir()), 0.01)) == {"ours", "torchvision"}


def test_both_ways_to_decode_give_the_same_pixels(tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    Image.fromarray(images.film(0, 300)).save(path)
    ours, other = torch.from_numpy(images.ours(path)), images.torchvision(path)[0]
    assert (ours.int() - other.int()).abs().max() <= 2


def test_scoring_times_all() -> None:
    pytest.importorskip("pycocoevalcap")
    assert all(value > 0 for value in scoring.run(20, 20, 5).values())
