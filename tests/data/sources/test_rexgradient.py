"""ReXGradient-160K, in a made-up copy of its published form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.sources.layouts import rexgradient, rexgradient_entries
from xray_report.data.sources.rexgradient import ReXGradient
from xray_report.data.study import View
from xray_report.errors import DataError, OptionError

ODD = "lists of views of another length than their images (views taken as unknown)"


def metadata(root: Path, split: str = "train") -> Path:
    return root / "metadata" / f"{split}_metadata_view_position.json"


def test_studies_of_the_three_files_with_the_publishers_splits(tmp_path: Path) -> None:
    source = ReXGradient(rexgradient(tmp_path))
    studies = source.studies()
    assert [study.split for study in studies] == ["train", "train", "val", "test"]
    first = studies[0]
    assert (first.study_id, first.patient_id) == ("pGRDNP0_aGRDNA0_s1.2.0", "GRDNP0")
    assert (first.findings, first.impression) == ("Study 0 is clear.", "Normal.")
    assert [(image.view, image.view_from) for image in first.images] == [
        (View.FRONTAL, "dicom"),
        (View.LATERAL, "dicom"),
    ]
    assert first.images[0].pixels.load().shape == (24, 20)
    assert first.labels is None
    assert len(source.label_names) == 14  # which the labeller reads from the reports
    assert not any(source.dropped.values())


@pytest.mark.parametrize("absent", [None, float("nan"), "None", "nan", " "])
def test_a_section_that_is_not_there_is_none(tmp_path: Path, absent: object) -> None:
    entries = rexgradient_entries()
    entries[0]["Findings"] = absent
    del entries[1]["Findings"]
    studies = ReXGradient(rexgradient(tmp_path, entries)).studies()
    assert [study.findings for study in studies[:3]] == [None, None, "Study 2 is clear."]


@pytest.mark.parametrize(
    ("tags", "views"),
    [
        (["POSTERO_ANTERIOR", "LL"], [View.FRONTAL, View.LATERAL]),
        (["ANTERO_POSTERIOR", "lat "], [View.FRONTAL, View.LATERAL]),
        (["AP", "AP AXIAL"], [View.FRONTAL, View.FRONTAL]),
        (["LAO", None], [View.UNKNOWN, View.UNKNOWN]),
        (["UNKNOWN", "N/A"], [View.UNKNOWN, View.UNKNOWN]),
        (None, [View.UNKNOWN, View.UNKNOWN]),
    ],
)
def test_views_that_occur(tmp_path: Path, tags: object, views: list[View]) -> None:
    entries = rexgradient_entries()
    entries[0]["ImageViewPosition"] = tags
    source = ReXGradient(rexgradient(tmp_path, entries))
    assert [image.view for image in source.studies()[0].images] == views
    assert source.dropped[ODD] == 0


def test_a_shorter_list_of_views_says_nothing_and_is_counted(tmp_path: Path) -> None:
    entries = rexgradient_entries()
    entries[0]["ImageViewPosition"] = ["PA"]
    source = ReXGradient(rexgradient(tmp_path, entries))
    assert [image.view for image in source.studies()[0].images] == [View.UNKNOWN] * 2
    assert source.dropped[ODD] == 1


def test_missing_images_are_counted_and_their_studies_left_out(tmp_path: Path) -> None:
    entries = rexgradient_entries()
    entries[0]["ImagePath"] = None
    root = rexgradient(tmp_path, entries)
    (root / "metadata" / entries[1]["ImagePath"][0]).unlink()
    source = ReXGradient(root)
    studies = source.studies()
    assert [len(study.images) for study in studies] == [1, 2, 2]
    assert studies[0].images[0].view is View.LATERAL  # the view stays with its image
    assert source.dropped["no image found"] == 1
    assert source.dropped["images that are no file"] == 1


def test_metadata_right_under_root_do_too(tmp_path: Path) -> None:
    root = rexgradient(tmp_path)
    for path in (root / "metadata").iterdir():
        path.rename(root / path.name)
    assert len(ReXGradient(root).studies()) == 4


def test_other_splits_are_drawn_from_all_studies(tmp_path: Path) -> None:
    root = rexgradient(tmp_path)
    assert {s.split for s in ReXGradient(root, split="all_train").studies()} == {"train"}
    drawn = ReXGradient(root, split="study", test_share=0.25, val_share=0.25).studies()
    assert sorted(str(study.split) for study in drawn) == ["test", "train", "train", "val"]
    with pytest.raises(OptionError, match=r"data\.split must be one of official, study, dedup"):
        ReXGradient(root, split="r2gen")


def path_out(entry: dict[str, Any]) -> None:
    entry["ImagePath"][0] = "../../secret.png"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (path_out, "must lie under the image folder"),
        (lambda entry: entry.update(ImagePath=["/etc/a.png"]), "must lie under the image folder"),
        (lambda entry: entry.update(ImagePath=[None]), "must lie under the image folder"),
        (lambda entry: entry.update(ImagePath="a.png"), "ImagePath must be a list of texts"),
        (lambda entry: entry.update(ImageViewPosition=[1]), "ImageViewPosition must be a list"),
        (lambda entry: entry.update(Findings=["x"]), "Findings must be text"),
        (lambda entry: entry.update(PatientID=None), "no study with a PatientID"),
        (lambda entry: entry.update(PatientID="../x"), "id '../x' must be letters"),
    ],
)
def test_a_bad_entry_is_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    root = rexgradient(tmp_path)
    content = json.loads(metadata(root).read_text())
    change(content["pGRDNP1_aGRDNA1_s1.2.1"])
    metadata(root).write_text(json.dumps(content))
    with pytest.raises(DataError, match=words) as caught:
        ReXGradient(root).studies()
    assert f"{metadata(root)}, study pGRDNP1_aGRDNA1_s1.2.1" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON .*download the metadata again"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "no studies by their id"),
        ('{"a": 1}', "study a: no study with a PatientID"),
        ('{"../a": {}}', "id '../a' must be letters"),
        ("", "is empty"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = metadata(rexgradient(tmp_path), "valid")
    path.write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        ReXGradient(tmp_path).studies()
    assert str(path) in str(caught.value)


def test_a_study_in_two_splits_is_an_error(tmp_path: Path) -> None:
    root = rexgradient(tmp_path)
    metadata(root, "test").write_bytes(metadata(root).read_bytes())
    with pytest.raises(DataError, match=r"test_metadata.*pGRDNP0_.* stands twice"):
        ReXGradient(root).studies()


def test_what_is_missing_is_named_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder; set data\.root"):
        ReXGradient(tmp_path / "nowhere").studies()
    root = rexgradient(tmp_path / "rex")
    for path in (root / "deid_png").rglob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"no image .*unpack deid_png\.part\*"):
        ReXGradient(root).studies()
    metadata(root, "valid").unlink()
    with pytest.raises(DataError, match=r"no metadata/valid_metadata.*download rexgradient"):
        ReXGradient(root).studies()
