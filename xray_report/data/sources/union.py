"""Several collections as one: their studies together, their labels by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from xray_report.data.study import TARGETS, Audited, DrawnSource, Study, StudySource
from xray_report.errors import OptionError
from xray_report.nih_classes import CHEXPERT_NAMES
from xray_report.options import check_choice, check_flag


@dataclass
class Union:
    """Several data sets as one `StudySource`, each divided as its own options say.

    Labels of one meaning are one label (NIH's Effusion is CheXpert's Pleural Effusion); a label
    that a collection does not know is unknown in its studies, never absent. The ids of studies and
    patients get their collection's name before them, as in `iu_xray.1000`.

    Args:
        sources: two data sets or more, under any names without a full stop.
        target: section of the reports to be written: `findings`, `impression` or `both`.
        strict: whether one unreadable image stops a run instead of being left out and reported.

    Raises `OptionError` for a bad option.
    """

    sources: Mapping[str, StudySource]
    target: str = "findings"
    strict: bool = False

    def __post_init__(self) -> None:
        check_choice("data.target", self.target, TARGETS)
        check_flag("data.strict", self.strict)
        if not isinstance(self.sources, Mapping) or len(self.sources) < 2:
            raise OptionError(
                "data.sources must hold two data sets or more, such as "
                "+data@data.sources.iu_xray=iu_xray +data@data.sources.nih=nih_chestxray14"
            )
        if wrong := [name for name in self.sources if "." in str(name)]:
            raise OptionError(f"data.sources: {wrong[0]!r} must not hold a full stop")

    @property
    def name(self) -> str:
        """Names of the collections, joined by `+`."""
        return "+".join(dict.fromkeys(source.name for source in self.sources.values()))

    @property
    def label_names(self) -> tuple[str, ...]:
        """Labels that any of the collections knows, in their order, each once."""
        names = [name for source in self.sources.values() for name in source.label_names]
        return tuple(dict.fromkeys(_common(name) for name in names))

    @property
    def dropped(self) -> dict[str, int]:
        """How many studies each rule left out, over all collections; filled by `studies`."""
        total = Counter[str]()
        for source in self.sources.values():
            total.update(source.dropped if isinstance(source, Audited) else {})
        return dict(total)

    def prepare(self) -> None:
        """Draw the images of those that are drawn."""
        for source in self.sources.values():
            if isinstance(source, DrawnSource):
                source.prepare()

    def studies(self) -> list[Study]:
        """All usable studies of all collections, each with its split. Raises `DataError`."""
        return [
            _member(name, study, source.label_names)
            for name, source in self.sources.items()
            for study in source.studies()
        ]


def _member(collection: str, study: Study, names: Sequence[str]) -> Study:
    """A study of one collection as one of many."""
    patient = study.patient_id
    return replace(
        study,
        study_id=f"{collection}.{study.study_id}",
        patient_id=None if patient is None else f"{collection}.{patient}",
        labels=_renamed(study.labels, names),
        images=tuple(
            replace(image, labels=_renamed(image.labels, names)) for image in study.images
        ),
    )


def _renamed(labels: Mapping[str, float] | None, names: Sequence[str]) -> dict[str, float] | None:
    """Labels by their common names, but those that its collection does not offer to learn."""
    if labels is None:
        return None
    return {_common(name): value for name, value in labels.items() if name in names}


def _common(name: str) -> str:
    return CHEXPERT_NAMES.get(name, name)


def ids_by_collection(source: StudySource, studies: Sequence[Study]) -> dict[str, list[str]]:
    """Ids of `studies` of the source, as their collection itself has them, by its name."""
    if not isinstance(source, Union):
        return {source.name: [study.study_id for study in studies]}
    ids: dict[str, list[str]] = {one.name: [] for one in source.sources.values()}
    for study in studies:
        collection, _, own = study.study_id.partition(".")
        ids[source.sources[collection].name].append(own)
    return ids
