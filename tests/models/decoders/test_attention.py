"""The attention decoder against a textbook's words, and with and without torch.compile."""

from __future__ import annotations

import copy
import errno
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from xray_report.errors import OptionError
from xray_report.models.decoders import attention
from xray_report.models.decoders.attention import (
    CLAMP,
    AttentionDecoder,
    GradientAtOnce,
    attention_step,
    doubled_exp,
)
from xray_report.models.decoders.protocol import map_tree, select_rows
from xray_report.models.embedding import WordEmbedding
from xray_report.models.maps import MapShape
from xray_report.tokens import SpecialTokens

CHANNELS, WORDS = 12, 11
SMALL: dict[str, Any] = {"rnn_size": 10, "attention_size": 6}
SPECIAL, MAPS = SpecialTokens(pad=0, unknown=1, bos=2, eos=3), MapShape(CHANNELS, 7, 7)
OPTIONS: list[dict[str, Any]] = [
    {"value_size": 8},
    {"value_size": 8, "pooled": "every_step", "value_norm": False, "image_norm": "unit"},
    {
        "value_size": None,
        "value_norm": False,
        "location_embedding": False,
        "channel_norm": False,
        "pooled": "none",
        "context_to_words": False,
    },
]
options = pytest.mark.parametrize("option", OPTIONS, ids=range(3))

needs_compiler = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")),
    reason="torch.compile needs a C++ compiler, and there is none",
)


def build(compile: bool | str = False, seed: int = 0, **option: Any) -> AttentionDecoder:
    torch.manual_seed(seed)
    embedding = WordEmbedding(WORDS, 5)
    options = {**SMALL, **option, "dropout": 0.0, "compile": compile}
    model = AttentionDecoder(SPECIAL, embedding, MAPS, **options)
    for parameter in model.rnn.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return model.double()


def batch(studies: int, words: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Features, a view mask with a view missing and one study without any, and tokens."""
    draw = torch.Generator().manual_seed(seed)
    features = torch.randn(studies, 2, CHANNELS, 7, 7, dtype=torch.double, generator=draw)
    view_mask = torch.ones(studies, 2, dtype=torch.bool)
    view_mask[0, 1] = False
    view_mask[2:3] = False
    return features, view_mask, torch.randint(WORDS, (studies, words), generator=draw)


def textbook(
    model: AttentionDecoder, features: Tensor, view_mask: Tensor, tokens: Tensor
) -> tuple[Tensor, Tensor]:
    """Logits and attention, one word after the other: Bahdanau's equations and `gru_cell`."""
    rnn, size = model.rnn, model.rnn.hidden_size
    views = model.views(features, view_mask)
    values, present = model.values(views)
    hidden = values.new_zeros(len(values), size)
    image_gates = values.new_zeros(len(values), 3 * size)
    if model.image is not None:
        image = model.image(views)
        hidden = image[:, :size].tanh()
        if image.shape[1] > size:
            image_gates = image[:, size:]
    joined = torch.cat([rnn.words.weight, rnn.context_weight, torch.eye(3 * size).double()], 1)
    present[~view_mask.any(1)] = True  # a study without views looks evenly at zeros
    logits, attention = [], []
    for word in model.embedding(tokens[:, :-1]).unbind(1):
        query = F.linear(hidden, rnn.state_weight[3 * size :], rnn.state_bias[3 * size :])
        scores = torch.tanh(rnn.keys(values) + query[:, None]) @ rnn.score
        alpha = scores.masked_fill(~present, -torch.inf).softmax(-1)
        context = (alpha[:, :, None] * values).sum(1)
        hidden = torch.gru_cell(
            torch.cat([word, context, image_gates], 1),
            hidden,
            joined,
            rnn.state_weight[: 3 * size],
            rnn.words.bias,
            rnn.state_bias[: 3 * size],
        )
        read = torch.cat([hidden, context], 1) if model.context_to_words else hidden
        logits.append(model.vocabulary(read))
        attention.append(alpha)
    return torch.stack(logits, 1), torch.stack(attention, 1)


def with_gradients(
    run: Callable[..., tuple[Tensor, ...]], model: AttentionDecoder, given: tuple[Tensor, ...]
) -> list[Tensor]:
    """Logits, attention, and the gradients of a function of both by all that is learnt."""
    logits, attention = run(*given)
    weights = torch.linspace(-1, 1, logits.shape[1]).double()[None, :, None]
    loss = (logits.square() * weights).sum() + (attention.square() * weights).sum()
    learnt = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, learnt, allow_unused=True)
    return [logits, attention, *(part for part in found if part is not None)]


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@options
@pytest.mark.parametrize(("studies", "words"), [(1, 2), (4, 6)])
def test_values_and_gradients_are_the_textbooks(
    option: dict[str, Any], studies: int, words: int
) -> None:
    model, given = build(**option), batch(studies, words)
    model.views(*given[:2])
    model.eval()
    found = with_gradients(model.teacher_forced, model, given)
    expected = with_gradients(lambda *args: textbook(model, *args), model, given)
    assert len(found) > 8
    assert_same(found, expected)


@options
def test_steps_say_what_teacher_forcing_says(option: dict[str, Any]) -> None:
    model, (features, view_mask, tokens) = build(**option).eval(), batch(4, 6)
    forced = model.teacher_forced(features, view_mask, tokens)
    state = model.initial_state(features, view_mask)
    state = select_rows(state, torch.arange(4).repeat_interleave(3))
    for t in range(5):
        log_probs, state = model.step(tokens[:, t].repeat_interleave(3), state)
        expected = forced.logits[:, t].log_softmax(-1).repeat_interleave(3, 0)
        torch.testing.assert_close(log_probs, expected)
        assert forced.attention is not None
        assert state.attention is not None
        torch.testing.assert_close(state.attention, forced.attention[:, t].repeat_interleave(3, 0))
        map_tree(lambda part: check_length(part, 4), state.studies)


def check_length(part: Tensor, length: int) -> Tensor:
    assert len(part) == length
    return part


def test_gradcheck_of_a_word() -> None:
    torch.manual_seed(0)
    rows, size, units, places, values = 2, 3, 2, 4, 3
    shapes = [
        (2, rows, 3 * size),
        (2, rows, size),
        (2, rows, 3 * size + units),
        (2, places, units),
        (2, places, values),
        (2, places),
        (3 * size, values),
        (3 * size + units, size),
        (units,),
    ]
    leaves = [torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in shapes]

    def word(
        gates: Tensor, hidden: Tensor, bias: Tensor, keys: Tensor, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        return attention_step(gates, hidden, bias, doubled_exp(keys), *rest)

    assert torch.autograd.gradcheck(word, leaves)


def test_gradients_at_once_are_those_of_a_product_a_word() -> None:
    torch.manual_seed(0)
    weight = torch.randn(5, 3, dtype=torch.double, requires_grad=True)
    start = torch.randn(4, 1, 3, dtype=torch.double, requires_grad=True)
    added = torch.randn(6, 4, 1, 5, dtype=torch.double, requires_grad=True)

    def end(added: Tensor, weight: Tensor, inputs: list[Tensor] | None) -> Tensor:
        hidden = start
        for one in added:
            if inputs is not None:
                inputs.append(hidden.detach())
            hidden = torch.tanh(hidden @ weight.mT + one)[..., :3] + hidden
        return hidden.square().sum()

    inputs: list[Tensor] = []
    at_once = end(GradientAtOnce.apply(added, weight, inputs), weight.detach(), inputs)
    leaves = (start, added, weight)
    found = torch.autograd.grad(at_once, leaves)
    torch.testing.assert_close(found, torch.autograd.grad(end(added, weight, None), leaves))


@pytest.mark.parametrize("keys", [-50.0, -CLAMP, -1.0, 0.0, 2.0, CLAMP, 50.0])
def test_a_division_replaces_the_tanh(keys: float) -> None:
    k = torch.tensor([keys], requires_grad=True)
    q = torch.linspace(-60, 60, 241, requires_grad=True)
    replaced = 1 - 2 / (1 + doubled_exp(k) * doubled_exp(q))
    held = k.clamp(-CLAMP, CLAMP) + q.clamp(-CLAMP, CLAMP)
    torch.testing.assert_close(replaced, held.tanh(), rtol=0, atol=2e-6)
    found = torch.autograd.grad(replaced.sum(), (k, q))
    expected = torch.autograd.grad(held.tanh().sum(), (k, q))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@options
def test_a_missing_view_is_never_read(option: dict[str, Any]) -> None:
    model, (features, view_mask, tokens) = build(**option).eval(), batch(4, 5)
    before = model.teacher_forced(features, view_mask, tokens)
    features[~view_mask] = torch.nan
    after = model.teacher_forced(features, view_mask, tokens)
    assert torch.equal(before.logits, after.logits)
    assert before.attention is not None
    assert before.attention[0, :, 49:].abs().max() == 0
    torch.testing.assert_close(before.attention.sum(-1), torch.ones(4, 4).double())


@options
def test_autocast_and_half_maps_stay_close_and_train(option: dict[str, Any]) -> None:
    model, (features, view_mask, tokens) = build(**option).float().train(), batch(4, 6)
    full = model(features.half().float(), view_mask, tokens)
    torch.testing.assert_close(model(features.half(), view_mask, tokens), full)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = model.teacher_forced(features.half(), view_mask, tokens)
        state = model.initial_state(features.half(), view_mask)
        log_probs, after = model.step(tokens[:, 0], state)
    assert low.attention is not None
    assert low.logits.dtype == torch.bfloat16
    # What is carried from word to word stays in single precision.
    assert isinstance(after.rows, Tensor)
    assert low.attention.dtype == after.rows.dtype == torch.float32
    spread = float(full.detach().std())
    assert float((low.logits.float() - full).detach().abs().mean()) < 0.05 * spread
    stepped = log_probs.float() - full[:, 0].log_softmax(-1)
    assert float(stepped.detach().abs().mean()) < 0.05 * spread
    low.logits.float().square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert model.rnn.state_weight.grad is not None


def test_saturated_scores_train_without_nan() -> None:
    model, given = build(value_size=8).float().train(), batch(3, 5)
    for parameter in model.rnn.parameters():
        torch.nn.init.normal_(parameter, std=100.0)
    model(given[0].float(), *given[1:]).square().mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("value", ["true", 1, None, "yes"])
def test_compile_takes_a_switch_or_auto(value: Any) -> None:
    with pytest.raises(OptionError, match="compile must be true, false or auto"):
        build(compile=value)


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Tensor) -> None:
        raise RuntimeError("No working C++ compiler found\nin any of the places looked at.")

    monkeypatch.setattr(attention, "_compiled", lambda: refuse)


@pytest.mark.usefixtures("no_compiler")
def test_one_line_where_there_is_no_compiler(capsys: pytest.CaptureFixture[str]) -> None:
    model, given = build("auto", value_size=8), batch(3, 4)
    found = [with_gradients(model.teacher_forced, model, given) for _ in range(2)]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "without torch.compile: No working C++ compiler found" in said[0]
    plain = build(False, value_size=8)
    assert_same(found[1], [with_gradients(plain.teacher_forced, plain, given) for _ in "12"][1])
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("no_compiler")
def test_compile_true_refuses_to_train_without_a_compiler() -> None:
    model, given = build(True, value_size=8), batch(3, 4)
    with pytest.raises(OptionError, match="compile=true needs a compiler"):
        model(*given)


@pytest.mark.usefixtures("no_compiler")
def test_only_training_steps_of_several_studies_are_compiled(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, given = build(True, value_size=8), batch(3, 4)
    model.train()(*batch(1, 4))
    with torch.no_grad():
        model(*given)
    model.eval()
    model(*given)
    model.step(given[2][:, 0], model.initial_state(*given[:2]))
    assert capsys.readouterr().err == ""


def test_auto_tries_no_device_that_torch_compile_hardly_knows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parts = [torch.empty(2, device="meta")] * 3
    assert not attention.try_compile(*parts, must=False)
    assert 'compile="auto" does not try it on meta' in capsys.readouterr().err


class CompilerError(Exception):
    """Of a compiler: what it said is told by another exception's text."""


@pytest.mark.parametrize(
    "cause",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EROFS, os.strerror(errno.EROFS)),
        CompilerError("g++ -c x.cpp\nfatal error: cannot write: No space left on device"),
    ],
)
def test_a_full_disk_is_not_called_a_missing_compiler(
    cause: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def compiled(*_: Tensor) -> None:
        raise RuntimeError("backend failed") from cause

    monkeypatch.setattr(attention, "fused_step", compiled)
    parts = [torch.empty(2)] * 3
    assert not attention.try_compile(*parts, must=False)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "TMPDIR" in said
    assert "compiler" not in said
    with pytest.raises(OptionError, match=r"(space|Read-only).*TMPDIR") as caught:
        attention.try_compile(*parts, must=True)
    assert "compiler" not in str(caught.value)


def test_a_copy_is_the_same_and_carries_nothing_compiled() -> None:
    model, given = build("auto", value_size=8), batch(3, 4)
    model.rnn.fusible[torch.device("cpu"), torch.float64] = False
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.rnn.fusible == {}
        assert torch.equal(other.eval()(*given), copy.deepcopy(model).eval()(*given))
    assert model.rnn.fusible
    assert all(isinstance(part, Tensor) for part in model.state_dict().values())


@needs_compiler
@pytest.mark.slow
@options
def test_compiled_words_are_the_eager_ones_and_are_compiled_once(
    option: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.compiler.reset()
    attention._compiled.cache_clear()
    model, plain = build(True, **option), build(False, **option)
    for seed, (studies, words) in enumerate([(4, 9), (3, 2), (2, 5), (1, 3), (7, 31)]):
        given = batch(studies, words, seed)
        with torch._dynamo.config.patch(error_on_recompile=True):
            found = with_gradients(model.teacher_forced, model, given)
        assert_same(found, with_gradients(plain.teacher_forced, plain, given))
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if line.startswith("attention:")] == said[-1:]
    assert "torch.compile fused the words in" in said[-1]
    # Of the forward pass, eager words keep a number a location and unit, compiled ones do not.
    assert len(kept_by_location(plain, given)) >= 30
    assert len(kept_by_location(model, given)) <= 2
    copied = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    assert torch.equal(copied.eval()(*given), model.eval()(*given))


def kept_by_location(model: AttentionDecoder, given: tuple[Tensor, ...]) -> set[int]:
    """Addresses of all [B, L, A] that the forward pass keeps for the backward pass."""
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        model(*given)
    cells = len(given[0]) * 98 * SMALL["attention_size"]
    return {part.data_ptr() for part in kept if part.numel() == cells}


@needs_compiler
@pytest.mark.slow
def test_autocast_is_compiled_for_itself(capsys: pytest.CaptureFixture[str]) -> None:
    model, plain = (build(compile, value_size=8).float() for compile in (True, False))
    given = batch(4, 6)
    for dtype in (torch.float32, torch.bfloat16):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype != torch.float32):
            found, expected = model(*given).float(), plain(*given).float()
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.1)
    assert {dtype for _, dtype in model.rnn.fusible} == {torch.float32, torch.bfloat16}
    assert capsys.readouterr().err.count("fused the words") == 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="another compiler is looked for elsewhere")
def test_training_goes_on_where_there_is_really_no_compiler(tmp_path: Path) -> None:
    program = "from tests.models.decoders.test_attention import *\n"
    program += "build('auto', value_size=8)(*batch(3, 4)).sum().backward()"
    environment = {
        **os.environ,
        "CXX": "no-such-compiler",
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path),
    }
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (said,) = (line for line in done.stderr.splitlines() if line.startswith("attention:"))
    assert "words run without torch.compile: " in said
