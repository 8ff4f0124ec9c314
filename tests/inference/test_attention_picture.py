from __future__ import annotations

import numpy as np
import torch

from xray_report.inference.attention_picture import (
    CAPTION_HEIGHT,
    FULL_HEAT,
    HEAT_OPACITY,
    heat,
    most_focused,
    overlay,
    words_to_draw,
)


def test_the_heat_is_red_where_the_attention_is_and_nothing_changes_elsewhere() -> None:
    images = torch.full((2, 32, 32), 100, dtype=torch.uint8)
    attention = torch.zeros(2, 4, 4)
    attention[1, 3, 0] = 0.7
    picture = overlay(images, attention)
    assert (picture.dtype, picture.shape) == (torch.uint8, (3, 32, 64))
    assert (picture[:, :, :32] == 100).all()
    red, _, blue = picture[:, 31, 32].tolist()
    assert red > 150
    assert blue < 50
    assert (picture[:, :16, 32:] == 100).all()


def test_a_caption_stands_above_the_picture() -> None:
    images, attention = torch.zeros(2, 32, 32, dtype=torch.uint8), torch.zeros(2, 1, 1)
    picture = overlay(images, attention, "heart")
    assert picture.shape == (3, CAPTION_HEIGHT + 32, 64)
    assert picture[:, :CAPTION_HEIGHT].any()
    assert not picture[:, CAPTION_HEIGHT:].any()


def test_the_longer_words_of_narrowest_attention_are_chosen_in_order() -> None:
    words = ["effusion", "no", "heart", "normal", "opacity"]
    attention = np.full((5, 4), 0.25, np.float32)
    for row, peak in ((0, 0.7), (1, 1.0), (3, 0.4), (4, 0.9)):
        attention[row] = (1 - peak) / 3
        attention[row, 0] = peak
    assert most_focused(words, attention, 2) == [0, 4]
    assert most_focused(words, attention, 9) == [0, 2, 3, 4]


def test_words_that_name_findings_are_drawn_first() -> None:
    words = ["small", "left", "effusion", ".", "normal", "heart", ".", "no", "pneumothorax", "."]
    spread = np.full((len(words), 4), 0.25, np.float32)
    spread[[4, 8]] = [1, 0, 0, 0]  # the narrowest are of words that name no present finding
    assert words_to_draw(words, spread, 1) == [2]
    assert words_to_draw(words, spread, 2) == [2, 4]
    assert words_to_draw(words, spread, 3) == [2, 4, 8]
    assert words_to_draw(words, spread, 0) == []


def test_one_scale_of_heat_for_all_words() -> None:
    share = torch.tensor([[0.0, 1.0, 2.0], [4.0, FULL_HEAT, 9.0 * FULL_HEAT]])
    picture = heat(share)
    assert (picture.dtype, picture.shape) == (torch.uint8, (2, 3, 4))
    assert picture[..., :3].flatten(0, 1).unique(dim=0).tolist() == [[255, 140, 0]]
    opacity = picture[..., 3].float() / 255
    assert opacity[0, :2].tolist() == [0, 0]
    assert torch.allclose(opacity[1, 1:], torch.tensor(HEAT_OPACITY), atol=0.01)
    assert torch.allclose(opacity[1, 0], 2 * opacity[0, 2], atol=0.01)  # a step a doubling
