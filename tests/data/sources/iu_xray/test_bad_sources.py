"""What is wrong with a folder or an option of IU X-ray is named in one line."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.pictures import gray, write_png
from tests.data.sources.iu_xray.layouts import kaggle, r2gen
from xray_report.data.sources.iu_xray import IUXRay
from xray_report.errors import DataError, OptionError


@pytest.fixture(autouse=True)
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": "random"}, "data.split must be one of study, dedup, r2gen, all_train"),
        ({"views": "both"}, "data.views must be one of first, all_pairs"),
        ({"val_share": 1.5}, "data.val_share must be"),
        ({"val_share": 0.5, "test_share": 0.5}, "must stay below 1"),
    ],
)
def test_bad_option_is_refused_at_once(options: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        IUXRay("anywhere", **options)  # type: ignore[arg-type]


def test_r2gen_split_needs_the_annotation(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"give data\.annotation=FILE"):
        IUXRay(kaggle(tmp_path), split="r2gen").studies()


def test_unreadable_image_is_met_at_load_not_before(tmp_path: Path) -> None:
    root = kaggle(tmp_path)
    write_png(root / "images/images_normalized/2_IM-0002-1001.dcm.png", gray(0, (1, 1)))
    assert len(IUXRay(root, split="all_train").studies()) == 4
