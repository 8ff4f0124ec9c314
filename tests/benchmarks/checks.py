"""Which films a report model takes for films that it knows, and which others it sees through.

`python -m tests.benchmarks checks CHECKPOINT [data.root=DIR ...] [--films N] [--json FILE]`: films
of the test split as they are, which should not be warned of, and the same inverted, turned, or read
as the other view, which should; beside them noise, plain grey, drawn knees, and photographs and
microscope pictures that scikit-image ships. The data set is the checkpoint's own, with the data
options given. A checkpoint that keeps no statistics of its training films is measured with those
that training would have kept.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from rich.console import Console
from rich.table import Table

from tests.benchmarks.films import data_options, source_of
from xray_report.data.images import resize_gray
from xray_report.data.splits import marks_of
from xray_report.data.study import Split, Study, pair_views
from xray_report.errors import DataError
from xray_report.files import replacing
from xray_report.inference.checkpoint import load_checkpoint, read_checkpoint
from xray_report.inference.film_check import (
    MOST_STUDIES,
    VIEWS,
    Films,
    FilmStatistics,
    check_films,
    pooled,
)
from xray_report.models.encoders.extractor import FeatureExtractor

Film = NDArray[np.uint8]
SIDE = 256
CHANGES: Mapping[str, Callable[[Film], Film]] = {
    "inverted": lambda film: 255 - film,
    "on its left side": lambda film: np.rot90(film, 1),
    "on its right side": lambda film: np.rot90(film, 3),
    "upside down": lambda film: np.rot90(film, 2),
}
AT_ONCE = 32


# Pictures that are no chest films.


def noise(random: np.random.Generator) -> Film:
    """White noise, of all grey levels or about the middle, fine or in grains of 2 pixels."""
    grain = int(random.integers(1, 3))
    shape = (SIDE // grain, SIDE // grain)
    if random.random() < 0.5:
        levels = random.uniform(0, 255, shape)
    else:
        levels = random.normal(random.uniform(60, 200), random.uniform(5, 60), shape)
    whole: Film = np.kron(levels.clip(0, 255).astype(np.uint8), np.ones((grain, grain), np.uint8))
    return whole


def flat(random: np.random.Generator) -> Film:
    """One grey level, or as good as one."""
    level, spread = random.integers(256), random.uniform(0, 2)
    return (level + random.normal(0, spread, (SIDE, SIDE))).clip(0, 255).astype(np.uint8)


def knee(random: np.random.Generator) -> Film:
    """Something like a knee: two bones that meet in a joint, in soft tissue, on black."""
    picture = Image.new("L", (SIDE, SIDE), int(random.integers(0, 25)))
    draw = ImageDraw.Draw(picture)
    middle, joint = SIDE / 2 + random.normal(0, 8), SIDE / 2 + random.normal(0, 12)
    leg, shaft, head = random.uniform(60, 85), random.uniform(20, 28), random.uniform(40, 52)
    tissue, bone = int(random.integers(60, 110)), int(random.integers(150, 230))
    draw.polygon(
        [(middle - leg, 0), (middle + leg, 0), (middle + 0.8 * leg, SIDE),
         (middle - 0.8 * leg, SIDE)], fill=tissue,
    )  # fmt: skip
    gap = random.uniform(3, 7)
    for sign in (-1, 1):  # femur, tibia
        near, far = joint + sign * gap, joint + sign * random.uniform(55, 75)
        end = 0 if sign < 0 else SIDE
        draw.polygon(
            [(middle - head, near), (middle + head, near), (middle + shaft, far),
             (middle + shaft, end), (middle - shaft, end), (middle - shaft, far)], fill=bone,
        )  # fmt: skip
    inner = int(bone * random.uniform(0.75, 0.9))  # marrow
    draw.rectangle((middle - shaft / 2, 0, middle + shaft / 2, joint - 50), fill=inner)
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(2)), np.float64)
    return (blurred + random.normal(0, 3, blurred.shape)).clip(0, 255).astype(np.uint8)


def shipped_pictures() -> list[Film]:
    """Pictures that scikit-image ships, whole and in quarters. Raises `DataError` without it."""
    try:
        import skimage.data
    except ImportError as error:
        raise DataError("the pictures come with scikit-image: pip install scikit-image") from error
    found = []
    for path in sorted(Path(skimage.data.__file__).parent.iterdir()):
        if path.suffix in (".png", ".jpg"):
            with Image.open(path) as image:
                whole: Film = np.array(image.convert("L"), dtype=np.uint8)
            rows, columns = (size // 2 for size in whole.shape)
            quarters = [part for half in (whole[:rows], whole[rows:])
                        for part in (half[:, :columns], half[:, columns:])]  # fmt: skip
            found += [whole, *quarters]
    return found


# Measuring.


def shown(extractor: FeatureExtractor, films: Sequence[Film], slots: Sequence[int]) -> Films:
    """Films as the check takes them."""
    pixels, means = [], []
    for start in range(0, len(films), AT_ONCE):
        part = [np.ascontiguousarray(film) for film in films[start : start + AT_ONCE]]
        grey = torch.from_numpy(np.stack([resize_gray(film, extractor.size) for film in part]))
        pixels.append(grey)
        means.append(pooled(torch.from_numpy(extractor(grey))))
    return Films(torch.cat(pixels), torch.tensor(slots), torch.cat(means))


def of_split(studies: Sequence[Study], split: Split, most: int) -> tuple[list[Film], list[int]]:
    """Films of at most so many studies of a split, in an order as good as drawn by lot."""
    chosen = sorted((one for one in studies if one.split == split), key=lambda s: marks_of(s)[0])
    found = [
        (image.pixels.load(), slot)
        for study in chosen[:most]
        for slot, image in enumerate(pair_views(study))
        if image is not None
    ]
    return [film for film, _ in found], [slot for _, slot in found]


def measure(
    path: Path, changes: Mapping[str, Any], count: int = 200, device: str = "auto"
) -> dict[str, dict[str, Any]]:
    """Share of films warned of, and by which kinds, of each sort of picture."""
    checkpoint = load_checkpoint(path)
    given = read_checkpoint(path, "report")["hyper_parameters"]["about"].get("options") or {}
    studies = source_of(path, given, changes).studies()
    extractor = FeatureExtractor(checkpoint.model.encoder, device, checkpoint.about["precision"])
    known = checkpoint.films
    if known is None:
        train, held = (
            shown(extractor, *of_split(studies, split, MOST_STUDIES)) for split in ("train", "val")
        )
        known = FilmStatistics.learn(train, held)
    if known is None:
        raise DataError(f"{path}: its training has too few films to know any")
    films, slots = of_split(studies, "test", count)
    films, slots = films[:count], slots[:count]
    random, both = np.random.default_rng(0), [row % 2 for row in range(count)]
    sorts: dict[str, tuple[Sequence[Film], Sequence[int]]] = {
        "as they are": (films, slots),
        **{name: ([change(film) for film in films], slots) for name, change in CHANGES.items()},
        "frontal read as lateral": _swapped(films, slots, 0),
        "lateral read as frontal": _swapped(films, slots, 1),
        **{make.__name__: ([make(random) for _ in range(count)], both)
           for make in (noise, flat, knee)},
    }  # fmt: skip
    pictures = shipped_pictures()
    sorts["pictures of scikit-image"] = pictures, [row % 2 for row in range(len(pictures))]
    results = {}
    for name, (some, read_as) in sorts.items():
        found = check_films(shown(extractor, some, read_as), known)
        results[name] = _counted(found)
        for slot, view in enumerate(VIEWS if name == "as they are" else ()):
            own = [one for one, seen in zip(found, read_as, strict=True) if seen == slot]
            results[f"of them {view}"] = _counted(own)
    return results


def _counted(found: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    warned, kinds = sum(map(bool, found)), Counter(kind for one in found for kind in one)
    share = warned / max(1, len(found))
    return {
        "films": len(found), "warned": warned, "share": share, "kinds": dict(kinds.most_common())
    }  # fmt: skip


def _swapped(
    films: Sequence[Film], slots: Sequence[int], slot: int
) -> tuple[list[Film], list[int]]:
    own = [film for film, seen in zip(films, slots, strict=True) if seen == slot]
    return own, [1 - slot] * len(own)


def show(results: Mapping[str, Mapping[str, Any]]) -> None:
    table = Table(title="films warned of", title_justify="left")
    for title in ("films", "count", "warned", "share", "kinds"):
        table.add_column(title, justify="left" if title in ("films", "kinds") else "right")
    for name, one in results.items():
        kinds = ", ".join(f"{kind} {number}" for kind, number in one["kinds"].items())
        row = str(one["films"]), str(one["warned"]), f"{one['share']:.1%}"
        table.add_row(name, *row, kinds)
    Console().print(table)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser("python -m tests.benchmarks checks", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="of train.py, a report model")
    parser.add_argument("options", nargs="*", help="data.NAME=VALUE")
    parser.add_argument("--films", type=int, default=200, help="films of the test split")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    given = parser.parse_args(arguments)
    changes = data_options(given.options)
    results = measure(given.checkpoint, changes, given.films, given.device)
    show(results)
    if given.json:
        with replacing(given.json) as temporary:
            temporary.write_text(json.dumps(results, indent=2) + "\n")
