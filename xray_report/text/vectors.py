"""GloVe word vectors for a vocabulary, from the files they are published in.

Pennington, Socher, Manning: "GloVe: Global Vectors for Word Representation", EMNLP 2014. The text
form has one word a line, followed by its numbers, all separated by single spaces; it is read
plain, from gzip, or from a zip archive of texts.

The bundled file glove_6b_50d.txt.gz is a subset of the 50-d vectors of GloVe 6B (Wikipedia
2014 and Gigaword 5; https://nlp.stanford.edu/projects/glove/), which Stanford released under
the Open Data Commons Public Domain Dedication and License (PDDL) 1.0, for words of chest
radiology reports. tests/tools/glove_subset.py is the program that made it.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from xray_report.errors import VectorsError, WeightsError, one_line
from xray_report.hub import is_hub_name, network_folder

BUNDLED: Final = "bundled"
BUNDLED_FILE: Final = Path(__file__).with_name("glove_6b_50d.txt.gz")

EMBEDDINGS: Final = ("wte.weight", "word_embeddings.weight")
"""What GPT-2 and BERT call their vectors of tokens."""

_LONGEST_LINE: Final = 1 << 18
"""300 numbers are 3 kB; a "line" this long means that the file is no text."""


class WordVectors(NamedTuple):
    """Vectors of a list of V words.

    Args:
        matrix: float32 [V, D], zero where a word has no vector.
        known: bool [V], which words have one.
    """

    matrix: NDArray[np.float32]
    known: NDArray[np.bool_]


def load_vectors(source: str | Path, words: Sequence[str]) -> WordVectors:
    """Read the vectors of `words` from a GloVe file, in one pass, keeping nothing else in memory.

    A word with capitals that has no vector of its own takes that of its lower-case form: most
    files have no capitals.

    Args:
        source: `bundled`, or the path of a GloVe text file, plain, `.gz`, or inside the published
            `.zip`; where a zip holds several, `glove.6B.zip:glove.6B.300d.txt` says which. A
            leading word2vec line (count and size) is passed over. Or the folder of a language model
            as transformers saves it, or its name on the hub: its own vectors of these subwords.
        words: the vocabulary, by id; empty for tokens that are no words, which get no vector.

    Raises:
        VectorsError: the file is missing, unreadable or malformed; names the file and the line.
    """
    # os.path, since Path.is_dir raises for a name that is too long.
    if is_hub_name(source) or os.path.isdir(source):  # noqa: PTH112
        return _of_network(source, words)
    path = str(BUNDLED_FILE) if str(source) == BUNDLED else str(source)
    wanted = {word.encode(): i for i, word in enumerate(words) if word}
    lower: dict[bytes, list[int]] = {}
    for i, cased in enumerate(words):
        if cased != cased.lower():
            lower.setdefault(cased.lower().encode(), []).append(i)
    rows: dict[int, NDArray[np.float32]] = {}
    substitutes: dict[int, NDArray[np.float32]] = {}
    with open_vectors(path) as stream:
        size = 0
        for number, line in _numbered_lines(stream, path):
            if not size:
                size = _vector_size(line, number, path)
                if not size:
                    continue
            word = _word(line, size, number, path)
            index, capitals = wanted.pop(word, None), lower.pop(word, [])
            if index is not None or capitals:
                row = _numbers(line, word, number, path)
                substitutes |= dict.fromkeys(capitals, row)
                if index is not None:
                    rows[index] = row
                if not wanted:
                    break
    if not size:
        raise VectorsError(f"{path} holds no word vectors; expected GloVe's text form")
    return _stacked(substitutes | rows, len(words), size)


def _of_network(source: str | Path, words: Sequence[str]) -> WordVectors:
    """What a language model's own embedding has for the pieces that tokenizer.json so calls."""
    try:
        folder = network_folder("model.embedding.vectors", source)
    except WeightsError as error:
        raise VectorsError(f"{error}; or give a GloVe file, or 'bundled'") from error
    try:
        table = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        ids = table["model"]["vocab"]
        with safe_open(folder / "model.safetensors", framework="numpy") as stored:
            names = [name for name in stored.keys() if name.endswith(EMBEDDINGS)]  # noqa: SIM118
            if len(names) != 1:
                raise VectorsError(
                    f"{folder}: model.safetensors holds {len(names)} tensors called "
                    f"{' or '.join(EMBEDDINGS)}, expected one"
                )
            matrix = stored.get_tensor(names[0]).astype(np.float32)
        rows = {i: matrix[ids[word]] for i, word in enumerate(words) if word and word in ids}
    except (LookupError, OSError, RecursionError, SafetensorError, TypeError, ValueError) as error:
        raise VectorsError(
            f"{folder}: cannot read the vectors of its subwords "
            f"({type(error).__name__}: {one_line(error)})"
        ) from error
    return _stacked(rows, len(words), matrix.shape[1])


def _numbered_lines(stream: BinaryIO, path: str) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := stream.readline(_LONGEST_LINE):
        number += 1
        if len(line) == _LONGEST_LINE:
            raise VectorsError(
                f"{path}, line {number}: longer than {_LONGEST_LINE} bytes, so this is no GloVe "
                "text file"
            )
        yield number, line.rstrip(b" \r\n")


def _vector_size(line: bytes, number: int, path: str) -> int:
    """Count the numbers of the first row, or return 0 for a word2vec header."""
    fields = line.split(b" ")
    if number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
        return 0
    size = 0
    # The first field is the word, even where it reads as a number.
    for field in reversed(fields[1:]):
        if not _is_number(field):
            break
        size += 1
    if not size:
        raise VectorsError(
            f"{path}, line {number}: expected a word and its numbers, got {_excerpt(line)}"
        )
    return size


def _word(line: bytes, size: int, number: int, path: str) -> bytes:
    """Return a row's word, which may hold spaces (". . ." and others in GloVe 840B)."""
    spaces = line.count(b" ")
    if spaces == size:
        return line[: line.index(b" ")]
    if spaces < size:
        raise VectorsError(
            f"{path}, line {number}: expected a word and {size} numbers, got {_excerpt(line)}; "
            "the file is damaged or was cut off, fetch it again"
        )
    return line.rsplit(b" ", size)[0]


def _numbers(line: bytes, word: bytes, number: int, path: str) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):
            row = np.array(line[len(word) + 1 :].split(b" "), dtype=np.float64).astype(np.float32)
    except ValueError:
        row = np.full(1, np.nan, dtype=np.float32)
    if not np.isfinite(row).all():
        raise VectorsError(f"{path}, line {number}: not all numbers: {_excerpt(line)}")
    return row


def _stacked(rows: dict[int, NDArray[np.float32]], count: int, size: int) -> WordVectors:
    matrix = np.zeros((count, size), dtype=np.float32)
    known = np.zeros(count, dtype=np.bool_)
    for index, row in rows.items():
        matrix[index] = row
        known[index] = True
    return WordVectors(matrix, known)


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _excerpt(line: bytes) -> str:
    text = line[:60].decode("utf-8", "replace")
    return repr(text + "..." if len(line) > 60 else text)


# Opening a file, unpacking on the way.


DAMAGED = (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, UnicodeError)
"""What reading a damaged file raises: an encrypted zip is a RuntimeError, an unknown packing a
NotImplementedError, a member's name in no known letters a UnicodeError."""


@contextmanager
def open_vectors(source: str) -> Iterator[BinaryIO]:
    """Open a vector file for reading bytes, unpacking on the way and never onto the disk.

    Args:
        source: path of a text file, a `.gz`, or a `.zip`; `path.zip:member` chooses a zip's member.

    Raises:
        VectorsError: there is no such file or member, or it cannot be unpacked, whenever during
            reading that shows.
    """
    try:
        path, member = _zip_and_member(source)
        if _begins(path, b"PK\x03\x04"):
            with zipfile.ZipFile(path) as archive:
                name = _member(archive, path, member)
                with archive.open(name) as packed, io.BufferedReader(packed) as stream:  # type: ignore[type-var]
                    yield stream
        elif member:
            raise VectorsError(f"{path} is not a zip archive, so {source} cannot be read")
        elif _begins(path, b"\x1f\x8b"):
            with gzip.open(path, "rb") as unpacked:
                yield io.BufferedReader(unpacked)
        else:
            with path.open("rb") as stream:
                yield stream
    except FileNotFoundError:
        raise VectorsError(
            f"word vectors {source} not found; give the path of a GloVe file or 'bundled'"
        ) from None
    except DAMAGED as error:
        raise VectorsError(
            f"word vectors {source} cannot be read ({error}); fetch the file again"
        ) from error


def _zip_and_member(source: str) -> tuple[Path, str]:
    """Part `path.zip:member`; a colon elsewhere belongs to the path."""
    path = Path(source).expanduser()
    head, mark, member = source.partition(".zip:")
    if mark and not path.exists():
        return Path(head + ".zip").expanduser(), member
    return path, ""


def _member(archive: zipfile.ZipFile, path: Path, asked: str) -> str:
    names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    if asked:
        if asked not in names:
            raise VectorsError(f"{path} holds no {asked}; it holds {', '.join(names)}")
        return asked
    texts = [name for name in names if name.endswith(".txt")]
    if len(texts) != 1:
        raise VectorsError(
            f"{path} holds {len(texts)} vector texts; name one of them after a colon, "
            f"{path}:MEMBER: {', '.join(texts or names)}"
        )
    return texts[0]


def _begins(path: Path, magic: bytes) -> bool:
    """Recognise a packing by the file's first bytes, not by its name."""
    with path.open("rb") as stream:
        return stream.read(len(magic)) == magic
