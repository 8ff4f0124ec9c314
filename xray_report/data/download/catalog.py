"""What can be downloaded, from where, and how to get what cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Asset(NamedTuple):
    """One file of a publisher.

    Args:
        url: its official address.
        sha256_prefix: leading hexadecimal digits of its SHA-256, where they are known; a tar.gz
            without is checked by the sums that gzip keeps in it.
        unpack_to: folder under DEST that a tar.gz is unpacked to; None keeps the file as it is.
    """

    url: str
    sha256_prefix: str = ""
    unpack_to: str | None = None

    @property
    def file_name(self) -> str:
        """Last part of the address."""
        return self.url.rsplit("/", 1)[1]


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
}

NEXT_STEP: Mapping[str, str] = {
    "iu-xray": "python train.py data=iu_xray data.root={dest}",
    "glove": "python train.py model.embedding.vectors={dest}/glove.6B.zip:glove.6B.300d.txt",
    "imagenet-weights": "python train.py encoder.weights={dest}/densenet121-a639ec97.pth",
}

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
It tells the projection of every image, which NLM's form does not; the two may be mixed.""",
    "r2gen": """\
R2Gen's annotation.json and images are on Google Drive, linked from the README of
https://github.com/cuhksz-nlp/R2Gen (iu_xray.zip; mimic_cxr.zip asks for the PhysioNet licence):
  1. Download and unpack it.
  2. python train.py data=iu_xray data.root=FOLDER data.split=r2gen
     python train.py data=mimic_cxr data.root=FOLDER data.split=r2gen \\
       data.annotation=FOLDER/annotation.json""",
}
