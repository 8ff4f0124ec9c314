"""Small copies of the collections' published forms, of made-up reports and noise images."""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.data.pictures import write_png
from xray_report.text.facts import CHEXPERT_CLASSES


class Made(NamedTuple):
    """One made-up study: image keys with F, L or ? as projection."""

    uid: str
    findings: str
    impression: str
    mesh: str
    images: dict[str, str]
    caption: str = "PA and lateral chest"


STUDIES = (
    Made("1", "Clear lungs.", "Normal.", "normal", {"1_IM-0001-3001": "L", "1_IM-0001-4001": "F"}),
    Made("2", "Big heart.", "", "Cardiomegaly/mild", {"2_IM-0002-1001": "F"}),
    Made("3", "", "Fracture.", "Fractures, Bone", {"3_IM-0003-0001-0001": "F"}),
    Made("10", "XXXX.", "XXXX", "No Indexing", {"10_IM-0004-1001": "F", "10_IM-0004-2001": "L"}),
    Made("11", "No image.", "None.", "normal", {}),
)
PROJECTIONS = {"F": "Frontal", "L": "Lateral"}


def write_csv(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_images(folder: Path, template: str, studies: Sequence[Made] = STUDIES) -> None:
    """Noise images named by `template` of key and uid; the seed is the key's place in the list."""
    keys = [(made.uid, key) for made in studies for key in sorted(made.images)]
    for seed, (uid, key) in enumerate(keys):
        write_png(folder / template.format(key=key, uid=uid, rest=key.split("_", 1)[1]), seed)


def kaggle(root: Path, studies: Sequence[Made] = STUDIES) -> Path:
    rows = [
        {
            "uid": made.uid,
            "MeSH": made.mesh,
            "image": made.caption,
            "findings": made.findings,
            "impression": made.impression,
        }
        for made in studies
    ]
    write_csv(root / "indiana_reports.csv", rows)
    write_projections(root, studies)
    write_images(root / "images" / "images_normalized", "{key}.dcm.png", studies)
    return root


def write_projections(root: Path, studies: Sequence[Made] = STUDIES) -> None:
    rows = [
        {"uid": made.uid, "filename": f"{key}.dcm.png", "projection": PROJECTIONS[view]}
        for made in studies
        for key, view in made.images.items()
    ]
    write_csv(root / "indiana_projections.csv", rows)


def xml(made: Made) -> str:
    images = "".join(
        f'<parentImage id="CXR{key}"><caption>{made.caption}</caption></parentImage>'
        for key in sorted(made.images)
    )
    mesh = "".join(f"<major>{term}</major>" for term in made.mesh.split(";"))
    return (
        f'<?xml version="1.0" encoding="utf-8"?><eCitation><uId id="CXR{made.uid}"/><Abstract>'
        f'<AbstractText Label="FINDINGS">{made.findings}</AbstractText>'
        f'<AbstractText Label="IMPRESSION">{made.impression}</AbstractText></Abstract>'
        f"<MeSH>{mesh}<automatic>opacity</automatic></MeSH>{images}</eCitation>"
    )


def nlm(root: Path, studies: Sequence[Made] = STUDIES, *, packed: bool = False) -> Path:
    folder = root / "ecgen-radiology"
    folder.mkdir(parents=True)
    for made in studies:
        (folder / f"{made.uid}.xml").write_text(xml(made), encoding="utf-8")
    if packed:
        with tarfile.open(root / "NLMCXR_reports.tgz", "w:gz") as archive:
            archive.add(folder, "ecgen-radiology")
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    write_images(root / "NLMCXR_png", "CXR{uid}_1_{rest}.png", studies)
    return root


def r2gen(root: Path, studies: Sequence[Made] = STUDIES) -> Path:
    """Studies with findings and an image; the first two of its images in the order of the key."""
    entries: dict[str, list[object]] = {"train": [], "val": [], "test": []}
    seed = 0
    for made in studies:
        chosen = made.findings and made.images
        number = sorted(made.images)[0].split("IM-")[1].split("-")[0] if made.images else ""
        name = f"CXR{made.uid}_1_IM-{number}" if made.uid == "1" else f"CXR{made.uid}_IM-{number}"
        for place, _ in enumerate(sorted(made.images)):
            if chosen:
                write_png(root / "images" / name / f"{place}.png", seed)
            seed += 1
        if chosen:
            split = {"1": "train", "2": "val"}.get(made.uid, "test")
            paths = [f"{name}/{place}.png" for place in range(len(made.images))]
            entry = {"id": name, "report": made.findings, "image_path": paths, "split": split}
            entries[split].append(entry)
    root.mkdir(parents=True, exist_ok=True)
    (root / "annotation.json").write_text(json.dumps(entries))
    return root


MIMIC_SPLITS = ("train", "train", "validate", "test")
MIMIC_REPORT = "FINDINGS: Study {}.\n\nIMPRESSION:\n Done."


def mimic_metadata() -> list[dict[str, str]]:
    return [
        {
            "dicom_id": f"{n:08x}-{view}",
            "subject_id": str(10000000 + n),
            "study_id": str(50000000 + n),
            "ViewPosition": position,
        }
        for n in range(4)
        for view, position in enumerate(("PA", "LATERAL", ""))
    ]


def mimic_folder(row: dict[str, str]) -> str:
    return f"p10/p{row['subject_id']}/s{row['study_id']}"


def mimic(root: Path) -> Path:
    rows = mimic_metadata()
    write_csv(root / "mimic-cxr-2.0.0-metadata.csv", rows)
    splits = [
        {"study_id": str(50000000 + n), "split": split} for n, split in enumerate(MIMIC_SPLITS)
    ]
    write_csv(root / "mimic-cxr-2.0.0-split.csv", splits)
    blank = dict.fromkeys(CHEXPERT_CLASSES, "")
    labels = {"study_id": "50000000"} | blank | {"Edema": "1.0", "Pneumonia": "-1.0"}
    write_csv(root / "mimic-cxr-2.0.0-chexpert.csv", [labels])
    for seed, row in enumerate(rows):
        write_png(root / "files" / mimic_folder(row) / f"{row['dicom_id']}.jpg", seed)
        report = root / "files" / f"{mimic_folder(row)}.txt"
        report.write_text(MIMIC_REPORT.format(row["study_id"]))
    return root


REX_SPLITS = ("train", "train", "valid", "test")


def rexgradient_entries() -> list[dict[str, Any]]:
    """Studies in the published form: study n of patient n, a frontal and a lateral image each."""
    return [
        {
            "StudyInstanceUid": f"1.2.{n}",
            "PatientID": f"GRDNP{n}",
            "AccessionNumber": f"GRDNA{n}",
            "PatientSex": "F",
            "PatientAge": "036Y",
            "StudyDate": 20200101,
            "Indication": "Cough.",
            "Comparison": "None",
            "Findings": f"Study {n}\n is clear.",
            "Impression": "Normal.",
            "ImagePath": [
                f"../deid_png/GRDNP{n}/GRDNA{n}/studies/1.2.{n}/series/1/instances/1.{i}.png"
                for i in range(2)
            ],
            "ImageViewPosition": ["PA", "LATERAL"],
        }
        for n in range(4)
    ]


def rexgradient(root: Path, entries: list[dict[str, Any]] | None = None) -> Path:
    """The metadata, and the images that it names; the split of entry n is that of `REX_SPLITS`."""
    entries = rexgradient_entries() if entries is None else entries
    (root / "metadata").mkdir(parents=True)
    for split in dict.fromkeys(REX_SPLITS):
        studies = {
            f"p{entry['PatientID']}_a{entry['AccessionNumber']}_s{entry['StudyInstanceUid']}": entry
            for entry, its in zip(entries, REX_SPLITS, strict=True)
            if its == split
        }
        path = root / "metadata" / f"{split}_metadata_view_position.json"
        path.write_text(json.dumps(studies))
    names = [name for entry in rexgradient_entries() for name in entry["ImagePath"]]
    for seed, name in enumerate(names):
        write_png(root / "metadata" / name, seed)
    return root


CHEXPERT_SPLITS = ("train",) * 10 + ("valid",) * 2


def chexpert_plus_rows() -> list[dict[str, str]]:
    """Rows in the published form: study 1 of patient n, a frontal and a lateral image each."""
    return [
        {
            "path_to_image": f"{split}/patient{n:05d}/study1/view{i + 1}_{view.lower()}.jpg",
            "path_to_dcm": f"{split}/patient{n:05d}/study1/view{i + 1}_{view.lower()}.dcm",
            "frontal_lateral": view,
            "ap_pa": "AP" if view == "Frontal" else "",
            "deid_patient_id": f"patient{n:05d}",
            "patient_report_date_order": "1",
            "report": f"NARRATIVE: Study {n}.",
            "section_findings": f"Study {n}\nis clear." if n % 2 else "",
            "section_impression": f"\n \n1. Normal {n}.",
            "age": "50.0",
            "split": split,
        }
        for n, split in enumerate(CHEXPERT_SPLITS)
        for i, view in enumerate(("Frontal", "Lateral"))
    ]


def chexpert_plus(
    root: Path, rows: list[dict[str, str]] | None = None, images: str = "PNG/PNG", end: str = ".png"
) -> Path:
    rows = chexpert_plus_rows() if rows is None else rows
    write_csv(root / "df_chexpert_plus_240401.csv", rows)
    for seed, row in enumerate(chexpert_plus_rows()):
        write_png(root / images / Path(row["path_to_image"]).with_suffix(end), seed)
    return root


def chexbert(root: Path, kind: str = "report", **labels: float | None) -> Path:
    """CheXbert's labels of all images: null but for `labels`, `_` for spaces."""
    said = {name.replace("_", " "): value for name, value in labels.items()}
    lines = [
        json.dumps(
            {"path_to_image": row["path_to_image"], **dict.fromkeys(CHEXPERT_CLASSES), **said}
        )
        for row in chexpert_plus_rows()
    ]
    path = root / "chexbert_labels" / f"{kind}_fixed.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


NIH_FINDINGS = ("No Finding", "Cardiomegaly|Effusion", "Hernia")


def nih_rows(patients: int = 12) -> list[dict[str, str]]:
    return [
        {
            "Image Index": f"{patient:08d}_{visit:03d}.png",
            "Finding Labels": NIH_FINDINGS[patient % 3],
            "Patient ID": str(patient),
            "View Position": "PA",
        }
        for patient in range(1, patients + 1)
        for visit in range(2)
    ]


def nih(root: Path, table: list[dict[str, str]]) -> Path:
    write_csv(root / "Data_Entry_2017_v2020.csv", table)
    for seed, row in enumerate(table):
        folder = root / f"images_{1 + seed % 2:03d}" / "images"
        write_png(folder / Path(row["Image Index"]).name, seed)
    return root
