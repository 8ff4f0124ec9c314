"""The compiled recurrence against the textbook loop, and where nothing can compile it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.models.plain import plain_recurrence
from tests.models.test_recurrence import inputs, module
from xray_report.models.attention_decoder import AttentionDecoder
from xray_report.models.decoders.protocol import MapShape
from xray_report.models.embedding import WordEmbedding
from xray_report.models.recurrence import COMPILED, AttentiveGRU
from xray_report.tokens import WORD_TOKENS

WORDS, PLACES, UNITS = 6, 50, 16

needs_compiler = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")),
    reason="torch.compile needs a C++ compiler, and there is none",
)

ONE_STEP = """
import torch
from xray_report.errors import OptionError
from xray_report.models.recurrence import COMPILED, AttentiveGRU
rnn = AttentiveGRU(2, 2, 2, 2, COMPILED)
try:
    rnn(torch.ones(1, 1, 2), torch.ones(1, 1, 2), torch.ones(1, 1).bool(), torch.ones(1, 2))
except OptionError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def rnn() -> AttentiveGRU:
    torch.manual_seed(0)
    found = module(3, 5, 4, UNITS)
    found.passes = COMPILED
    return found


@needs_compiler
@pytest.mark.parametrize(
    ("batch", "words", "used"),
    [
        (2, WORDS, (0, 1, 2)),
        *(pytest.param(2, WORDS, (i,), marks=pytest.mark.slow) for i in range(3)),
        *(pytest.param(3, n, (0, 1, 2), marks=pytest.mark.slow) for n in (1, WORDS)),
    ],
    ids=str,
)
def test_values_and_gradients_are_the_plain_loops(
    rnn: AttentiveGRU, batch: int, words: int, used: tuple[int, ...]
) -> None:
    torch.manual_seed(batch)
    given = inputs(rnn, batch, words, PLACES)
    plain, fused = plain_recurrence(rnn, **given), rnn(**given)
    upstream = [torch.randn_like(plain[i]) for i in used]
    leaves = [given["words"], given["values"], given["hidden"], *rnn.parameters()]

    def gradients(parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return torch.autograd.grad(
            [parts[i] for i in used], leaves, upstream, materialize_grads=True
        )

    expected, found = gradients(plain), gradients(tuple(fused))
    for a, b in zip((*fused, *found), (*plain, *expected), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@needs_compiler
def test_nothing_is_kept_word_by_word_location_by_location(rnn: AttentiveGRU) -> None:
    kept: list[Any] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        rnn(**inputs(rnn, 2, WORDS, PLACES))
    assert kept
    assert max(part.numel() for part in kept) < 2 * WORDS * PLACES * UNITS / 2


def test_the_decoder_compiles_only_where_it_is_asked_to() -> None:
    given = WORD_TOKENS, WordEmbedding(9, 3), MapShape(4, 7, 7)
    assert AttentionDecoder(*given, compiled=True).rnn.passes is COMPILED
    assert AttentionDecoder(*given).rnn.passes is not COMPILED


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="another compiler is looked for elsewhere")
def test_one_line_where_there_is_no_compiler(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "CXX": "no-such-compiler",
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path),
    }
    command = [sys.executable, "-c", ONE_STEP]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert "model.architecture.compiled=true needs a compiler" in done.stdout, done.stderr
    assert len(done.stdout.splitlines()) == 1
