"""Weights that have seen the test images are refused."""

from __future__ import annotations

import pytest

from xray_report.errors import WeightsError
from xray_report.models.encoders.weights.leak import (
    check_leak,
    check_studies,
    note_training,
    seen_studies,
    torchxrayvision_data,
)


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
        (["chex"], "chexpert_plus", True),
        (["chex"], "mimic_cxr", False),
        (["random", "chexpert_plus"], "chexpert_plus", False),
        (["nih", "pc", "chex", "mimic_ch", "openi"], "rexgradient", False),
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
            match=r"'w.pt' were trained on (openi|iu_xray|nih\w*|mimic_ch|chex), .*allow_leak=true",
        ):
            check_leak(source, data)
    else:
        check_leak(source, data)


def test_what_a_torchxrayvision_file_was_trained_on() -> None:
    published = "nih-pc-chex-mimic_ch-google-openi-kaggle-densenet121-d121-tw-lr001-best.pt"
    assert "openi" in torchxrayvision_data(published)
    assert torchxrayvision_data("chex-densenet121-d121-tw-lr001-best.pt") == ("chex",)
    assert "openi" in torchxrayvision_data("renamed.pt")


def test_studies_that_are_known_by_id_are_judged_by_it() -> None:
    source = {"weights": "w.pt", "trained_on": ["imagenet"]}
    note_training(source, {"iu_xray": ["1", "2"]})
    note_training(source, {"iu_xray": ["3", "2"], "csv": ["a"]})
    assert source["trained_on"] == ["imagenet", "iu_xray", "csv"]
    assert source["studies"] == {"iu_xray": ["1", "2", "3"], "csv": ["a"]}
    check_leak(source, "iu_xray")
    check_leak(source, "iu_xray+csv")
    assert seen_studies(source, "iu_xray", ["3", "4"]) == 1
    check_studies(source, {"iu_xray": ["4"], "phantom": ["1"]})
    tested = {"phantom": ["1"], "iu_xray": ["2", "3", "4"]}
    with pytest.raises(
        WeightsError, match=r"trained on 2 of the 3 test studies of iu_xray: .*leak"
    ):
        check_studies(source, tested)
    check_studies(source, tested, allow_leak=True)


def test_what_others_trained_on_stays_suspect_beside_what_is_known() -> None:
    source = {"weights": "w.pt", "trained_on": ["openi"]}
    note_training(source, {"iu_xray": ["1"]})
    with pytest.raises(WeightsError, match="were trained on openi, which holds"):
        check_leak(source, "nih_chestxray14+iu_xray")
