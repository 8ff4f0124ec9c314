from __future__ import annotations

import os
import pickle
import shutil
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.data.pictures import gray, png_claiming, write_png
from xray_report.data.images import FilePixels, resize_gray, to_8_bits
from xray_report.errors import ImageError


def test_grey_png_is_read_exactly(tmp_path: Path) -> None:
    image = gray(1, (30, 17))
    np.testing.assert_array_equal(FilePixels(write_png(tmp_path / "a.png", image)).load(), image)


@pytest.mark.parametrize("channels", [3, 4])
def test_grey_stored_as_colour_is_the_same_grey(tmp_path: Path, channels: int) -> None:
    image = gray(2)
    colour = np.repeat(image[..., None], channels, 2)
    if channels == 4:
        colour[..., 3] = 255
    np.testing.assert_array_equal(FilePixels(write_png(tmp_path / "a.png", colour)).load(), image)


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG's chunk with the sum that it should have."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(rows: bytes) -> bytes:
    """A grey PNG of 20 x 24 pixels whose pixels are stored as `rows`."""
    header = struct.pack(">IIBBBBB", 20, 24, 8, 0, 0, 0, 0)
    chunks = (chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


FINE = b"".join(bytes([0, *range(row, row + 20)]) for row in range(24))
DAMAGED = {
    "another filter than there are": png(zlib.compress(b"\x09" + FINE[1:])),
    "a sum that is wrong": flipped(png(zlib.compress(FINE)), 60),
    "a stream that is wrong": png(flipped(zlib.compress(FINE), 10)),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_pixels_in_a_whole_png_are_one_line(tmp_path: Path, kind: str) -> None:
    """And do not end the process, as they do in torchvision's decoder."""
    (tmp_path / "fine.png").write_bytes(png(zlib.compress(FINE)))
    assert FilePixels(tmp_path / "fine.png").load()[3].tolist() == list(range(3, 23))
    (tmp_path / "a.png").write_bytes(DAMAGED[kind])
    with pytest.raises(ImageError, match=r"a\.png: the PNG is truncated or damaged"):
        FilePixels(tmp_path / "a.png").load()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_images_are_turned_upright(tmp_path: Path, kind: str) -> None:
    image = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (16, 1))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    Image.fromarray(image).save(tmp_path / "a", format=kind, exif=exif)
    loaded = FilePixels(tmp_path / "a").load()
    assert loaded.shape == (24, 16)
    assert np.abs(loaded.astype(int) - np.rot90(image, -1)).max() < 12


def test_palettes_and_single_bits_are_read(tmp_path: Path) -> None:
    image = np.where(gray(1) > 127, 255, 0).astype(np.uint8)
    for mode in ("1", "P"):
        path = tmp_path / f"{mode}.png"
        Image.fromarray(image).convert(mode).save(path)
        np.testing.assert_array_equal(FilePixels(path).load(), image)


def test_format_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    image = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (24, 1))
    Image.fromarray(image).save(tmp_path / "a.png", format="JPEG", quality=95)
    loaded = FilePixels(tmp_path / "a.png").load()
    assert np.abs(loaded.astype(int) - image).max() < 12


@pytest.mark.parametrize(("top", "shift"), [(255, 0), (1023, 2), (4095, 4), (16383, 6), (65535, 8)])
def test_sixteen_bit_png_is_scaled_by_the_bits_in_use(tmp_path: Path, top: int, shift: int) -> None:
    image = np.linspace(0, top, 400).astype(np.uint16).reshape(20, 20)
    loaded = FilePixels(write_png(tmp_path / "a.png", image)).load()
    np.testing.assert_array_equal(loaded, (image >> shift).astype(np.uint8))
    assert loaded.max() == 255


def test_a_black_sixteen_bit_image_stays_black() -> None:
    assert not to_8_bits(np.zeros((3, 3), np.uint16)).any()


def write_text(path: Path) -> None:
    path.write_text("not an image")


def write_truncated_png(path: Path) -> None:
    data = write_png(path, gray(0, (64, 64))).read_bytes()
    path.write_bytes(data[: len(data) // 2])


def write_truncated_jpeg(path: Path) -> None:
    Image.fromarray(gray(0, (64, 64))).save(path, format="JPEG")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def write_jpeg_bomb(path: Path) -> None:
    Image.fromarray(gray(0)).save(path, format="JPEG")
    data = path.read_bytes()
    at = data.index(b"\xff\xc0") + 5
    path.write_bytes(data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :])


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (write_text, "not a PNG, JPEG or DICOM"),
        (Path.touch, "not a PNG, JPEG or DICOM"),
        (write_truncated_png, "truncated or damaged"),
        (write_truncated_jpeg, "truncated or damaged"),
        (lambda path: path.write_bytes(png_claiming(60_000, 60_000)), "60000 x 60000 pixels"),
        (write_jpeg_bomb, "65535 x 65535 pixels"),
        (lambda path: write_png(path, gray(0, (1, 1))), "only 1 x 1 pixels"),
        (lambda path: None, "check that the file exists"),
    ],
)
def test_bad_image_is_named_in_one_line(tmp_path: Path, write: object, words: str) -> None:
    path = tmp_path / "bad.png"
    write(path)  # type: ignore[operator]
    with pytest.raises(ImageError) as caught:
        FilePixels(path).load()
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_png(tmp_path / "a.png")

    def refuse(self: Path, mode: str = "r") -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError, match=r"a\.png: cannot be read \(Permission denied\)"):
        FilePixels(path).load()


def test_identity_follows_content_not_place(tmp_path: Path) -> None:
    path = write_png(tmp_path / "one" / "images" / "a.png")
    identity = FilePixels(path).identity
    shutil.move(tmp_path / "one", tmp_path / "two")
    moved = FilePixels(tmp_path / "two" / "images" / "a.png")
    assert moved.identity == identity
    write_png(moved.path, gray(5, (25, 21)))
    changed = moved.identity
    os.utime(moved.path, ns=(1, 1))
    assert len({identity, changed, moved.identity}) == 3
    moved.path.unlink()
    assert moved.identity.endswith("missing")


def test_what_an_archive_unpacks_alike_is_told_apart(tmp_path: Path) -> None:
    """Same folder and file names, size and time, as of a.zip and b.zip."""
    found, sizes = set(), set()
    for archive, seed in (("a", 1), ("b", 2)):
        path = tmp_path / archive / "images" / "1.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(gray(seed)).save(path, compress_level=0)
        os.utime(path, ns=(1, 1))
        found.add(FilePixels(path).identity)
        sizes.add(path.stat().st_size)
    assert len(sizes) == 1
    assert len(found) == 2


def test_pixels_travel_to_worker_processes(tmp_path: Path) -> None:
    pixels = FilePixels(write_png(tmp_path / "a.png"))
    assert pickle.loads(pickle.dumps(pixels)) == pixels


@pytest.mark.parametrize("shape", [(300, 200), (100, 400), (40, 30), (224, 224)])
def test_resize_agrees_with_pillow(shape: tuple[int, int]) -> None:
    image = gray(3, shape)
    expected = np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR))
    resized = resize_gray(image, 64)
    assert resized.dtype == np.uint8
    assert np.abs(resized.astype(int) - expected).max() <= 1


@settings(max_examples=50, deadline=None)
@given(st.integers(8, 90), st.integers(8, 90), st.integers(1, 100))
def test_resize_agrees_with_torch_in_floats(height: int, width: int, size: int) -> None:
    image = gray(height, (height, width))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None, None].float(), (size, size), mode="bilinear", antialias=True
    )[0, 0]
    assert np.abs(resize_gray(image, size) - expected.numpy()).max() <= 1.01


@settings(max_examples=25, deadline=None)
@given(st.integers(8, 90), st.integers(8, 90), st.integers(0, 255), st.integers(1, 50))
def test_resize_keeps_an_even_image_even(height: int, width: int, value: int, size: int) -> None:
    resized = resize_gray(np.full((height, width), value, np.uint8), size)
    assert resized.shape == (size, size)
    assert (resized == value).all()


def test_a_picture_that_must_not_be_written_to_is_resized_without_a_warning() -> None:
    image = np.arange(64 * 48, dtype=np.uint8).reshape(64, 48)
    expected = resize_gray(image, 32)
    image.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(resize_gray(image, 32), expected)


LEAVING = """
import multiprocessing.util, os, signal
from xray_report.data.images import one_thread
one_thread(0)
print(multiprocessing.util.get_temp_dir(), flush=True)
os.kill(os.getpid(), signal.SIGTERM)
signal.pause()
"""


def test_a_loaders_process_that_is_told_to_leave_leaves_no_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAVING],
        env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).parent == tmp_path
    assert not list(tmp_path.glob("pymp-*"))
