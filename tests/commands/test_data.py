from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.data.pictures import gray, write_png
from tests.data.sources.layouts import (
    chexbert,
    chexpert_plus,
    kaggle,
    mimic,
    nih,
    nih_rows,
    r2gen,
    rexgradient,
)
from xray_report.commands.data import app
from xray_report.errors import DataError, OptionError


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["audit", *arguments])
    if result.exception is not None:
        raise result.exception
    return result.output


def test_audit_of_iu_xray_as_table_and_json(tmp_path: Path) -> None:
    root = r2gen(kaggle(tmp_path / "data"))
    bomb = root / "images/images_normalized/1_IM-0001-3001.dcm.png"
    write_png(bomb, gray(0, (1, 1)))
    out = tmp_path / "out" / "audit.json"
    table = run("iu_xray", "--root", str(root), "--split", "r2gen", "--json", str(out))
    numbers = json.loads(out.read_text())
    assert numbers["published"]["reports"] == 5
    assert numbers["published"]["without findings"] == 1
    assert numbers["dropped"] == {"not in split r2gen": 2, "no image found": 0}
    assert numbers["studies"] == 3
    assert {name: side["studies"] for name, side in numbers["splits"].items()} == {
        "train": 1,
        "val": 1,
        "test": 1,
    }
    assert numbers["splits"]["train"]["normal"] == 1.0
    assert numbers["views"] == {"frontal": 3, "lateral": 2}
    assert numbers["views learnt from"] == {"projections": 5}
    assert numbers["overlap"] == {"studies": 0, "patients": 0}
    (bad,) = numbers["unreadable images"]
    assert bad["study"] == "1"
    assert str(bomb) in bad["error"]
    # Study 10's report is XXXX alone.
    assert numbers["text"]["nothing left after cleaning"] == 1
    assert "nothing left after cleaning" in table


def test_audit_of_a_table(tmp_path: Path) -> None:
    lines = ["id,file,report"]
    for n in range(6):
        write_png(tmp_path / f"{n}.png", n)
        lines.append(f"{n},{n}.png,The heart is {'normal' if n % 2 else 'large'}.")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    columns = ("study_id=id", "image=file", "findings=report")
    out = tmp_path / "audit.json"
    run(
        "csv",
        *("--table", str(tmp_path / "t.csv"), "--json", str(out)),
        *(word for column in columns for word in ("--column", column)),
    )
    numbers = json.loads(out.read_text())
    assert numbers["studies"] == 6
    assert numbers["text"]["words"]["mean"] == 3.0
    assert numbers["text"]["also in train"]["test"] in (0.0, 1.0)


def test_audit_of_nih(tmp_path: Path) -> None:
    out = tmp_path / "audit.json"
    root = nih(tmp_path / "nih", nih_rows())
    run("nih_chestxray14", "--root", str(root), "--json", str(out))
    numbers = json.loads(out.read_text())
    assert (numbers["studies"], numbers["patients"]) == (24, 12)
    assert numbers["labels"]["No Finding"] == 8
    assert numbers["overlap"] == {"studies": 0, "patients": 0}


def test_audit_of_mimic_with_reports_elsewhere(tmp_path: Path) -> None:
    out = tmp_path / "audit.json"
    root = mimic(tmp_path / "mimic")
    for report in list((root / "files").rglob("*.txt")):
        moved = tmp_path / "reports" / report.relative_to(root / "files")
        moved.parent.mkdir(parents=True, exist_ok=True)
        report.rename(moved)
    options = ("--root", str(root), "--json", str(out), "--target", "impression")
    run("mimic_cxr", *options, "--reports", str(tmp_path / "reports"))
    numbers = json.loads(out.read_text())
    assert {name: side["studies"] for name, side in numbers["splits"].items()} == {
        "train": 2,
        "val": 1,
        "test": 1,
    }
    assert numbers["text"]["target"] == "impression"
    assert numbers["text"]["studies without it"] == 0
    assert numbers["text"]["also in train"] == {"val": 1.0, "test": 1.0}


@pytest.mark.parametrize("name", ["rexgradient", "chexpert_plus"])
def test_audit_of_the_large_collections(tmp_path: Path, name: str) -> None:
    out = tmp_path / "audit.json"
    made = {"rexgradient": rexgradient, "chexpert_plus": chexpert_plus}[name]
    root = made(tmp_path / "films")
    chexbert(root, Edema=1.0)  # which rexgradient does not read
    options = ("--split", "official", "--target", "both", "--seed", "1")
    run(name, "--root", str(root), "--json", str(out), *options)
    numbers = json.loads(out.read_text())
    expected = {"rexgradient": (4, 1, {}), "chexpert_plus": (12, 2, {"Edema": 12})}[name]
    studies, tested, labels = expected
    assert (numbers["studies"], numbers["splits"]["test"]["studies"]) == (studies, tested)
    assert {key: count for key, count in numbers["labels"].items() if count} == labels
    assert numbers["unreadable images"] == []
    with pytest.raises(OptionError, match=f"--reports is no option of {name}"):
        run(name, "--root", str(root), "--reports", ".")


def test_a_patient_on_two_sides_is_an_error(tmp_path: Path) -> None:
    lines = ["study_id,file,person,side"]
    for n, side in enumerate(("train", "val", "test")):
        write_png(tmp_path / f"{n}.png", n)
        lines.append(f"{n},{n}.png,{min(n, 1)},{side}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    columns = ("image=file", "patient_id=person", "split=side")
    pairs = [word for column in columns for word in ("--column", column)]
    with pytest.raises(DataError, match="1 patient ids are in more than one split, such as '1'"):
        run("csv", "--table", str(tmp_path / "t.csv"), "--split", "official", *pairs)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("chexpert",), "DATA must be one of phantom, iu_xray"),
        (("nih_chestxray14",), "needs --root DIR"),
        (("csv",), "csv needs --table"),
        (("iu_xray", "--table", "t.csv"), "--table is no option of iu_xray"),
        (("mimic_cxr", "--label", "x"), "--label is no option of mimic_cxr"),
        (("iu_xray", "--reports", "."), "--reports is no option of iu_xray"),
        (("nih_chestxray14", "--root", ".", "--target", "both"), "--target is no option of nih"),
        (("nih_chestxray14", "--root", ".", "--annotation", "a"), "is no option of nih"),
        (("csv", "--table", "t.csv", "--column", "image"), "must be MEANING=NAME"),
        (("iu_xray", "--split", "random"), "data.split must be one of"),
    ],
)
def test_bad_options_are_named(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(OptionError) as caught:
        run(*arguments)
    assert words in str(caught.value)
