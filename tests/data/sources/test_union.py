"""Several collections as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.sources.layouts import nih, nih_rows
from tests.tiny_source import TinySource
from xray_report.data.sources.nih_chestxray14 import NIHChestXray14
from xray_report.data.sources.union import Union, ids_by_collection
from xray_report.data.study import DrawnSource
from xray_report.errors import OptionError


def both(tmp_path: Path) -> Union:
    rows = nih_rows()
    rows[0]["Finding Labels"] = "Effusion|Mass"
    return Union({"tiny": TinySource(), "nih": NIHChestXray14(nih(tmp_path, rows))})


def test_studies_of_all_with_their_own_splits(tmp_path: Path) -> None:
    union = both(tmp_path)
    studies = union.studies()
    assert union.name == "tiny+nih_chestxray14"
    assert len(studies) == 16 + 24
    assert [study.split for study in studies[:16]] == [
        study.split for study in TinySource().studies()
    ]
    assert (studies[0].study_id, studies[0].patient_id) == ("tiny.tiny-000", "tiny.patient-000")
    assert union.dropped == {"no image found": 0}
    assert isinstance(union, DrawnSource)


def test_labels_of_one_meaning_are_one_and_others_unknown(tmp_path: Path) -> None:
    union = both(tmp_path)
    assert union.label_names[:4] == (
        "Cardiomegaly", "Pleural Effusion", "Lung Opacity", "Atelectasis",
    )  # fmt: skip
    assert "Effusion" not in union.label_names
    assert len(union.label_names) == 3 + 14 - 2
    studies = {study.study_id: study for study in union.studies()}
    film = studies["nih.00000001_000"].labels
    assert film is not None
    assert (film["Pleural Effusion"], film["Mass"], film["Cardiomegaly"]) == (1, 1, 0)
    assert "Lung Opacity" not in film
    # NIH's is of its 14 classes alone, CheXpert's of whatever there is.
    assert "No Finding" not in film
    drawn = studies["tiny.tiny-000"].labels
    assert drawn is not None
    assert "Mass" not in drawn


def test_ids_go_back_to_their_collections(tmp_path: Path) -> None:
    union = both(tmp_path)
    ids = ids_by_collection(union, union.studies())
    assert list(ids) == ["tiny", "nih_chestxray14"]
    assert ids["tiny"][0] == "tiny-000"
    assert "00000001_000" in ids["nih_chestxray14"]
    assert ids_by_collection(TinySource(), TinySource().studies()[:1]) == {"tiny": ["tiny-000"]}


def test_bad_options_are_refused() -> None:
    with pytest.raises(OptionError, match=r"data\.sources must hold two data sets or more"):
        Union({"tiny": TinySource()})
    with pytest.raises(OptionError, match=r"'a\.b' must not hold a full stop"):
        Union({"a.b": TinySource(), "c": TinySource()})
    with pytest.raises(OptionError, match=r"data\.strict must be true or false"):
        Union({"a": TinySource(), "b": TinySource()}, strict="no")  # type: ignore[arg-type]
