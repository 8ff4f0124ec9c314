from __future__ import annotations

import gzip
import importlib.util
import io
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.pictures import gray, write_png
from tests.data.sources.layouts import STUDIES, Made, kaggle, nlm, r2gen, write_projections, xml
from xray_report.data.download import unpack
from xray_report.data.sources import iu_xray
from xray_report.data.sources.iu_xray import (
    IUXRay,
    PublishedReport,
    R2GenImage,
    image_key,
    learn_views,
    mesh_labels,
    parse_report,
    r2gen_image,
    r2gen_study,
    read_dicom_tags,
    read_tgz,
    read_xml_folder,
    study_of,
)
from xray_report.data.study import Study, View
from xray_report.errors import DataError, MissingExtraError, OptionError


@pytest.fixture(autouse=True)
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def images_shown(study: Study) -> list[object]:
    return [(i.view, i.view_from, i.pixels.load().tobytes()) for i in study.images]


def shown(studies: list[Study]) -> list[object]:
    """Everything of studies but where their files lie."""
    return [
        (s.study_id, s.findings, s.impression, s.labels, s.split, images_shown(s)) for s in studies
    ]


def test_kaggle_form(tmp_path: Path) -> None:
    source = IUXRay(kaggle(tmp_path), split="all_train")
    one, two, three, ten = source.studies()
    assert [one.study_id, two.study_id, three.study_id, ten.study_id] == ["1", "2", "3", "10"]
    assert [(image.view, image.view_from) for image in one.images] == [
        (View.LATERAL, "projections"),
        (View.FRONTAL, "projections"),
    ]
    np.testing.assert_array_equal(one.images[1].pixels.load(), gray(1))
    assert (one.findings, one.impression, one.split) == ("Clear lungs.", "Normal.", "train")
    assert (two.impression, three.findings) == (None, None)
    assert [s.labels for s in (one, two, ten)] == [{"No Finding": 1.0}, {"No Finding": 0.0}, None]
    assert source.contents.reports[1].mesh == ("Cardiomegaly/mild",)
    assert source.dropped == {"no image found": 1}


def nlm_packed(root: Path) -> Path:
    return nlm(root, packed=True)


@pytest.mark.parametrize("form", [nlm, nlm_packed])
def test_nlm_form_with_projections_equals_kaggles(
    tmp_path: Path, form: Callable[[Path], Path]
) -> None:
    root = form(tmp_path / "nlm")
    write_projections(root)
    studies = IUXRay(root, split="all_train").studies()
    assert shown(studies) == shown(IUXRay(kaggle(tmp_path / "k"), split="all_train").studies())


def test_r2gen_images_with_kaggle_tables_equal_kaggles(tmp_path: Path) -> None:
    both = kaggle(tmp_path / "kaggle")
    root = r2gen(tmp_path / "r2gen")
    for name in ("indiana_reports.csv", "indiana_projections.csv"):
        shutil.copy(both / name, root / name)
    shutil.copy(root / "annotation.json", both / "annotation.json")
    studies = IUXRay(root, split="r2gen").studies()
    assert [(s.study_id, s.split) for s in studies] == [
        ("1", "train"),
        ("2", "val"),
        ("10", "test"),
    ]
    assert shown(studies) == shown(IUXRay(both, split="r2gen").studies())


def test_r2gen_form_alone(tmp_path: Path) -> None:
    studies = IUXRay(r2gen(tmp_path), split="r2gen").studies()
    assert [(s.findings, len(s.images)) for s in studies][:2] == [
        ("Clear lungs.", 2),
        ("Big heart.", 1),
    ]
    assert studies[0].images[0].view is View.UNKNOWN


def test_xml_reports_with_kaggle_images(tmp_path: Path) -> None:
    root = nlm(tmp_path / "mixed")
    shutil.rmtree(root / "NLMCXR_png")
    images = kaggle(tmp_path / "kaggle") / "images"
    (root / "linked").symlink_to(images)
    studies = IUXRay(root, split="all_train").studies()
    assert [len(s.images) for s in studies] == [2, 1, 1, 2]
    # The captions name both views and no tag is known: nothing is guessed.
    assert studies[0].images[0].view_from == "none"


def test_reports_of_the_extra_are_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = nlm_packed(tmp_path / "nlm")
    tgz = root / "NLMCXR_reports.tgz"
    tgz.rename(tmp_path / tgz.name)
    with pytest.raises(MissingExtraError, match=r"pip install 'xray-report\[iu-xray\]'"):
        IUXRay(root).studies()
    wheel = tmp_path / "torchxrayvision"
    (wheel / "data").mkdir(parents=True)
    (wheel / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / tgz.name).rename(wheel / "data" / tgz.name)
    spec = importlib.util.spec_from_file_location(
        "torchxrayvision", wheel / "__init__.py", submodule_search_locations=[str(wheel)]
    )
    monkeypatch.setattr(iu_xray.importlib.util, "find_spec", lambda name: spec)
    assert len(IUXRay(root, split="all_train").studies()) == 4
    text_only = IUXRay(None, split="all_train").studies()
    assert [s.study_id for s in text_only] == ["1", "2", "3", "10", "11"]
    assert all(not s.images for s in text_only)


WORDS = ["effusion", "nodule", "mass", "opacity", "edema", "scar", "fracture"]
MANY = tuple(
    Made(
        str(n),
        f"Seen {WORDS[n % 7]}.",
        "",
        "normal" if n % 3 else "Opacity",
        {f"{n}_IM-{n:04d}-1001": "F"},
    )
    for n in range(1, 41)
)


def test_random_splits_depend_on_the_seed_alone(tmp_path: Path) -> None:
    root = kaggle(tmp_path, MANY)
    first = [s.split for s in IUXRay(root, seed=1).studies()]
    assert first == [s.split for s in IUXRay(root, seed=1).studies()]
    assert first != [s.split for s in IUXRay(root, seed=2).studies()]
    assert (first.count("val"), first.count("test")) == (4, 8)


def test_dedup_keeps_equal_reports_on_one_side(tmp_path: Path) -> None:
    sides: dict[str | None, set[str | None]] = {}
    for study in IUXRay(kaggle(tmp_path, MANY), split="dedup").studies():
        sides.setdefault(study.findings, set()).add(study.split)
    assert all(len(found) == 1 for found in sides.values())


def test_all_pairs_multiplies_training_studies_only(tmp_path: Path) -> None:
    images = {f"1_IM-0001-{n}001": view for n, view in enumerate("FFLL", start=1)}
    root = kaggle(tmp_path, (Made("1", "Text.", "", "normal", images), *MANY[1:]))
    studies = IUXRay(root, split="all_train", views="all_pairs").studies()
    pairs = [s for s in studies if s.patient_id == "1"]
    assert [s.study_id for s in pairs] == ["1", "1~2", "1~3", "1~4"]
    assert len({tuple(i.pixels.identity for i in s.images) for s in pairs}) == 4
    assert {s.split for s in pairs} == {"train"}


def test_no_finding_of_mesh() -> None:
    assert mesh_labels(("normal",)) == {"No Finding": 1.0}
    assert mesh_labels(("Opacity", "normal")) == {"No Finding": 0.0}
    assert mesh_labels(()) is None


# Bad folders and options: each is named in one line.


def break_table(root: Path, name: str, change: Callable[[str], str]) -> None:
    path = root / name
    path.write_text(change(path.read_text()))


REPORTS, PROJECTIONS = "indiana_reports.csv", "indiana_projections.csv"


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (REPORTS, lambda text: "", "is empty"),
        (REPORTS, lambda text: text.splitlines()[0], "header but no rows"),
        (REPORTS, lambda text: text.replace("findings", "results"), "no column 'findings'"),
        (REPORTS, lambda text: text + text.splitlines()[1] + "\n", "uid 1 stands twice"),
        (
            REPORTS,
            lambda text: text.replace("\n2,", "\n../2,"),
            r"uid must be a number, got '\.\./2'",
        ),
        (REPORTS, lambda text: text.replace("\n2,", f"\n{'9' * 5000},"), "uid must be a number"),
        (PROJECTIONS, lambda text: text.replace("filename", "file"), "no column 'filename'"),
        (PROJECTIONS, lambda text: text.replace("2_IM", "../2_IM"), "is not an image of uid"),
        (
            PROJECTIONS,
            lambda text: text.replace("Lateral", "Oblique"),
            "must be Frontal or Lateral",
        ),
        ("annotation.json", lambda text: text[:-9], "not valid JSON"),
        ("annotation.json", lambda text: text.replace('"report"', '"text"'), "lacks 'report'"),
        ("annotation.json", lambda text: text.replace("CXR2", "../CXR2"), "is not one study"),
    ],
)
def test_bad_table_is_named_in_one_line(
    tmp_path: Path, name: str, change: Callable[[str], str], words: str
) -> None:
    root = r2gen(kaggle(tmp_path))
    break_table(root, name, change)
    with pytest.raises(DataError, match=words) as caught:
        IUXRay(root).studies()
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_encoding_is_named(tmp_path: Path) -> None:
    root = kaggle(tmp_path)
    text = (root / REPORTS).read_text().replace("Clear", "Clêar")
    (root / REPORTS).write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"not UTF-8 \(byte .* is 0xea\); save the file with UTF-8"):
        IUXRay(root).studies()


def test_missing_folder_and_missing_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: no such folder; set data\.root"):
        IUXRay(tmp_path / "nowhere").studies()
    root = kaggle(tmp_path)
    shutil.rmtree(root / "images")
    with pytest.raises(DataError, match=r"no image of IU X-ray under it .* set data\.root"):
        IUXRay(root).studies()


def test_folder_without_read_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = kaggle(tmp_path)
    real = os.scandir

    def scandir(path: Path) -> object:
        if str(path).endswith("images_normalized"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"images_normalized: cannot be looked into \(Permission"):
        IUXRay(root).studies()


def test_loop_of_linked_folders_ends(tmp_path: Path) -> None:
    root = kaggle(tmp_path)
    (root / "images" / "again").symlink_to(root)
    assert len(IUXRay(root, split="all_train").studies()) == 4


def test_a_split_it_does_not_have_is_refused() -> None:
    with pytest.raises(OptionError, match=r"data\.split must be one of study, dedup, r2gen"):
        IUXRay("anywhere", split="official")


def test_r2gen_split_needs_the_annotation(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"give data\.annotation=FILE"):
        IUXRay(kaggle(tmp_path), split="r2gen").studies()


def test_unreadable_image_is_met_at_load_not_before(tmp_path: Path) -> None:
    root = kaggle(tmp_path)
    write_png(root / "images/images_normalized/2_IM-0002-1001.dcm.png", gray(0, (1, 1)))
    assert len(IUXRay(root, split="all_train").studies()) == 4


# Names of images.


@pytest.mark.parametrize(
    "name",
    [
        "1_IM-0001-4001.dcm.png",
        "CXR1_1_IM-0001-4001.png",
        "CXR1_IM-0001-4001.png",
        "CXR1_1_IM-0001-4001",
        "1_IM-0001-4001.dcm",
        "CXR1_1_IM-0001-4001.JPG",
    ],
)
def test_all_names_of_an_image_have_one_key(name: str) -> None:
    assert image_key(name) == "1_IM-0001-4001"


@pytest.mark.parametrize(
    "name",
    ["", "1.png", "IM-0001-4001.png", "../1_IM-0001-4001.png", "1_IM-0001.png", "1_IM-0001-4001.x"],
)
def test_other_names_have_none(name: str) -> None:
    assert image_key(name) is None


@given(st.integers(1, 9999), st.integers(1, 9999), st.lists(st.integers(1, 9999), min_size=1))
def test_forms_agree_for_every_number(uid: int, number: int, parts: list[int]) -> None:
    rest = f"IM-{number:04d}-" + "-".join(f"{part:04d}" for part in parts)
    keys = {image_key(f"{uid}_{rest}.dcm.png"), image_key(f"CXR{uid}_1_{rest}.png")}
    keys.add(image_key(f"CXR{uid}_{rest}.png"))
    assert len(keys) == 1
    assert study_of(f"{uid}_{rest}") == str(uid)


def test_r2gen_names() -> None:
    assert r2gen_study("CXR1_1_IM-0001") == "1"
    assert r2gen_study("CXR2384_IM-0942") == "2384"
    assert r2gen_study("CXR2384") is None
    assert r2gen_image("CXR2384_IM-0942", "1.png") == R2GenImage("2384", 1)
    assert r2gen_image("CXR2384_IM-0942", "one.png") is None
    assert r2gen_image("images", "1.png") is None


# NLM's XML reports.

SECRET = "the secret of another file"


def test_sections_terms_and_images_of_a_report() -> None:
    report = parse_report(xml(STUDIES[0]).encode(), "1.xml")
    assert (report.study_id, report.findings, report.impression) == ("1", "Clear lungs.", "Normal.")
    assert report.mesh == ("normal",)  # what the computer added (automatic) is left out
    assert report.image_keys == ("1_IM-0001-3001", "1_IM-0001-4001")
    assert report.caption == "PA and lateral chest"


def test_empty_section_is_none() -> None:
    assert parse_report(xml(STUDIES[2]).encode(), "3.xml").findings is None


@pytest.mark.parametrize("cell", ["nan", "None", "N/A"])
def test_what_a_program_wrote_for_a_missing_report_is_none(tmp_path: Path, cell: str) -> None:
    text = xml(STUDIES[0]).replace("Clear lungs.", cell)
    assert parse_report(text.encode(), "1.xml").findings is None
    root = kaggle(tmp_path)
    break_table(root, REPORTS, lambda text: text.replace("Clear lungs.", cell))
    assert IUXRay(root, split="all_train").studies()[0].findings is None


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
        (b'<?xml version="1.0" encoding="utf99"?><a/>', "not well-formed XML .unknown encoding"),
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


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_claims_gigabytes_is_not_read(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("a")
    member.type, member.size = kind, 1 << 32
    (tmp_path / "a.tgz").write_bytes(
        gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(4 << 20))
    )
    with pytest.raises(DataError, match=r"cannot be read as tar\.gz \(a header of it claims"):
        read_tgz(tmp_path / "a.tgz")
    with pytest.raises(DataError, match=r"cannot be unpacked \(a header of it claims"):
        unpack(tmp_path / "a.tgz", tmp_path / "made")


def test_an_archive_that_unpacks_to_gigabytes_is_not_read_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xray_report.data.sources.iu_xray.MAX_TGZ_BYTES", 1 << 20)
    member = tarfile.TarInfo("a.txt")
    member.size = 2 << 20
    content = member.tobuf() + bytes(member.size + 1024)
    (tmp_path / "a.tgz").write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match=r"cannot be read as tar\.gz \(it unpacks to more than"):
        read_tgz(tmp_path / "a.tgz")


def test_damaged_archive(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"a\.tgz: cannot be read as tar\.gz"):
        read_tgz(tmp_path / "a.tgz")


# Views.

ONE, TWO = "1_IM-0001-1001", "1_IM-0001-2001"
F, L, U = View.FRONTAL, View.LATERAL, View.UNKNOWN


def learn(caption: str, keys: tuple[str, ...], *, projections=None, tags=None) -> list[tuple]:  # type: ignore[no-untyped-def, type-arg]
    report = PublishedReport("1", caption=caption, image_keys=keys)
    return [tuple(view) for view in learn_views(keys, report, projections or {}, tags or {})]


def test_projections_come_before_tags_and_tags_before_captions() -> None:
    found = learn("AP chest", (ONE, TWO), projections={ONE: L}, tags={ONE: F, TWO: F})
    assert found == [(L, "projections"), (F, "dicom")]


@pytest.mark.parametrize(
    ("caption", "view"),
    [
        ("Portable AP chest", F),
        ("Lateral chest", L),
        ("PA and lateral chest", U),
        ("Chest x-XXXX", U),
        ("Bilateral apical film", U),
        ("", U),
    ],
)
def test_caption_of_a_lone_image(caption: str, view: View) -> None:
    assert learn(caption, (ONE,)) == [(view, "none" if view is U else "caption")]


def test_the_other_of_two_views_named() -> None:
    assert learn("PA and lateral", (ONE, TWO), tags={TWO: L}) == [(F, "caption"), (L, "dicom")]
    assert learn("Two views", (ONE, TWO), tags={TWO: L}) == [(U, "none"), (L, "dicom")]
    assert learn("PA and lateral", (ONE, TWO)) == [(U, "none"), (U, "none")]


def test_only_tags_that_can_be_trusted_are_read(tmp_path: Path) -> None:
    path = tmp_path / "tags.csv.gz"
    lines = ["imageid,View Position", f"CXR{ONE},PA", f"CXR{TWO},LL", "CXR2_IM-0002-1,", "odd,AP"]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert read_dicom_tags(path) == {TWO: L}
