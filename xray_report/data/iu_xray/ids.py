"""One name for an image, however its publisher wrote it.

The same image is `1_IM-0001-4001.dcm.png` to Kaggle and `CXR1_1_IM-0001-4001.png` or
`CXR1_IM-0001-4001.png` to NLM; its key is `1_IM-0001-4001`. R2Gen renamed the images of study
`CXR1_1_IM-0001` to `0.png`, `1.png` ..., in the order of the XML report, which is by key.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_IMAGE = re.compile(r"(?:CXR)?(\d+)_(?:\d+_)?IM-(\d+(?:-\d+)+)", re.ASCII)
_STUDY = re.compile(r"CXR(\d+)_(?:\d+_)?IM-\d+(?:-\d+)*", re.ASCII)
_SUFFIXES = re.compile(r"(\.(dcm|png|jpg|jpeg))+$", re.IGNORECASE)


class R2GenImage(NamedTuple):
    """The `position`-th image (from 0) of study `study_id`, in the order of the XML report."""

    study_id: str
    position: int


def image_key(name: str) -> str | None:
    """Key of an image file name or NLM image id; None if it is neither."""
    match = _IMAGE.fullmatch(_SUFFIXES.sub("", name))
    return f"{match[1]}_IM-{match[2]}" if match else None


def study_of(key: str) -> str:
    """Study id, such as `"1"`, of an image key."""
    return key.split("_", 1)[0]


def r2gen_study(identifier: str) -> str | None:
    """Study id of R2Gen's `CXR1_1_IM-0001`; None if it is no such name."""
    match = _STUDY.fullmatch(identifier)
    return match[1] if match else None


def r2gen_image(folder: str, name: str) -> R2GenImage | None:
    """What R2Gen's `CXR1_1_IM-0001/0.png` is; None if it is no such name."""
    study_id, stem = r2gen_study(folder), _SUFFIXES.sub("", name)
    return R2GenImage(study_id, int(stem)) if study_id and re.fullmatch(r"\d{1,2}", stem) else None
