"""Laws that both decoders keep, on random small models."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from xray_report.models.decoders.build import build_decoder
from xray_report.models.decoders.protocol import Decoder, select_rows, select_studies
from xray_report.models.embedding import WordEmbedding
from xray_report.models.loss import masked_cross_entropy
from xray_report.tokens import BOS_ID, EOS_ID, PAD_ID

CHANNELS, WORDS = 12, 11
ATTENTION: dict[str, Any] = {
    "name": "attention",
    "feature_size": CHANNELS,
    "rnn_size": 10,
    "attention_size": 6,
    "value_size": 8,
}
ARCHITECTURES: list[dict[str, Any]] = [
    ATTENTION,
    {**ATTENTION, "pooled": "every_step", "value_norm": False},
    {
        **ATTENTION,
        "value_size": None,
        "value_norm": False,
        "location_embedding": False,
        "pooled": "none",
        "context_to_words": False,
    },
    {"name": "encoder_decoder", "feature_size": CHANNELS, "rnn_size": 10, "dense_size": 9},
    {
        "name": "encoder_decoder",
        "feature_size": CHANNELS,
        "image_norm": "unit",
        "absent_vectors": False,
    },
]
architectures = pytest.mark.parametrize("architecture", ARCHITECTURES, ids=range(5))


def build(architecture: dict[str, Any], seed: int = 0) -> Decoder:
    torch.manual_seed(seed)
    return build_decoder(architecture, WORDS, WordEmbedding(WORDS, 5)).double()


def batch(lengths: list[int], seed: int = 0, padding: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Features, view mask (some views missing) and tokens of reports of these lengths."""
    draw = torch.Generator().manual_seed(seed)
    features = torch.randn(len(lengths), 2, CHANNELS, 7, 7, dtype=torch.double, generator=draw)
    view_mask = torch.rand(len(lengths), 2, generator=draw) < 0.7
    tokens = torch.full((len(lengths), 2 + max(lengths) + padding), PAD_ID)
    for row, length in zip(tokens, lengths, strict=True):
        row[0], row[length + 1] = BOS_ID, EOS_ID
        row[1 : length + 1] = torch.randint(4, WORDS, (length,), generator=draw)
    return features, view_mask, tokens


reports = st.lists(st.integers(1, 5), min_size=1, max_size=4)


@architectures
@settings(max_examples=10, deadline=None)
@given(lengths=reports, seed=st.integers(0, 99))
def test_steps_say_what_teacher_forcing_says(
    architecture: dict[str, Any], lengths: list[int], seed: int
) -> None:
    model = build(architecture, seed).eval()
    features, view_mask, tokens = batch(lengths, seed)
    forced = model.teacher_forced(features, view_mask, tokens)
    state = model.initial_state(features, view_mask)
    for t in range(tokens.shape[1] - 1):
        log_probs, state = model.step(tokens[:, t], state)
        torch.testing.assert_close(log_probs, forced.logits[:, t].log_softmax(-1))
        if forced.attention is None:
            assert state.attention is None
        else:
            assert state.attention is not None
            torch.testing.assert_close(state.attention, forced.attention[:, t])


@architectures
def test_beams_share_what_belongs_to_the_study(architecture: dict[str, Any]) -> None:
    model = build(architecture).eval()
    features, view_mask, _ = batch([1, 2, 3])
    state = model.initial_state(features, view_mask)
    _, alone = model.step(torch.tensor([BOS_ID] * 3), state)
    rows = torch.arange(3).repeat_interleave(4)
    words = torch.arange(12) % WORDS
    log_probs, wide = model.step(words, select_rows(alone, rows))
    assert all(a is b for a, b in zip(wide.memory, state.memory, strict=True))
    assert all(part.shape[0] == 3 for part in wide.memory)
    for row in range(12):
        one = select_rows(select_studies(alone, rows[row : row + 1]), torch.tensor([0]))
        expected, _ = model.step(words[row : row + 1], one)
        torch.testing.assert_close(log_probs[row], expected[0])


@architectures
def test_a_missing_view_is_never_read(architecture: dict[str, Any]) -> None:
    model = build(architecture).eval()
    features, _, tokens = batch([3, 2, 4, 1])
    view_mask = torch.tensor([[True, False], [False, True], [True, True], [False, False]])
    before = model.teacher_forced(features, view_mask, tokens)
    changed = torch.where(view_mask[..., None, None, None], features, 1e3 * features.roll(1, 0))
    after = model.teacher_forced(changed, view_mask, tokens)
    assert torch.equal(before.logits, after.logits)
    assert before.logits.isfinite().all()
    if before.attention is not None:
        present = view_mask.repeat_interleave(49, 1).unsqueeze(1)
        assert (before.attention[:3] * ~present[:3]).abs().max() == 0
        torch.testing.assert_close(before.attention.sum(-1), torch.ones(4, 5).double())


@architectures
def test_a_study_without_views_trains_without_nan(architecture: dict[str, Any]) -> None:
    model = build(architecture)
    features, view_mask, tokens = batch([3, 2])
    view_mask[:] = False
    loss = masked_cross_entropy(model(features, view_mask, tokens), tokens[:, 1:])
    loss.backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads
    assert all(grad.isfinite().all() for grad in grads)


@architectures
@settings(max_examples=5, deadline=None)
@given(lengths=reports, padding=st.integers(1, 7), smoothing=st.sampled_from([0.0, 0.1]))
def test_padding_changes_neither_loss_nor_gradients(
    architecture: dict[str, Any], lengths: list[int], padding: int, smoothing: float
) -> None:
    found = []
    for extra in (0, padding):
        model = build(architecture).eval()
        features, view_mask, tokens = batch(lengths, padding=extra)
        loss = masked_cross_entropy(model(features, view_mask, tokens), tokens[:, 1:], smoothing)
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in model.parameters() if p.grad is not None)])
    for bare, padded in zip(*found, strict=True):
        torch.testing.assert_close(bare, padded, rtol=0, atol=1e-6)


@pytest.mark.parametrize("architecture", [ARCHITECTURES[0], ARCHITECTURES[3]], ids=range(2))
def test_one_batch_can_be_learnt_by_heart(architecture: dict[str, Any]) -> None:
    options = {**architecture, "rnn_size": 48, "dropout": 0.0}
    model = build(options).float().train()
    features, view_mask, tokens = batch([5, 3, 4, 6])
    view_mask[:] = True
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(300):
        loss = masked_cross_entropy(model(features.float(), view_mask, tokens), tokens[:, 1:])
        if loss.item() < 0.02:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02


@architectures
def test_the_state_dict_brings_everything_back(architecture: dict[str, Any]) -> None:
    model, other = build(architecture, 1).eval(), build(architecture, 2).eval()
    given = batch([3, 2])
    assert not torch.allclose(model(*given), other(*given))
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(*given), other(*given))


@architectures
def test_half_precision_maps_and_autocast_stay_close(architecture: dict[str, Any]) -> None:
    model = build(architecture).float().train()
    for part in model.modules():
        if hasattr(part, "p"):
            part.p = 0.0
    features, view_mask, tokens = batch([3, 2])
    full = model(features.half().float(), view_mask, tokens)
    torch.testing.assert_close(model(features.half(), view_mask, tokens), full)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = model(features.half(), view_mask, tokens)
        loss = masked_cross_entropy(low, tokens[:, 1:])
    loss.backward()
    torch.testing.assert_close(low.float(), full, rtol=0.05, atol=0.05)
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
