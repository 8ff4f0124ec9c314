"""NLM's form: ecgen-radiology/*.xml, in a folder or in NLMCXR_reports.tgz."""

from __future__ import annotations

import re
import tarfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from xray_report.data.iu_xray.ids import image_key
from xray_report.data.iu_xray.published import PublishedReport
from xray_report.data.target import text_or_none
from xray_report.errors import DataError

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
