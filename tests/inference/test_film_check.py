from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from xray_report.data.phantom.source import PhantomSource
from xray_report.data.study import Split, pair_views
from xray_report.inference.film_check import (
    LEAST_FILMS,
    RANK,
    Films,
    FilmStatistics,
    Gaussian,
    check_films,
    neighbour_correlation,
)

SOURCE = PhantomSource(train=64, val=24, test=24, image_size=48)


def of_split(split: Split) -> Films:
    drawn = [
        (torch.from_numpy(image.pixels.load()), slot)
        for study in SOURCE.studies()
        if study.split == split
        for slot, image in enumerate(pair_views(study))
        if image is not None
    ]
    pixels = torch.stack([film for film, _ in drawn])
    # Something that tells chest films from others, in place of an encoder.
    grey = pixels.float()
    means = torch.stack([grey.mean((1, 2)), grey.std((1, 2)), grey.diff(dim=2).abs().mean((1, 2))])
    return Films(pixels, torch.tensor([slot for _, slot in drawn]), means.T)


@pytest.fixture(scope="module")
def films() -> Films:
    """Drawn films that no statistics have seen."""
    return of_split("test")


@pytest.fixture(scope="module")
def known() -> FilmStatistics:
    found = FilmStatistics.learn(of_split("train"), of_split("val"))
    assert found is not None
    return found


def kinds(pixels: Tensor, slots: Tensor, known: FilmStatistics | None) -> list[str]:
    """Kind of each film's warning, "" where there is none."""
    return [next(iter(one), "") for one in check_films(Films(pixels, slots), known)]


def test_films_as_they_are_are_known(films: Films, known: FilmStatistics) -> None:
    warned = [one for one in check_films(films, known) if one]
    assert len(warned) <= 0.15 * len(films.pixels)  # 64 studies are few to learn from


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("inverted", lambda pixels: 255 - pixels),
        ("turned", lambda pixels: pixels.rot90(1, (1, 2))),
        ("turned", lambda pixels: pixels.rot90(2, (1, 2))),
        ("turned", lambda pixels: pixels.rot90(3, (1, 2))),
    ],
)
def test_what_was_done_to_a_film_is_named(
    films: Films, known: FilmStatistics, kind: str, change: Callable[[Tensor], Tensor]
) -> None:
    found = kinds(change(films.pixels), films.slots, known)
    assert "" not in found
    assert found.count(kind) >= 0.9 * len(found)


def test_swapped_views_are_caught(films: Films, known: FilmStatistics) -> None:
    found = kinds(films.pixels, 1 - films.slots, known)
    assert "" not in found
    assert found.count("swapped") >= 0.9 * len(found)


def test_brightness_contrast_and_a_mirror_are_no_reason(
    films: Films, known: FilmStatistics
) -> None:
    pixels = (films.pixels.float() * 0.7 + 30).byte()
    assert kinds(pixels, films.slots, known) == kinds(films.pixels, films.slots, known)


@pytest.mark.parametrize("known_or_not", [True, False])
def test_noise_and_plain_grey_need_no_model(
    films: Films, known: FilmStatistics, known_or_not: bool
) -> None:
    told = known if known_or_not else None
    random = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (6, 48, 48), generator=random).byte()
    resized = noise.repeat_interleave(2, 1)[:, ::2]
    slots = torch.tensor([0, 1] * 3)
    assert kinds(noise, slots, told) == kinds(resized, slots, told) == ["noise"] * 6
    levels = torch.tensor([0, 3, 128, 200, 254, 255], dtype=torch.uint8)
    plain = levels[:, None, None].repeat(1, 48, 48)
    assert kinds(plain, slots, told) == ["flat"] * 6
    assert float(neighbour_correlation(films.pixels).min()) > 0.8


def test_other_pictures_are_unlike(known: FilmStatistics) -> None:
    random = np.random.default_rng(0)
    across, down = np.meshgrid(np.arange(48), np.arange(48))
    waves = [
        128 + 100 * np.sin(across * random.uniform(0.2, 0.6) + down * random.uniform(0.2, 0.6))
        for _ in range(20)
    ]
    found = kinds(torch.from_numpy(np.stack(waves)).byte(), torch.tensor([0, 1] * 10), known)
    assert found.count("") == 0


def test_features_tell_what_thumbnails_cannot(films: Films, known: FilmStatistics) -> None:
    assert films.pooled is not None
    far = Films(films.pixels, films.slots, films.pooled + 1000)
    found = check_films(far, known)
    assert all(found)
    assert all("the encoder's features" in one["unlike"] for one in found)
    # However it is turned: so far away it is no chest film.
    turned = Films(films.pixels.rot90(2, (1, 2)), films.slots, far.pooled)
    assert all("unlike" in one for one in check_films(turned, known))


def test_each_sentence_names_the_film_and_its_reason(films: Films, known: FilmStatistics) -> None:
    row = int((films.slots == 0).nonzero()[0])
    one = slice(row, row + 1)
    shown = Films(255 - films.pixels[one], films.slots[one])
    (found,) = check_films(shown, known, ["a/b.png"])
    assert found["inverted"].startswith("a/b.png is read as frontal and looks inverted: ")
    assert "with black and white exchanged (distance " in found["inverted"]


def test_a_film_is_judged_by_itself(films: Films, known: FilmStatistics) -> None:
    together = check_films(films, known)
    for row in range(0, len(films.pixels), 7):
        part = slice(row, row + 1)
        assert films.pooled is not None
        alone = Films(films.pixels[part], films.slots[part], films.pooled[part])
        assert [one.keys() for one in check_films(alone, known)] == [together[row].keys()]


def test_statistics_survive_a_checkpoint(films: Films, known: FilmStatistics) -> None:
    plain = known.to_plain()
    assert all(tensor.dtype == torch.float32 for tensor in plain.values())
    again = FilmStatistics.from_plain(plain)
    assert check_films(films, again) == check_films(films, known)
    assert FilmStatistics.from_plain(None) is None


def test_what_is_not_known_is_said(films: Films, known: FilmStatistics) -> None:
    assert set(kinds(films.pixels, films.slots, None)) == {"unchecked"}
    (frontal, _), (feature, _) = known.thumbnails, known.features
    half = FilmStatistics((frontal, None), (feature, None))
    found = check_films(films, FilmStatistics.from_plain(half.to_plain()))
    for one, slot in zip(found, films.slots.tolist(), strict=True):
        assert ("unchecked" in one) == (slot == 1)
    assert any("hardly any lateral film" in one.get("unchecked", "") for one in found)


def test_few_films_are_no_measure() -> None:
    train = of_split("train").of(0)
    few = Films(train.pixels[: LEAST_FILMS - 1], train.slots[: LEAST_FILMS - 1])
    assert FilmStatistics.learn(few, few) is None
    enough = Films(train.pixels[:LEAST_FILMS], train.slots[:LEAST_FILMS])
    found = FilmStatistics.learn(enough, few)
    assert found is not None
    assert found.thumbnails[0] is not None
    assert found.thumbnails[1] is found.features[0] is None


def test_of_full_rank_the_distance_is_mahalanobis() -> None:
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(500, 5, generator=random) @ torch.randn(5, 5, generator=random)
    others = torch.randn(40, 5, generator=random)
    found = Gaussian.fit(rows, others, 0.9)
    assert len(found.variances) == min(RANK, 4)
    covariance = torch.cov(rows.T, correction=0)
    shrunk = 0.9 * covariance + 0.1 * covariance.trace() / 5 * torch.eye(5)
    away = others - rows.mean(0)
    torch.testing.assert_close(
        found.distances(others), (away @ shrunk.inverse() * away).sum(1), rtol=1e-3, atol=1e-3
    )
    torch.testing.assert_close(found.log_volume, shrunk.logdet(), rtol=1e-3, atol=1e-3)
    assert (found.distances(others) > found.threshold).sum() == 4


def test_films_all_alike_are_a_measure_too() -> None:
    pixels = torch.arange(48 * 48).view(1, 48, 48).remainder(256).byte().repeat(LEAST_FILMS, 1, 1)
    slots = torch.zeros(LEAST_FILMS, dtype=torch.int64)
    found = FilmStatistics.learn(Films(pixels, slots), Films(pixels, slots))
    assert found is not None
    assert found.thumbnails[0] is not None
    assert torch.isfinite(found.thumbnails[0].distances(torch.randn(3, 256))).all()
