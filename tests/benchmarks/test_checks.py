"""What the benchmark of the film check shows a model, and that it measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.benchmarks.checks import CHANGES, flat, knee, measure, noise, of_split, shipped_pictures
from tests.inference.checkpoints import contents
from xray_report.data.phantom.source import PhantomSource
from xray_report.inference.film_check import (
    FAINT,
    LEAST_CORRELATION,
    Films,
    FilmStatistics,
    neighbour_correlation,
)
from xray_report.models.encoders.weights.files import FILMS_KEY


def test_drawn_pictures_are_what_they_are_called() -> None:
    random = np.random.default_rng(0)
    sorts = {make: np.stack([make(random) for _ in range(10)]) for make in (noise, flat, knee)}
    for pictures in sorts.values():
        assert pictures.dtype == np.uint8
        assert pictures.shape == (10, 256, 256)
    assert (sorts[flat].std((1, 2)) < FAINT).all()
    assert (neighbour_correlation(torch.from_numpy(sorts[noise])) < LEAST_CORRELATION).all()
    knees = sorts[knee].astype(float)
    assert (knees[:, 110:146, 118:138].mean((1, 2)) > knees[:, :, :20].mean((1, 2)) + 50).all()


def test_films_are_measured_by_what_the_checkpoint_remembers(tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="needs scikit-image for its pictures")
    assert len(shipped_pictures()) > 50
    source = {"train": 60, "val": 12, "test": 6, "image_size": 64}
    studies = PhantomSource(**source).studies()  # type: ignore[arg-type]
    parts = [of_split(studies, "train", 60), of_split(studies, "val", 12)]
    train, held = (
        Films(torch.from_numpy(np.stack(films)), torch.tensor(slots)) for films, slots in parts
    )
    known = FilmStatistics.learn(train, held)
    assert known is not None
    saved = {**contents(), FILMS_KEY: known.to_plain()}
    target = f"{PhantomSource.__module__}.{PhantomSource.__name__}"
    saved["hyper_parameters"]["about"]["options"] = {"data": {"_target_": target, **source}}
    torch.save(saved, tmp_path / "model.ckpt")
    found = measure(tmp_path / "model.ckpt", {}, count=6, device="cpu")
    assert found["as they are"]["films"] == 6
    assert found["as they are"]["warned"] <= 2
    for name in (*CHANGES, "noise", "flat"):
        assert found[name]["share"] == 1, name
    swapped = [found["frontal read as lateral"], found["lateral read as frontal"]]
    assert sum(one["films"] for one in swapped) == 6
    assert all(one["warned"] == one["films"] for one in swapped)
