"""Films without reports, to be read: a folder or PACS export, a table, ReXrank's JSON."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from xray_report.data.dicom import FilmTags, film_tags, is_dicom, trusted_view
from xray_report.data.folders import check_id, is_folder, path_inside, walk
from xray_report.data.images import FilePixels, read_header
from xray_report.data.sources.csv import VIEWS
from xray_report.data.sources.iu_xray import (
    DICOM_TAGS,
    PROJECTIONS_CSV,
    PublishedReport,
    find_in_extra,
    image_key,
    learn_views,
    r2gen_image,
    read_dicom_tags,
    read_projections,
    study_of,
)
from xray_report.data.study import Study, StudyImage, View
from xray_report.data.tables import read_json, read_table
from xray_report.errors import DataError, MissingExtraError


class Incoming(NamedTuple):
    """Studies to be read.

    Args:
        studies: each with its images, at most one of them known to be the one to take for a view;
            what lies behind a path is found out when it is loaded.
        notes: what was left out or guessed, a sentence each.
    """

    studies: list[Study]
    notes: list[str]


# A folder of any depth.

FILM_MODALITIES = ("", "CR", "DX", "RG", "OT", "SC")
"""Modality (0008,0060) of projection films, digitised ones too, or unsaid (PS3.3, C.7.3.1.1.1)."""
_FILM_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".dcm", ".dicom"})
_VIEW_WORDS = "frontal|pa|ap|lateral|lat|ll|rl"
_NAMED_VIEW = re.compile(rf"(?:(.+)[ _.-])?({_VIEW_WORDS})", re.IGNORECASE)
_SUFFIXES = re.compile(r"(\.(dcm|dicom|png|jpg|jpeg))+$", re.IGNORECASE)


@dataclass(frozen=True)
class _Film:
    """One image file found.

    Args:
        study_id: of its study; None where nothing says which files belong together.
        image: the file and its view.
        order: of images of a study that nothing says the view of.
    """

    study_id: str | None
    image: StudyImage
    order: tuple[int, int, int, str]


def studies_of_folder(root: Path) -> Incoming:
    """Studies of all films under a folder: what a PACS exported, or images by their names.

    DICOM files, whatever they are called, belong to the study of their Study Instance UID, their
    views are those that the sources take from the View Position tag (`dicom.trusted_view`).
    Directories, reports and other modalities than films are left out. PNG and JPEG files belong
    together where their names say so: those of IU X-ray (`CXR1_1_IM-0001-4001.png`,
    `CXR1_1_IM-0001/0.png`), and names that end in a view (`a_frontal.png` and `a_lateral.png`, or
    `a/pa.png` and `a/lat.png`). Any other file is a study by itself.

    Raises:
        DataError: no such folder, one that may not be read, or no film in it.
        MissingExtraError: there are DICOM files, and pydicom is not installed.
    """
    if not is_folder(root):
        raise DataError(f"{root}: no such folder; give --folder the folder that holds the films")
    films: list[_Film] = []
    left_out, projections = Counter[str](), dict[str, View]()
    for folder, names in walk(root):
        for name in names:
            if name == PROJECTIONS_CSV:
                projections = read_projections(folder / name)
            found = _film(folder / name, root)
            if isinstance(found, str):
                left_out[found] += 1
            else:
                films.append(found)
    if not films:
        raise DataError(f"{root}: no PNG, JPEG or DICOM film under it; give the folder with films")
    return _grouped(root, films, projections, left_out)


def _film(path: Path, root: Path) -> _Film | str:
    """The film that a file is, or else what the file is, in the plural."""
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError:  # said when its pixels are loaded
        start = b""
    tags = film_tags(path) if is_dicom(start) else None
    if tags is not None:
        return _dicom_film(path, root, tags)
    if is_dicom(start) and importlib.util.find_spec("pydicom") is None:
        raise MissingExtraError(
            f"{path}: reading DICOM needs pydicom: pip install 'xray-report[dicom]'"
        )
    if path.suffix.lower() not in _FILM_SUFFIXES and read_header(start) is None:
        return "files that are no image"
    return _named_film(path, root)


def _dicom_film(path: Path, root: Path, tags: FilmTags) -> _Film | str:
    if not tags.has_rows:
        return "DICOM files without an image (directories, reports)"
    if tags.modality not in FILM_MODALITIES:
        return f"DICOM images of modality {tags.modality[:16]}, no films"
    view = trusted_view(tags.view_position)
    image = StudyImage(FilePixels(path), *((view, "dicom") if view else ()))
    # The tag PA is not trusted, and yet the likelier frontal of two.
    order = (int(tags.view_position.upper() != "PA"), tags.series, tags.instance, str(path))
    return _Film(tags.study_uid[:64] or None, image, order)


def _named_film(path: Path, root: Path) -> _Film:
    """A film whose study and view, if anything, its name says."""
    image, order = StudyImage(FilePixels(path)), (0, 0, 0, str(path))
    key, renamed = image_key(path.name), r2gen_image(path.parent.name, path.name)
    if key or renamed:
        return _Film(f"CXR{renamed.study_id if renamed else study_of(str(key))}", image, order)
    named = _NAMED_VIEW.fullmatch(_SUFFIXES.sub("", path.name))
    if named is None:
        return _Film(None, image, order)
    folder = path.parent.relative_to(root)
    place = folder / named[1] if named[1] else folder
    if place == Path():  # root/pa.png
        place = Path(root.resolve().name or "study")
    image = replace(image, view=VIEWS[named[2].lower()], view_from="name")
    return _Film(place.as_posix(), image, order)


def _grouped(
    root: Path, films: Iterable[_Film], projections: Mapping[str, View], left_out: Counter[str]
) -> Incoming:
    groups: dict[str, list[_Film]] = {}
    alone = 0
    for film in films:
        name = film.study_id
        if name is None:
            alone += 1
            name = _path(film.image).relative_to(root).as_posix()
        groups.setdefault(name, []).append(film)
    listed = find_in_extra(DICOM_TAGS) if any(map(_key, films)) else None
    tags = read_dicom_tags(listed) if listed else {}
    studies = []
    for name, members in groups.items():
        ordered = [one.image for one in sorted(members, key=lambda one: one.order)]
        keys = [image_key(_path(image).name) for image in ordered]
        if all(keys):
            ordered = _with_views(ordered, [str(key) for key in keys], projections, tags)
        studies.append(Study(name, images=tuple(ordered)))
    notes = [f"left out: {count} {kind}" for kind, count in sorted(left_out.items())]
    if alone:
        notes.insert(
            0,
            f"{alone} of the films do not say which others they belong to: each is read as a "
            "study of its own (name them a_frontal.png and a_lateral.png, or give --table)",
        )
    return Incoming(sorted(studies, key=lambda study: study.study_id), notes)


def _path(image: StudyImage) -> Path:
    assert isinstance(image.pixels, FilePixels)
    return image.pixels.path


def _key(film: _Film) -> str | None:
    return image_key(_path(film.image).name)


def _with_views(
    images: list[StudyImage],
    keys: list[str],
    projections: Mapping[str, View],
    tags: Mapping[str, View],
) -> list[StudyImage]:
    """Images of IU X-ray with the views that its own tables give them, where nothing else did."""
    report = PublishedReport(study_of(keys[0]), image_keys=tuple(keys))
    learnt = learn_views(keys, report, projections, tags)
    return [
        image if image.view is not View.UNKNOWN else replace(image, view=view, view_from=source)
        for image, (view, source) in zip(images, learnt, strict=True)
    ]


# What a DICOM file says against reading it.

_CHEST = re.compile("CHEST|THORA|TORAX|LUNG|PULM|RIB|HEART|BRUST")
"""In Body Part Examined (0018,0015) of what holds a chest: defined terms (PS3.16, annex L) and
what is written in their place."""


def tag_warnings(path: Path, view: View, name: str) -> dict[str, str]:
    """What the tags of a DICOM file say against reading it as a chest film of that view.

    Args:
        path: of any file; others than DICOM say nothing.
        view: which it is read as.
        name: what sentences call it.

    Returns:
        Sentences by kind of warning: `modality`, `body_part`, `tagged_view`. Empty tags say
        nothing, and neither does the View Position PA, which `dicom.trusted_view` does not trust.
    """
    tags, found = film_tags(path), {}
    if tags is None:
        return {}
    if tags.modality not in FILM_MODALITIES:
        found["modality"] = f"{name} is tagged as modality {tags.modality[:16]}, which is no film"
    if tags.body_part and not _CHEST.search(tags.body_part):
        found["body_part"] = f"{name} is tagged as a film of the body part {tags.body_part[:32]}"
    tagged = trusted_view(tags.view_position)
    if tagged not in (None, view):
        say = f"its View Position tag says {tags.view_position[:16]}, which is {tagged.value}"
        found["tagged_view"] = f"{name} is read as {view.value}, and {say}"
    return found


# A table: one row a study.

_SIDES = {"frontal": View.FRONTAL, "lateral": View.LATERAL}


def studies_of_table(table: Path, images: Path | None = None) -> Incoming:
    """Studies of a CSV with columns study_id, frontal, lateral, or of ReXrank's JSON (.json).

    Args:
        table: one row a study; one of the views' columns, or of their cells, may be missing.
        images: folder that paths are relative to; None: the table's own.

    Raises:
        DataError: a table that cannot be read, a bad or repeated id, a path outside the folder.
    """
    folder = table.parent if images is None else images
    if table.suffix.lower() == ".json":
        return Incoming(list(_rexrank(table, folder)), [])
    rows = read_table(table, ["study_id"])
    if not _SIDES.keys() & rows[0][1].keys():
        raise DataError(
            f"{table}: no column frontal and no column lateral; name the columns of paths so"
        )
    found: dict[str, Study] = {}
    for place, row in rows:
        name = check_id(row["study_id"], place)
        if name in found:
            raise DataError(f"{place}: study {name} stands twice; remove one of its rows")
        films = tuple(
            StudyImage(FilePixels(path_inside(folder, row[side], place)), view, "table")
            for side, view in _SIDES.items()
            if row.get(side, "").strip()
        )
        found[name] = Study(name, images=films)
    return Incoming(list(found.values()), [])


_REXRANK_CURE = "give a table, or ReXrank's JSON (study id: image_path, frontal_lateral)"


def _rexrank(path: Path, folder: Path) -> Iterator[Study]:
    """Studies of ReXrank's test sets, github.com/rajpurkarlab/ReXrank, data/.

    `{study_id: {"image_path": [...], "frontal_lateral": [...], ...}}`; views are Frontal, Lateral,
    postero-anterior, left lateral and so on; paths may begin with a slash. Reports in it are not
    read.
    """
    content = read_json(path, _REXRANK_CURE)
    if not isinstance(content, dict) or not content:
        raise DataError(f"{path}: no studies by id; {_REXRANK_CURE}")
    for key, entry in content.items():
        place = f"{path}, study {key[:80]}"
        paths, views = _lists(entry, place)
        films = (
            (path_inside(folder, name.lstrip("/"), place), _spoken_view(view))
            for name, view in zip(paths, views, strict=True)
        )
        yield Study(
            check_id(key, place),
            images=tuple(
                StudyImage(FilePixels(film), *((view, "table") if view else ()))
                for film, view in films
            ),
        )


def _lists(entry: Any, place: str) -> tuple[list[str], list[object]]:
    paths = entry.get("image_path") if isinstance(entry, dict) else None
    if not isinstance(paths, list) or not all(isinstance(one, str) and one for one in paths):
        raise DataError(f"{place}: image_path must be a list of paths; {_REXRANK_CURE}")
    views = entry.get("frontal_lateral") or [None] * len(paths)
    if not isinstance(views, list) or len(views) != len(paths):
        raise DataError(f"{place}: frontal_lateral must give each image a view; {_REXRANK_CURE}")
    return paths, views


def _spoken_view(words: object) -> View | None:
    """The view that words such as "left lateral" or "postero-anterior" name, or None."""
    text = str(words).lower()
    if "lateral" in text:
        return View.LATERAL
    frontal = ("frontal", "anterior", "posterior", "pa", "ap")
    return View.FRONTAL if re.search(rf"\b({'|'.join(frontal)})\b", text) else None
