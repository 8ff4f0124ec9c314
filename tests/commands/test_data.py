from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.data.iu_xray.layouts import kaggle, r2gen
from tests.data.pictures import gray, write_png
from xray_report.commands.data import app
from xray_report.errors import OptionError


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
    assert numbers["dropped"] == {"not R2Gen's": 2, "no image found": 0}
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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("chexpert",), "DATA must be one of iu_xray"),
        (("nih_chestxray14",), "needs --root DIR"),
        (("csv",), "csv needs --table"),
        (("iu_xray", "--table", "t.csv"), "are options of csv"),
        (("nih_chestxray14", "--root", ".", "--annotation", "a"), "is no option of nih"),
        (("csv", "--table", "t.csv", "--column", "image"), "must be MEANING=NAME"),
        (("iu_xray", "--split", "random"), "data.split must be one of"),
    ],
)
def test_bad_options_are_named(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(OptionError) as caught:
        run(*arguments)
    assert words in str(caught.value)
