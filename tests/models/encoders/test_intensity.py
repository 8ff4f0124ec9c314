"""The same film gives the same input, however its file stores it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from xray_report.data.images import FilePixels, resize_gray
from xray_report.errors import OptionError, WeightsError
from xray_report.models.encoders.extractor import FeatureExtractor
from xray_report.models.encoders.intensity import INTENSITIES, exposed_field
from xray_report.models.encoders.load import export_encoder, load_encoder
from xray_report.models.encoders.protocol import Preprocessing

SIZE = 128


def film(seed: int = 0) -> NDArray[np.float64]:
    """Something smooth with lungs and noise, levels 0..1, [160, 144]."""
    random = np.random.default_rng(seed)
    down, across = np.mgrid[-1:1:160j, -1:1:144j]
    lungs = sum(np.exp(-(((across - at) / 0.3) ** 2 + (down / 0.6) ** 2)) for at in (-0.45, 0.45))
    body = 0.75 - 0.5 * lungs + 0.1 * down
    return np.clip(body + random.normal(0, 0.02, body.shape), 0.05, 0.98)


def prepared(pixels: NDArray[np.uint8], intensity: str) -> Tensor:
    preprocessing = Preprocessing(size=SIZE, intensity=intensity)
    return preprocessing(torch.from_numpy(resize_gray(pixels, SIZE))[None])


def as_bytes(levels: NDArray[np.float64], low: float = 0, high: float = 255) -> NDArray[np.uint8]:
    return np.rint(low + levels * (high - low)).astype(np.uint8)


@pytest.mark.parametrize("intensity", ["percentile", "standardised"])
def test_brightness_and_contrast_of_the_file_do_not_matter(intensity: str) -> None:
    whole = prepared(as_bytes(film()), intensity)
    pale = prepared(as_bytes(film(), 90, 180), intensity)
    assert (whole - pale).abs().mean() < 0.05  # of a level of the paler
    plain = [prepared(as_bytes(film(), *ends), "as_stored") for ends in ((0, 255), (90, 180))]
    assert (plain[0] - plain[1]).abs().mean() > 0.3


@pytest.mark.parametrize("intensity", ["percentile", "standardised"])
@pytest.mark.parametrize("name", ["film.jpg", "deep.png", "film.dcm"])
def test_jpeg_16_bits_and_dicom_give_what_the_png_gives(
    tmp_path: Path, name: str, intensity: str
) -> None:
    levels = film()
    Image.fromarray(as_bytes(levels)).save(tmp_path / "film.png")
    sixteen = np.rint(300 + levels * 2500).astype(np.uint16)  # of twelve bits, not all used
    if name == "film.dcm":
        pytest.importorskip("pydicom", reason="needs the extra dicom")
        from tests.data.test_dicom import write

        write(tmp_path / name, sixteen)
    else:
        Image.fromarray(as_bytes(levels) if name == "film.jpg" else sixteen).save(tmp_path / name)
    png, other = (
        prepared(FilePixels(tmp_path / one).load(), intensity) for one in ("film.png", name)
    )
    assert (png - other).abs().mean() < 0.06  # JPEG loses some of the noise


@pytest.mark.parametrize("border", ["black", "white", "noisy black", "slanting"])
def test_a_border_outside_the_exposure_changes_nothing_inside(border: str) -> None:
    pixels = as_bytes(film(), 20, 220)[:SIZE, :SIZE]
    level = 255 if border == "white" else 0
    framed = np.pad(pixels, 24, constant_values=level)
    inside = np.pad(np.ones_like(pixels, bool), 24)
    if border == "slanting":
        down, across = np.indices(framed.shape)
        inside &= down + across > 90
        framed[~inside] = 0
    if border == "noisy black":
        framed[~inside] = np.random.default_rng(1).integers(0, 3, (~inside).sum())
    found = Preprocessing(size=len(framed), intensity="standardised")(
        torch.from_numpy(framed)[None]
    )[0, 0]
    assert exposed_field(torch.from_numpy(framed)[None, None])[0, 0][~inside].sum() == 0
    seen = found[torch.from_numpy(inside)]
    assert abs(float(seen.mean())) < 0.02
    assert abs(float(seen.std()) - 1) < 0.02


def test_a_marker_decides_nothing() -> None:
    pixels = as_bytes(film(), 20, 140)
    marked = pixels.copy()
    marked[10:14, 10:20] = 255
    plain, seen = (prepared(one, "percentile") for one in (pixels, marked))
    assert (plain - seen)[..., 20:, 20:].abs().mean() < 0.02


def test_levels_reach_from_black_to_white() -> None:
    plain = Preprocessing(SIZE, (0.0,) * 3, (1.0,) * 3, intensity="percentile")  # type: ignore[arg-type]
    found = plain(torch.from_numpy(resize_gray(as_bytes(film(), 60, 120), SIZE))[None])
    assert (float(found.min()), float(found.max())) == (0, 1)
    assert 0.002 < float((found == 0).float().mean()) < 0.02


@pytest.mark.parametrize("intensity", INTENSITIES)
@pytest.mark.parametrize("level", [0, 77, 255])
def test_a_blank_film_stays_finite(intensity: str, level: int) -> None:
    found = prepared(np.full((SIZE, SIZE), level, np.uint8), intensity)
    assert found.isfinite().all()
    assert found.abs().max() < 10


@pytest.mark.parametrize("intensity", INTENSITIES)
def test_a_film_among_others_is_as_alone(intensity: str) -> None:
    preprocessing = Preprocessing(size=SIZE, intensity=intensity)
    films = torch.stack(
        [torch.from_numpy(resize_gray(as_bytes(film(n), 9 * n, 250), SIZE)) for n in range(3)]
    )
    together = preprocessing(films)
    assert together.shape == (3, 3, SIZE, SIZE)
    for one, alone in zip(together, films, strict=True):
        torch.testing.assert_close(one[None], preprocessing(alone[None]))


def test_the_intensity_travels_with_the_weights(tmp_path: Path) -> None:
    encoder = load_encoder(
        weights="random", image_size=32, intensity="standardised", trainable=True
    )
    described = json.loads(json.dumps(encoder.preprocessing.to_dict()))
    assert Preprocessing.from_dict(described) == encoder.preprocessing
    path = tmp_path / "films.safetensors"
    export_encoder(encoder, path)
    again = load_encoder(weights=str(path))
    assert again.preprocessing.intensity == "standardised"
    load_encoder(weights=str(path), intensity="standardised")
    with pytest.raises(OptionError, match=r"with encoder\.intensity=standardised, not percentile"):
        load_encoder(weights=str(path), intensity="percentile")


def test_other_films_to_train_on_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_encoder(load_encoder(weights="random", image_size=32), tmp_path / "e.safetensors")
    capsys.readouterr()
    changed = load_encoder(
        weights=str(tmp_path / "e.safetensors"), intensity="percentile", trainable=True
    )
    assert changed.preprocessing.intensity == "percentile"
    said = capsys.readouterr().err
    assert "with encoder.intensity=as_stored and is given films with percentile to be" in said
    load_encoder(weights="random", image_size=32, intensity="percentile")
    assert capsys.readouterr().err == ""


def test_features_of_other_films_are_kept_apart() -> None:
    encoder = load_encoder(weights="random", image_size=32)
    before = FeatureExtractor(encoder, "cpu").identity
    encoder.preprocessing = replace(encoder.preprocessing, intensity="percentile")
    assert FeatureExtractor(encoder, "cpu").identity != before


def test_a_description_of_before_is_as_stored() -> None:
    plain = Preprocessing().to_dict()
    plain.pop("intensity")
    assert Preprocessing.from_dict(plain) == Preprocessing()
    with pytest.raises(WeightsError, match="intensity must be one of as_stored"):
        Preprocessing(intensity="equalised")
    with pytest.raises(OptionError, match=r"encoder\.intensity must be one of as_stored"):
        load_encoder(weights="random", intensity="equalised")
