"""Films in training: changed a little, never flipped."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.tiny_source import TinySource
from xray_report.data.augmentation import Augmentation, AugmentedPixels, augmented
from xray_report.data.datamodule import ChestDataModule
from xray_report.data.dataset import LoaderOptions
from xray_report.errors import OptionError
from xray_report.models.encoders.protocol import Preprocessing

ALL = Augmentation(shift=0.1, scale=0.1, rotation=10, contrast=0.3, brightness=0.3)


def films(number: int = 4, size: int = 32) -> Tensor:
    """Dark, with a bright square in the upper left."""
    images = torch.full((number, 3, size, size), -1.0)
    images[:, :, size // 4 : size // 2, size // 4 : size // 2] = 2.0
    return images


def test_off_is_as_it_was() -> None:
    assert not Augmentation()
    torch.testing.assert_close(Augmentation()(films())[0], films())


def test_each_channel_keeps_its_own_black_and_white() -> None:
    torch.manual_seed(0)
    mean, spread = torch.tensor([[0.0], [1.0], [-9.0]]), torch.tensor([[1.0], [2.0], [300.0]])
    grey = films()
    images = (grey.flatten(2) * spread + mean).view_as(grey)
    changed, _ = ALL(images)
    torch.manual_seed(0)
    expected = (ALL(grey)[0].flatten(2) * spread + mean).view_as(grey)
    torch.testing.assert_close(changed, expected, rtol=1e-4, atol=1e-3)


def test_each_film_differs_and_a_seed_repeats() -> None:
    torch.manual_seed(0)
    first, _ = ALL(films())
    assert first.shape == films().shape
    assert not torch.equal(first[0], first[1])
    torch.manual_seed(0)
    assert torch.equal(ALL(films())[0], first)


def test_nothing_is_ever_flipped() -> None:
    torch.manual_seed(0)
    changed, _ = ALL(films(64))
    bright = changed > changed.mean((2, 3), keepdim=True) + changed.std((2, 3), keepdim=True)
    down, across = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    for where in (down, across):
        centre = (bright * where).sum((2, 3)) / bright.sum((2, 3))
        assert centre.max() < 16


def test_shifts_reach_as_far_as_asked_and_black_moves_in() -> None:
    torch.manual_seed(0)
    image = films(200)
    moved, _ = Augmentation(shift=0.25)(image)
    assert moved.min() == pytest.approx(-1.0, abs=1e-5)
    centre = torch.arange(32.0)
    across = ((moved[:, 0] + 1).sum(1) * centre).sum(1) / (moved[:, 0] + 1).sum((1, 2))
    change = across - 11.5
    assert 6 < change.abs().max() <= 8.01


def test_contrast_and_brightness_are_in_the_films_own_terms() -> None:
    torch.manual_seed(0)
    images = 1000 * films(200)
    changed, _ = Augmentation(contrast=0.2, brightness=0.5)(images)
    deviation, before = changed.std((2, 3)), images.std((2, 3))
    assert (deviation / before).min() > 0.799
    assert (deviation / before).max() < 1.201
    change = (changed.mean((2, 3)) - images.mean((2, 3))).abs() / before
    assert 0.4 < change.max() < 0.501


def test_where_labels_lie_moves_along() -> None:
    torch.manual_seed(0)
    regions = torch.zeros(8, 2, 16, 16)
    regions[:, 0, 4:8, 4:8] = 1.0
    regions[:, 1] = torch.nan
    images, places = Augmentation(shift=0.2, rotation=10)(films(8), regions)
    assert places is not None
    assert places[:, 1].isnan().all()
    shown = torch.nn.functional.avg_pool2d((images[:, 0] + 1) / 3, 2)
    torch.testing.assert_close(shown, places[:, 0], atol=0.3, rtol=0)
    assert (shown - places[:, 0]).abs().mean() < 0.02


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shift": 1.0}, r"augmentation\.shift must be a number from 0 to below 1"),
        ({"scale": -0.1}, r"augmentation\.scale must be"),
        ({"rotation": 180}, r"augmentation\.rotation must be .* at most 45"),
        ({"contrast": True}, r"augmentation\.contrast must be"),
        ({"brightness": "0"}, r"augmentation\.brightness must be"),
        ({"copies": 1.5}, r"augmentation\.copies must be"),
        ({"copies": -1}, r"augmentation\.copies must be"),
    ],
)
def test_bad_options_are_refused(options: dict[str, float], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        Augmentation(**options)


class Stage:
    """As much of a Trainer as the hook asks for."""

    def __init__(self, training: bool) -> None:
        self.training = training


def test_only_batches_of_training_are_changed() -> None:
    data = ChestDataModule(
        TinySource(),
        LoaderOptions(batch_size=3),
        text=None,
        preprocess=Preprocessing(size=32),
        regions=True,
        augment=replace(ALL, contrast=0.0),
    )
    batch = next(iter(data.val_dataloader()))
    assert batch.images is not None
    before = batch.images.clone()
    for training in (False, True):
        data.trainer = Stage(training)  # type: ignore[assignment]
        after = data.on_after_batch_transfer(batch._replace(images=before.clone()), 0)
        assert after.images is not None
        assert torch.equal(after.images, before) is not training
        assert torch.equal(after.images[~batch.view_mask], before[~batch.view_mask])


@dataclass(frozen=True)
class Square:
    """A grey image with a bright square in the upper left."""

    identity: str = "square"

    def load(self) -> NDArray[np.uint8]:
        image = np.full((48, 40), 20, np.uint8)
        image[12:24, 10:20] = 230
        return image


def test_a_copy_is_the_same_each_time_and_unlike_the_others() -> None:
    before = torch.get_rng_state()
    copies = [AugmentedPixels(Square(), ALL, number) for number in (1, 2)]
    first, second = (copy.load() for copy in copies)
    assert np.array_equal(AugmentedPixels(Square(), ALL, 1).load(), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.shape == (48, 40)
    assert first.dtype == np.uint8
    other = AugmentedPixels(Square("another"), ALL, 1)
    wider = AugmentedPixels(Square(), replace(ALL, shift=0.2), 1)
    assert len({one.load().tobytes() for one in (*copies, other, wider, Square())}) == 5  # type: ignore[attr-defined]
    assert len({one.identity for one in (*copies, other, wider)}) == 4
    more = AugmentedPixels(Square(), replace(ALL, copies=7), 1)
    assert more.identity == copies[0].identity
    assert abs(first.astype(int) - second.astype(int)).mean() < 60  # the same picture, moved


def test_copies_of_studies_are_theirs_but_for_the_films() -> None:
    studies = TinySource().studies()
    copies = augmented(studies, ALL, 3)
    for study, copy in zip(studies, copies, strict=True):
        assert replace(copy, images=study.images) == study
        for image, changed in zip(study.images, copy.images, strict=True):
            assert changed.view == image.view
            assert changed.pixels.identity.startswith(image.pixels.identity)
            assert changed.pixels.identity.endswith("copy 3")
