from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.data.pictures import write_png
from tests.data.sources.layouts import kaggle, write_csv
from xray_report.data.dicom import view_of_file
from xray_report.data.images import FilePixels
from xray_report.data.sources.csv import CSVSource
from xray_report.data.sources.iu_xray import IUXRay
from xray_report.data.study import View
from xray_report.errors import ImageError, MissingExtraError

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")
RAMP = np.linspace(100, 3100, 16 * 12).astype(np.uint16).reshape(16, 12)


def write(path: Path, pixels: np.ndarray = RAMP, **tags: object) -> Path:
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.PixelData = pixels.tobytes()
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def linear(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    return (values - values.min()) * 255 / (values.max() - values.min())


def test_twelve_bits_become_the_whole_grey_range(tmp_path: Path) -> None:
    image = FilePixels(write(tmp_path / "a.dcm")).load()
    assert (image.dtype, image.shape) == (np.uint8, RAMP.shape)
    assert np.abs(image - linear(RAMP)).max() <= 0.51


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    plain = FilePixels(write(tmp_path / "a.dcm")).load()
    inverted = FilePixels(write(tmp_path / "b.dcm", PhotometricInterpretation="MONOCHROME1")).load()
    assert np.abs(inverted.astype(int) - (255 - plain.astype(int))).max() <= 1


def test_window_clips_what_lies_outside_it(tmp_path: Path) -> None:
    image = FilePixels(write(tmp_path / "a.dcm", WindowCenter=1600, WindowWidth=1000)).load()
    assert (image[RAMP < 1090] == 0).all()
    assert (image[RAMP > 2110] == 255).all()
    middle = (RAMP > 1200) & (RAMP < 2000)
    assert np.abs(image[middle] - (RAMP[middle] - 1100.0) * 0.255).max() < 1.5


def test_rescale_comes_before_the_window(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.dcm", WindowCenter=1600, WindowWidth=1000)
    shifted = write(
        tmp_path / "b.dcm",
        WindowCenter=2200,
        WindowWidth=2000,
        RescaleSlope=2,
        RescaleIntercept=-1000,
    )
    one, other = FilePixels(plain).load(), FilePixels(shifted).load()
    assert np.abs(one.astype(int) - other).max() <= 1


def test_padding_does_not_stretch_the_grey_scale(tmp_path: Path) -> None:
    padded = RAMP.copy()
    padded[:3] = 4000
    image = FilePixels(write(tmp_path / "a.dcm", padded, PixelPaddingValue=4000)).load()
    assert (image[:3] == 0).all()
    assert np.abs(image[3:] - linear(RAMP[3:])).max() <= 0.51


def test_an_empty_padding_limit_counts_as_none(tmp_path: Path) -> None:
    given = write(tmp_path / "a.dcm", PixelPaddingValue=0)
    empty = write(tmp_path / "b.dcm", PixelPaddingValue=0, PixelPaddingRangeLimit=None)
    np.testing.assert_array_equal(FilePixels(empty).load(), FilePixels(given).load())


def test_compressed_syntax_gives_the_same_pixels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm")
    dataset = pydicom.dcmread(path)
    dataset.compress(pydicom.uid.RLELossless)
    dataset.save_as(tmp_path / "b.dcm")
    np.testing.assert_array_equal(FilePixels(tmp_path / "b.dcm").load(), FilePixels(path).load())


def test_jpeg2000_syntax_gives_the_same_pixels(tmp_path: Path) -> None:
    pytest.importorskip("openjpeg", reason="needs pylibjpeg-openjpeg")
    path = write(tmp_path / "a.dcm", np.tile(RAMP, (6, 8)))
    dataset = pydicom.dcmread(path)
    dataset.compress(pydicom.uid.JPEG2000Lossless)
    dataset.save_as(tmp_path / "b.dcm")
    np.testing.assert_array_equal(FilePixels(tmp_path / "b.dcm").load(), FilePixels(path).load())


def cut(path: Path) -> None:
    write(path)
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (cut, "cannot be decoded"),
        (lambda path: write(path, PixelPaddingValue=[0, 1]), "cannot be decoded"),
        (lambda path: write(path, np.stack([RAMP, RAMP]), NumberOfFrames=2), "several frames"),
        (lambda path: write(path, Rows=60000, Columns=60000), "60000 x 60000 pixels"),
        (lambda path: write(path, RAMP[:1, :1]), "only 1 x 1 pixels"),
    ],
)
def test_bad_dicom_is_named_in_one_line(tmp_path: Path, make: object, words: str) -> None:
    path = tmp_path / "bad.dcm"
    make(path)  # type: ignore[operator]
    with pytest.raises(ImageError) as caught:
        FilePixels(path).load()
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_pydicom_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.dcm")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'xray-report\[dicom\]'"):
        FilePixels(path).load()


pytest.importorskip("pydicom", reason="needs the extra dicom")


@pytest.mark.parametrize(
    ("tag", "view"),
    [("LL", View.LATERAL), ("AP", View.FRONTAL), ("RL", View.LATERAL), ("PA", None), ("", None)],
)
def test_only_trusted_tags_name_a_view(tmp_path: Path, tag: str, view: View | None) -> None:
    assert view_of_file(write(tmp_path / "a.dcm", ViewPosition=tag)) is view


def test_other_files_name_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = write(tmp_path / "cut.dcm", ViewPosition="LL")
    cut.write_bytes(cut.read_bytes()[:140])
    whole = write(tmp_path / "whole.dcm", ViewPosition="LL")
    paths = [write_png(tmp_path / "a.png"), tmp_path / "gone.dcm", cut]
    assert [view_of_file(path) for path in paths] == [None] * 3
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert view_of_file(whole) is None


def test_a_table_without_views_takes_them_from_dicom_headers(tmp_path: Path) -> None:
    for name, tag in (("a", "LL"), ("b", "AP"), ("c", "PA")):
        write(tmp_path / f"{name}.dcm", ViewPosition=tag)
    rows = [{"study_id": "1", "file": f"{name}.dcm"} for name in "abc"]
    table = write_csv(tmp_path / "t.csv", rows)
    (study,) = CSVSource(table, columns={"image": "file"}, split="all_train").studies()
    assert [(image.view, image.view_from) for image in study.images] == [
        (View.LATERAL, "dicom"),
        (View.FRONTAL, "dicom"),
        (View.UNKNOWN, "none"),
    ]


def test_openi_images_as_dicom_tell_their_own_views(tmp_path: Path) -> None:
    root = kaggle(tmp_path)
    (root / "indiana_projections.csv").unlink()
    for path in (root / "images" / "images_normalized").glob("1_*.png"):
        tag = "LL" if "3001" in path.name else "AP"
        write(path.with_name(path.name.removesuffix(".png")), ViewPosition=tag)
        path.unlink()
    study = IUXRay(root, split="all_train").studies()[0]
    views = [(image.view, image.view_from) for image in study.images]
    assert views == [(View.LATERAL, "dicom"), (View.FRONTAL, "dicom")]
    assert study.images[0].pixels.load().shape == (16, 12)
