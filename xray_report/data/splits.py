"""Who is train, val and test.

Every function is pure: it returns the studies it was given, in their order, with `split` set. The
random ones order groups of studies by a hash of the seed and the group's first id, so a seed gives
the same split on every machine, in any order of the input.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b, sha256
from statistics import fmean
from typing import Any

from xray_report.data.study import SPLITS, Split, Study, report_text
from xray_report.errors import DataError, OptionError
from xray_report.options import check_share
from xray_report.text.cleaning import Cleaner


def split_by_study(
    studies: Sequence[Study], *, seed: int = 0, val_share: float = 0.1, test_share: float = 0.2
) -> list[Study]:
    """Deal studies at random; those of one patient stay together.

    Normal, abnormal and unknown studies (label `No Finding`) are dealt apart, so that each split
    has its share of each.

    Args:
        studies: any number, unless a split asked for would be left empty.
        seed: of the random order.
        val_share, test_share: shares of the studies, each 0 or more, together below 1. What is
            asked for is met to within the size of a group, and never with an empty split.

    Raises:
        DataError: there are fewer groups than splits.
    """
    return _deal(studies, group_studies(studies), seed, {"test": test_share, "val": val_share})


def split_dedup(
    studies: Sequence[Study],
    *,
    seed: int = 0,
    val_share: float = 0.1,
    test_share: float = 0.2,
    target: str = "findings",
) -> list[Study]:
    """Deal as `split_by_study`, with all studies of one text, and their patients, on one side.

    The texts compared are the cleaned `target` sections: none of val or test then stands in train.
    """
    cleaner = Cleaner()
    groups = group_studies(studies, lambda study: cleaner(report_text(study, target) or ""))
    return _deal(studies, groups, seed, {"test": test_share, "val": val_share})


def split_as_given(studies: Sequence[Study], given: Mapping[str, Split]) -> list[Study]:
    """Take each study's split from `given` (study id -> split); studies not in it are left out.

    Both a publisher's official split and R2Gen's annotation.json are of this kind.

    Raises:
        DataError: none of the studies is in `given`.
    """
    kept = [replace(s, split=given[s.study_id]) for s in studies if s.study_id in given]
    if studies and not kept:
        raise DataError(
            f"none of the {len(studies)} studies (such as {studies[0].study_id!r}) is in the given "
            f"split of {len(given)} (such as {next(iter(given), '')!r}); "
            "check that both are of the same data set"
        )
    return kept


def split_val_from_train(
    studies: Sequence[Study], *, seed: int = 0, val_share: float = 0.1
) -> list[Study]:
    """Move a share of the train studies to val, by patient, where a publisher names no val.

    Raises as `split_by_study`; studies of the other splits stay as they are.
    """
    train = [study for study in studies if study.split == "train"]
    dealt = iter(_deal(train, group_studies(train), seed, {"val": val_share}))
    return [next(dealt) if study.split == "train" else study for study in studies]


def split_all_train(studies: Iterable[Study]) -> list[Study]:
    """Put every study in train, for memorising."""
    return [replace(study, split="train") for study in studies]


def check_no_overlap(studies: Iterable[Study]) -> None:
    """Raise `DataError` if a study or a patient is in more than one split."""
    sides: dict[tuple[str, str], set[str]] = defaultdict(set)
    for study in studies:
        sides["study", study.study_id].add(str(study.split))
        if study.patient_id is not None:
            sides["patient", study.patient_id].add(str(study.split))
    for kind in ("study", "patient"):
        torn = [(name, found) for (k, name), found in sides.items() if k == kind and len(found) > 1]
        if torn:
            name, found = min(torn)
            raise DataError(
                f"{len(torn)} {kind} ids are in more than one split, such as {name!r} in "
                f"{' and '.join(sorted(found))}; split by {kind}, or mend the split file"
            )


def _deal(
    studies: Sequence[Study], groups: Sequence[Group], seed: int, shares: Mapping[Split, float]
) -> list[Study]:
    """Fill the splits of `shares` in turn, normality by normality; the rest is train."""
    if not studies:
        return []
    asked: list[Split] = [split for split, share in shares.items() if share > 0]
    if len(groups) <= len(asked):
        raise DataError(
            f"{len(studies)} studies in {len(groups)} groups (by patient or text) cannot fill "
            f"train and {' and '.join(asked)}; get more studies or choose data.split=all_train"
        )
    side: dict[str, Split] = {}
    rest = sorted(groups, key=lambda group: (normality(group), _rank(seed, group)))
    for place, split in enumerate(asked):
        quota = max(1, round(shares[split] * len(studies)))
        chosen = _choose(rest, quota, spare=len(asked) - place)
        side.update({study.study_id: split for i in chosen for study in rest[i]})
        rest = [group for i, group in enumerate(rest) if i not in chosen]
    return [replace(study, split=side.get(study.study_id, "train")) for study in studies]


def _choose(groups: Sequence[Group], quota: int, spare: int) -> set[int]:
    """Indices of groups of about `quota` studies together, a due share of every normality.

    `groups` come sorted by normality, and by chance within it; `spare` of them must be left.
    """
    sizes: dict[str, int] = defaultdict(int)
    for group in groups:
        sizes[normality(group)] += len(group)
    total = sum(sizes.values())
    chosen: set[int] = set()
    taken = passed = 0
    due: dict[str, int] = {}
    for name, size in sizes.items():
        passed += size
        due[name] = math.floor(quota * passed / total + 0.5)
    for i, group in enumerate(groups):
        # What one normality could not fill, the next one makes up for.
        if taken + len(group) <= due[normality(group)] and len(groups) - len(chosen) > spare:
            chosen.add(i)
            taken += len(group)
    return chosen or {min(range(len(groups)), key=lambda i: (len(groups[i]), i))}


def _rank(seed: int, group: Group) -> bytes:
    return blake2b(f"{seed}/{group[0].study_id}".encode(), digest_size=16).digest()


# Groups of studies that must not be parted, because one would tell about the other.

Group = tuple[Study, ...]
"""Studies of one group, by id."""


def group_studies(
    studies: Sequence[Study], text_of: Callable[[Study], str] | None = None
) -> list[Group]:
    """Put together the studies of one patient and, given `text_of`, those of one text.

    Being together is transitive: if A and B share a patient and B and C a text, all three are one
    group. An empty text ties nothing. The groups do not depend on the order of `studies`.
    """
    parent = list(range(len(studies)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple[str, str], int] = {}
    for i, study in enumerate(studies):
        for tie in _ties(study, text_of):
            parent[root(i)] = root(first.setdefault(tie, i))
    members: dict[int, list[Study]] = {}
    for i, study in enumerate(studies):
        members.setdefault(root(i), []).append(study)
    return [tuple(sorted(group, key=lambda study: study.study_id)) for group in members.values()]


def normality(group: Group) -> str:
    """`normal`, `abnormal` or `unknown`: the most of the group's `No Finding` labels."""
    known = [s.labels["No Finding"] for s in group if s.labels and "No Finding" in s.labels]
    if not known:
        return "unknown"
    return "normal" if fmean(known) > 0.5 else "abnormal"


def _ties(study: Study, text_of: Callable[[Study], str] | None) -> list[tuple[str, str]]:
    ties = [("study", study.study_id)]
    if study.patient_id is not None:
        ties.append(("patient", study.patient_id))
    text = text_of(study) if text_of else ""
    if text:
        ties.append(("text", text))
    return ties


# How studies are dealt to train, val and test, as a data set's options say.


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


# What a checkpoint keeps of its split, so that no later test holds what it was trained on: plain
# values only, 12 letters a study.

MARK_BYTES = 6
"""Enough that of 200,000 training and 3,000 test studies no two seem the same by chance."""


def record_split(studies: Sequence[Study]) -> dict[str, Any]:
    """Of each split its number of studies, a digest of their ids, and a mark of each.

    Marks are of studies and of their patients, where those are known; they give no id away.
    """
    return {name: _record([one for one in studies if one.split == name]) for name in SPLITS}


def _record(studies: Sequence[Study]) -> dict[str, Any]:
    ids = sorted(study.study_id for study in studies)
    marks = sorted({mark for study in studies for mark in marks_of(study)})
    return {
        "studies": len(ids),
        "digest": sha256("\n".join(ids).encode(errors="surrogateescape")).hexdigest(),
        "marks": "".join(marks),
    }


def marks_of(study: Study) -> list[str]:
    """Marks of a study and, where it is known, of its patient."""
    named = [f"study/{study.study_id}"]
    named += [f"patient/{study.patient_id}"] if study.patient_id is not None else []
    return [
        blake2b(name.encode(errors="surrogateescape"), digest_size=MARK_BYTES).hexdigest()
        for name in named
    ]


def overlapping(studies: Iterable[Study], part: Mapping[str, Any]) -> list[str]:
    """Ids of the studies that the recorded part of a split holds, or of whose patients it does."""
    marks, width = str(part.get("marks", "")), 2 * MARK_BYTES
    known = {marks[start : start + width] for start in range(0, len(marks), width)}
    return [study.study_id for study in studies if not known.isdisjoint(marks_of(study))]


def changed(studies: Sequence[Study], part: Mapping[str, Any]) -> str:
    """How a split differs from the recorded part, in words; "" if it holds the same studies."""
    now = _record(studies)
    if now["digest"] == part.get("digest"):
        return ""
    then = part.get("studies")
    return "other studies" if then == now["studies"] else f"{now['studies']} studies, not {then}"
