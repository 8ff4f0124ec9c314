"""Which data sets and studies weights have seen, and weights that have seen the test images."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from xray_report.errors import WeightsError

# Names of one and the same collection, as our data sets and as TorchXRayVision and others spell it.
# Whoever trained on it has seen images of our test split, since each draws his own at random. Ours
# of MIMIC-CXR and CheXpert Plus (CheXpert's images) is the publisher's unless chosen otherwise, so
# that what we trained on it is clean. ReXGradient is none of theirs.
SAME_IMAGES = {
    "iu_xray": frozenset({"iu_xray", "openi"}),
    # RSNA's pneumonia, SIIM's pneumothorax and Google's labels are all of images of NIH's.
    "nih_chestxray14": frozenset({"nih_chestxray14", "nih", "google", "kaggle", "rsna", "siim"}),
    "mimic_cxr": frozenset({"mimic_nb", "mimic_ch"}),
    "chexpert_plus": frozenset({"chex"}),
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


def note_training(source: dict[str, Any], trained: Mapping[str, Iterable[str]]) -> None:
    """Add to what weights have seen, so that no later training forgets a leak.

    Args:
        source: `Encoder.source`: `trained_on` lists data sets, `studies` those of their studies
            that are known by id.
        trained: data set -> ids of the studies trained on.
    """
    known = source.get("studies", {})
    source["trained_on"] = list(dict.fromkeys([*source.get("trained_on", ()), *trained]))
    source["studies"] = {
        **known,
        **{name: sorted({*known.get(name, ()), *ids}) for name, ids in trained.items()},
    }


def seen_studies(source: Mapping[str, Any], name: str, ids: Collection[str]) -> int:
    """How many of these studies of data set `name` the weights were trained on, as they say."""
    return len(set(source.get("studies", {}).get(name, ())) & set(ids))


def check_leak(source: Mapping[str, Any], data_name: str, allow_leak: bool = False) -> None:
    """Refuse encoder weights that were trained on images of the data set's test split.

    Weights that say which studies of it they were trained on are for `check_studies` to judge.

    Args:
        source: `Encoder.source`; `trained_on` lists data sets.
        data_name: the data set about to be used, such as `iu_xray`; several are joined by `+`.
        allow_leak: the user's word that he knows.

    Raises `WeightsError`, unless allowed, for others' weights that saw the collection, and for
    those that were trained here on IU X-ray or NIH ChestX-ray14.
    """
    seen = set(source.get("trained_on", ())) - set(source.get("studies", ()))
    for name in data_name.split("+"):
        found = SAME_IMAGES.get(name, frozenset()) & seen
        if found and not allow_leak:
            raise WeightsError(
                f"encoder weights {source.get('weights')!r} were trained on "
                f"{', '.join(sorted(found))}, which holds the images of {name}: scores would be of "
                "images already seen. Choose other weights, or accept it with "
                "encoder.allow_leak=true"
            )


def check_studies(
    source: Mapping[str, Any], tested: Mapping[str, Collection[str]], allow_leak: bool = False
) -> None:
    """Refuse weights that were trained on studies of the test split.

    Args:
        source: `Encoder.source`, or `PretrainedDecoder.seen`.
        tested: data set -> ids of its test studies.
        allow_leak: the user's word that he knows.

    Raises `WeightsError`, unless allowed, saying how many of them they have seen.
    """
    for name, ids in tested.items():
        seen = seen_studies(source, name, ids)
        if seen and not allow_leak:
            raise WeightsError(
                f"the weights {source.get('weights')!r} were trained on {seen} of the "
                f"{len(ids)} test studies of {name}: choose the data.split (and data.seed) they "
                "were trained with, other weights, or accept it with encoder.allow_leak=true"
            )
