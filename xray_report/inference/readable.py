"""Decoded words as a person writes them."""

from __future__ import annotations


def readable(text: str) -> str:
    """Capitalise and join the sentences of a decoded text, full stops being words of their own.

    "no effusion . heart normal ." becomes "No effusion. Heart normal."
    """
    sentences: list[list[str]] = [[]]
    for word in text.split():
        if word == ".":
            sentences.append([])
        else:
            sentences[-1].append(word)
    joined = (" ".join(words) for words in sentences if words)
    return " ".join(f"{one[0].upper()}{one[1:]}." for one in joined)
