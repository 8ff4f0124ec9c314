"""Small files that claim, or unpack to, far more than they are: one line, little memory, no hang.

Each case makes one kind of bomb at a size of its own and has it read in a process of its own. It
may be refused in one line or read, within 20 s and with less than 1.5 GB of memory above what that
process had before. Honest large images belong to them: 80 megapixels are allowed.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pydicom
import torch
from PIL import Image

from tests.data.pictures import png_claiming
from tests.data.test_dicom import write as write_dicom
from tests.inference import checkpoints
from tests.trials import readers
from tests.trials.damage import PNG
from tests.trials.processes import MEMORY, Outcome, Process, chance, fault_of, must
from xray_report.data.images import FilePixels
from xray_report.data.sources.csv import CSVSource
from xray_report.data.sources.iu_xray import IUXRay
from xray_report.errors import one_line_errors
from xray_report.inference.checkpoint import load_checkpoint
from xray_report.metrics.files import REFERENCES, read_metrics, read_texts
from xray_report.models.encoders.load import read_weights
from xray_report.text.vectors import load_vectors
from xray_report.training.resume import saved_options

Read = Callable[[Path], object]
PIECE = bytes(1 << 20)
BIG = 2 << 30
"""Bytes that a bomb unpacks to, or somewhat more."""
LARGE_SIDE = 8900
"""Side of an image of 79 megapixels."""


def size(rng: random.Random) -> int:
    """Mebibytes."""
    return int(BIG * rng.uniform(1, 1.5)) >> 20


# Images.


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))


def claimed_png(folder: Path, rng: random.Random) -> Path:
    side = rng.randrange(20_000, 2**31 - 1)
    (folder / "a.png").write_bytes(png_claiming(side, rng.randrange(8, side)))
    return folder / "a.png"


def packed_png(kind: bytes, folder: Path, rng: random.Random) -> Path:
    """A tiny image with a packed text, profile or pixels of gigabytes."""
    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    start = {b"zTXt": b"Comment\0\0", b"iCCP": b"profile\0\0", b"IDAT": b""}[kind]
    parts = [chunk(b"IHDR", header), chunk(kind, start + zeros(size(rng)))]
    if kind != b"IDAT":
        parts.append(chunk(b"IDAT", zlib.compress(bytes(65 * 64))))
    (folder / "a.png").write_bytes(PNG + b"".join(parts) + chunk(b"IEND", b""))
    return folder / "a.png"


def zeros(mebibytes: int, form: int = 15) -> bytes:
    """So many mebibytes of zeros, packed by zlib (15), gzip (31) or as bare deflate (-15)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, form)
    return b"".join([*(packer.compress(PIECE) for _ in range(mebibytes)), packer.flush()])


def large_png(folder: Path, rng: random.Random) -> Path:
    Image.new("L", (LARGE_SIDE, LARGE_SIDE)).save(folder / "a.png")
    return folder / "a.png"


def large_colour_png(folder: Path, rng: random.Random) -> Path:
    Image.new("RGBA", (LARGE_SIDE, LARGE_SIDE)).save(folder / "a.png")
    return folder / "a.png"


def claimed_jpeg(folder: Path, rng: random.Random) -> Path:
    made = io.BytesIO()
    Image.new("L", (64, 64)).save(made, "JPEG")
    content = made.getvalue()
    at = content.index(b"\xff\xc0") + 5
    side = struct.pack(">HH", rng.randrange(20_000, 65_500), rng.randrange(20_000, 65_500))
    (folder / "a.jpg").write_bytes(content[:at] + side + content[at + 4 :])
    return folder / "a.jpg"


def claimed_dicom(folder: Path, rng: random.Random) -> Path:
    rows = rng.randrange(9000, 65_536)
    return write_dicom(folder / "a.dcm", Rows=rows, Columns=rng.randrange(9000, 65_536))


def many_frames(folder: Path, rng: random.Random) -> Path:
    return write_dicom(folder / "a.dcm", NumberOfFrames=rng.randrange(2, 2**31 - 1))


def large_dicom(folder: Path, rng: random.Random) -> Path:
    return write_dicom(folder / "a.dcm", np.zeros((LARGE_SIDE, LARGE_SIDE), np.uint16))


def larger_inside(syntax: str, kind: str, folder: Path, rng: random.Random) -> Path:
    """A DICOM of 16 x 12 pixels by its header, with an image of 150 megapixels in it."""
    made, side = io.BytesIO(), rng.randrange(12_000, 13_000)
    Image.new("L", (side, side)).save(made, kind)
    path = write_dicom(folder / "a.dcm", np.zeros((16, 12), np.uint8))
    dataset = pydicom.dcmread(path)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = pydicom.encaps.encapsulate([made.getvalue()])
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)
    return path


def deflated_dicom(folder: Path, rng: random.Random) -> Path:
    path = write_dicom(folder / "a.dcm")
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    head = path.read_bytes()
    length = 132 + 12 + dataset.file_meta.FileMetaInformationGroupLength
    path.write_bytes(head[:length] + zeros(size(rng), -15))
    return path


# Tables, archives and texts.


def packed_table(folder: Path, rng: random.Random) -> Path:
    (folder / "t.csv.gz").write_bytes(gzip.compress(b"id,file\n") + zeros(size(rng), 31))
    return folder / "t.csv.gz"


def packed_vectors(folder: Path, rng: random.Random) -> Path:
    (folder / "v.txt.gz").write_bytes(gzip.compress(b"the 0.1 0.2\n") + zeros(size(rng), 31))
    return folder / "v.txt.gz"


def zipped_vectors(folder: Path, rng: random.Random) -> Path:
    return zipped(folder / "v.zip", "v.txt", size(rng))


def zipped(path: Path, name: str, mebibytes: int, **others: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for other, content in others.items():
            archive.writestr(other, content)
        with archive.open(name, "w", force_zip64=True) as member:
            for _ in range(mebibytes):
                member.write(PIECE)
    return path


def archive_of(header: tarfile.TarInfo, mebibytes: int) -> bytes:
    """A tar.gz of one member that is zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(header.tobuf()), *(packer.compress(PIECE) for _ in range(mebibytes))]
    return b"".join([*parts, packer.flush()])


def archived_report(kind: bytes, folder: Path, rng: random.Random) -> Path:
    """Gigabytes in a report (0) or in a PAX header, of a file (x) or of all (g)."""
    member = tarfile.TarInfo("ecgen-radiology/1.xml")
    mebibytes = size(rng)
    member.type, member.size = kind, mebibytes << 20
    (folder / "NLMCXR_reports.tgz").write_bytes(archive_of(member, mebibytes))
    return folder / "NLMCXR_reports.tgz"


def laughing_xml(folder: Path, rng: random.Random) -> Path:
    inner = ["lol", *(f"&l{n};" * 10 for n in range(rng.randrange(8, 12)))]
    entities = "".join(f'<!ENTITY l{n} "{text}">' for n, text in enumerate(inner))
    made = folder / "ecgen-radiology"
    made.mkdir()
    (made / "1.xml").write_text(f"<!DOCTYPE a [{entities}]><eCitation>&l7;</eCitation>")
    return made


def deep_xml(folder: Path, rng: random.Random) -> Path:
    made = folder / "ecgen-radiology"
    made.mkdir()
    depth = rng.randrange(1000, 100_000)
    (made / "1.xml").write_text("<a>" * depth + "</a>" * depth)
    return made


def deep_json(folder: Path, rng: random.Random) -> Path:
    (folder / "metrics.json").write_text("[" * rng.randrange(1000, 10_000_000))
    return folder / "metrics.json"


def long_number(folder: Path, rng: random.Random) -> Path:
    (folder / "metrics.json").write_text(f'{{"a": {"9" * rng.randrange(1000, 3_000_000)}}}')
    return folder / "metrics.json"


# Weights and checkpoints.


def claimed_h5(folder: Path, rng: random.Random) -> Path:
    """A kernel of gigabytes, none of which was ever written."""
    with h5py.File(folder / "w.h5", "w") as file:
        file.attrs["layer_names"] = np.array(["conv1/conv"], dtype="S")
        inner = file.create_group("conv1/conv")
        inner.attrs["weight_names"] = np.array(["conv1/conv/kernel:0"], dtype="S")
        shape = (7, 7, rng.randrange(2000, 8000), 8192)
        inner.create_dataset("conv1/conv/kernel:0", shape, "f4", chunks=(7, 7, 64, 64))
    return folder / "w.h5"


def spread_tensor(folder: Path, rng: random.Random) -> Path:
    """One number, seen as gigabytes by strides of zero."""
    weight = torch.zeros(1).expand(rng.randrange(40_000, 90_000), 1, 147, 147)
    state = {"features.conv0.weight": weight, "features.norm0.weight": weight}
    torch.save({"state_dict": state}, folder / "w.pth")
    return folder / "w.pth"


def packed_tensor(folder: Path, rng: random.Random) -> Path:
    """A zip whose storage unpacks to gigabytes, which torch itself never writes."""
    torch.save({"features.conv0.weight": torch.zeros(4)}, folder / "good.pth")
    with zipfile.ZipFile(folder / "good.pth") as good:
        parts = {name: good.read(name) for name in good.namelist() if not name.endswith("data/0")}
        name = next(name for name in good.namelist() if name.endswith("data/0"))
    return zipped(folder / "w.pth", name, size(rng), **parts)


def claimed_safetensors(folder: Path, rng: random.Random) -> Path:
    length = rng.choice((2**62, 2**40, 99_000_000))
    (folder / "w.safetensors").write_bytes(struct.pack("<Q", length) + b'{"a":' + b" " * 1000)
    return folder / "w.safetensors"


def doubled(folder: Path, rng: random.Random) -> Path:
    """A checkpoint whose options hold a list that holds another twice, and so on."""
    content = checkpoints.contents()
    nested: Any = ["x"]
    for _ in range(rng.randrange(25, 60)):
        nested = [nested, nested]
    content["hyper_parameters"]["about"]["options"] = {"model": {"kind": "report"}, "data": nested}
    content |= {"optimizer_states": [], "lr_schedulers": [], "loops": {}, "callbacks": {}}
    torch.save({**content, "epoch": 0}, folder / "a.ckpt")
    return folder / "a.ckpt"


def claimed_model(folder: Path, rng: random.Random) -> Path:
    """A checkpoint that describes a decoder of gigabytes."""
    content = checkpoints.contents()
    content["hyper_parameters"]["decoder"]["rnn_size"] = int(10_000 * 10 ** rng.uniform(0, 5))
    torch.save(content, folder / "a.ckpt")
    return folder / "a.ckpt"


def claimed_layers(folder: Path, rng: random.Random) -> Path:
    """A checkpoint that describes a decoder of very many layers, or of very long tables."""
    content = checkpoints.contents("transformer")
    many = rng.randrange(10**5, 10**9)
    if rng.random() < 0.5:
        content["hyper_parameters"]["decoder"]["layers"] = many
    else:
        more = {"positions": "sinusoidal", "max_positions": 10 * many}
        content["hyper_parameters"]["decoder"].update(more)
        del content["state_dict"]["model.decoder.positions"]
    torch.save(content, folder / "a.ckpt")
    return folder / "a.ckpt"


def doubled_words(folder: Path, rng: random.Random) -> Path:
    """A checkpoint whose vocabulary holds a list that holds another many times, and so on."""
    words: list[Any] = ["a"]
    for _ in range(rng.randrange(8, 40)):
        words = [words] * 10
    content = checkpoints.contents()
    content["hyper_parameters"]["tokenizer"]["words"] = words
    torch.save(content, folder / "a.ckpt")
    return folder / "a.ckpt"


def claimed_words(folder: Path, rng: random.Random) -> Path:
    content = checkpoints.contents()
    content["hyper_parameters"]["embedding_size"] = rng.randrange(10**8, 10**12)
    torch.save(content, folder / "a.ckpt")
    return folder / "a.ckpt"


# Caches.


def claimed_store(folder: Path, rng: random.Random) -> Path:
    path = readers.made_store("meta.json", folder)
    plain = json.loads(path.read_text())
    path.write_text(json.dumps({**plain, "shape": [rng.randrange(10**6, 10**15), 7, 7]}))
    return folder


def fill_store(folder: Path) -> None:
    readers.fill(folder, readers.FakeEncoder()).read([0])


def read_image(path: Path) -> None:
    FilePixels(path).load()


def read_reports(path: Path) -> None:
    IUXRay(path.parent, split="all_train").studies()


def read_table(path: Path) -> None:
    CSVSource(path, columns={"study_id": "id", "image": "file"}, split="all_train").studies()


def read_vectors(path: Path) -> None:
    load_vectors(path, ["the", "lungs"])


def read_json_texts(path: Path) -> None:
    read_texts(path, REFERENCES)


JPEG, JPEG_2000 = str(pydicom.uid.JPEGBaseline8Bit), str(pydicom.uid.JPEG2000Lossless)
KINDS: dict[str, tuple[Callable[[Path, random.Random], Path], Read]] = {
    "PNG that claims gigapixels": (claimed_png, read_image),
    "JPEG that claims gigapixels": (claimed_jpeg, read_image),
    "DICOM that claims gigapixels": (claimed_dicom, read_image),
    "DICOM of many frames": (many_frames, read_image),
    "XML of nested entities": (laughing_xml, read_reports),
    "deep XML": (deep_xml, read_reports),
    "deep JSON": (deep_json, read_metrics),
    "deep JSON of texts": (deep_json, read_json_texts),
    "number of a million digits": (long_number, read_metrics),
    "safetensors that claim gigabytes": (claimed_safetensors, read_weights),
    "store that claims gigabytes": (claimed_store, fill_store),
    "checkpoint of a large decoder": (claimed_model, load_checkpoint),
    "checkpoint of large words": (claimed_words, load_checkpoint),
    "checkpoint of many layers": (claimed_layers, load_checkpoint),
    "checkpoint of doubled words": (doubled_words, load_checkpoint),
    "doubled options, resumed": (doubled, saved_options),
    "doubled options, loaded": (doubled, load_checkpoint),
    "tensor spread by strides": (spread_tensor, read_weights),
    "tensor in a packed zip": (packed_tensor, read_weights),
    "checkpoint in a packed zip": (packed_tensor, load_checkpoint),
    "HDF5 that claims gigabytes": (claimed_h5, read_weights),
    "packed text in a PNG": (partial(packed_png, b"zTXt"), read_image),
    "packed profile in a PNG": (partial(packed_png, b"iCCP"), read_image),
    "packed pixels in a PNG": (partial(packed_png, b"IDAT"), read_image),
    "PNG of 79 megapixels": (large_png, read_image),
    "colour PNG of 79 megapixels": (large_colour_png, read_image),
    "DICOM of 79 megapixels": (large_dicom, read_image),
    "larger JPEG in a DICOM": (partial(larger_inside, JPEG, "JPEG"), read_image),
    "larger JPEG 2000 in a DICOM": (partial(larger_inside, JPEG_2000, "JPEG2000"), read_image),
    "deflated DICOM": (deflated_dicom, read_image),
    "packed table": (packed_table, read_table),
    "packed vectors": (packed_vectors, read_vectors),
    "zipped vectors": (zipped_vectors, read_vectors),
    "packed report": (partial(archived_report, tarfile.REGTYPE), read_reports),
    "packed PAX header": (partial(archived_report, tarfile.XHDTYPE), read_reports),
    "packed PAX header of all": (partial(archived_report, tarfile.XGLTYPE), read_reports),
    "unpacked PAX header": (partial(archived_report, tarfile.XHDTYPE), readers.read_archive),
}


def cases(numbers: range, seed: int, folder: Path) -> Iterator[Outcome]:
    """One bomb a case, the kinds in turns."""
    for number in numbers:
        name = list(KINDS)[number % len(KINDS)]
        case = folder / str(number)
        case.mkdir()
        yield one(name, case, chance(seed, number))
        shutil.rmtree(case)


def one(name: str, case: Path, rng: random.Random) -> Outcome:
    make, read = KINDS[name]
    made = Path(must(lambda: print(make(case, rng)), case).out.strip())
    process = Process(partial(reading, read, made), case)
    ended = process.wait(None)
    if fault := fault_of(ended):
        return Outcome(("ended wrongly",), f"{name}: {fault}")
    if ended.grown > MEMORY:
        return Outcome(("took memory",), f"{name}: took {ended.grown / 1e9:.1f} GB")
    return Outcome(("refused" if ended.code else "read",))


def reading(read: Read, path: Path) -> None:
    """As every command reads."""
    with one_line_errors():
        read(path)
