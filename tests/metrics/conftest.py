from __future__ import annotations

import json
import random
from pathlib import Path
from typing import NamedTuple

import pytest

ANNOTATION = Path(__file__).parents[2].parent / "shared" / "data" / "r2gen" / "annotation.json"


class Corpus(NamedTuple):
    train: list[str]
    val: list[str]
    test_ids: list[str]
    test: list[str]
    generated: list[str]


@pytest.fixture(scope="session")
def annotation() -> Path:
    if not ANNOTATION.is_file():
        pytest.skip("R2Gen's annotation.json with the real reports is not there")
    return ANNOTATION


@pytest.fixture(scope="session")
def real(annotation: Path) -> Corpus:
    """590 real test reports, and as many training reports in the place of generated ones."""
    sides = json.loads(annotation.read_text(encoding="utf-8"))
    texts = {side: [entry["report"] for entry in sides[side]] for side in sides}
    generated = random.Random(0).sample(texts["train"], len(texts["test"]))
    generated[0], generated[1], generated[2] = "", "Heart", "normal heart"
    ids = [entry["id"] for entry in sides["test"]]
    return Corpus(texts["train"], texts["val"], ids, texts["test"], generated)
