"""Damaged files for every reader: refused in one line, or read; no crash, no hang, no bomb.

Each case takes a small good file of one of `READERS`, damages it (`tests.trials.damage`) and has it
read. An error of the project's own on one line is right, and so is reading what can still be read.
Anything else is a fault: another exception, the death of the process, over 20 s, or over 1.5 GB. A
checkpoint or a cache that is accepted must hold what it held.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
import time
import traceback
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pydicom
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from tests.data.pictures import gray, write_png
from tests.data.small_stores import EXPECTED, FakeEncoder, fill, values
from tests.data.sources import layouts
from tests.data.test_dicom import RAMP
from tests.data.test_dicom import write as write_dicom
from tests.inference import checkpoints
from tests.models.encoders.weights import imitations
from tests.training.test_resume import checkpoint as resumable
from tests.trials.damage import damaged
from tests.trials.kills import unlike
from tests.trials.processes import HANG, MEMORY, Outcome, Process, chance, must
from xray_report.commands.download import read_about
from xray_report.data.dicom import view_of_file
from xray_report.data.download import unpack
from xray_report.data.images import FilePixels
from xray_report.data.phantom.source import PhantomSource
from xray_report.data.sources.chexpert_plus import CheXpertPlus
from xray_report.data.sources.csv import CSVSource
from xray_report.data.sources.iu_xray import IUXRay
from xray_report.data.sources.mimic_cxr import MimicCXR
from xray_report.data.sources.nih_chestxray14 import NIHChestXray14
from xray_report.data.sources.rexgradient import ReXGradient
from xray_report.errors import XrayReportError
from xray_report.inference.checkpoint import load_checkpoint, read_file
from xray_report.metrics.files import (
    HYPOTHESES,
    REFERENCES,
    join_texts,
    read_metrics,
    read_reports,
    read_texts,
)
from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.load import export_encoder, read_weights
from xray_report.models.encoders.protocol import Preprocessing
from xray_report.text.vectors import load_vectors
from xray_report.training.chexnet import read_heads
from xray_report.training.resume import saved_options

TOGETHER = 200
"""Cases in one process."""
BEGIN = 60.0
"""Seconds that a process may take before its first case."""


class Reader(NamedTuple):
    """A reader: what makes a good file in a folder, and what reads that file."""

    make: Callable[[Path], Path]
    read: Callable[[Path], object]


# Images.


def made_png(folder: Path) -> Path:
    return write_png(folder / "a.png", gray(0))


def made_png16(folder: Path) -> Path:
    return write_png(folder / "a.png", gray(0).astype(np.uint16) * 200)


def made_palette(folder: Path) -> Path:
    Image.fromarray(gray(0)).convert("P").save(folder / "a.png")
    return folder / "a.png"


def made_jpeg(folder: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    Image.fromarray(gray(0, (64, 48))).save(folder / "a.jpg", exif=exif)
    return folder / "a.jpg"


def made_dicom(folder: Path) -> Path:
    return write_dicom(
        folder / "a.dcm", WindowCenter=1600, WindowWidth=1000, RescaleSlope=2, RescaleIntercept=-9,
        PixelPaddingValue=0, ViewPosition="LL",
    )  # fmt: skip


def made_voi_lut(folder: Path) -> Path:
    lut = pydicom.Dataset()
    lut.LUTDescriptor = [256, 0, 16]
    lut.LUTData = np.arange(0, 65536, 256, np.uint16).tobytes()
    return write_dicom(folder / "a.dcm", VOILUTSequence=pydicom.Sequence([lut]))


def made_packed_dicom(syntax: str, folder: Path) -> Path:
    path = write_dicom(folder / "a.dcm", np.tile(RAMP, (3, 4)))
    dataset = pydicom.dcmread(path)
    if syntax == pydicom.uid.DeflatedExplicitVRLittleEndian:
        dataset.file_meta.TransferSyntaxUID = syntax
    else:
        dataset.compress(syntax)
    dataset.save_as(path)
    return path


def read_image(path: Path) -> None:
    view_of_file(path)
    image = FilePixels(path).load()
    assert image.dtype == np.uint8
    assert image.ndim == 2


# Collections.


def made_table(name: str, folder: Path) -> Path:
    rows = [
        {"id": str(n), "file": f"{n}.png", "report": f"The heart is {n} cm.", "edema": str(n % 2),
         "part": "train"}
        for n in range(6)
    ]  # fmt: skip
    for n in range(6):
        write_png(folder / f"{n}.png", n)
    path = layouts.write_csv(folder / "table.csv", rows)
    if name.endswith(".gz"):
        (folder / name).write_bytes(gzip.compress(path.read_bytes()))
    return folder / name


COLUMNS = {"study_id": "id", "image": "file", "findings": "report", "split": "part"}


def read_table(path: Path) -> None:
    source = CSVSource(path, columns=COLUMNS, labels=["edema"], split="official")
    assert len(source.studies()) > 0


def inside(layout: Callable[[Path], Path], name: str, folder: Path) -> Path:
    return next(path for path in layout(folder).rglob(name))


def openi_tgz(root: Path) -> Path:
    return layouts.nlm(root, packed=True)


def nih(root: Path) -> Path:
    layouts.nih(root, layouts.nih_rows())
    names = [row["Image Index"] for row in layouts.nih_rows()]
    (root / "train_val_list.txt").write_text("\n".join(names[:16]))
    (root / "test_list.txt").write_text("\n".join(names[16:]))
    return root


def mimic_annotation(root: Path) -> Path:
    layouts.mimic(root)
    parts: dict[str, Any] = {"train": [], "val": [], "test": []}
    for n, row in enumerate(layouts.mimic_metadata()):
        split = ("train", "train", "val", "test")[n // 3]
        path = f"{layouts.mimic_folder(row)}/{row['dicom_id']}.jpg"
        parts[split].append({
            "id": row["dicom_id"], "study_id": int(row["study_id"]), "report": f"Clear {n // 3}.",
            "subject_id": int(row["subject_id"]), "image_path": [path], "split": split,
        })  # fmt: skip
    (root / "annotation.json").write_text(json.dumps(parts))
    return root


def root_of(path: Path) -> Path:
    """The folder that a reader's files were made in."""
    return next(parent for parent in path.parents if parent.name == "good")


def read_iu_xray(split: str, path: Path) -> None:
    assert IUXRay(root_of(path), split=split).studies()


def read_mimic(split: str, path: Path) -> None:
    annotation = path if split == "r2gen" else None
    assert MimicCXR(root_of(path), split=split, annotation=annotation).studies()


def made_chexbert(root: Path) -> Path:
    layouts.chexpert_plus(root)
    layouts.chexbert(root, Edema=1.0)
    return root


def read_rexgradient(path: Path) -> None:
    assert ReXGradient(root_of(path)).studies()


def read_chexpert_plus(path: Path) -> None:
    assert CheXpertPlus(root_of(path)).studies()


def read_nih(path: Path) -> None:
    assert NIHChestXray14(root_of(path), split="official").studies()


def read_archive(path: Path) -> None:
    target = path.parent / "unpacked"
    try:
        unpack(path, target)
    finally:
        shutil.rmtree(target, ignore_errors=True)


# Checkpoints and weights.


def made_checkpoint(folder: Path) -> Path:
    return checkpoints.save(folder / "model.ckpt")


def made_resumable(folder: Path) -> Path:
    return resumable(folder)


def read_whole(path: Path) -> None:
    """What is accepted must be what was written."""
    found = read_file(path)
    good = torch.load(f"{path}.good", weights_only=True)
    if different := unlike(found, good, "content"):
        # A zip whose parts were changed together with their sums is another file, not damage.
        assert zipfile.is_zipfile(path), different
        assert resummed(path), different


def resummed(path: Path) -> bool:
    """Whether the parts of a zip have other sums than those that were written."""
    with zipfile.ZipFile(path) as parts, zipfile.ZipFile(f"{path}.good") as good:
        return sorted(one.CRC for one in parts.infolist()) != sorted(
            one.CRC for one in good.infolist()
        )


def small_network() -> nn.Module:
    """The beginning of a DenseNet121, with the names of the whole."""
    model = nn.Module()
    model.features = nn.Sequential(
        OrderedDict(conv0=nn.Conv2d(3, 64, 7, bias=False), norm0=nn.BatchNorm2d(64))
    )
    return model


def made_safetensors(folder: Path) -> Path:
    save_file(small_network().state_dict(), folder / "w.safetensors")
    return folder / "w.safetensors"


def made_encoder(folder: Path) -> Path:
    export_encoder(DenseNetEncoder(Preprocessing(size=64)), folder / "e.safetensors", {"seed": 0})
    return folder / "e.safetensors"


def made_module(old: bool, folder: Path) -> Path:
    torch.save(small_network(), folder / "w.pt", _use_new_zipfile_serialization=not old)
    return folder / "w.pt"


def made_state(old: bool, folder: Path) -> Path:
    content = {"state_dict": small_network().state_dict(), "epoch": 3}
    torch.save(content, folder / "w.pth.tar", _use_new_zipfile_serialization=not old)
    return folder / "w.pth.tar"


def made_keras(folder: Path) -> Path:
    with h5py.File(folder / "w.h5", "w") as file:
        layers = ["conv1/conv", "conv1/bn", "conv2_block1_0_bn"]
        file.attrs["layer_names"] = np.array(layers, dtype="S")
        for layer in layers:
            inner = file.create_group(layer)
            inner.attrs["weight_names"] = np.array([f"{layer}/kernel:0"], dtype="S")
            inner.create_dataset(f"{layer}/kernel:0", data=np.zeros((7, 7, 3, 4), np.float32))
    return folder / "w.h5"


def made_heads(folder: Path) -> Path:
    content = imitations.lightning_checkpoint(small_network(), "model.encoder.")
    torch.save(content, folder / "chexnet.ckpt")
    return folder / "chexnet.ckpt"


# Words, texts and results.

WORDS = ("the", "heart", "is", "Clear")
VECTORS = "".join(f"{word} 0.25 -1.5 {n}e-1\n" for n, word in enumerate((*WORDS, ". . .", "lungs")))


def made_vectors(name: str, folder: Path) -> Path:
    path = folder / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("glove.txt", VECTORS)
    else:
        path.write_bytes(gzip.compress(VECTORS.encode()) if ".gz" in name else VECTORS.encode())
    return path


def read_vectors(path: Path) -> None:
    found = load_vectors(path, WORDS)
    assert np.isfinite(found.matrix).all()


TEXTS = [{"study_id": str(n), "report": f"No effusion {n}."} for n in range(5)]
COCO = {
    "images": [{"id": n} for n in range(5)],
    "annotations": [{"id": n, "image_id": n, "caption": f"Clear {n}."} for n in range(5)],
}
CONTENTS = {
    "texts.csv": "study_id,report\n" + "".join(f'{n},"No effusion, {n}."\n' for n in range(5)),
    "texts.tsv": "uid\treport\n" + "".join(f"{n}\tNo effusion {n}.\n" for n in range(5)),
    "texts.json": json.dumps(TEXTS),
    "object.json": json.dumps({one["study_id"]: one["report"] for one in TEXTS}),
    "coco.json": json.dumps(COCO),
    "texts.jsonl": "".join(f"{json.dumps(one)}\n" for one in TEXTS),
    "texts.txt": "".join(f"{one['report']}\n" for one in TEXTS),
    "metrics.json": json.dumps({"clean/bleu4": 0.3, "note": "drawn", "facts/f1": None}),
    "reports.jsonl": "".join(
        json.dumps({"study_id": str(n), "reference": "A.", "hypothesis": "B.", "score": -1.5,
                    "log_prob": None}) + "\n"
        for n in range(5)
    ),
    "about.json": json.dumps({"command": "train", "seed": 0, "scores": {"val/loss": 1.0}}),
}  # fmt: skip


def made_text(name: str, folder: Path) -> Path:
    (folder / name).write_text(CONTENTS[name])
    return folder / name


def read_sides(path: Path) -> None:
    """As one side, and joined with the good file as the other."""
    found = read_texts(path, HYPOTHESES)
    good = path.with_name(f"good-{path.name}")
    if not good.exists():
        good.write_text(CONTENTS[path.name])
    join_texts(found, read_texts(good, REFERENCES))


# Caches: accepted means right.


def made_store(pattern: str, folder: Path) -> Path:
    fill(folder, FakeEncoder())
    return next(folder.rglob(pattern))


def read_store(path: Path) -> None:
    """A store may be refused or filled anew; a value that it gives must be right."""
    root = root_of(path)
    kept = {one: one.read_bytes() for one in root.rglob("*") if one.is_file()}
    try:
        np.testing.assert_array_equal(values(fill(root, FakeEncoder())), EXPECTED)
    finally:
        shutil.rmtree(root / "features")
        for one, content in kept.items():
            one.parent.mkdir(parents=True, exist_ok=True)
            one.write_bytes(content)


PICTURES = {"train": 2, "val": 0, "test": 0, "image_size": 32}


def made_pictures(folder: Path) -> Path:
    for one in PhantomSource(**PICTURES, cache_dir=folder).studies():
        one.images[0].pixels.load()
    return next(folder.glob("*.npy"))


def read_pictures(path: Path) -> None:
    """Nothing tells that a pixel has changed; with a changed header it is drawn anew."""
    content, good = path.read_bytes(), Path(f"{path}.good").read_bytes()
    path.write_bytes(content[:128] + good[128:] if len(content) == len(good) else content)
    sources = [PhantomSource(**PICTURES, cache_dir=cache) for cache in (path.parent, None)]
    for one, truth in zip(*(source.studies() for source in sources), strict=True):
        for image, right in zip(one.images, truth.images, strict=True):
            if len(content) == len(good):
                np.testing.assert_array_equal(image.pixels.load(), right.pixels.load())
            else:
                assert image.pixels.load().shape == (32, 32)


DEFLATED = str(pydicom.uid.DeflatedExplicitVRLittleEndian)
READERS = {
    "png": Reader(made_png, read_image),
    "png of 16 bits": Reader(made_png16, read_image),
    "png palette": Reader(made_palette, read_image),
    "jpeg": Reader(made_jpeg, read_image),
    "dicom": Reader(made_dicom, read_image),
    "dicom VOI LUT": Reader(made_voi_lut, read_image),
    "dicom RLE": Reader(partial(made_packed_dicom, pydicom.uid.RLELossless), read_image),
    "dicom JPEG 2000": Reader(partial(made_packed_dicom, pydicom.uid.JPEG2000Lossless), read_image),
    "dicom deflated": Reader(partial(made_packed_dicom, DEFLATED), read_image),
    "csv": Reader(partial(made_table, "table.csv"), read_table),
    "csv.gz": Reader(partial(made_table, "table.csv.gz"), read_table),
    "iu_xray reports": Reader(
        partial(inside, layouts.kaggle, "*reports.csv"), partial(read_iu_xray, "study")
    ),
    "iu_xray projections": Reader(
        partial(inside, layouts.kaggle, "*projections.csv"), partial(read_iu_xray, "dedup")
    ),
    "iu_xray xml": Reader(partial(inside, layouts.nlm, "1.xml"), partial(read_iu_xray, "study")),
    "iu_xray tgz": Reader(partial(inside, openi_tgz, "*.tgz"), partial(read_iu_xray, "study")),
    "unpacked tgz": Reader(partial(inside, openi_tgz, "*.tgz"), read_archive),
    "r2gen annotation": Reader(
        partial(inside, layouts.r2gen, "annotation.json"), partial(read_iu_xray, "r2gen")
    ),
    "mimic metadata": Reader(
        partial(inside, layouts.mimic, "*metadata.csv"), partial(read_mimic, "official")
    ),
    "mimic split": Reader(
        partial(inside, layouts.mimic, "*split.csv"), partial(read_mimic, "official")
    ),
    "mimic chexpert": Reader(
        partial(inside, layouts.mimic, "*chexpert.csv"), partial(read_mimic, "study")
    ),
    "mimic report": Reader(
        partial(inside, layouts.mimic, "s50000001.txt"), partial(read_mimic, "official")
    ),
    "mimic annotation": Reader(
        partial(inside, mimic_annotation, "annotation.json"), partial(read_mimic, "r2gen")
    ),
    "rexgradient metadata": Reader(
        partial(inside, layouts.rexgradient, "train_metadata*.json"), read_rexgradient
    ),
    "chexpert_plus table": Reader(
        partial(inside, layouts.chexpert_plus, "df_chexpert_plus*.csv"), read_chexpert_plus
    ),
    "chexpert_plus labels": Reader(
        partial(inside, made_chexbert, "report_fixed.json"), read_chexpert_plus
    ),
    "nih table": Reader(partial(inside, nih, "Data_Entry*.csv"), read_nih),
    "nih list": Reader(partial(inside, nih, "test_list.txt"), read_nih),
    "checkpoint": Reader(made_checkpoint, load_checkpoint),
    "checkpoint whole": Reader(made_resumable, read_whole),
    "checkpoint resumed": Reader(made_resumable, saved_options),
    "safetensors": Reader(made_safetensors, read_weights),
    "encoder": Reader(made_encoder, read_weights),
    "pickled module": Reader(partial(made_module, False), read_weights),
    "old pickled module": Reader(partial(made_module, True), read_weights),
    "state dict": Reader(partial(made_state, False), read_weights),
    "old state dict": Reader(partial(made_state, True), read_weights),
    "keras": Reader(made_keras, read_weights),
    "heads": Reader(made_heads, lambda path: read_heads(str(path))),
    "vectors": Reader(partial(made_vectors, "glove.txt"), read_vectors),
    "vectors gz": Reader(partial(made_vectors, "glove.txt.gz"), read_vectors),
    "vectors zip": Reader(partial(made_vectors, "glove.zip"), read_vectors),
    **{
        name: Reader(partial(made_text, name), read)
        for name, read in {
            **{name: read_sides for name in CONTENTS if name[0] in "toc"},
            "metrics.json": read_metrics,
            "reports.jsonl": read_reports,
            "about.json": read_about,
        }.items()
    },
    "store description": Reader(partial(made_store, "meta.json"), read_store),
    "store index": Reader(partial(made_store, "*.idx"), read_store),
    "store maps": Reader(partial(made_store, "*.bin"), read_store),
    "phantom pictures": Reader(made_pictures, read_pictures),
}


def cases(numbers: range, seed: int, folder: Path) -> Iterator[Outcome]:
    """One damaged file a case, the readers in turns; one process reads some hundred of them."""
    must(partial(make_all, folder), folder)
    at = numbers.start
    while at < numbers.stop:
        together = range(at, min(at + TOGETHER, numbers.stop))
        for outcome in read_together(together, seed, folder):
            yield outcome
            at += 1


def make_all(folder: Path) -> None:
    """Make each reader's good file, and note which it is."""
    for name, reader in READERS.items():
        good = folder / name / "good"
        good.mkdir(parents=True)
        path = reader.make(good)
        reader_path(folder, name).write_text(str(path))
        shutil.copy(path, f"{path}.good")
        try:
            reader.read(path)
        except XrayReportError as error:
            if "do not fit" not in str(error):  # of a network smaller than any encoder
                raise AssertionError(f"{name}: the good file is refused: {error}") from error


def reader_path(folder: Path, name: str) -> Path:
    return folder / name / "path"


def read_together(numbers: range, seed: int, folder: Path) -> Iterator[Outcome]:
    """Outcomes of cases in one process, as far as it lives: it dies or hangs in the last."""
    process = Process(partial(read_all, numbers, seed, folder), folder)
    told, since, patience = 0, (0.0, 0.0), BEGIN
    while True:
        running = process.is_running()
        said = process.output() if running else process.wait().out
        lines = said.split("\n")[:-1]
        for line in lines[told:]:
            kind, fault = json.loads(line)
            yield Outcome((kind,), fault)
            told, since, patience = told + 1, (process.computed, process.seconds), HANG
        if not running or process.hangs(*since, patience):
            break
        time.sleep(0.01)
    if told < len(numbers):
        name = reader_of(numbers[told])
        process.kill_all()
        code = process.wait().code
        how = "hung" if running else f"killed the process (code {code})"
        yield Outcome((how,), f"{name}: {how}")


def reader_of(number: int) -> str:
    return list(READERS)[number % len(READERS)]


def read_all(numbers: range, seed: int, folder: Path) -> None:
    """Read damaged files, a line of JSON about each on stdout; what readers say goes nowhere."""
    told = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    for number in numbers:
        found = read_one(number, seed, folder)
        os.write(told, f"{json.dumps(found)}\n".encode())


def read_one(number: int, seed: int, folder: Path) -> Sequence[str]:
    """What became of a damaged file: a word, and the fault if it is one."""
    name = reader_of(number)
    path = Path(reader_path(folder, name).read_text())
    good = Path(f"{path}.good").read_bytes()
    path.write_bytes(damaged(good, chance(seed, number)))
    before = peak(reset=True)
    try:
        READERS[name].read(path)
        kind, fault = "read", ""
    except XrayReportError as error:
        kind, fault = "refused", f"an error of two lines: {error}" if "\n" in str(error) else ""
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split())[:200]
        place = f"{Path(where.filename).name}:{where.lineno}"
        kind, fault = "raised", f"{type(error).__name__}: {said} ({place})"
    grown = peak() - before
    if grown > MEMORY and not fault:
        kind, fault = "took memory", f"took {grown / 1e9:.1f} GB"
    path.write_bytes(good)
    return kind, f"{name}: {fault}" if fault else ""


def peak(reset: bool = False) -> int:
    """Most bytes that this process has had in memory, since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def keep(number: int, seed: int, folder: Path) -> Path:
    """Write a case's damaged file into `folder`, for who looks into its fault."""
    must(partial(make_all, folder), folder)
    path = Path(reader_path(folder, reader_of(number)).read_text())
    path.write_bytes(damaged(Path(f"{path}.good").read_bytes(), chance(seed, number)))
    return path


if __name__ == "__main__":  # python -m tests.trials.readers NUMBER SEED FOLDER
    print(keep(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]).resolve()))
