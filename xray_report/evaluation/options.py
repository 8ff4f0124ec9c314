"""What an evaluation may be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch

from xray_report.data.study import SPLITS, Split
from xray_report.errors import OptionError, one_line
from xray_report.options import check_count

IMAGES = ("own", "shuffled")
LEAST = {"batch_size": 1, "workers": 0, "seed": 0, "resamples": 1, "page_studies": 0}


@dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated, and how.

    Args:
        split: `train`, `val` or `test`.
        images: `own`, or `shuffled` to give every study another study's images.
        batch_size: studies decoded at a time.
        workers: processes that decode images while features are cached.
        cache_dir: folder of the feature cache.
        device: such as `cpu` or `cuda`; `auto` takes a GPU where there is one.
        seed: of the exchange of images.
        resamples: of the bootstrap behind the intervals.
        image_baselines: also score the nearest training study's report and two constants, which
            takes the training studies' features.
        page_studies: how many studies report.html shows, the worst first.
    """

    split: Split = "test"
    images: str = "own"
    batch_size: int = 64
    workers: int = 2
    cache_dir: str = ".cache"
    device: str = "auto"
    seed: int = 0
    resamples: int = 1000
    image_baselines: bool = True
    page_studies: int = 40

    def __post_init__(self) -> None:
        if self.images not in IMAGES:
            raise OptionError(f"images must be one of {', '.join(IMAGES)}: {self.images!r}")
        if self.split not in SPLITS:
            raise OptionError(f"split must be one of {', '.join(SPLITS)}: {self.split!r}")
        for name, least in LEAST.items():
            check_count(f"evaluation.{name}", getattr(self, name), least)
        if not isinstance(self.image_baselines, bool):
            raise OptionError(
                f"evaluation.image_baselines must be true or false, got {self.image_baselines!r}"
            )
        for name, such in (("cache_dir", "a folder"), ("device", "cpu, cuda or auto")):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise OptionError(f"evaluation.{name} must be {such}, got {value!r}")
        try:
            torch.empty(0, device=self.torch_device)
        except (RuntimeError, AssertionError) as error:
            raise OptionError(
                f"device={self.device} cannot be used here: {one_line(error, 120)}"
            ) from error

    @property
    def torch_device(self) -> torch.device:
        """The device to run on."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)


def evaluation_options(given: Mapping[str, Any]) -> EvaluationOptions:
    """The options of these names. Raises `OptionError`, also for a name that is none."""
    known = [field.name for field in fields(EvaluationOptions)]
    for name in given:
        if name not in known:
            raise OptionError(f"evaluation.{name} is no option; choose from {', '.join(known)}")
    return EvaluationOptions(**given)
