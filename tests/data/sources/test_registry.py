"""Data sets by name: those of conf/data, built from plain options and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hydra.utils import get_class

from tests.test_config import NEEDED, choices, composed
from xray_report.data.sources.registry import SOURCES, source_name, source_named
from xray_report.errors import OptionError


def test_every_data_set_of_the_configuration_is_known_by_its_name() -> None:
    assert sorted(SOURCES) == choices("data")
    for name, made in SOURCES.items():
        target = composed("train", f"data={name}", *NEEDED[name]).data._target_
        assert get_class(target) is made
        assert source_name(target) == name
        if name != "union":  # whose name is that of its parts
            assert made.name == name  # type: ignore[attr-defined]


def test_options_are_taken() -> None:
    assert source_named("iu_xray", {"root": "x", "split": "dedup"}).name == "iu_xray"


PARTS = {
    "iu": {"_target_": "xray_report.data.sources.iu_xray.IUXRay", "root": "x"},
    "nih": {"_target_": "xray_report.data.sources.nih_chestxray14.NIHChestXray14", "root": "y"},
}


def test_the_parts_of_a_union_are_data_sets_by_name_too() -> None:
    assert source_named("union", {"sources": PARTS}).name == "iu_xray+nih_chestxray14"
    stranger = {**PARTS, "iu": {"_target_": "os.system", "command": "true"}}
    for wrong in (stranger, {**PARTS, "iu": "x"}):
        with pytest.raises(OptionError, match=r"data"):
            source_named("union", {"sources": wrong})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("iu_xray", {"rot": "x"}, r"data\.rot is no option \(did you mean 'root'"),
        ("mimic_cxr", {}, r"data\.root is not set"),
        ("csv", {"table": "x"}, r"data\.columns is not set"),
        ("phantom", {"seed": object()}, r"data\.seed must be plain values"),
        ("phantom", {"seed": "abc"}, r"data\.seed must be"),
        ("nih_chestxray14", {"root": "x", "views": "first"}, r"data\.views is no option"),
    ],
)
def test_mistakes_are_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        source_named(name, options)
