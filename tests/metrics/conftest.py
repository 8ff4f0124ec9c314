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


SENTENCES = (
    ("The heart is normal in size.", "Stable cardiomegaly.", "The heart is mildly enlarged."),
    ("The lungs are clear.", "There is a left base opacity.", "Low lung volumes.", "Lungs clear!"),
    ("No pleural effusion or pneumothorax.", "Small right pleural effusion.", "No effusion."),
    ("Bony structures are intact.", "Degenerative changes of the spine.", "Old rib fracture (L)."),
    ("", "No acute disease.", "Follow-up isn't needed.", "Unchanged from 1.5 years ago."),
)


def write_report(random: random.Random) -> str:
    """One sentence of each kind, in any order."""
    sentences = [random.choice(kind) for kind in SENTENCES]
    random.shuffle(sentences)
    return " ".join(filter(None, sentences))


@pytest.fixture(scope="session")
def written() -> Corpus:
    """Reports put together from a few sentences; the generated ones share some with theirs."""
    source = random.Random(1)
    train, val, test = ([write_report(source) for _ in range(n)] for n in (300, 60, 200))
    generated = [
        write_report(source) if source.random() < 0.5 else ". ".join(reversed(text.split(". ")))
        for text in test
    ]
    generated[:3] = "", "Heart", "normal heart"
    return Corpus(train, val, [f"study-{i:03d}" for i in range(200)], test, generated)


@pytest.fixture(scope="session", params=["written", "real"])
def corpus(request: pytest.FixtureRequest) -> Corpus:
    """Both corpora in turn; the real one where it is there."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Corpus)
    return found


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
