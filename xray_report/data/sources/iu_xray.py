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
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from xml.parsers import expat

from xray_report.data.dicom import trusted_view, view_of_file
from xray_report.data.folders import walk
from xray_report.data.images import FilePixels
from xray_report.data.sources.collection import StudyCollection
from xray_report.data.sources.r2gen import R2GenEntry, read_annotation
from xray_report.data.study import Study, StudyImage, View
from xray_report.data.tables import BoundedGzip, read_table
from xray_report.errors import DataError, MissingExtraError
from xray_report.options import as_path
from xray_report.text.cleaning import text_or_none
from xray_report.text.facts import CHEXPERT_CLASSES


@dataclass
class IUXRay(StudyCollection):
    """The Indiana University collection, recognised by what lies under `root`.

    Args:
        root: folder with images and, in any mixture, ecgen-radiology/ or NLMCXR_reports.tgz
            (NLM), indiana_reports.csv and indiana_projections.csv (Kaggle), annotation.json
            (R2Gen). Reports that are not there come from the extra `iu-xray`. None: reports
            alone, from the extra, for whatever needs no images.
        annotation: R2Gen's annotation.json, where it does not lie under `root`.
        split: `study`, `dedup`, `r2gen` (its studies and its sides, read from the annotation, and
            the first two images of each), `all_train`.

    Other options and errors as of every `StudyCollection`.
    """

    name = "iu_xray"
    label_names = CHEXPERT_CLASSES
    split_choices = ("study", "dedup", "r2gen", "all_train")

    root: str | Path | None = None
    _: KW_ONLY
    annotation: str | Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._folder = as_path("data.root", self.root) if self.root else None
        self._annotation = as_path("data.annotation", self.annotation) if self.annotation else None

    @cached_property
    def contents(self) -> Contents:
        """What was found, read once. Raises `DataError`."""
        return read_contents(self._folder, self._annotation)

    def read(self) -> list[Study]:
        """All studies that have a report, by number. Raises `DataError`."""
        if self.split == "r2gen" and not self.contents.entries:
            raise DataError(
                "data.split=r2gen: the split was drawn at random and is kept in R2Gen's "
                "annotation.json; give data.annotation=FILE"
            )
        return [self._study(report) for report in self.contents.reports]

    def missing_images(self) -> str | None:
        """Says where images are expected; None where reports alone were asked for."""
        if self._folder is None:
            return None
        return (
            f"{self._folder}: no image of IU X-ray under it (such as 1_IM-0001-4001.dcm.png, "
            "CXR1_1_IM-0001-4001.png or CXR1_1_IM-0001/0.png); set data.root to the folder "
            "that holds the image folder"
        )

    def published(self) -> dict[str, Any]:
        """Counts of what the reports say, found on this disk or not. Raises `DataError`."""
        return {
            "reports from": str(self.contents.reports_from),
            **count_published(self.contents.reports),
            "image files of no study": len(self.contents.unrecognised),
        }

    def _study(self, report: PublishedReport) -> Study:
        contents = self.contents
        images = contents.images.get(report.study_id, {})
        if self.split == "r2gen":  # the first two images published, of which each may be missing
            first_two = sorted({*report.image_keys, *images})[:2]
            images = {key: path for key, path in images.items() if key in first_two}
        views = learn_views(list(images), report, contents.projections, contents.tags)
        entry = contents.entries.get(report.study_id)
        return Study(
            study_id=report.study_id,
            images=tuple(
                StudyImage(FilePixels(path), *view)
                for path, view in zip(images.values(), views, strict=True)
            ),
            findings=report.findings,
            impression=report.impression,
            labels=mesh_labels(report.mesh),
            split=entry.split if entry else None,
            terms=report.mesh,
        )


def mesh_labels(mesh: tuple[str, ...]) -> dict[str, float] | None:
    """`No Finding` of human MeSH terms; None where they do not say (`No Indexing`, none)."""
    if not mesh or mesh == ("No Indexing",):
        return None
    return {"No Finding": float(mesh == ("normal",))}


# All that is found under a folder, before anything is left out.


@dataclass(frozen=True)
class Contents:
    """Everything published that was found.

    Args:
        reports: by study number.
        reports_from: file or folder they were read from.
        images: study id -> image key -> file; empty where there is no image folder.
        projections: view by image key from indiana_projections.csv; `tags` from DICOM headers, read
            only where images need them.
        entries: of R2Gen's annotation.json, by study id; empty where there is none.
        unrecognised: image files that belong to no study of the collection.
    """

    reports: list[PublishedReport]
    reports_from: Path
    images: dict[str, dict[str, Path]]
    projections: dict[str, View]
    tags: dict[str, View]
    entries: dict[str, R2GenEntry]
    unrecognised: list[Path]


def read_contents(root: Path | None, annotation: Path | None) -> Contents:
    """Read what lies under `root` (None: the extra's reports alone). Raises `DataError`."""
    found = scan(root) if root else Layout()
    annotation = annotation or found.files.get(ANNOTATION_JSON)
    entries = _entries_by_study(annotation) if annotation else {}
    table = found.files.get(PROJECTIONS_CSV)
    projections = read_projections(table) if table else {}
    reports, reports_from = _read_reports(found, projections, entries, annotation)
    reports = sorted(reports, key=lambda report: int(report.study_id))
    images = found.images_by_study(reports) if found.has_images else {}
    without_projection = {
        key: path
        for files in images.values()
        for key, path in files.items()
        if key not in projections
    }
    return Contents(
        reports=reports,
        reports_from=reports_from,
        images=images,
        projections=projections,
        tags=_read_tags(without_projection) if without_projection else {},
        entries=entries,
        unrecognised=found.unrecognised,
    )


def _read_reports(
    found: Layout,
    projections: dict[str, View],
    entries: dict[str, R2GenEntry],
    annotation: Path | None,
) -> tuple[list[PublishedReport], Path]:
    """The most complete form there is: XML, then Kaggle's table, then R2Gen's texts."""
    if found.xml_folder:
        return read_xml_folder(found.xml_folder), found.xml_folder
    if tgz := found.files.get(REPORTS_TGZ):
        return read_tgz(tgz), tgz
    if table := found.files.get(REPORTS_CSV):
        return read_reports_csv(table, projections), table
    if annotation and find_in_extra(REPORTS_TGZ) is None:
        reports = [
            PublishedReport(study_id, findings=text_or_none(entry.report))
            for study_id, entry in entries.items()
        ]
        return reports, annotation
    path = reports_of_extra()
    return read_tgz(path), path


def _read_tags(images: dict[str, Path]) -> dict[str, View]:
    """Views from DICOM headers: those that the extra lists, and those of `images`."""
    listed = find_in_extra(DICOM_TAGS)
    own = {key: view for key, path in images.items() if (view := view_of_file(path))}
    return {**(read_dicom_tags(listed) if listed else {}), **own}


def _entries_by_study(path: Path) -> dict[str, R2GenEntry]:
    entries: dict[str, R2GenEntry] = {}
    for entry in read_annotation(path):
        study_id = r2gen_study(entry.entry_id)
        if study_id is None or study_id in entries:
            raise DataError(
                f"{path}: id {entry.entry_id[:80]!r} is not one study of IU X-ray; "
                "give R2Gen's annotation.json of IU X-ray"
            )
        entries[study_id] = entry
    return entries


# Files of the collection, recognised by their names wherever they lie under a folder.

XML_FOLDER, REPORTS_TGZ = "ecgen-radiology", "NLMCXR_reports.tgz"
REPORTS_CSV, PROJECTIONS_CSV = "indiana_reports.csv", "indiana_projections.csv"
ANNOTATION_JSON = "annotation.json"
_IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".dcm"})


@dataclass
class Layout:
    """Files found under a folder; of two files of one name the one less deep.

    Args:
        xml_folder: ecgen-radiology/, if there is one.
        files: reports and tables by file name.
        by_key, by_r2gen: image files by their key, or by their place in R2Gen's form.
        unrecognised: image files whose names belong to neither form.
    """

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
    """Note one file in `layout`, if it is of the collection."""
    if name in (REPORTS_TGZ, REPORTS_CSV, PROJECTIONS_CSV, ANNOTATION_JSON):
        layout.files.setdefault(name, folder / name)
    elif Path(name).suffix.lower() in _IMAGE_SUFFIXES:
        key, renamed = image_key(name), r2gen_image(folder.name, name)
        if key is not None:
            layout.by_key.setdefault(key, folder / name)
        elif renamed is not None:
            layout.by_r2gen.setdefault(renamed, folder / name)
        else:
            layout.unrecognised.append(folder / name)


# Names of images: one key for all forms, such as `1_IM-0001-4001` for CXR1_1_IM-0001-4001.png.

_IMAGE = re.compile(r"(?:CXR)?(\d{1,9})_(?:\d+_)?IM-(\d+(?:-\d+)+)", re.ASCII)
_STUDY = re.compile(r"CXR(\d{1,9})_(?:\d+_)?IM-\d+(?:-\d+)*", re.ASCII)
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


# What the publisher's reports say.


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


# NLM's form: ecgen-radiology/*.xml, in a folder or in NLMCXR_reports.tgz.

MAX_XML_BYTES = 1_000_000
"""The longest report file has some 20,000 bytes."""
MAX_TGZ_BYTES = 256_000_000
"""All reports unpacked have some 20 million."""


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
        with (
            path.open("rb") as packed,
            tarfile.open(fileobj=BoundedGzip(packed, MAX_TGZ_BYTES), mode="r:") as archive,
        ):
            return _by_number(_read_members(archive, path), path)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
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
    except (expat.ExpatError, ElementTree.ParseError, LookupError, ValueError) as error:
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
    number = re.fullmatch(r"CXR(\d{1,9})", uid.get("id", "") if uid is not None else "", re.ASCII)
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


# Kaggle's form: indiana_reports.csv and indiana_projections.csv.

_NOT_PROJECTED = (
    "2084_IM-0715-1001-0002",
    "2084_IM-0715-2001-0001",
    "2560_IM-1064-4001",
    "3809_IM-1919-1003002",
)
"""Images that indiana_projections.csv lacks; R2Gen's image numbers count them."""
_VIEWS = {"frontal": View.FRONTAL, "lateral": View.LATERAL}


def read_projections(path: Path) -> dict[str, View]:
    """View by image key. Raises `DataError` for a bad file name or projection."""
    views: dict[str, View] = {}
    for place, row in read_table(path, ("uid", "filename", "projection")):
        key, view = image_key(row["filename"]), _VIEWS.get(row["projection"].strip().lower())
        if key is None or study_of(key) != row["uid"].strip():
            raise DataError(
                f"{place}: filename {row['filename'][:80]!r} is not an image of uid "
                f"{row['uid'][:80]!r}; correct or remove the row"
            )
        if view is None:
            raise DataError(
                f"{place}: projection must be Frontal or Lateral, "
                f"got {row['projection'][:80]!r}; correct or remove the row"
            )
        views[key] = view
    return views


def read_reports_csv(path: Path, projections: Mapping[str, View]) -> list[PublishedReport]:
    """All rows, each with its images: those of `projections` and `_NOT_PROJECTED`.

    Raises `DataError`.
    """
    listed: dict[str, list[str]] = {}
    for key in projections:
        listed.setdefault(study_of(key), []).append(key)
    for key in _NOT_PROJECTED:
        if study_of(key) in listed:
            listed[study_of(key)].append(key)
    reports: dict[str, PublishedReport] = {}
    for place, row in read_table(path, ("uid", "findings", "impression")):
        uid = row["uid"].strip()
        if not re.fullmatch(r"\d{1,9}", uid, re.ASCII):
            raise DataError(
                f"{place}: uid must be a number, got {row['uid'][:80]!r}; correct or remove the row"
            )
        if uid in reports:
            raise DataError(f"{place}: uid {uid} stands twice; remove one of its rows")
        reports[uid] = PublishedReport(
            study_id=uid,
            findings=text_or_none(row["findings"]),
            impression=text_or_none(row["impression"]),
            mesh=tuple(term for term in row.get("MeSH", "").split(";") if term),
            caption=row.get("image", "").strip(),
            image_keys=tuple(sorted(listed.get(uid, ()))),
        )
    return list(reports.values())


# The reports and DICOM tags that the PyPI wheel torchxrayvision carries (extra `iu-xray`).

DICOM_TAGS = "nlmcxr_dicom_metadata.csv.gz"


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
    path = find_in_extra(REPORTS_TGZ)
    if path is None:
        raise MissingExtraError(
            "no reports of IU X-ray found; put NLMCXR_reports.tgz, ecgen-radiology/ or "
            "indiana_reports.csv under data.root, or pip install 'xray-report[iu-xray]', "
            "which carries them"
        )
    return path


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
    learnt = [_known_view(key, projections, tags) for key in report.image_keys]
    known = dict(zip(report.image_keys, learnt, strict=True))
    views = [known.get(key) or _known_view(key, projections, tags) for key in keys]
    return [
        view if view.view is not View.UNKNOWN else _from_caption(report, learnt) for view in views
    ]


def _known_view(key: str, projections: Mapping[str, View], tags: Mapping[str, View]) -> LearntView:
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
