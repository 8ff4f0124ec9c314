"""Weights that have seen the test images are refused."""

from __future__ import annotations

import pytest

from xray_report.errors import WeightsError
from xray_report.models.encoders.weights.leak import check_leak, torchxrayvision_data


@pytest.mark.parametrize(
    ("trained_on", "data", "refused"),
    [
        (["nih", "openi"], "iu_xray", True),
        (["random", "iu_xray"], "iu_xray", True),
        (["nih", "openi"], "phantom", False),
        (["imagenet", "nih"], "iu_xray", False),
        ([], "iu_xray", False),
        (["imagenet", "nih"], "nih_chestxray14", True),
        (["random", "nih_chestxray14"], "nih_chestxray14", True),
        (["random", "nih_chestxray14"], "iu_xray", False),
        (["mimic_ch"], "mimic_cxr", True),
        (["random", "mimic_cxr"], "mimic_cxr", False),
    ],
)
def test_only_weights_that_saw_the_data_are_refused(
    trained_on: list[str], data: str, refused: bool
) -> None:
    source = {"weights": "w.pt", "trained_on": trained_on}
    check_leak(source, data, allow_leak=True)
    if refused:
        with pytest.raises(
            WeightsError,
            match=r"'w.pt' were trained on (openi|iu_xray|nih\w*|mimic_ch), .*allow_leak=true",
        ):
            check_leak(source, data)
    else:
        check_leak(source, data)


def test_what_a_torchxrayvision_file_was_trained_on() -> None:
    published = "nih-pc-chex-mimic_ch-google-openi-kaggle-densenet121-d121-tw-lr001-best.pt"
    assert "openi" in torchxrayvision_data(published)
    assert torchxrayvision_data("chex-densenet121-d121-tw-lr001-best.pt") == ("chex",)
    assert "openi" in torchxrayvision_data("renamed.pt")
