from __future__ import annotations

import pytest

from xray_report.errors import OptionError
from xray_report.evaluation.run import evaluation_options


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("images", "none"),
        ("split", "dev"),
        ("seed", -1),
        ("seed", "abc"),
        ("workers", -1),
        ("batch_size", 0),
        ("device", None),
        ("device", ["cpu"]),
        ("device", "quantum"),
        ("cache_dir", None),
        ("image_baselines", "maybe"),
        ("foo", 1),
    ],
)
def test_bad_options_are_named(name: str, value: object) -> None:
    with pytest.raises(OptionError, match=name) as caught:
        evaluation_options({name: value})
    assert "loader" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_good_ones_are_taken() -> None:
    assert evaluation_options({"seed": 3, "image_baselines": False}).seed == 3
