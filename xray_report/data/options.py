"""Options that several data sets share, and checks of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from xray_report.data.study import Split, Study
from xray_report.errors import OptionError


def check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    """`OptionError` unless `value` is one of `choices`."""
    if value not in choices:
        raise OptionError(f"{option} must be one of {', '.join(choices)}, got {value!r}")


@dataclass(frozen=True)
class SplitOptions:
    """How studies are dealt to train, val and test.

    Args:
        name: `study`, `dedup`, `r2gen`, `official` or `all_train`.
        seed: of the random splits `study` and `dedup`.
        val_share, test_share: of all studies, above 0 and together below 1.
    """

    name: str
    seed: int = 0
    val_share: float = 0.1
    test_share: float = 0.2

    def __post_init__(self) -> None:
        for option, value in (("val_share", self.val_share), ("test_share", self.test_share)):
            if not 0 < value < 1:
                raise OptionError(f"data.{option} must lie between 0 and 1, got {value}")
        if self.val_share + self.test_share >= 1:
            raise OptionError("data.val_share + data.test_share must stay below 1, for train")
        if self.seed < 0:
            raise OptionError(f"data.seed must be zero or more, got {self.seed}")

    def assign(self, studies: Sequence[Study], given: Mapping[str, Split]) -> list[Study]:
        """Studies with their split; `given` maps study id to the publisher's split."""
        if self.name == "all_train":
            return [replace(study, split="train") for study in studies]
        if self.name in ("r2gen", "official"):
            return [replace(study, split=given[study.study_id]) for study in studies]
        raise AssertionError
