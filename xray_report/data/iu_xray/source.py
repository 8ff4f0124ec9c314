"""IU X-ray as a source of studies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xray_report.data.images import FilePixels
from xray_report.data.iu_xray.collection import Collection, collect
from xray_report.data.iu_xray.counts import count_published
from xray_report.data.iu_xray.published import PublishedReport
from xray_report.data.iu_xray.views import learn_views
from xray_report.data.options import SplitOptions
from xray_report.data.study import Split, Study, StudyImage
from xray_report.data.target import TARGETS
from xray_report.data.view_pairs import VIEW_CHOICES, expand
from xray_report.errors import DataError
from xray_report.options import as_path, check_choice, check_flag
from xray_report.text.facts import CHEXPERT_CLASSES

SPLIT_CHOICES = ("study", "dedup", "r2gen", "all_train")


class IUXRay:
    """The Indiana University collection, recognised by what lies under `root`.

    Args:
        root: folder with images and, in any mixture, ecgen-radiology/ or NLMCXR_reports.tgz
            (NLM), indiana_reports.csv and indiana_projections.csv (Kaggle), annotation.json
            (R2Gen). Reports that are not there come from the extra `iu-xray`. None: reports
            alone, from the extra, for whatever needs no images.
        annotation: R2Gen's annotation.json, where it does not lie under `root`.
        split: `study` (random), `dedup` (equal reports on one side), `r2gen` (its studies and
            its sides, read from the annotation, and the first two images of each), `all_train`
            (for memorising).
        seed, val_share, test_share: of the random splits.
        views: `first` frontal and lateral image of a study, or `all_pairs` of them in training.
        target: section to be written: `findings`, `impression` or `both`.
        strict: whether one unreadable image stops a run instead of being left out and reported.

    Raises `OptionError` for a bad option; the files are read by `studies`.
    """

    name = "iu_xray"
    label_names = CHEXPERT_CLASSES

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        annotation: str | Path | None = None,
        split: str = "study",
        seed: int = 0,
        val_share: float = 0.1,
        test_share: float = 0.2,
        views: str = "first",
        target: str = "findings",
        strict: bool = False,
    ) -> None:
        check_choice("data.split", split, SPLIT_CHOICES)
        self.root = as_path("data.root", root) if root else None
        self.annotation = as_path("data.annotation", annotation) if annotation else None
        self.views = check_choice("data.views", views, VIEW_CHOICES)
        self.target = check_choice("data.target", target, TARGETS)
        self.strict = check_flag("data.strict", strict)
        self.split = SplitOptions(split, seed, val_share, test_share)
        self._dropped: dict[str, int] = {}
        self._collection: Collection | None = None

    @property
    def collection(self) -> Collection:
        """What was found, read once. Raises `DataError`."""
        if self._collection is None:
            self._collection = collect(self.root, self.annotation)
        return self._collection

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many studies each rule left out; filled by `studies`."""
        return self._dropped

    def studies(self) -> list[Study]:
        """All usable studies, each with its split. Raises `DataError`."""
        collection, self._dropped = self.collection, {}
        reports = self._keep_chosen(collection)
        studies = [self._study(report, collection) for report in reports]
        if self.root:
            studies = self._keep_with_image(studies)
        if not studies:
            raise DataError(f"{self.root or collection.reports_from}: no study is left to use")
        return expand(self.split.assign(studies, self._given(collection), self.target), self.views)

    def published(self) -> dict[str, Any]:
        """Counts of what the reports say, found on this disk or not. Raises `DataError`."""
        return {
            "reports from": str(self.collection.reports_from),
            **count_published(self.collection.reports),
            "image files of no study": len(self.collection.unrecognised),
        }

    def _keep_chosen(self, collection: Collection) -> list[PublishedReport]:
        """For `r2gen`, the studies of the annotation: FINDINGS present and two images published."""
        if self.split.name != "r2gen":
            return collection.reports
        if not collection.annotations:
            raise DataError(
                "data.split=r2gen: who is train, val or test was drawn at random and stands in "
                "R2Gen's annotation.json; give data.annotation=FILE"
            )
        chosen = [
            report for report in collection.reports if report.study_id in collection.annotations
        ]
        self._dropped["not R2Gen's"] = len(collection.reports) - len(chosen)
        return chosen

    def _keep_with_image(self, studies: list[Study]) -> list[Study]:
        kept = [study for study in studies if study.images]
        if not kept:
            raise DataError(
                f"{self.root}: no image of IU X-ray under it (such as 1_IM-0001-4001.dcm.png, "
                "CXR1_1_IM-0001-4001.png or CXR1_1_IM-0001/0.png); set data.root to the folder "
                "that holds the image folder"
            )
        self._dropped["no image found"] = len(studies) - len(kept)
        return kept

    def _given(self, collection: Collection) -> dict[str, Split]:
        return {study_id: entry.split for study_id, entry in collection.annotations.items()}

    def _study(self, report: PublishedReport, collection: Collection) -> Study:
        images = collection.images.get(report.study_id, {})
        if self.split.name == "r2gen":
            images = first_two(images, report)
        views = learn_views(list(images), report, collection.projections, collection.tags)
        return Study(
            study_id=report.study_id,
            images=tuple(
                StudyImage(FilePixels(path), *view)
                for path, view in zip(images.values(), views, strict=True)
            ),
            findings=report.findings,
            impression=report.impression,
            labels=normality(report.mesh),
        )


def first_two(images: Mapping[str, Path], report: PublishedReport) -> dict[str, Path]:
    """Those of a study's files that are among its first two published images: R2Gen's choice."""
    chosen = sorted({*report.image_keys, *images})[:2]
    return {key: path for key, path in images.items() if key in chosen}


def normality(mesh: tuple[str, ...]) -> dict[str, float] | None:
    """`No Finding` of human MeSH terms; None where they do not say (`No Indexing`, none)."""
    if not mesh or mesh == ("No Indexing",):
        return None
    return {"No Finding": float(mesh == ("normal",))}
