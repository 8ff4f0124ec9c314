"""What CheXNet learns of a study, and where that is learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.data.sources.layouts import write_csv
from tests.tiny_source import LABELS, NoisePixels, tiny_study
from xray_report.data.images import FilePixels
from xray_report.data.study import Study, StudyImage, View
from xray_report.errors import DataError, OptionError
from xray_report.text.facts import CHEXPERT_CLASSES
from xray_report.training.labels import (
    LEAST_NAMED,
    Labelling,
    ReportFindings,
    findings_of,
    say_one_sided,
)

REPORT = Study(
    "r",
    images=(StudyImage(NoisePixels(1), View.FRONTAL),),
    findings="The heart is enlarged. Possible pneumonia. No pneumothorax.",
    impression="Small left pleural effusion.",
    split="train",
)
TERMS = replace(REPORT, study_id="t", terms=("Opacity/lung/base/left", "Catheters, Indwelling"))


def labels_of(study: Study, **options: str | Sequence[str]) -> dict[str, float]:
    (labelled,), names = Labelling(**options)([study], ())  # type: ignore[arg-type]
    assert labelled.labels is not None
    assert set(labelled.labels) == set(names)
    return dict(labelled.labels)


def test_findings_and_impression_are_read() -> None:
    labels = labels_of(REPORT, labels="reports")
    assert tuple(labels) == CHEXPERT_CLASSES
    present = {name for name, value in labels.items() if value == 1}
    assert present == {"Cardiomegaly", "Pleural Effusion"}
    assert labels["Pneumothorax"] == labels["Fracture"] == labels["No Finding"] == 0


@pytest.mark.parametrize(("uncertain", "value"), [("positive", 1.0), ("negative", 0.0)])
def test_possible_findings_are_what_they_are_said_to_be(uncertain: str, value: float) -> None:
    assert labels_of(REPORT, labels="reports", uncertain=uncertain)["Pneumonia"] == value


def test_a_label_that_is_unknown_in_all_of_train_is_not_learnt() -> None:
    labels = labels_of(REPORT, labels="reports", uncertain="unknown")
    assert set(CHEXPERT_CLASSES) - set(labels) == {"Pneumonia"}


def test_annotators_come_before_the_report_unless_they_left_it_out() -> None:
    labels = labels_of(TERMS)
    assert {name for name, value in labels.items() if value} == {"Lung Opacity", "Support Devices"}
    assert labels_of(TERMS, labels="reports")["Cardiomegaly"] == 1
    left_out = replace(TERMS, terms=("No Indexing",))
    assert labels_of(left_out)["Cardiomegaly"] == 1
    with pytest.raises(DataError, match=r"no training study has labels by model\.labels=\[annot"):
        Labelling("annotators")([left_out], CHEXPERT_CLASSES)


def test_published_labels_stay_as_they_are_and_images_keep_theirs() -> None:
    studies = [tiny_study(n, "train") for n in range(4)]
    labelled, names = Labelling()(studies, LABELS)
    assert (labelled, names) == (studies, LABELS)
    of_image = replace(studies[0].images[0], labels={LABELS[0]: 1.0})
    one = replace(studies[0], images=(of_image,))
    assert Labelling("published")([one], LABELS)[0] == [one]
    # What a report says of a study holds for each of its images.
    read = Labelling("reports")([one], LABELS)[0][0]
    assert read.images[0].labels is None


def test_studies_without_labels_are_counted_and_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    blank = replace(REPORT, study_id="b", findings=None, impression=None)
    published = tiny_study(1, "val")
    labelled, names = Labelling()([REPORT, TERMS, blank, published], LABELS)
    assert [study.study_id for study in labelled] == ["r", "t", "tiny-001"]
    assert names == CHEXPERT_CLASSES
    said = capsys.readouterr().err
    assert "1 by annotators' terms, 1 by published labels, 1 by reports; 1 without any" in said


def test_labels_with_nothing_to_learn_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    nan = float("nan")
    labels = torch.tensor([[1.0, 0.0, 1.0, 0.3], [0.0, nan, 1.0, 0.4]])
    say_one_sided(("A", "B", "C", "D"), labels)
    said = capsys.readouterr().err
    assert "no positive in train, so not learnt: B; no negative in train, so not learnt: C" in said
    say_one_sided(("A",), labels[:, :1])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"labels": "mesh"}, r"model\.labels must be one of annotators, published, reports"),
        ({"labels": []}, r"model\.labels must name one or more"),
        ({"labels": 3}, r"model\.labels must be a list"),
        ({"uncertain": "maybe"}, r"model\.uncertain must be one of positive, negative, unknown"),
        ({"soft_targets": 3}, r"model\.soft_targets must be a path"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        Labelling(**options)  # type: ignore[arg-type]


def filed(study: Study, *names: str) -> Study:
    """The study with images that are files of these names."""
    images = tuple(StudyImage(FilePixels(Path("d") / name), View.FRONTAL) for name in names)
    return replace(study, images=images)


def table(path: Path, *rows: tuple[str, str, str]) -> Path:
    fields = ("Image Index", "prob_Effusion", "prob_Hernia")
    write_csv(path, [dict(zip(fields, row, strict=True)) for row in rows])
    return path


def test_soft_targets_are_joined_by_file_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(tmp_path / "t.csv", ("b.png", "0.25", "0.5"), ("c.png", "0.75", "0.5"))
    studies = [filed(REPORT, "a.jpg", "b.jpg"), filed(replace(TERMS, split="val"), "c.jpg")]
    (first, second), names = Labelling("reports", soft_targets=path)(studies, ())
    assert names == CHEXPERT_CLASSES
    assert first.images[0].labels is None
    soft = first.images[1].labels
    assert soft is not None
    assert (soft["Pleural Effusion"], soft["Cardiomegaly"]) == (0.25, 1.0)
    assert second.images[0].labels is None  # validation is by what is so
    said = capsys.readouterr().err
    assert (
        "tells Pleural Effusion of 1 of 2 training images; 1 of its rows are of none, and" in said
    )
    assert "prob_Hernia no label" in said


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("x", "0.5", "0")], "none of its 1 images is a training image"),
        ([("b", "1.5", "0")], "row 2: '1.5' is no probability from 0 to 1"),
        ([("b", "", "0")], "row 2: '' is no probability"),
        ([("b.png", "0", "0"), ("b.jpg", "0", "0")], "row 3: image b stands twice"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    tmp_path: Path, rows: list[tuple[str, str, str]], said: str
) -> None:
    path = table(tmp_path / "t.csv", *rows)
    with pytest.raises(DataError, match=said):
        Labelling("reports", soft_targets=path)([filed(REPORT, "b.jpg")], ())


def test_names_that_tell_no_images_apart_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", ("0", "0.5", "0"))
    studies = [filed(REPORT, "0.png"), filed(TERMS, "0.png")]
    with pytest.raises(DataError, match="0 names images of two training studies, r and t"):
        Labelling("reports", soft_targets=path)(studies, ())
    write_csv(path, [{"image": "0", "Gout": "1"}])
    with pytest.raises(DataError, match="none of its columns is one of the labels"):
        Labelling("reports", soft_targets=path)(studies, ())
    write_csv(path, [{"file": "0", "Edema": "1"}])
    with pytest.raises(DataError, match="no column image or Image Index"):
        Labelling("reports", soft_targets=path)(studies, ())


def test_a_detector_learns_what_enough_training_reports_name_and_of_which_side_and_size() -> None:
    effusions = ("pleural_effusion", "pleural_effusion|left", "pleural_effusion|small")
    assert findings_of(REPORT) == {"cardiomegaly", *effusions}
    effusion = [
        replace(REPORT, study_id=f"e{n}", findings="No nodule.") for n in range(LEAST_NAMED)
    ]
    others = [
        replace(REPORT, study_id="rare", findings="A granuloma.", impression=None),
        *(
            replace(REPORT, study_id=f"v{n}", findings="Large heart.", impression="", split="val")
            for n in range(LEAST_NAMED)
        ),
    ]
    labelled, names = ReportFindings()([*effusion, *others], ("published",))
    assert names == effusions
    assert [study.study_id for study in labelled] == [one.study_id for one in [*effusion, *others]]
    assert labelled[0].labels == dict.fromkeys(effusions, 1.0)
    assert labelled[LEAST_NAMED].labels == dict.fromkeys(effusions, 0.0)
    assert all(image.labels is None for study in labelled for image in study.images)
    with pytest.raises(DataError, match=r"label_guidance=evidence: no finding is named by 5 train"):
        ReportFindings()(others, ())
