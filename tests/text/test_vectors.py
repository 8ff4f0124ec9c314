from __future__ import annotations

import gzip
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xray_report.errors import VectorsError
from xray_report.text.vectors import load_vectors

WORDS = ["", "", "", "", "heart", "no", "zzunknown", "."]
TEXT = "the 0.1 0.2 0.3\nno -1 2.5e-1 3\n. 7 8 9\nheart 0.41800 -0.24968 1\n<unk> 1 1 1\n"
EXPECTED = {"heart": [0.418, -0.24968, 1.0], "no": [-1.0, 0.25, 3.0], ".": [7.0, 8.0, 9.0]}
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "glove"


def write(path: Path, text: str | bytes = TEXT) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def check(source: str | Path) -> None:
    vectors = load_vectors(source, WORDS)
    assert vectors.matrix.shape == (8, 3)
    assert vectors.matrix.dtype == np.float32
    assert vectors.known.tolist() == [False] * 4 + [True, True, False, True]
    for i, word in enumerate(WORDS):
        np.testing.assert_array_equal(
            vectors.matrix[i], np.array(EXPECTED.get(word, [0, 0, 0]), np.float32)
        )


def test_plain_gzip_and_zip_read_alike(tmp_path: Path) -> None:
    check(write(tmp_path / "glove.txt"))
    check(str(write(tmp_path / "glove.txt.gz", gzip.compress(TEXT.encode()))))
    with zipfile.ZipFile(tmp_path / "one.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/", "")
        archive.writestr("glove.3d.txt", TEXT)
    check(tmp_path / "one.zip")
    check(f"{tmp_path}/one.zip:glove.3d.txt")


def test_capitals_take_the_vector_of_their_small_letters(tmp_path: Path) -> None:
    path = write(tmp_path / "glove.txt", TEXT + "XRay 4 4 4\nxray 5 5 5\n")
    found = load_vectors(path, ["Heart", "HEART", "heart", "No", "Lungs", "XRay", "Xray", "2.5"])
    assert found.known.tolist() == [True, True, True, True, False, True, True, False]
    np.testing.assert_array_equal(found.matrix[0], found.matrix[2])
    np.testing.assert_array_equal(found.matrix[1], found.matrix[2])
    assert found.matrix[5:7, 0].tolist() == [4.0, 5.0]


def test_a_zip_of_several_wants_to_be_told_which(tmp_path: Path) -> None:
    path = tmp_path / "glove.6B.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("glove.6B.2d.txt", "no 1 2\n")
        archive.writestr("glove.6B.3d.txt", TEXT)
    check(f"{path}:glove.6B.3d.txt")
    with pytest.raises(VectorsError, match=r"MEMBER: glove\.6B\.2d\.txt, glove\.6B\.3d\.txt"):
        load_vectors(path, WORDS)
    with pytest.raises(VectorsError, match=r"holds no glove\.6B\.9d\.txt; it holds glove"):
        load_vectors(f"{path}:glove.6B.9d.txt", WORDS)


@pytest.mark.parametrize(
    "text",
    [
        f"5 3\n{TEXT}",  # word2vec's first line
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", " \n"),  # word2vec ends rows with a space
        TEXT + ". . . 1 2 3\nat name@domain.com 1 2 3\n",  # GloVe 840B has such words
        ". . 0 0 0\n" + TEXT,
        "7 1 2 3\n" + TEXT,  # a number for a word
        TEXT + "heart 5 5 5\n",  # the first row of a word counts
        TEXT.rstrip("\n"),
        "\u00a0 1 2 3\n\u0085 1 2 3\n" + TEXT,  # unicode spaces are words there
    ],
)
def test_known_quirks(tmp_path: Path, text: str) -> None:
    check(write(tmp_path / "glove.txt", text))


def test_bytes_that_are_no_utf8_are_passed_over(tmp_path: Path) -> None:
    check(write(tmp_path / "glove.txt", b"\xff\xfe 1 2 3\n" + TEXT.encode()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no word vectors"),
        ("5 3\n", "holds no word vectors"),
        ("hello world\n", "line 1: expected a word and its numbers, got 'hello world'"),
        ("the 1 2 3\nno 1 2\nheart 1 2 3\n", "line 2: expected a word and 3 numbers, got 'no 1"),
        ("the 1 2 3\n\nheart 1 2 3\n", "line 2: expected a word and 3 numbers, got ''"),
        ("the 1 2 3\nno 1 x 3\n", "line 2: not all numbers: 'no 1 x 3'"),
        ("the 1 2 3\nno 1 nan 3\n", "line 2: not all numbers"),
        ("the 1 2 3\nno 1 1e300 3\n", "line 2: not all numbers"),
        ("the 1 2 3\n" + "x" * 300_000, "line 2: longer than"),
    ],
)
def test_malformed_files_name_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "bad.txt", text)
    with pytest.raises(VectorsError, match=message) as caught:
        load_vectors(path, WORDS)
    assert str(path) in str(caught.value)


def test_missing_damaged_and_wrong_files(tmp_path: Path) -> None:
    packed = gzip.compress(TEXT.encode())
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as archive:
        archive.writestr("glove.txt", TEXT)
    whole = (tmp_path / "whole.zip").read_bytes()
    cut = whole[:60]
    with zipfile.ZipFile(tmp_path / "named.zip", "w") as archive:
        archive.writestr("gl\u00f6ve.txt", TEXT)
    unnamed = (tmp_path / "named.zip").read_bytes().replace("\u00f6".encode(), b"\xc3x")
    cases = {
        tmp_path / "absent.txt": "not found; give the path of a GloVe file or 'bundled'",
        tmp_path: "has no config.json",
        write(tmp_path / "cut.gz", packed[:-12]): "cannot be read",
        write(tmp_path / "cut.zip", cut): "cannot be read",
        write(tmp_path / "unnamed.zip", unnamed): "cannot be read",
        Path(f"{write(tmp_path / 'text.zip')}:a.txt"): "is not a zip archive",
        Path("~nobody-of-this-name/glove.txt"): "cannot be read",
        Path("x" * 300 + ".zip:glove.txt"): "cannot be read",
    }
    for path, message in cases.items():
        with pytest.raises(VectorsError, match=message):
            load_vectors(path, WORDS)


def test_memory_is_bounded_by_the_vocabulary(tmp_path: Path) -> None:
    row = " ".join(["0.12345"] * 50)
    path = tmp_path / "large.txt"
    path.write_text("".join(f"word{i} {row}\n" for i in range(20_000)))
    assert path.stat().st_size > 8_000_000
    tracemalloc.start()
    vectors = load_vectors(path, ["word7", "word19999", "absent"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert vectors.known.tolist() == [True, True, False]
    assert peak < 1_000_000


@given(
    st.lists(
        st.lists(
            st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=4, max_size=4
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_was_written_is_read(rows: list[list[float]]) -> None:
    words = [f"w{i}" for i in range(len(rows))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any.txt"
        lines = [f"{w} {' '.join(map(repr, row))}" for w, row in zip(words, rows, strict=True)]
        path.write_text("\n".join(lines))
        vectors = load_vectors(path, words)
    np.testing.assert_array_equal(vectors.matrix, np.array(rows, np.float32))


def test_real_glove_300d() -> None:
    path = SHARED / "glove.6B.300d.iu_vocab.txt"
    if not path.exists():
        pytest.skip(f"real GloVe rows not found at {path}")
    vectors = load_vectors(path, ["the", "no", "qqq"])
    assert vectors.matrix.shape == (3, 300)
    np.testing.assert_allclose(vectors.matrix[0, :3], [0.04656, 0.21318, -0.0074364], rtol=1e-6)
    assert vectors.known.tolist() == [True, True, False]
