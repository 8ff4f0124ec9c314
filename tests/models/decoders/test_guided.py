"""Label guidance: verdicts of a classifier, thresholds, and a decoder that is told them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.models.decoders.small import MAPS, SPECIAL, VARIANTS, WORDS
from xray_report.inference.beam import BeamSearch
from xray_report.inference.greedy import GreedySearch
from xray_report.models.decoders.build import build_decoder
from xray_report.models.decoders.guided import FEW, GuidedDecoder, Verdicts, told_shape
from xray_report.models.embedding import WordEmbedding
from xray_report.models.report_model import ReportModel

LABELS = 2
NAN = float("nan")


def guided(name: str) -> GuidedDecoder:
    torch.manual_seed(0)
    architecture: dict[str, Any] = {"name": name, **VARIANTS[name][0]}
    inner = build_decoder(architecture, SPECIAL, WordEmbedding(WORDS, 5), told_shape(MAPS, LABELS))
    decoder = GuidedDecoder(inner, MAPS, LABELS)
    decoder.verdicts.load(
        torch.tensor([[1.0, 0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0, 0]]), torch.zeros(2)
    )
    return decoder.eval()


def studies() -> tuple[Tensor, Tensor]:
    """Three studies: both views, the frontal alone, the lateral alone."""
    torch.manual_seed(1)
    mask = torch.tensor([[True, True], [True, False], [False, True]])
    return torch.randn(3, 2, *MAPS), mask


def test_verdicts_are_of_the_mean_over_present_views() -> None:
    verdicts = Verdicts(2, 1)
    verdicts.load(torch.tensor([[1.0, -1.0]]), torch.tensor([0.5]))
    features = torch.zeros(2, 2, 2, 1, 1)
    features[0, 0, 0], features[0, 1, 1] = 4.0, 1.0
    features[1, 0, 0], features[1, 1, 0] = 2.0, float("inf")
    mask = torch.tensor([[True, True], [True, False]])
    # (4 + 0.5 - 1 + 0.5) / 2, and 2 + 0.5: the missing view is not read.
    assert verdicts.logits(features, mask).flatten().tolist() == [2.0, 2.5]
    verdicts.thresholds.fill_(2.2)
    assert verdicts(features, mask).flatten().tolist() == [0.0, 1.0]


def test_a_threshold_has_the_highest_f1() -> None:
    verdicts = Verdicts(1, 1)
    logits = torch.arange(20.0).flip(0).unsqueeze(1)
    labels = torch.zeros(20, 1)
    labels[[0, 1, 2, 3, 5, 6, 7, 8, 19]] = 1.0
    verdicts.choose_thresholds(logits, labels)
    # Nine are told, eight of them rightly: 16 / 18.
    assert verdicts.thresholds.tolist() == [10.5]


@pytest.mark.parametrize(("positives", "told"), [(0, 0), (1, 1), (FEW - 1, FEW - 1)])
def test_a_rare_label_is_told_as_often_as_it_is_there(positives: int, told: int) -> None:
    verdicts = Verdicts(1, 1)
    logits = torch.randn(40, 1, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(40, 1)
    labels[:positives] = 1.0
    labels[30:] = NAN
    verdicts.choose_thresholds(logits, labels)
    assert int((logits[:30] > verdicts.thresholds).sum()) == told


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_steps_are_told_what_teacher_forcing_is_told(name: str) -> None:
    decoder, (features, mask) = guided(name), studies()
    tokens = torch.tensor([[7, 2, 4, 1]] * 3)
    whole = decoder(features, mask, tokens).log_softmax(-1)
    state = decoder.initial_state(features, mask)
    for at in range(3):
        found, state = decoder.step(tokens[:, at], state)
        torch.testing.assert_close(found, whole[:, at], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_labels_replace_verdicts_where_they_are_known(name: str) -> None:
    decoder, (features, mask) = guided(name), studies()
    seen = decoder.verdicts(features, mask)
    assert torch.equal(
        decoder.told(features, mask), decoder.told(features, mask, torch.full((3, 2), NAN))
    )
    assert torch.equal(decoder.told(features, mask), decoder.told(features, mask, seen))
    told = decoder.told(features, mask, 1 - seen)
    assert torch.equal(told[:, :, :6], features)
    assert torch.equal(told[:, :, 6:], (1 - seen)[:, None, :, None, None].expand(-1, 2, -1, 3, 4))
    model, tokens = ReportModel(torch.nn.Module(), decoder), torch.tensor([[7, 2, 1]] * 3)  # type: ignore[arg-type]
    assert not torch.equal(model(features, mask, tokens), model(features, mask, tokens, 1 - seen))


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_searches_need_not_know(name: str) -> None:
    decoder, (features, mask) = guided(name), studies()
    greedy = GreedySearch(max_length=5)(decoder, features, mask)
    beam = BeamSearch(beam_width=1, max_length=5)(decoder, features, mask)
    assert [one[0].token_ids for one in greedy] == [one[0].token_ids for one in beam]
