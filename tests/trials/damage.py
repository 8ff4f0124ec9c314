"""Damage to the bytes of a good file: what a bad disk, a cut copy or a careless hand does.

Files that hold others (gzip, zip, PNG) are also damaged inside, with their sums made right again,
so that the damage reaches who reads what is inside.
"""

from __future__ import annotations

import gzip
import io
import random
import re
import struct
import zipfile
import zlib

NUMBERS = (
    "-1", "0", "1e999", "-1e999", "nan", "9" * 30, "9" * 5000, "1.5", "0x10", "", "null", "true",
    "²", "٣", "-0", "00007", "1e-400", "18446744073709551616",
)  # fmt: skip
TOKENS = (
    '"', "'", ",", "\t", "\n", "\r", "\0", "\ufeff", "{", "}", "[", "]", "[" * 100_000, "{" * 5000,
    '{"a":' * 3000, "null", "nan", "None", "../../etc/passwd", "/", "\\", "~nobody/x", "\ud800",
    "a" * 70_000, "\u2028", "é", "&#0;", "<!DOCTYPE x>", "<![CDATA[", "-->", "%s", "${seed}", "|",
)  # fmt: skip
EXTREME = (0, 1, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
PNG = b"\x89PNG\r\n\x1a\n"


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Another content than `data`, damaged in one to three places."""
    inside = INSIDE.get(next((magic for magic in INSIDE if data.startswith(magic)), b""))
    change = inside if inside and rng.random() < 0.5 else _bytes
    found = data
    for _ in range(rng.choice((1, 1, 2, 3))):
        found = change(found, rng)
    return found if found != data else data + b"\xff"


def _bytes(data: bytes, rng: random.Random) -> bytes:
    text = b"\0" not in data[:4000]
    ways = TEXT if text and rng.random() < 0.6 else BINARY
    return rng.choice(ways)(data, rng) if data else b"\0"


# Ways for any bytes.


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    """A place, often near the beginning, where headers are, and an end."""
    top = len(data) if rng.random() < 0.6 else min(len(data), 512)
    start = rng.randrange(max(top, 1))
    return start, min(len(data), start + int(2 ** rng.uniform(0, 12)))


def flip_bit(data: bytes, rng: random.Random) -> bytes:
    at = _span(data, rng)[0]
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def overwrite(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + _filling(end - start, rng) + data[end:]


def insert(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + _filling(end - start, rng) + data[start:]


def _filling(length: int, rng: random.Random) -> bytes:
    return rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))


def cut_short(data: bytes, rng: random.Random) -> bytes:
    return data[: _span(data, rng)[0]]


def cut_out(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def repeat(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:end] * rng.choice((1, 2, 50)) + data[end:]


def move(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    at = _span(data, rng)[0]
    rest = data[:start] + data[end:]
    return rest[:at] + data[start:end] + rest[at:]


def set_number(data: bytes, rng: random.Random) -> bytes:
    """A count, size or offset of 2 or 4 bytes to an extreme value."""
    form, size = rng.choice((("<H", 2), (">H", 2), ("<I", 4), (">I", 4), ("<Q", 8)))
    value = rng.choice(EXTREME) & (1 << 8 * size) - 1
    at = _span(data, rng)[0]
    return data[:at] + struct.pack(form, value) + data[at + size :]


BINARY = (flip_bit, flip_bit, overwrite, insert, cut_short, cut_out, repeat, move, set_number,
          set_number)  # fmt: skip


# Ways for text.


def other_number(data: bytes, rng: random.Random) -> bytes:
    found = list(re.finditer(rb"-?\d+(\.\d+)?", data))
    if not found:
        return other_word(data, rng)
    start, end = rng.choice(found).span()
    return data[:start] + _encoded(rng.choice(NUMBERS)) + data[end:]


def other_word(data: bytes, rng: random.Random) -> bytes:
    found = list(re.finditer(rb"[^\s,:\"<>{}\[\]]+", data))
    if not found:
        return insert_token(data, rng)
    start, end = rng.choice(found).span()
    return data[:start] + _encoded(rng.choice((*TOKENS, *NUMBERS))) + data[end:]


def insert_token(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + _encoded(rng.choice(TOKENS)) + data[at:]


def drop_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def repeat_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join([*lines, rng.choice(lines)])


def other_encoding(data: bytes, rng: random.Random) -> bytes:
    text = data.decode("utf-8", "replace") + "é"
    return text.encode(rng.choice(("utf-16", "latin-1", "utf-8-sig", "utf-32-be")), "replace")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


TEXT = (other_number, other_number, other_word, other_word, insert_token, drop_line, repeat_line,
        other_encoding)  # fmt: skip


# Inside files that hold others.


def in_gzip(data: bytes, rng: random.Random) -> bytes:
    try:
        return gzip.compress(_bytes(gzip.decompress(data), rng), 1)
    except (OSError, EOFError, zlib.error):
        return _bytes(data, rng)


def in_zip(data: bytes, rng: random.Random) -> bytes:
    """Damage a member, half of the times the one that says what the others are."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError):
        return _bytes(data, rng)
    telling = [name for name in parts if name.endswith("data.pkl")]
    chosen = rng.choice(telling if telling and rng.random() < 0.7 else list(parts))
    parts[chosen] = _bytes(parts[chosen], rng)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return made.getvalue()


def in_png(data: bytes, rng: random.Random) -> bytes:
    """Damage a chunk, or the pixels inside IDAT."""
    chunks, at = [], len(PNG)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        chunks.append((kind, data[at + 8 : at + 8 + length]))
        at += length + 12
    if not chunks:
        return _bytes(data, rng)
    place = rng.randrange(len(chunks))
    kind, body = chunks[place]
    body = zlib.compress(_bytes(zlib.decompress(body), rng)) if _is_packed(body) else body
    chunks[place] = (kind, _bytes(body, rng) if rng.random() < 0.7 else body)
    packed = (
        struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return PNG + b"".join(packed)


def _is_packed(body: bytes) -> bool:
    try:
        return bool(zlib.decompress(body))
    except zlib.error:
        return False


INSIDE = {b"\x1f\x8b": in_gzip, b"PK\x03\x04": in_zip, PNG: in_png}
