"""What CheXNet learns of a study: annotators' terms, published labels, or what its report says.

Each study is labelled in the first of these ways that it has anything for. Terms and reports give
the 14 classes of CheXpert, by the labeller that also scores generated reports; what a report does
not mention is absent, as in CheXpert. A label that nothing says is unknown and costs nothing.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from xray_report.data.study import Study, StudyImage
from xray_report.data.tables import read_table
from xray_report.errors import DataError, OptionError
from xray_report.metrics.findings.labeller import label_report, named_findings
from xray_report.metrics.findings.negation import Assertion
from xray_report.metrics.findings.validation import classes_of_terms
from xray_report.nih_classes import CHEXPERT_NAMES
from xray_report.options import as_path, as_tuple, check_choice
from xray_report.text.facts import CHEXPERT_CLASSES

WAYS = ("annotators", "published", "reports")
UNCERTAIN: Mapping[str, float | None] = {"positive": 1.0, "negative": 0.0, "unknown": None}


@dataclass(frozen=True)
class Labelling:
    """How studies get their labels; calling it labels them, and says how on stderr.

    Args:
        labels: ways in order of preference: `annotators` (MeSH terms, as IU X-ray has them),
            `published` (labels that come with the collection), `reports` (findings and impression
            as the labeller reads them). One name stands for a list of it.
        uncertain: what a finding is that a report calls possible: `positive`, `negative` or
            `unknown`.
        soft_targets: CSV of another model's probabilities, a row an image, to learn from in place
            of these labels; see `with_soft_targets`.

    Raises `OptionError` for a bad option.
    """

    labels: str | Sequence[str] = WAYS
    uncertain: str = "negative"
    soft_targets: str | Path | None = None

    def __post_init__(self) -> None:
        for way in self.ways:
            check_choice("model.labels", way, WAYS)
        if not self.ways:
            raise OptionError(f"model.labels must name one or more of {', '.join(WAYS)}")
        check_choice("model.uncertain", self.uncertain, tuple(UNCERTAIN))
        if self.soft_targets is not None:
            as_path("model.soft_targets", self.soft_targets)

    @property
    def ways(self) -> tuple[str, ...]:
        """The ways in order of preference."""
        given = [self.labels] if isinstance(self.labels, str) else self.labels
        return tuple(str(way) for way in as_tuple("model.labels", given))

    def __call__(
        self, studies: Sequence[Study], names: Sequence[str]
    ) -> tuple[list[Study], tuple[str, ...]]:
        """Studies that have a label, labelled, and the names of the labels to learn.

        Args:
            studies: of all splits.
            names: of published labels.

        Raises:
            DataError: no training study has a label in any of the ways.
        """
        found = [self._label(study, names) for study in studies]
        counts = Counter(way for way, _ in found)
        kept = [study for way, study in found if way]
        if counts.keys() & {"annotators", "reports"}:
            names = list(dict.fromkeys([*CHEXPERT_CLASSES, *names]))
        known = _known_in(study for study in kept if study.split == "train")
        if known.isdisjoint(names):
            raise DataError(
                f"no training study has labels by model.labels=[{','.join(self.ways)}]; choose "
                f"among {', '.join(WAYS)}, or data that have them"
            )
        by = [f"{counts[way]} by {SAID[way]}" for way in self.ways if counts[way]]
        without = f"; {counts['']} without any are left out" if counts[""] else ""
        say(f"labels: {', '.join(by)}{without}")
        names = tuple(name for name in names if name in known)
        if self.soft_targets is not None:
            path = as_path("model.soft_targets", self.soft_targets)
            kept = with_soft_targets(kept, names, path)
        return kept, names

    def _label(self, study: Study, names: Sequence[str]) -> tuple[str, Study]:
        """The way it is labelled, "" for none, and the labelled study."""
        for way in self.ways:
            if way == "published":
                if not _known_in([study]).isdisjoint(names):
                    return way, study
                continue
            labels = of_terms(study) if way == "annotators" else self.of_report(study)
            if labels is not None:
                images = tuple(replace(image, labels=None) for image in study.images)
                return way, replace(study, labels=labels, images=images)
        return "", study

    def of_report(self, study: Study) -> dict[str, float] | None:
        """The 14 classes as findings and impression name them; None without a word of either."""
        said = label_report(". ".join(filter(None, [study.findings, study.impression])))
        if said["No Finding"] is Assertion.UNMENTIONED:
            return None
        values: dict[Assertion, float | None] = {
            Assertion.PRESENT: 1.0,
            Assertion.ABSENT: 0.0,
            Assertion.UNMENTIONED: 0.0,
            Assertion.UNCERTAIN: UNCERTAIN[self.uncertain],
        }
        labels = {name: values[assertion] for name, assertion in said.items()}
        return {name: value for name, value in labels.items() if value is not None}


@dataclass(frozen=True)
class ReportLabels:
    """Labels as reports name them, in the order of a classifier that is to be told of.

    Args:
        names: those of the classifier.
    """

    names: tuple[str, ...]

    def __call__(
        self, studies: Sequence[Study], names: Sequence[str]
    ) -> tuple[list[Study], tuple[str, ...]]:
        """As of `Labelling`, which leaves out studies without a word."""
        return Labelling("reports")(studies, names)[0], self.names


EVIDENCE = "evidence"
"""Value of `model.label_guidance` that shows a decoder findings instead of telling it labels."""
LEAST_NAMED = 5
"""Training reports that must name a finding for a detector to learn it."""


@dataclass(frozen=True)
class ReportFindings:
    """Findings as reports name them, for a detector of evidence.

    `opacity`, and where they say on which side, in which zone or how large, `opacity|left` and
    `opacity|lower` as well (`named_findings`).
    """

    def __call__(
        self, studies: Sequence[Study], names: Sequence[str]
    ) -> tuple[list[Study], tuple[str, ...]]:
        """Labelled studies, and the findings that `LEAST_NAMED` training reports name, by name.

        Raises `DataError` if there are none.
        """
        named = [findings_of(study) for study in studies]
        counts = Counter(
            name
            for study, found in zip(studies, named, strict=True)
            if study.split == "train"
            for name in found
        )
        kept = tuple(sorted(name for name, count in counts.items() if count >= LEAST_NAMED))
        if not kept:
            raise DataError(
                f"model.label_guidance={EVIDENCE}: no finding is named by {LEAST_NAMED} training "
                "reports or more; set it false"
            )
        relabelled = [
            replace(
                study,
                labels={name: float(name in found) for name in kept},
                images=tuple(replace(image, labels=None) for image in study.images),
            )
            for study, found in zip(studies, named, strict=True)
        ]
        return relabelled, kept


def findings_of(study: Study) -> set[str]:
    """What findings and impression state as present, as `ReportFindings` names it."""
    return named_findings(". ".join(filter(None, [study.findings, study.impression])))


SAID = {"annotators": "annotators' terms", "published": "published labels", "reports": "reports"}


def of_terms(study: Study) -> dict[str, float] | None:
    """The 14 classes of the annotators' terms; None where they did not index the study."""
    classes = classes_of_terms(study.terms)
    if classes is None:
        return None
    return {name: float(name in classes) for name in CHEXPERT_CLASSES}


def _known_in(studies: Iterable[Study]) -> set[str]:
    """Names of labels that one of the studies, or an image of theirs, knows."""
    return {
        name
        for study in studies
        for labels in (study.labels, *(image.labels for image in study.images))
        for name, value in (labels or {}).items()
        if not math.isnan(value)
    }


def say_one_sided(names: Sequence[str], labels: Tensor) -> None:
    """Say which labels [M, C] of training have no positive or no negative: nothing to learn."""
    one_sided = [
        f"no {kind} in train, so not learnt: {', '.join(found)}"
        for kind, there in (("positive", labels > 0), ("negative", labels < 1))
        if (found := [name for name, any_ in zip(names, there.any(0), strict=True) if not any_])
    ]
    if one_sided:
        say(f"labels: {'; '.join(one_sided)}")


# Another model's probabilities as targets (Hinton et al. 2015, "Distilling the knowledge in a
# neural network").

IMAGE_COLUMNS = ("image", "Image Index")
PREFIX = "prob_"
SUFFIXES = (".dcm", ".png", ".jpg", ".jpeg")


def with_soft_targets(studies: Sequence[Study], names: Sequence[str], path: Path) -> list[Study]:
    """Studies whose training images have a table's probabilities for labels, joined by file name.

    Labels that the table has no column for, images it has no row for, and validation and test
    images keep what they have; how many found one another is said on stderr.

    Args:
        studies: of all splits.
        names: of the labels.
        path: CSV with a column `image` or `Image Index` of file names, with or without their
            suffix, and a column a label, perhaps with `prob_` before its name, of values 0 to 1.

    Raises:
        DataError: the table is malformed, or tells of none of the images or labels.
    """
    table, columns, others = _read_targets(path, names)
    found: dict[str, str] = {}

    def softened(study: Study, image: StudyImage) -> StudyImage:
        name = _file_name(image)
        if name not in table:
            return image
        if name in found:
            raise DataError(
                f"{path}: {name} names images of two training studies, {found[name]} and "
                f"{study.study_id}; file names must tell images apart"
            )
        found[name] = study.study_id
        known = study.labels if image.labels is None else image.labels
        return replace(image, labels={**(known or {}), **table[name]})

    softer = [
        replace(study, images=tuple(softened(study, image) for image in study.images))
        if study.split == "train"
        else study
        for study in studies
    ]
    if not found:
        raise DataError(
            f"{path}: none of its {len(table)} images is a training image; rows are joined by "
            "file name"
        )
    images = sum(len(study.images) for study in studies if study.split == "train")
    say(
        f"soft targets: {path.name} tells {', '.join(columns)} of {len(found)} of {images} training"
        f" images; {len(table) - len(found)} of its rows are of none"
        + (f", and {', '.join(others)} no label" if others else "")
    )
    return softer


def _read_targets(
    path: Path, names: Sequence[str]
) -> tuple[dict[str, dict[str, float]], list[str], list[str]]:
    """Targets by file name, the labels the table tells, and columns that are no label."""
    rows = read_table(path, ())
    image = next((column for column in IMAGE_COLUMNS if column in rows[0][1]), None)
    if image is None:
        raise DataError(f"{path}: no column {' or '.join(IMAGE_COLUMNS)} that names the images")
    columns, others = {}, []
    for column in rows[0][1]:
        plain = column.removeprefix(PREFIX)
        label = plain if plain in names else CHEXPERT_NAMES.get(plain, "")
        if label in names:
            columns[column] = label
        elif column != image:
            others.append(column)
    if not columns:
        raise DataError(f"{path}: none of its columns is one of the labels {', '.join(names)}")
    table: dict[str, dict[str, float]] = {}
    for place, row in rows:
        name = _without_suffixes(row[image].strip())
        if name in table:
            raise DataError(f"{place}: image {name[:80]} stands twice; remove one row")
        table[name] = {label: _share(row[column], place) for column, label in columns.items()}
    return table, list(columns.values()), others


def _share(text: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise DataError(f"{place}: {text[:40]!r} is no probability from 0 to 1")
    return value


def _file_name(image: StudyImage) -> str:
    """Name of an image's file without its suffixes; "" of one that is drawn."""
    path = getattr(image.pixels, "path", None)
    return _without_suffixes(path.name) if isinstance(path, Path) else ""


def _without_suffixes(name: str) -> str:
    while name.lower().endswith(SUFFIXES):
        name = name.rpartition(".")[0]
    return name


@rank_zero_only
def say(line: str) -> None:
    """Print a line on stderr, in the first of several processes."""
    print(line, file=sys.stderr)
