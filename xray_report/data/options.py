"""How studies are dealt to train, val and test, as a data set's options say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from xray_report.data.splits import (
    check_no_overlap,
    split_all_train,
    split_as_given,
    split_by_study,
    split_dedup,
    split_val_from_train,
)
from xray_report.data.study import Split, Study
from xray_report.errors import OptionError
from xray_report.options import check_share


@dataclass(frozen=True)
class SplitOptions:
    """How studies are dealt to train, val and test.

    Args:
        name: `study`, `dedup`, `r2gen`, `official` or `all_train`.
        seed: of the random splits `study` and `dedup`.
        val_share, test_share: of all studies, at least 0 and together below 1.
    """

    name: str
    seed: int = 0
    val_share: float = 0.1
    test_share: float = 0.2

    def __post_init__(self) -> None:
        check_share("data.val_share", self.val_share)
        check_share("data.test_share", self.test_share)
        if self.val_share + self.test_share >= 1:
            raise OptionError("data.val_share + data.test_share must stay below 1, for train")

    def assign(
        self, studies: Sequence[Study], given: Mapping[str, Split], target: str = "findings"
    ) -> list[Study]:
        """Studies with their split; `given` maps study id to the publisher's split.

        `dedup` compares the cleaned `target` texts. Where the publisher names no val split, it is
        drawn from its train by patient. Raises `DataError` where that cannot be, or where a
        patient would be on two sides.
        """
        dealt = self._deal(studies, given, target)
        check_no_overlap(dealt)
        return dealt

    def _deal(
        self, studies: Sequence[Study], given: Mapping[str, Split], target: str
    ) -> list[Study]:
        if self.name == "all_train":
            return split_all_train(studies)
        if self.name in ("r2gen", "official"):
            dealt = split_as_given(studies, given)
            if "val" in given.values() or not self.val_share:
                return dealt
            return split_val_from_train(dealt, seed=self.seed, val_share=self.val_share)
        split = partial(split_dedup, target=target) if self.name == "dedup" else split_by_study
        return split(studies, seed=self.seed, val_share=self.val_share, test_share=self.test_share)
