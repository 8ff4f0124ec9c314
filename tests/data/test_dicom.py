from __future__ import annotations

import io
import struct
import sys
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.pictures import write_png
from tests.data.sources.layouts import kaggle, write_csv
from tests.data.sources.real import SHARED
from xray_report.data.dicom import READING, view_of_file
from xray_report.data.images import FilePixels
from xray_report.data.sources.csv import CSVSource
from xray_report.data.sources.iu_xray import IUXRay
from xray_report.data.study import View
from xray_report.errors import ImageError, MissingExtraError

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")
REAL = SHARED / "dicom" / "CR-MONO1-10-chest.dcm"
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
        (lambda path: write(path, PixelPaddingValue=[0, 1]), "Pixel Padding Value (0028,0120)"),
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


# Look-up tables, windows and padding, as viewers have them.

CURVE = (np.linspace(0, 1, 4096) ** 2 * 255).round().astype(np.uint16)
"""A VOI LUT of 8-bit entries for a film of 12 bits."""


def lut(data: object, bits: int, count: int = 4096, first: int = 0, vr: str = "OW") -> object:
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "US" if first >= 0 else "SS", [count % 65536, first, bits])
    item.add_new("LUTData", vr, data)
    return pydicom.sequence.Sequence([pydicom.Dataset(), item])  # an empty item is passed over


@pytest.mark.parametrize(
    ("data", "vr"),
    [
        (CURVE.tolist(), "US"),
        (CURVE.tobytes(), "OW"),
        (CURVE.astype(np.uint8).tobytes(), "OW"),
        (CURVE.astype(np.uint8).view("<u2").tolist(), "US"),
    ],
    ids=["numbers", "words", "packed", "packed numbers"],
)
def test_a_voi_lut_of_8_bits_shows_a_film_of_12(tmp_path: Path, data: object, vr: str) -> None:
    image = FilePixels(write(tmp_path / "a.dcm", VOILUTSequence=lut(data, 8, vr=vr))).load()
    np.testing.assert_array_equal(image, CURVE[RAMP])


def test_the_range_of_a_lut_is_the_grey_scale(tmp_path: Path) -> None:
    entries = np.full(4096, 1023, np.uint16)  # a quarter of what 12 bits may be
    image = FilePixels(write(tmp_path / "a.dcm", VOILUTSequence=lut(entries.tobytes(), 12))).load()
    assert np.unique(image).tolist() == [64]


def test_a_window_is_the_grey_scale_however_little_of_it_a_film_uses(tmp_path: Path) -> None:
    image = FilePixels(write(tmp_path / "a.dcm", WindowCenter=2048, WindowWidth=4096)).load()
    assert np.abs(image - RAMP / 4095 * 255).max() <= 0.51


@pytest.mark.parametrize("first", [-1000, 64536])
def test_a_modality_lut_of_12_bits_in_either_sign(tmp_path: Path, first: int) -> None:
    pixels = (RAMP.astype(int) - 1500).astype(np.int16)
    path = write(
        tmp_path / "a.dcm",
        pixels,
        PixelRepresentation=1,
        BitsStored=16,
        HighBit=15,
        ModalityLUTSequence=lut(np.arange(2000, dtype=np.uint16).tobytes(), 12, 2000, first),
    )
    assert np.abs(FilePixels(path).load() - linear(np.clip(pixels + 1000, 0, 1999))).max() <= 0.51


@pytest.mark.parametrize(
    "tags",
    [
        {"WindowCenter": 2048, "WindowWidth": 0},
        {"WindowCenter": None, "WindowWidth": None},
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"VOILUTSequence": []},
        {"VOILUTSequence": [pydicom.Dataset()], "ModalityLUTSequence": [pydicom.Dataset()]},
    ],
    ids=["width 0", "empty window", "empty rescale", "no item", "empty item"],
)
def test_what_is_empty_counts_as_none(tmp_path: Path, tags: dict[str, object]) -> None:
    plain = FilePixels(write(tmp_path / "plain.dcm")).load()
    np.testing.assert_array_equal(FilePixels(write(tmp_path / "a.dcm", **tags)).load(), plain)


def test_the_first_window_that_can_be_one_is_taken(tmp_path: Path) -> None:
    several = {"WindowCenter": [2048, 1600], "WindowWidth": [0, 1000]}
    one = write(tmp_path / "a.dcm", WindowCenter=1600, WindowWidth=1000)
    other = write(tmp_path / "b.dcm", **several)
    np.testing.assert_array_equal(FilePixels(other).load(), FilePixels(one).load())


def test_a_sigmoid_window_is_half_at_its_centre(tmp_path: Path) -> None:
    tags = {"WindowCenter": 1600, "WindowWidth": 1000, "VOILUTFunction": "SIGMOID"}
    image = FilePixels(write(tmp_path / "a.dcm", **tags)).load()
    expected = 255 / (1 + np.exp(-4 * (RAMP - 1600.0) / 1000))
    assert np.abs(image - expected).max() <= 0.51


@pytest.mark.parametrize(("vr", "written"), [("US", 32768), ("SS", -32768)])
def test_padding_may_be_written_in_the_other_sign(tmp_path: Path, vr: str, written: int) -> None:
    signed = (RAMP.astype(int) - 1000).astype(np.int16)
    signed[:3] = -32768
    path = write(tmp_path / "a.dcm", signed, PixelRepresentation=1, BitsStored=16, HighBit=15)
    dataset = pydicom.dcmread(path)
    dataset.add_new("PixelPaddingValue", vr, written)
    dataset.save_as(path)
    image = FilePixels(path).load()
    assert (image[:3] == 0).all()
    assert np.abs(image[3:] - linear(signed[3:])).max() <= 0.51


def test_padding_above_the_bits_stored_is_padding(tmp_path: Path) -> None:
    padded = RAMP.copy()
    padded[:3] = 63536  # -2000
    image = FilePixels(write(tmp_path / "a.dcm", padded, PixelPaddingValue=63536)).load()
    assert (image[:3] == 0).all()
    assert np.abs(image[3:] - linear(RAMP[3:])).max() <= 0.51


def test_overlays_in_unused_bits_are_not_shown(tmp_path: Path) -> None:
    drawn = RAMP.copy()
    drawn[::2] |= 0x1000
    with pytest.raises(ImageError, match=r"Bits Stored \(0028,0101\)"):
        FilePixels(write(tmp_path / "a.dcm", drawn)).load()
    said = write(tmp_path / "b.dcm", drawn)
    dataset = pydicom.dcmread(said)
    dataset.add_new(0x60000102, "US", 12)  # Overlay Bit Position
    dataset.save_as(said)
    np.testing.assert_array_equal(
        FilePixels(said).load(), FilePixels(write(tmp_path / "c.dcm")).load()
    )


def test_signed_pixels_of_12_bits_need_not_be_extended(tmp_path: Path) -> None:
    values = (RAMP.astype(int) - 1500).astype(np.int16)
    extended = write(tmp_path / "a.dcm", values, PixelRepresentation=1)
    bare = write(tmp_path / "b.dcm", values & 0xFFF, PixelRepresentation=1)
    np.testing.assert_array_equal(FilePixels(bare).load(), FilePixels(extended).load())
    assert np.abs(FilePixels(bare).load() - linear(values)).max() <= 0.51


@pytest.mark.parametrize("syntax", ["ImplicitVRLittleEndian", "ExplicitVRLittleEndian"])
def test_a_film_without_preamble_and_file_header_is_read(tmp_path: Path, syntax: str) -> None:
    path = write(tmp_path / "a.dcm", WindowCenter=1600, WindowWidth=1000, ViewPosition="LL")
    bare = tmp_path / "bare.dcm"
    dataset = pydicom.Dataset(pydicom.dcmread(path))
    dataset.save_as(bare, implicit_vr=syntax.startswith("I"), little_endian=True)
    assert bare.read_bytes()[:2] == b"\x08\x00"
    np.testing.assert_array_equal(FilePixels(bare).load(), FilePixels(path).load())
    assert view_of_file(bare) is View.LATERAL


def test_how_a_film_is_shown_is_part_of_its_identity(tmp_path: Path) -> None:
    film, other = write(tmp_path / "a.dcm"), write_png(tmp_path / "a.png")
    assert FilePixels(film).identity.endswith(f":{READING}")
    assert not FilePixels(other).identity.endswith(f":{READING}")


def test_a_deflated_film_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", ViewPosition="LL")
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "b.dcm")
    np.testing.assert_array_equal(FilePixels(tmp_path / "b.dcm").load(), FilePixels(path).load())
    assert view_of_file(tmp_path / "b.dcm") is View.LATERAL


@pytest.mark.skipif(not REAL.is_file(), reason="no real DICOM files beside it")
def test_a_real_film_without_preamble_is_shown_by_its_window() -> None:
    image, dataset = FilePixels(REAL).load(), pydicom.dcmread(REAL, force=True)
    stored = np.frombuffer(dataset.PixelData, "<u2").reshape(440, 440)
    expected = 255 - np.clip((stored - 549.5) / 1023 + 0.5, 0, 1) * 255  # 550 wide 1024, MONO1
    assert np.abs(image - expected).max() <= 0.51


# What cannot be followed is refused, and its tag named; nothing is decoded that claims more than
# the header says.


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "Interpretation (0028,0004) is 'PALETTE"),
        ({"RescaleSlope": 0, "RescaleIntercept": 1}, "Rescale Slope (0028,1053) is 0"),
        ({"BitsAllocated": 32}, "Bits Allocated (0028,0100) is 32"),
        ({"BitsStored": 17}, "Bits Stored (0028,0101) is 17"),
        ({"HighBit": 3}, "High Bit (0028,0102) is 3"),
        ({"VOILUTFunction": "CUBIC"}, "VOI LUT Function (0028,1056) is 'CUBIC'"),
        ({"VOILUTSequence": lut(CURVE.tobytes(), 4)}, "LUT Descriptor (0028,3002) of VOILUT"),
        ({"VOILUTSequence": lut(CURVE[:9].tobytes(), 8)}, "LUT Data (0028,3006) of VOILUT"),
        ({"ModalityLUTSequence": lut(b"", 12)}, "LUT Data (0028,3006) of Modality"),
    ],
)
def test_a_tag_that_cannot_be_followed_is_named(
    tmp_path: Path, tags: dict[str, object], words: str
) -> None:
    with pytest.raises(ImageError) as caught:
        FilePixels(write(tmp_path / "a.dcm", **tags)).load()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_where_a_number_belongs_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", WindowCenter=1600, WindowWidth=1234)
    path.write_bytes(path.read_bytes().replace(b"1234", b"wide"))
    with pytest.raises(ImageError, match=r"Window Width \(0028,1051\)"):
        FilePixels(path).load()


def jpeg_baseline(size: tuple[int, int]) -> tuple[bytes, str]:
    file = io.BytesIO()
    Image.new("L", size, 99).save(file, format="JPEG")
    return file.getvalue(), pydicom.uid.JPEGBaseline8Bit


def jpeg_2000(size: tuple[int, int]) -> tuple[bytes, str]:
    file = io.BytesIO()
    Image.new("L", size, 99).save(file, format="JPEG2000", no_jp2=True)
    return file.getvalue(), pydicom.uid.JPEG2000Lossless


def jp2_file(size: tuple[int, int]) -> tuple[bytes, str]:
    file = io.BytesIO()
    Image.new("L", size, 99).save(file, format="JPEG2000")
    return file.getvalue(), pydicom.uid.JPEG2000Lossless


def rle(size: tuple[int, int]) -> tuple[bytes, str]:
    runs = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\x63" * (size[0] * size[1] // 128)
    return runs, pydicom.uid.RLELossless


@pytest.mark.parametrize("compressed", [jpeg_baseline, jpeg_2000, jp2_file, rle])
def test_pixels_that_are_more_than_the_header_says_are_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compressed: object
) -> None:
    def film(name: str, size: tuple[int, int]) -> FilePixels:
        data, syntax = compressed(size)  # type: ignore[operator]
        eight = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
        path = write(tmp_path / name, np.zeros((16, 32), np.uint8), **eight)
        dataset = pydicom.dcmread(path)
        dataset.PixelData = pydicom.encaps.encapsulate([data])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(path)
        return FilePixels(path)

    assert film("fits.dcm", (32, 16)).load().shape == (16, 32)
    monkeypatch.setattr("pydicom.pixels.utils.pixel_array", None)
    with pytest.raises(ImageError, match=r"Pixel Data \(7FE0,0010\)") as caught:
        film("more.dcm", (1024, 512)).load()
    assert "32 x 16" in str(caught.value)


def peak(path: Path) -> int:
    """Most bytes that reading a film takes at a time."""
    tracemalloc.start()
    try:
        with suppress(ImageError):
            FilePixels(path).load()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_deflated_bomb_is_not_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xray_report.data.dicom.DATA_SET_BYTES", 1 << 20)
    monkeypatch.setattr("xray_report.data.images.MAX_PIXELS", 1 << 20)
    path = write(tmp_path / "a.dcm", np.zeros((4096, 4096), np.uint16))
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    with pytest.raises(ImageError, match=r"Transfer Syntax UID \(0002,0010\) is deflated"):
        FilePixels(path).load()
    assert view_of_file(path) is None
    assert peak(path) < 10 << 20


def test_a_film_takes_twice_its_file_and_not_eight_bytes_a_pixel(tmp_path: Path) -> None:
    film = np.tile(np.arange(4096, dtype=np.uint16), (2048, 1))
    path = write(tmp_path / "a.dcm", film, WindowCenter=2048, WindowWidth=4096)
    FilePixels(path).load()  # what is imported on the way is no film's
    assert peak(path) < 2 * film.nbytes + (20 << 20)


# Views that headers name.


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


def test_a_panic_of_a_plug_in_is_one_line_and_an_interruption_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a plug-in in Rust raises is no `Exception`, as Ctrl-C is none."""
    path = write(tmp_path / "a.dcm")
    for raised, seen in ((type("PanicException", (BaseException,), {}), ImageError),
                         (KeyboardInterrupt, KeyboardInterrupt)):  # fmt: skip

        def fails(*_: object, raised: type[BaseException] = raised) -> None:
            raise raised("index out of bounds")

        monkeypatch.setattr("xray_report.data.dicom._pixels", fails)
        with pytest.raises(seen):
            FilePixels(path).load()
