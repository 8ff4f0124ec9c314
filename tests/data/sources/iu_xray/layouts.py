"""Small copies of the collection's published forms, of made-up reports and noise images."""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.data.pictures import write_png


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
