from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xray_report.data.sources.iu_xray import (
    R2GenImage,
    image_key,
    r2gen_image,
    r2gen_study,
    study_of,
)


@pytest.mark.parametrize(
    "name",
    [
        "1_IM-0001-4001.dcm.png",
        "CXR1_1_IM-0001-4001.png",
        "CXR1_IM-0001-4001.png",
        "CXR1_1_IM-0001-4001",
        "1_IM-0001-4001.dcm",
        "CXR1_1_IM-0001-4001.JPG",
    ],
)
def test_all_names_of_an_image_have_one_key(name: str) -> None:
    assert image_key(name) == "1_IM-0001-4001"


@pytest.mark.parametrize(
    "name",
    ["", "1.png", "IM-0001-4001.png", "../1_IM-0001-4001.png", "1_IM-0001.png", "1_IM-0001-4001.x"],
)
def test_other_names_have_none(name: str) -> None:
    assert image_key(name) is None


@given(st.integers(1, 9999), st.integers(1, 9999), st.lists(st.integers(1, 9999), min_size=1))
def test_forms_agree_for_every_number(uid: int, number: int, parts: list[int]) -> None:
    rest = f"IM-{number:04d}-" + "-".join(f"{part:04d}" for part in parts)
    keys = {image_key(f"{uid}_{rest}.dcm.png"), image_key(f"CXR{uid}_1_{rest}.png")}
    keys.add(image_key(f"CXR{uid}_{rest}.png"))
    assert len(keys) == 1
    assert study_of(f"{uid}_{rest}") == str(uid)


def test_r2gen_names() -> None:
    assert r2gen_study("CXR1_1_IM-0001") == "1"
    assert r2gen_study("CXR2384_IM-0942") == "2384"
    assert r2gen_study("CXR2384") is None
    assert r2gen_image("CXR2384_IM-0942", "1.png") == R2GenImage("2384", 1)
    assert r2gen_image("CXR2384_IM-0942", "one.png") is None
    assert r2gen_image("images", "1.png") is None
