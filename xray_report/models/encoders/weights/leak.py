"""Which data sets weights have seen, and weights that have seen the test images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from xray_report.errors import WeightsError

# Names of one and the same collection, as our data sets and as TorchXRayVision and others spell it.
# Whoever trained on it has seen images of our test split, since each draws his own at random. Ours
# of MIMIC-CXR is the publisher's unless chosen otherwise, so that what we trained on it is clean.
SAME_IMAGES = {
    "iu_xray": frozenset({"iu_xray", "openi"}),
    # RSNA's pneumonia, SIIM's pneumothorax and Google's labels are all of images of NIH's.
    "nih_chestxray14": frozenset({"nih_chestxray14", "nih", "google", "kaggle", "rsna", "siim"}),
    "mimic_cxr": frozenset({"mimic_nb", "mimic_ch"}),
}

# How the names of TorchXRayVision's files spell the data sets.
XRV_DATA = ("nih", "pc", "chex", "mimic_nb", "mimic_ch", "google", "openi", "kaggle", "rsna")
XRV_DATA_OF_RESNET = ("siim", "vin")


def torchxrayvision_data(file: str) -> tuple[str, ...]:
    """Data sets in a TorchXRayVision file name; where it names none, all of them are assumed.

    The published `-all` weights are `nih-pc-chex-mimic_ch-google-openi-kaggle-densenet121-...`
    and `pc-nih-rsna-siim-vin-resnet50-...`.
    """
    words = re.split("densenet|resnet", file.lower())[0].split("-")
    known = (*XRV_DATA, *XRV_DATA_OF_RESNET)
    return tuple(name for name in known if name in words) or XRV_DATA


def check_leak(source: Mapping[str, Any], data_name: str, allow_leak: bool = False) -> None:
    """Refuse encoder weights that were trained on images of the data set's test split.

    Args:
        source: `Encoder.source`; `trained_on` lists data sets.
        data_name: the data set about to be used, such as `iu_xray`.
        allow_leak: the user's word that he knows.

    Raises `WeightsError`, unless allowed, for others' weights that saw the collection, and for
    those that were trained here on IU X-ray or NIH ChestX-ray14.
    """
    seen = SAME_IMAGES.get(data_name, frozenset()) & set(source.get("trained_on", ()))
    if seen and not allow_leak:
        raise WeightsError(
            f"encoder weights {source.get('weights')!r} were trained on {', '.join(sorted(seen))}, "
            f"which holds the images of {data_name}: scores would be of images already seen. "
            "Choose other weights, or accept it with encoder.allow_leak=true"
        )
