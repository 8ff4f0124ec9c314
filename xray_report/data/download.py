"""Downloads from official sources: what there is, and how it is fetched, checked and unpacked."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import shutil
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from xray_report.data.tables import BoundedGzip
from xray_report.errors import DataError, OptionError, OutputError
from xray_report.files import named_errors, replacing


class Asset(NamedTuple):
    """One file of a publisher.

    Args:
        url: its official address.
        sha256_prefix: leading hexadecimal digits of its SHA-256, where they are known; a tar.gz
            without is checked by the sums that gzip keeps in it.
        unpack_to: folder under DEST that a tar.gz is unpacked to; None keeps the file as it is.
        git_blob: SHA-1 by which git knows the file, where it comes out of a repository.
    """

    url: str
    sha256_prefix: str = ""
    unpack_to: str | None = None
    git_blob: str = ""

    @property
    def file_name(self) -> str:
        """Last part of the address."""
        return self.url.rsplit("/", 1)[1]


Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes there will be (None: unknown)."""
Watch = Callable[[str], Progress]
"""Makes the progress callback of one named task."""

_OPENI = "https://openi.nlm.nih.gov/imgs/collections/"
CATALOG: Mapping[str, tuple[Asset, ...]] = {
    "iu-xray": (
        # Read from the archive as it is; only images need unpacking.
        Asset(_OPENI + "NLMCXR_reports.tgz"),
        Asset(_OPENI + "NLMCXR_png.tgz", unpack_to="NLMCXR_png"),
    ),
    "glove": (
        Asset(
            "https://nlp.stanford.edu/data/glove.6B.zip",
            "617afb2fe6cbd085c235baf7a465b96f4112bd7f7ccb2b2cbd649fed9cbcf2fb",
        ),
    ),
    "imagenet-weights": (
        # torchvision writes the first digits of the SHA-256 into the file name.
        Asset("https://download.pytorch.org/models/densenet121-a639ec97.pth", "a639ec97"),
    ),
    "chexnet": (
        Asset(
            "https://github.com/arnoweng/CheXNet/raw/3d45ee77e2cfe6ec81bf1b87e2ed4e3fc10af6c1/"
            "model.pth.tar",
            git_blob="14922ae7de18767793f6ac85cf51df950327d96c",
        ),
    ),
}
"""What can be downloaded: name -> its files."""

CHEST_ENCODER = "chest-encoder"
_XRV = "https://github.com/mlmed/torchxrayvision/releases/download/v1/"
CHEST_WEIGHTS: Mapping[str, Asset] = {
    name: Asset(f"{_XRV}{name}-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt")
    for name in ("nih", "chex", "mimic_ch", "pc")
}
"""TorchXRayVision's DenseNet121s by what they were trained on, without those that saw Open-i.

Their publisher gives no sums: what comes is checked by whether all its tensors land in the network.
"""

NEXT_STEP: Mapping[str, str] = {
    "iu-xray": "python train.py data=iu_xray data.root={dest}",
    "glove": "python train.py model.embedding.vectors={dest}/glove.6B.zip:glove.6B.300d.txt",
    "imagenet-weights": "python train.py encoder.weights={dest}/densenet121-a639ec97.pth",
    "chexnet": "python train.py data=iu_xray data.root=FOLDER encoder.weights={weights}",
    CHEST_ENCODER: "python train.py data=iu_xray data.root=FOLDER encoder.weights={weights}",
}
"""The command that uses what was downloaded to `dest`, or the `weights` made of it."""

LICENCES: Mapping[str, str] = {
    "iu-xray": "CC BY-NC-ND 4.0 (Open-i, U.S. National Library of Medicine)",
    "glove": "Open Data Commons Public Domain Dedication and License 1.0",
    "imagenet-weights": "BSD 3-Clause (torchvision); ImageNet is for non-commercial research",
    "chexnet": "none is stated (arnoweng/CheXNet), so all rights are its authors'; trained on NIH "
    "ChestX-ray14, which is free to use with attribution",
    CHEST_ENCODER: "Apache License 2.0 (TorchXRayVision, Cohen et al. 2022); the images it was "
    "trained on have terms of their own: NIH ChestX-ray14 is free to use with attribution, "
    "CheXpert (chex), MIMIC-CXR (mimic_ch) and PadChest (pc) are for research",
}
"""The terms of what can be downloaded."""

EXPLAINED: Mapping[str, str] = {
    "mimic-cxr": """\
MIMIC-CXR needs a credentialed PhysioNet account and a signed agreement:
  1. Make an account at https://physionet.org/register/ and apply for credentialing there.
  2. Do the CITI course "Data or Specimens Only Research" and upload its report.
  3. Sign the agreements on https://physionet.org/content/mimic-cxr-jpg/ (images, tables)
     and https://physionet.org/content/mimic-cxr/ (mimic-cxr-reports.zip).
  4. wget -r -N -c -np --user USER --ask-password https://physionet.org/files/mimic-cxr-jpg/2.1.0/
     wget -c --user USER --ask-password \\
       https://physionet.org/files/mimic-cxr/2.1.0/mimic-cxr-reports.zip
  5. cd physionet.org/files/mimic-cxr-jpg/2.1.0, unpack the reports there (their files/ joins that
     of the images) and gunzip nothing:
     python train.py data=mimic_cxr data.root=FOLDER""",
    "rexgradient": """\
ReXGradient-160K is on the Hugging Face hub, for non-commercial research, once its terms are agreed:
  1. Agree to them on https://huggingface.co/datasets/rajpurkarlab/ReXGradient-160K and log in with
     a token of your account: pip install huggingface_hub && hf auth login
  2. hf download rajpurkarlab/ReXGradient-160K --repo-type dataset --local-dir FOLDER
     (150 GB; the images are at a quarter of their size)
  3. cd FOLDER && cat deid_png.part* > deid_png.tar && tar -xf deid_png.tar
     (zstd must be installed), so that metadata/ and deid_png/ lie side by side:
     python train.py data=rexgradient data.root=FOLDER""",
    "chexpert-plus": """\
CheXpert Plus is given out by Stanford AIMI, for research, to who has signed its agreement:
  1. Make an account on https://aimi.stanford.edu/datasets/chexpert-plus and sign it there.
  2. Download df_chexpert_plus_240401.csv, chexbert_labels (where published labels are wanted) and
     the PNG images; CheXpert's own, smaller JPEGs (CheXpert-v1.0-small) do instead.
  3. Unpack all under one folder: the table, chexbert_labels/report_fixed.json, and
     PNG/PNG/train/patient.../ or CheXpert-v1.0-small/train/patient.../
     python train.py data=chexpert_plus data.root=FOLDER data.target=impression
     (many studies have an impression and no findings)""",
    "nih-chestxray14": """\
NIH ChestX-ray14 is given out by the NIH Clinical Center through Box, under its terms of use:
  1. Open https://nihcc.app.box.com/v/ChestXray-NIHCC and read README_CHESTXRAY.pdf.
  2. Download Data_Entry_2017_v2020.csv, train_val_list.txt, test_list.txt and
     images/images_01.tar.gz ... images_12.tar.gz (42 GB; batch_download_zips.py there does it).
  3. Unpack all archives under one folder:
     python train.py model=chexnet data=nih_chestxray14 data.root=FOLDER""",
    "iu-xray-kaggle": """\
The Kaggle form of IU X-ray needs a Kaggle account and its API token:
  1. pip install kaggle, and put the token of https://www.kaggle.com/settings in ~/.kaggle/
  2. kaggle datasets download -d raddar/chest-xrays-indiana-university -p FOLDER --unzip
  3. python train.py data=iu_xray data.root=FOLDER
It gives the projection of every image, which NLM's form does not; the two may be mixed.""",
    "r2gen": """\
R2Gen's annotation.json and images are on Google Drive, linked from the README of
https://github.com/cuhksz-nlp/R2Gen (iu_xray.zip; mimic_cxr.zip asks for the PhysioNet licence):
  1. Download and unpack it.
  2. python train.py data=iu_xray data.root=FOLDER data.split=r2gen
     python train.py data=mimic_cxr data.root=FOLDER data.split=r2gen \\
       data.annotation=FOLDER/annotation.json""",
}
"""How to get what cannot be downloaded without an account."""


def check_name(what: str) -> None:
    """`OptionError` unless `what` can be downloaded or explained."""
    if what not in (*CATALOG, CHEST_ENCODER, *EXPLAINED):
        choices = ", ".join([*CATALOG, CHEST_ENCODER, *EXPLAINED])
        raise OptionError(f"download: choose one of {choices}; got {what!r}")


def files_of(what: str, weights: str | None = None) -> tuple[Asset, ...]:
    """The files of what can be downloaded.

    Args:
        what: as `check_name` has it.
        weights: which of `CHEST_WEIGHTS`, of a chest encoder; None for `nih`.

    Raises `OptionError` for weights that there are not, or where nothing is chosen between.
    """
    if what != CHEST_ENCODER:
        if weights is not None:
            raise OptionError(f"--weights goes with {CHEST_ENCODER}, not with {what}")
        return CATALOG[what]
    if weights is not None and weights not in CHEST_WEIGHTS:
        raise OptionError(
            f"--weights must be one of {', '.join(CHEST_WEIGHTS)}, got {weights!r} "
            "(TorchXRayVision's `all` was trained on Open-i, whose studies it would be tested on)"
        )
    return (CHEST_WEIGHTS[weights or "nih"],)


def download(
    what: str, dest: Path, *, weights: str | None = None, mirror: str | None = None, watch: Watch
) -> list[Path]:
    """Fetch (and unpack) every file of `files_of(what)`; returns what is now under `dest`.

    `mirror` is an address that holds files of the same names, instead of the official one.
    Raises `OptionError`, `DataError`.
    """
    check_name(what)
    made: list[Path] = []
    for asset in files_of(what, weights):
        url = f"{mirror.rstrip('/')}/{asset.file_name}" if mirror else asset.url
        path = fetch(
            url,
            dest / asset.file_name,
            sha256_prefix=asset.sha256_prefix,
            git_blob=asset.git_blob,
            progress=watch(asset.file_name),
        )
        made.append(path)
        if path.suffix == ".tgz" and asset.unpack_to is None:
            check_whole(path)
        if asset.unpack_to is not None:
            unpack(path, dest / asset.unpack_to, watch(f"unpacking {asset.file_name}"))
            made.append(dest / asset.unpack_to)
    return made


# One file by HTTP: continued where it was cut, checked, and only then given its name.

_BLOCK_BYTES = 1 << 18
TIMEOUT = 30.0
ATTEMPTS = 5
SPARE_BYTES = 64 << 20
"""Bytes that must stay free on the disk."""


class _CutError(Exception):
    """The server stopped in mid-file or was busy: worth another attempt."""


@dataclass
class _Part:
    """The unfinished file, and beside it the validator that says it may be continued."""

    path: Path

    @property
    def note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def validator(self) -> str | None:
        try:
            found = json.loads(self.note.read_text())["validator"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return found if isinstance(found, str) and self.path.is_file() else None

    def remember(self, headers: Any) -> None:
        """Note what identifies the server's file; a weak ETag does not identify its bytes."""
        tag = headers.get("ETag", "W/")
        validator = headers.get("Last-Modified") if tag.startswith("W/") else tag
        self.note.write_text(json.dumps({"validator": validator}))

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def fetch(
    url: str,
    path: Path,
    *,
    sha256_prefix: str = "",
    git_blob: str = "",
    progress: Progress = lambda done, total: None,
    pause: float = 1.0,
) -> Path:
    """Download `url` to `path` unless it is there already; an earlier part is continued.

    A cut connection is taken up again by Range and If-Range, five times, `pause` seconds apart
    and doubling. Raises `DataError` if the server refuses, if the disk would be full, or if the
    size or a sum that is known is wrong (what was downloaded is then removed).
    """
    _check_address(url)
    if path.is_file():
        _check_sums(path, url, sha256_prefix, git_blob)
        return path
    with named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(path.with_name(path.name + ".part"))
    for attempt in range(ATTEMPTS):
        try:
            _get(url, part, progress)
            break
        except _CutError as cut:
            if attempt == ATTEMPTS - 1:
                raise DataError(
                    f"{url}: {cut}, {ATTEMPTS} times; what came is kept, run the command again"
                ) from None
            time.sleep(pause * 2**attempt)
    part.note.unlink(missing_ok=True)
    _check_sums(part.path, url, sha256_prefix, git_blob)
    with named_errors(path):
        part.path.replace(path)
    return path


def _check_address(url: str) -> None:
    try:
        address = urllib.parse.urlsplit(url)
        usable = address.scheme in ("https", "http") and address.hostname
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in url):
        raise DataError(f"{url}: no address; only https://... and http://... are downloaded")


def _get(url: str, part: _Part, progress: Progress) -> None:
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    validator = part.validator()
    have = part.path.stat().st_size if validator else 0
    if validator and have:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", validator)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            _receive(response, part, have if response.status == 206 else 0, url, progress)
    except urllib.error.HTTPError as error:
        _refused(error, part, url)
    except OutputError:
        raise
    except (OSError, http.client.HTTPException) as error:  # all that sockets and TLS raise
        raise _CutError(f"no connection ({getattr(error, 'reason', None) or error})") from None


def _refused(error: urllib.error.HTTPError, part: _Part, url: str) -> None:
    error.close()
    if error.code == 416:  # the part is no part of what the server has now
        part.remove()
        raise _CutError("the server's file changed") from None
    if error.code >= 500 or error.code == 429:
        raise _CutError(f"the server answered {error.code} {error.reason}") from None
    raise DataError(
        f"{url}: the server refused it ({error.code} {error.reason}); "
        "open the address in a browser to see whether it has moved"
    ) from None


def _receive(response: Any, part: _Part, have: int, url: str, progress: Progress) -> None:
    length = response.headers.get("Content-Length")
    total = have + int(length) if length and length.isdigit() else None
    if have and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        part.remove()
        raise _CutError("the server continued at the wrong place")
    check_space(part.path.parent, (total or 0) - have, url)
    with named_errors(part.path):
        if not have:
            part.remember(response.headers)
        file = part.path.open("ab" if have else "wb")
    with file:
        while chunk := response.read(_BLOCK_BYTES):
            with named_errors(part.path):
                file.write(chunk)
            have += len(chunk)
            progress(have, total)
    if total is not None and have != total:
        raise _CutError(f"the connection was cut at {have} of {total} bytes")


def check_space(folder: Path, needed: int, what: str) -> None:
    """`DataError` unless the disk of `folder` has room for `needed` bytes and a little more."""
    free = shutil.disk_usage(folder).free
    if needed + SPARE_BYTES > free:
        raise DataError(
            f"{what}: needs {needed / 1e6:.0f} MB, the disk of {folder} has {free / 1e6:.0f} MB "
            "free; make room or choose another DEST"
        )


def _check_sums(path: Path, url: str, sha256_prefix: str, git_blob: str) -> None:
    """`DataError`, and the file is removed, where a sum that is known is another."""
    header = b"blob %d\0" % path.stat().st_size  # git's sum is of this and the content
    for name, known, start in (
        ("SHA-256", sha256_prefix, hashlib.sha256()),
        ("git SHA-1", git_blob, hashlib.sha1(header, usedforsecurity=False)),
    ):
        if known and not (found := digest(path, start)).startswith(known):
            path.unlink()
            raise DataError(
                f"{url}: what came has {name} {found[:16]}..., not {known}...; "
                "it was removed, run the command again"
            )


def digest(path: Path, start: Any = None) -> str:
    """Hexadecimal sum of a file; SHA-256, unless a hash to go on from is given."""
    made = start or hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_BLOCK_BYTES):
            made.update(chunk)
    return str(made.hexdigest())


# Unpacking a tar.gz so that nothing is written outside its folder.


def unpack(archive: Path, folder: Path, progress: Progress = lambda done, total: None) -> int:
    """Unpack the regular files of `archive` under `folder`; returns how many it holds.

    Files that are there with the right size are left, so that an interrupted run goes on.
    Raises `DataError` at the first member that is absolute, climbs out with `..`, or is a link
    or a device: nothing of that archive is then trusted.
    """
    count, total = 0, archive.stat().st_size
    try:
        with archive.open("rb") as raw, tarfile.open(fileobj=BoundedGzip(raw), mode="r:") as tar:
            for member in tar:
                target = _target(member, archive, folder)
                if member.isfile():
                    _write(tar, member, target)
                    count += 1
                    progress(raw.tell(), total)
    except OutputError:
        raise
    except (EOFError, OSError, tarfile.TarError, zlib.error) as error:
        raise DataError(
            f"{archive}: cannot be unpacked ({error}); remove it and run the command again"
        ) from error
    return count


def check_whole(archive: Path) -> None:
    """Read a tar.gz through, by its checksums; a damaged one is removed: `DataError`."""
    try:
        with gzip.open(archive) as file:
            while file.read(_BLOCK_BYTES):
                pass
    except (EOFError, OSError, zlib.error) as error:
        archive.unlink()
        raise DataError(
            f"{archive}: came damaged ({error}); it was removed, run the command again"
        ) from error


def _target(member: tarfile.TarInfo, archive: Path, folder: Path) -> Path:
    path = PurePosixPath(member.name)
    outside = path.is_absolute() or ".." in path.parts or "\\" in member.name or ":" in member.name
    if outside or not (member.isfile() or member.isdir()):
        raise DataError(
            f"{archive}: member {member.name[:80]!r} is a link, a device or lies outside DEST; "
            "the archive is not to be trusted, remove it"
        )
    return folder / path


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    if target.is_file() and target.stat().st_size == member.size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    check_space(target.parent, member.size, str(target))
    source = tar.extractfile(member)
    assert source is not None  # a regular file
    with replacing(target) as temporary, source, temporary.open("wb") as file:
        shutil.copyfileobj(source, file)
