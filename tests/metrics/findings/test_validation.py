"""Terms to classes, and the validation's arithmetic."""

from __future__ import annotations

import importlib.util
import json

import pytest
import typer
from typer.testing import CliRunner

from xray_report.commands.labeller import validate_labeller
from xray_report.metrics.findings.validation import (
    AnnotatedReport,
    classes_of_terms,
    half_of,
    validate,
)

TERMS = [
    (["normal"], {"No Finding"}),
    (["Cardiomegaly/mild"], {"Cardiomegaly"}),
    (["Cardiac Shadow/enlarged/mild"], {"Cardiomegaly"}),
    (["Heart/right/obscured"], set()),
    (["Mediastinum/prominent"], {"Enlarged Cardiomediastinum"}),
    (["Opacity/lung/base/left/streaky"], {"Lung Opacity"}),
    (["Opacity/lung/upper lobe/left/round"], {"Lung Lesion"}),
    (["Density/ribs/left/anterior"], set()),
    (["Infiltrate/lung/base/left", "Pneumonia/lower lobe/left"], {"Lung Opacity", "Pneumonia"}),
    (["Markings/lung/interstitial/chronic"], {"Lung Opacity"}),
    (["Markings/bronchovascular"], set()),
    (["Cicatrix/lung/apex/bilateral"], {"Lung Opacity"}),
    (["Cicatrix/pleura/apex/left"], {"Pleural Other"}),
    (["Thickening/pleura/right"], {"Pleural Other"}),
    (["Calcified Granuloma/lung/upper lobe/left"], {"Lung Lesion"}),
    (["Granuloma/ribs/right/posterior"], set()),
    (["Granulomatous Disease"], set()),
    (["Pulmonary Congestion/mild"], {"Edema"}),
    (["Hydropneumothorax/right"], {"Pneumothorax", "Pleural Effusion"}),
    (["Fractures, Bone/ribs/left/healed"], {"Fracture"}),
    (["Catheters, Indwelling/right"], {"Support Devices", "No Finding"}),
    (["Catheters, Indwelling/right", "Spine/degenerative"], {"Support Devices"}),
    (["Technical Quality of Image Unsatisfactory"], {"No Finding"}),
]


@pytest.mark.parametrize(("terms", "classes"), TERMS)
def test_classes_of_terms(terms, classes):
    assert classes_of_terms(terms) == classes


@pytest.mark.parametrize("terms", [[], ["No Indexing"], [" "]])
def test_studies_without_annotation_have_no_classes(terms):
    assert classes_of_terms(terms) is None


def test_halves_are_fixed_and_alike():
    halves = [half_of(str(number)) for number in range(1, 4000)]
    assert halves[:6] == ["held_out", "dev", "dev", "held_out", "held_out", "held_out"]
    assert 0.48 < halves.count("dev") / len(halves) < 0.52


def test_agreement_by_hand():
    dev = [str(number) for number in range(1, 100) if half_of(str(number)) == "dev"]
    reports = [
        AnnotatedReport(dev[0], "Left effusion.", ("Pleural Effusion/left",)),
        AnnotatedReport(dev[1], "Left effusion.", ("normal",)),
        AnnotatedReport(dev[2], "Clear lungs.", ("Pleural Effusion/left",)),
        AnnotatedReport(dev[3], "Left effusion.", ("No Indexing",)),
        AnnotatedReport(dev[4], " ", ("Pleural Effusion/left",)),
    ]
    result = validate(reports)
    assert result.halves["dev"].studies == 3
    assert result.halves["dev"].classes["Pleural Effusion"] == (0.5, 0.5, 0.5, 2)
    assert result.halves["held_out"].studies == 0
    assert result.halves["dev"].macro_f1 == 0.0  # no class has thirty studies


def test_real_reports(tmp_path):
    if importlib.util.find_spec("torchxrayvision") is None:
        pytest.skip("the iu-xray extra, which carries the real reports, is not installed")
    app = typer.Typer()
    app.command()(validate_labeller)
    out = tmp_path / "labeller.json"
    result = CliRunner().invoke(app, ["--json", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "held_out: 1887 studies" in result.output
    numbers = json.loads(out.read_text())
    assert numbers["held_out/macro_f1"] >= 0.94
    assert numbers["dev/macro_f1"] >= 0.94
    assert numbers["held_out/pleural_effusion/support"] == 78
