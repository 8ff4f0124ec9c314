"""Small corpora with names: (hypotheses, references), tokens with single spaces."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

quick = settings(max_examples=25, deadline=None)

DEGENERATE = {
    "one empty hypothesis": ([""], ["the heart is normal"]),
    "both empty": (["", ""], ["", ""]),
    "empty reference": (["the heart", "lungs are clear"], ["", "lungs are clear ."]),
    "one word": (["heart"], ["heart"]),
    "one word, wrong": (["heart", "lungs"], ["lungs", "heart"]),
    "two words": (["heart normal", "lungs clear"], ["heart normal", "clear lungs"]),
    "identical": (
        ["the heart is normal . lungs clear"] * 3,
        ["the heart is normal . lungs clear"] * 3,
    ),
    "one study": (["the lungs are clear today"], ["the lungs are clear again"]),
    "repeated words": (["a a a a a", "b b a a b b"], ["a a b a", "b a b a b a b a"]),
}

words = st.sampled_from(["heart", "lungs", "clear", "normal", "no", "effusion", ".", "size"])
texts = st.lists(words, max_size=12).map(" ".join)
pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=8)


def split(rows: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [left for left, _ in rows], [right for _, right in rows]
