"""Laws that every registered decoder keeps, on random small models."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.decoders.small import (
    LOCATIONS,
    MAPS,
    SMALL,
    SPECIAL,
    WORDS,
    batch,
    build,
    every_decoder,
    every_variant,
    leaves,
)
from xray_report.errors import OptionError
from xray_report.models.decoders.protocol import select_rows, select_studies
from xray_report.models.report_model import masked_cross_entropy

reports = st.lists(st.integers(1, 5), min_size=1, max_size=4)


@every_variant
@settings(max_examples=10, deadline=None)
@given(lengths=reports, seed=st.integers(0, 99))
def test_steps_say_what_teacher_forcing_says(
    architecture: dict[str, Any], lengths: list[int], seed: int
) -> None:
    model = build(architecture, seed).eval()
    features, view_mask, tokens = batch(lengths, seed)
    forced = model.teacher_forced(features, view_mask, tokens)
    torch.testing.assert_close(model(features, view_mask, tokens), forced.logits)
    state = model.initial_state(features, view_mask)
    for t in range(tokens.shape[1] - 1):
        log_probs, state = model.step(tokens[:, t], state)
        torch.testing.assert_close(log_probs, forced.logits[:, t].log_softmax(-1))
        if forced.attention is None:
            assert state.attention is None
        else:
            assert state.attention is not None
            torch.testing.assert_close(state.attention, forced.attention[:, t])


@every_variant
def test_hypotheses_share_what_belongs_to_the_study(architecture: dict[str, Any]) -> None:
    model = build(architecture).eval()
    features, view_mask, _ = batch([1, 2, 3])
    state = model.initial_state(features, view_mask)
    _, alone = model.step(torch.tensor([SPECIAL.bos] * 3), state)
    rows = torch.arange(3).repeat_interleave(4)
    words = torch.arange(12) % WORDS
    log_probs, wide = model.step(words, select_rows(alone, rows))
    before, after = leaves(state.studies), leaves(wide.studies)
    assert any(a is b for a, b in zip(before, after, strict=True))
    # What was made of the images stays as it is; what has been written may be added to.
    assert all(a is b for a, b in zip(before, after, strict=True) if a.shape == b.shape)
    assert all(len(part) == 3 for part in after)
    for row in range(12):
        one = select_rows(select_studies(alone, rows[row : row + 1], 3), torch.tensor([0]))
        expected, _ = model.step(words[row : row + 1], one)
        torch.testing.assert_close(log_probs[row], expected[0])


@every_variant
def test_a_state_may_be_stepped_from_again(architecture: dict[str, Any]) -> None:
    model = build(architecture).eval()
    features, view_mask, _ = batch([1, 2, 3])
    start = model.initial_state(features, view_mask)
    _, state = model.step(torch.tensor([SPECIAL.bos] * 3), start)
    expected, _ = model.step(torch.tensor([4, 5, 6]), state)
    model.step(torch.tensor([8, 9, 10]), state)
    again, _ = model.step(torch.tensor([4, 5, 6]), state)
    assert torch.equal(expected, again)


@every_variant
def test_a_missing_view_is_never_read(architecture: dict[str, Any]) -> None:
    model = build(architecture).eval()
    features, _, tokens = batch([3, 2, 4, 1])
    view_mask = torch.tensor([[True, False], [False, True], [True, True], [False, False]])
    features = torch.where(view_mask[..., None, None, None], features.nan_to_num(), torch.nan)
    before = model.teacher_forced(features, view_mask, tokens)
    after = model.teacher_forced(features.nan_to_num(1e3), view_mask, tokens)
    assert torch.equal(before.logits, after.logits)
    assert before.logits.isfinite().all()
    if before.attention is not None:
        present = view_mask.repeat_interleave(MAPS.locations, 1).unsqueeze(1)
        assert (before.attention[:3] * ~present[:3]).abs().max() == 0
        assert before.attention.shape == (4, 5, LOCATIONS)
        torch.testing.assert_close(before.attention.sum(-1), torch.ones(4, 5).double())


@every_variant
def test_a_study_without_views_trains_without_nan(architecture: dict[str, Any]) -> None:
    model = build(architecture)
    features, view_mask, tokens = batch([3, 2])
    view_mask[:] = False
    loss = masked_cross_entropy(model(features, view_mask, tokens), tokens[:, 1:], SPECIAL.pad)
    loss.backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads
    assert all(grad.isfinite().all() for grad in grads)


@every_variant
@settings(max_examples=5, deadline=None)
@given(lengths=reports, padding=st.integers(1, 7), smoothing=st.sampled_from([0.0, 0.1]))
def test_padding_changes_neither_loss_nor_gradients(
    architecture: dict[str, Any], lengths: list[int], padding: int, smoothing: float
) -> None:
    found = []
    for extra in (0, padding):
        model = build(architecture).eval()
        features, view_mask, tokens = batch(lengths, padding=extra)
        logits = model(features, view_mask, tokens)
        loss = masked_cross_entropy(logits, tokens[:, 1:], SPECIAL.pad, smoothing)
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in model.parameters() if p.grad is not None)])
    for bare, padded in zip(*found, strict=True):
        torch.testing.assert_close(bare, padded, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("attention", {"rnn_size": 48, "dropout": 0.0}),
        ("encoder_decoder", {"rnn_size": 48, "dropout": 0.0}),
        ("transformer", {"width": 32, "heads": 4, "feed_forward": 64, "dropout": 0.0}),
    ],
)
def test_one_batch_can_be_learnt_by_heart(name: str, options: dict[str, Any]) -> None:
    model = build({**SMALL[name], **options}).float().train()
    features, view_mask, tokens = batch([5, 3, 4, 6])
    features, view_mask[:] = features.nan_to_num(), True
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(300):
        logits = model(features.float(), view_mask, tokens)
        loss = masked_cross_entropy(logits, tokens[:, 1:], SPECIAL.pad)
        if loss.item() < 0.02:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02


@every_variant
def test_the_state_dict_brings_everything_back(architecture: dict[str, Any]) -> None:
    model, other = build(architecture, 1).eval(), build(architecture, 2).eval()
    given = batch([3, 2])
    assert not torch.allclose(model(*given), other(*given))
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(*given), other(*given))


@every_variant
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
        loss = masked_cross_entropy(low, tokens[:, 1:], SPECIAL.pad)
    loss.backward()
    torch.testing.assert_close(low.float(), full, rtol=0.05, atol=0.05)
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@every_decoder
def test_steps_under_autocast_stay_close(architecture: dict[str, Any]) -> None:
    model = build(architecture).float().eval()
    features, view_mask, tokens = batch([3, 3])
    full = model(features, view_mask, tokens).log_softmax(-1)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        state = model.initial_state(features, view_mask)
        for t in range(tokens.shape[1] - 1):
            log_probs, state = model.step(tokens[:, t], state)
            torch.testing.assert_close(log_probs.float(), full[:, t], rtol=0.05, atol=0.05)


@every_decoder
def test_maps_of_another_shape_are_refused(architecture: dict[str, Any]) -> None:
    model = build(architecture)
    _, view_mask, tokens = batch([2])
    with pytest.raises(OptionError, match=r"reads maps of 6 x 3 x 4 .*, got 6 x 4 x 3"):
        model(torch.zeros(1, 2, 6, 4, 3), view_mask, tokens)


@every_decoder
def test_the_slow_layers_are_among_the_parameters(architecture: dict[str, Any]) -> None:
    model = build(architecture)
    slow = {id(one) for one in model.feature_parameters()}
    assert slow
    assert slow < {id(one) for one in model.parameters()}
