from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tests.data.sources.iu_xray.layouts import STUDIES, xml
from xray_report.data.sources.iu_xray import parse_report, read_tgz, read_xml_folder
from xray_report.errors import DataError

SECRET = "the secret of another file"


def test_sections_terms_and_images_of_a_report() -> None:
    report = parse_report(xml(STUDIES[0]).encode(), "1.xml")
    assert (report.study_id, report.findings, report.impression) == ("1", "Clear lungs.", "Normal.")
    assert report.mesh == ("normal",)  # what the computer added (automatic) is left out
    assert report.image_keys == ("1_IM-0001-3001", "1_IM-0001-4001")
    assert report.caption == "PA and lateral chest"


def test_empty_section_is_none() -> None:
    assert parse_report(xml(STUDIES[2]).encode(), "3.xml").findings is None


def external(tmp_path: Path) -> str:
    (tmp_path / "secret.txt").write_text(SECRET)
    text = xml(STUDIES[0]).replace("Clear lungs.", "&leak;")
    doctype = f'<!DOCTYPE eCitation [<!ENTITY leak SYSTEM "file://{tmp_path}/secret.txt">]>'
    return text.replace("?><", f"?>{doctype}<")


def laughs(tmp_path: Path) -> str:
    entities = '<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9)
    )
    text = xml(STUDIES[0]).replace("Clear lungs.", "&j;")
    return text.replace("?><", f"?><!DOCTYPE eCitation [{entities}]><")


@pytest.mark.parametrize("make", [external, laughs])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_doctype_is_refused_and_entities_never_resolved(
    tmp_path: Path, make: object, encoding: str
) -> None:
    text = make(tmp_path).replace('encoding="utf-8"', f'encoding="{encoding}"')  # type: ignore[operator]
    with pytest.raises(DataError, match=r"evil\.xml: declares a DOCTYPE") as caught:
        parse_report(text.encode(encoding), "evil.xml")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not well-formed"),
        (b"<eCitation>", "not well-formed"),
        (b"<html/>", "not an Open-i report"),
        (b'<eCitation><uId id="../1"/></eCitation>', "not an Open-i report"),
        (b" " * 1_000_001, "over 1000000 bytes"),
    ],
)
def test_bad_report_is_named(data: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        parse_report(data, "bad.xml")
    assert "bad.xml" in str(caught.value)


def test_folder_without_reports(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no \*\.xml report"):
        read_xml_folder(tmp_path)


def test_report_that_stands_twice(tmp_path: Path) -> None:
    for name in ("1.xml", "1b.xml"):
        (tmp_path / name).write_text(xml(STUDIES[0]))
    with pytest.raises(DataError, match="report 1 stands twice"):
        read_xml_folder(tmp_path)


def test_archive_is_read_in_memory_and_links_in_it_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "a.tgz"
    with tarfile.open(path, "w:gz") as archive:
        data = xml(STUDIES[1]).encode()
        member = tarfile.TarInfo("../../2.xml")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("3.xml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert [report.study_id for report in read_tgz(path)] == ["2"]
    assert [file.name for file in tmp_path.iterdir()] == ["a.tgz"]


def test_damaged_archive(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"a\.tgz: cannot be read as tar\.gz"):
        read_tgz(tmp_path / "a.tgz")
