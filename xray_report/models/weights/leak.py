"""Weights that have seen the test images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xray_report.errors import WeightsError

# Names of one and the same collection, as our data sets and as TorchXRayVision spell it. It has no
# official split, so that whoever trained on it, we or others, has seen images of any test split.
SAME_IMAGES = {"iu_xray": frozenset({"iu_xray", "openi"})}


def check_leak(source: Mapping[str, Any], data_name: str, allow_leak: bool = False) -> None:
    """Refuse encoder weights that were trained on images of the data set's test split.

    Args:
        source: `DenseNetEncoder.source`; `trained_on` lists data sets.
        data_name: the data set about to be used, such as `iu_xray`.
        allow_leak: the user's word that he knows.

    Raises `WeightsError` for TorchXRayVision's weights, and CheXNets of ours that were trained on
    IU X-ray, on IU X-ray (Open-i), unless allowed.
    """
    seen = SAME_IMAGES.get(data_name, frozenset()) & set(source.get("trained_on", ()))
    if seen and not allow_leak:
        raise WeightsError(
            f"encoder weights {source.get('weights')!r} were trained on {', '.join(sorted(seen))}, "
            f"which holds the images of {data_name}: scores would be of images already seen. "
            "Choose other weights, or accept it with encoder.allow_leak=true"
        )
