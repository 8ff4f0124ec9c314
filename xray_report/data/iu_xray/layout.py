"""What of the collection lies under a folder, recognised by name wherever it lies."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from xray_report.data.folders import walk
from xray_report.data.iu_xray import kaggle
from xray_report.data.iu_xray.ids import R2GenImage, image_key, r2gen_image, study_of
from xray_report.data.iu_xray.published import PublishedReport

XML_FOLDER, TGZ, ANNOTATION = "ecgen-radiology", "NLMCXR_reports.tgz", "annotation.json"
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".dcm"})


@dataclass
class Layout:
    """Files found, the shallowest where a name is found twice; images by key and R2Gen name."""

    xml_folder: Path | None = None
    files: dict[str, Path] = field(default_factory=dict)
    by_key: dict[str, Path] = field(default_factory=dict)
    by_r2gen: dict[R2GenImage, Path] = field(default_factory=dict)
    unrecognised: list[Path] = field(default_factory=list)

    @property
    def has_images(self) -> bool:
        """Whether any image of the collection was found."""
        return bool(self.by_key or self.by_r2gen)

    def images_by_study(self, reports: list[PublishedReport]) -> dict[str, dict[str, Path]]:
        """For each report's study: image key -> file, by key, as the XML report orders them."""
        found: dict[str, dict[str, Path]] = {report.study_id: {} for report in reports}
        listed = {report.study_id: report.image_keys for report in reports}
        for (study_id, position), path in self.by_r2gen.items():
            if study_id in found:
                keys = listed[study_id]
                key = keys[position] if position < len(keys) else f"{study_id}_R2Gen-{position:02d}"
                found[study_id][key] = path
        for key, path in self.by_key.items():
            if study_of(key) in found:
                found[study_of(key)][key] = path
        return {study_id: dict(sorted(images.items())) for study_id, images in found.items()}


def scan(root: Path) -> Layout:
    """Look through `root` and the folders under it, links followed. Raises `DataError`."""
    layout = Layout()
    for folder, names in walk(root):
        if folder.name == XML_FOLDER and layout.xml_folder is None:
            layout.xml_folder = folder
        for name in names:
            _sort_in(layout, folder, name)
    return layout


def _sort_in(layout: Layout, folder: Path, name: str) -> None:
    if name in (TGZ, ANNOTATION, kaggle.REPORTS, kaggle.PROJECTIONS):
        layout.files.setdefault(name, folder / name)
    elif Path(name).suffix.lower() in IMAGE_SUFFIXES:
        key, renamed = image_key(name), r2gen_image(folder.name, name)
        if key is not None:
            layout.by_key.setdefault(key, folder / name)
        elif renamed is not None:
            layout.by_r2gen.setdefault(renamed, folder / name)
        else:
            layout.unrecognised.append(folder / name)
