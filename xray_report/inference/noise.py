"""Random numbers by counter: a study draws the same ones in whatever batch it stands.

A generator's stream would tie a study's numbers to its place in the batch. Here a number is a hash
of what it is for: the seed, the study, the sample and the step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def study_keys(study_ids: Sequence[str], device: torch.device) -> Tensor:
    """int64 [B], one key for each name."""
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in study_ids]
    keys = [int.from_bytes(digest, "little", signed=True) for digest in digests]
    return torch.tensor(keys, dtype=torch.long, device=device)


def feature_keys(features: Tensor, view_mask: Tensor) -> Tensor:
    """int64 [B], keys of the features [B, 2, C, h, w] of the views that are present.

    Sums of the values' bits: exact, so neither the order of summation nor the batch matters.
    """
    bits = (features.float() + 0.0).contiguous().view(torch.int32)
    channels = bits.sum((-2, -1)).masked_fill(~view_mask.unsqueeze(-1), 0).flatten(1)
    place = torch.arange(channels.shape[1], device=features.device)
    return mix((channels * mix(place)).sum(1))


def uniform(keys: Tensor, seed: int, step: int, places: int) -> Tensor:
    """Numbers in [0, 1), float64 [B, places], for each of the keys [B] at this step."""
    place = torch.arange(places, device=keys.device)
    # Filled on the device: a tensor made from the number would make the host wait for a copy.
    start = mix(keys ^ mix(torch.full_like(keys, seed)))
    mixed = mix(mix(start.unsqueeze(1) + place) + step)
    return _shift(mixed, 11).double() * 2.0**-53


def mix(values: Tensor) -> Tensor:
    """int64 values scrambled; the finaliser of SplitMix64 (Steele et al. 2014)."""
    values = values + _signed(0x9E3779B97F4A7C15)
    values = (values ^ _shift(values, 30)) * _signed(0xBF58476D1CE4E5B9)
    values = (values ^ _shift(values, 27)) * _signed(0x94D049BB133111EB)
    return values ^ _shift(values, 31)


def _shift(values: Tensor, bits: int) -> Tensor:
    """Logical shift to the right: torch's keeps the sign."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
