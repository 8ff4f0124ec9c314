"""Label guidance: verdicts of a classifier, thresholds, a decoder that is told them; evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.models.decoders.small import MAPS, SPECIAL, VARIANTS, WORDS
from xray_report.inference.beam import BeamSearch
from xray_report.inference.greedy import GreedySearch
from xray_report.models.decoders.build import build_decoder
from xray_report.models.decoders.guided import (
    Detector,
    EvidenceDecoder,
    GuidedDecoder,
    Labelled,
    LabelledMaps,
    OuterDecoder,
    Verdicts,
    known_loss,
    logistic_regression,
    most_f1,
)
from xray_report.models.decoders.protocol import Classifier
from xray_report.models.embedding import WordEmbedding
from xray_report.models.maps import MapShape
from xray_report.models.report_model import ReportModel

LABELS = ("Edema", "Fracture")
NAN = float("nan")


CLASSIFIER = torch.tensor([[1.0, 0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0, 0]])


def built(name: str, **labels: Sequence[str]) -> Any:
    torch.manual_seed(0)
    architecture: dict[str, Any] = {"name": name, **VARIANTS[name][0]}
    return build_decoder(architecture, SPECIAL, WordEmbedding(WORDS, 5), MAPS, **labels).eval()


def guided(name: str) -> GuidedDecoder:
    decoder: GuidedDecoder = built(name, told=LABELS)
    decoder.verdicts.load(CLASSIFIER, torch.zeros(2))
    return decoder


def shown(name: str) -> EvidenceDecoder:
    """Its detector answers to the first two of the six channels."""
    decoder: EvidenceDecoder = built(name, shown=LABELS)
    decoder.detector.weight.copy_(3 * CLASSIFIER)
    decoder.detector.bias.zero_()
    return decoder


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


def test_a_label_that_is_not_there_is_never_told_and_unknown_studies_do_not_count() -> None:
    verdicts = Verdicts(1, 3)
    logits = torch.arange(40.0).flip(0).unsqueeze(1).expand(40, 3)
    labels = torch.zeros(40, 3)
    labels[[0, 2, 4], 1] = 1.0
    labels[[1, 3], 1] = NAN
    labels[:, 2] = NAN
    verdicts.choose_thresholds(logits, labels)
    assert verdicts.thresholds.tolist() == [torch.inf, (35 + 34) / 2, torch.inf]


def test_what_the_classifier_is_blind_to_is_not_told_of_everyone() -> None:
    verdicts, count = Verdicts(1, 2), 100
    logits = torch.arange(float(count)).flip(0).unsqueeze(1).expand(count, 2)
    labels = torch.zeros(count, 2)
    labels[:30, 0] = 1.0
    labels[9::10, 1] = 1.0  # a tenth, evenly: of its own highest F1 it would be told of all
    verdicts.choose_thresholds(logits, labels)
    assert (logits > verdicts.thresholds).sum(0).tolist() == [30, 0]
    verdicts.choose_thresholds(logits, labels, apart=[1])
    assert (logits > verdicts.thresholds).sum(0).tolist() == [30, count]


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=5), min_size=1, max_size=3))
def test_no_other_numbers_to_tell_have_a_higher_f1(present: list[list[bool]]) -> None:
    def f1(counts: Sequence[int]) -> float:
        right = sum(sum(one[:count]) for one, count in zip(present, counts, strict=True))
        return 2 * right / max(sum(counts) + sum(map(sum, present)), 1)

    found = most_f1([torch.tensor(one) for one in present])
    others = product(*(range(len(one) + 1) for one in present))
    assert f1(found) == max(map(f1, others))


def films(count: int, seed: int) -> Labelled:
    """Of eight channels the second and the fourth make the labels; a fourth of them is unknown."""
    chance = torch.Generator().manual_seed(seed)
    pooled = 5 + 3 * torch.randn(count, 8, generator=chance)
    noise = torch.randn(count, 2, generator=chance)
    labels = (pooled[:, [1, 3]] + noise > 6).float()
    labels[torch.rand(count, 2, generator=chance) < 0.25] = NAN
    pooled[:, 7] = 0.5  # a channel that never changes
    return Labelled(pooled, labels)


def test_a_probe_finds_the_channels_that_tell() -> None:
    verdicts, train = Verdicts(8, 2), films(400, 0)
    assert not verdicts.known
    verdicts.learn(train, films(200, 1))
    assert verdicts.known
    assert verdicts.weight.abs().argmax(1).tolist() == [1, 3]
    new = films(200, 2)
    logits = verdicts.logits(
        new.pooled[:, None, :, None, None].expand(-1, 2, -1, 3, 3), torch.ones(200, 2).bool()
    )
    known = ~new.labels.isnan()
    assert ((logits > 0) == (new.labels == 1))[known].float().mean() > 0.85


def test_a_probe_is_the_optimum_of_its_loss() -> None:
    train = films(100, 0)
    train = train._replace(pooled=(train.pooled - 5) / 3)
    weight, bias = (part.requires_grad_() for part in logistic_regression(train, 0.1))
    loss = known_loss(torch.nn.functional.linear(train.pooled, weight, bias), train.labels)
    slopes = torch.autograd.grad(loss + 0.05 * weight.square().sum(), (weight, bias))
    assert max(float(slope.abs().max()) for slope in slopes) < 1e-4
    # Unknown labels count for nothing: the others' mean is what is said on average.
    said = torch.nn.functional.linear(train.pooled, weight, bias).sigmoid()
    for number in range(2):
        known = ~train.labels[:, number].isnan()
        mean = train.labels[known, number].mean()
        torch.testing.assert_close(said[known, number].mean(), mean, atol=1e-3, rtol=0)


def test_a_probe_of_few_noisy_studies_is_held_back_by_others() -> None:
    chance = torch.Generator().manual_seed(0)
    noise = Labelled(torch.randn(20, 8, generator=chance), torch.tensor([[1.0], [0.0]] * 10))
    held = Labelled(torch.randn(200, 8, generator=chance), torch.tensor([[1.0], [0.0]] * 100))
    verdicts = Verdicts(8, 1)
    verdicts.learn(noise, held)
    free, _ = logistic_regression(noise, 0.0)
    assert verdicts.weight.norm() < free.norm() / 3


@pytest.mark.parametrize("make", [guided, shown])
@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_steps_read_what_teacher_forcing_reads(
    name: str, make: Callable[[str], OuterDecoder]
) -> None:
    decoder, (features, mask) = make(name), studies()
    tokens = torch.tensor([[7, 2, 4, 1]] * 3)
    whole = decoder(features, mask, tokens).log_softmax(-1)
    torch.testing.assert_close(
        decoder.teacher_forced(features, mask, tokens).logits.log_softmax(-1), whole
    )
    state = decoder.initial_state(features, mask)
    for at in range(3):
        found, state = decoder.step(tokens[:, at], state)
        torch.testing.assert_close(found, whole[:, at], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_labels_replace_verdicts_where_they_are_known(name: str) -> None:
    decoder, (features, mask) = guided(name), studies()
    seen = decoder.verdicts(features, mask)
    assert torch.equal(
        decoder.read(features, mask), decoder.read(features, mask, torch.full((3, 2), NAN))
    )
    assert torch.equal(decoder.read(features, mask), decoder.read(features, mask, seen))
    told = decoder.read(features, mask, 1 - seen)
    assert torch.equal(told[:, :, :6], features)
    assert torch.equal(told[:, :, 6:], (1 - seen)[:, None, :, None, None].expand(-1, 2, -1, 3, 4))
    model, tokens = ReportModel(torch.nn.Module(), decoder), torch.tensor([[7, 2, 1]] * 3)  # type: ignore[arg-type]
    assert not torch.equal(model(features, mask, tokens), model(features, mask, tokens, 1 - seen))


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_what_it_sees_is_what_it_is_told_or_what_is_likelier_than_not(name: str) -> None:
    features, mask = studies()
    told, looks = guided(name), shown(name)
    for decoder in (told, looks):
        assert isinstance(decoder, Classifier)
        assert decoder.labels == LABELS
        assert decoder.classify(features, mask).dtype == torch.bool
    told.verdicts.thresholds.copy_(torch.tensor([0.0, 0.1]))
    means = [own[there].mean((0, 2, 3))[:2] for own, there in zip(features, mask, strict=True)]
    expected = torch.stack(means) > torch.tensor([0.0, 0.1])
    assert torch.equal(told.classify(features, mask), expected)
    looks.detector.bias.fill_(-6.0)
    logits = (3 * features[:, :, :2] - 6).masked_fill(~mask[:, :, None, None, None], -100)
    anywhere = logits.exp().sum((1, 3, 4)) > 1
    assert 0 < anywhere.sum() < anywhere.numel()
    assert torch.equal(looks.classify(features, mask), anywhere)


@pytest.mark.parametrize("make", [guided, shown])
@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_searches_need_not_know(name: str, make: Callable[[str], OuterDecoder]) -> None:
    decoder, (features, mask) = make(name), studies()
    greedy = GreedySearch(max_length=5)(decoder, features, mask)
    beam = BeamSearch(beam_width=1, max_length=5)(decoder, features, mask)
    assert [one[0].token_ids for one in greedy] == [one[0].token_ids for one in beam]


# Evidence.


def test_evidence_is_what_the_detector_sees_at_a_location_of_a_view_that_is_there() -> None:
    detector = Detector(2, 1)
    assert not detector.known
    detector.weight.copy_(torch.tensor([[1.0, -1.0]]))
    detector.bias.fill_(0.5)
    features = torch.zeros(1, 2, 2, 1, 2)
    features[0, 0, :, 0, 1] = torch.tensor([3.0, 1.0])
    features[0, 1] = float("nan")
    mask = torch.tensor([[True, False]])
    found = detector(features, mask)
    expected = torch.tensor([[0.5, 2.5]]).sigmoid()
    torch.testing.assert_close(found[0, 0], expected[None])
    assert torch.equal(found[0, 1], torch.zeros(1, 1, 2))
    whole = torch.log(torch.exp(torch.tensor(0.5)) + torch.exp(torch.tensor(2.5)))
    torch.testing.assert_close(detector.logits(features, mask), whole[None, None])
    assert detector.logits(features, torch.zeros(1, 2).bool()).item() < -1000


WIDE = MapShape(64, 3, 4)


def places(count: int, seed: int) -> tuple[LabelledMaps, Tensor]:
    """Studies with the second or the fifth channel high at one location, and which it is.

    Only the study's labels say so; of one study in four the lateral is missing.
    """
    chance = torch.Generator().manual_seed(seed)
    features = 2 + 0.3 * torch.randn(count, 2, *WIDE, generator=chance)
    mask = torch.ones(count, 2).bool()
    mask[::4, 1] = False
    labels = (torch.rand(count, 2, generator=chance) < 0.3).float()
    place = torch.randint(0, WIDE.locations, (count, 2), generator=chance)
    rows = features.flatten(3)
    for study, number in labels.nonzero().tolist():
        rows[study, 0, (1, 4)[number], place[study, number]] += 3
    features[~mask] = 0
    return LabelledMaps(features.half(), mask, labels), place


def test_a_detector_learns_from_studies_where_findings_are_seen() -> None:
    train, _ = places(300, 0)
    detector = Detector(WIDE.channels, 2)
    detector.learn(train)
    assert detector.known
    assert detector.weight.abs().argmax(1).tolist() == [1, 4]
    new, place = places(200, 1)
    logits = detector.logits(new.features, new.view_mask)
    for number in range(2):
        with_it, without = (logits[new.labels[:, number] == one, number] for one in (1, 0))
        assert (with_it[:, None] > without).float().mean() > 0.95
    frontal = detector(new.features, new.view_mask)[:, 0].flatten(2)
    there = new.labels == 1
    assert (frontal.argmax(2) == place)[there].float().mean() > 0.98
    again = Detector(WIDE.channels, 2)
    again.learn(train)
    assert torch.equal(again.weight, detector.weight)
    assert torch.equal(again.bias, detector.bias)
    other = Detector(WIDE.channels, 2)
    other.learn(train, seed=1)
    assert not torch.equal(other.weight, detector.weight)


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_a_decoder_that_is_shown_evidence_reads_nothing_else(name: str) -> None:
    decoder, (features, mask) = shown(name).train(), studies()
    tokens = torch.tensor([[7, 2, 1]] * 3)
    torch.manual_seed(5)
    logits = decoder(features, mask, tokens)
    unseen = features.clone()
    unseen[:, :, 2:] += 1
    torch.manual_seed(5)
    assert torch.equal(decoder(unseen, mask, tokens), logits)
    torch.manual_seed(5)
    assert not torch.equal(decoder(features + 1, mask, tokens), logits)
    before = decoder.detector.weight.clone()
    learnt = [one for one in decoder.parameters() if one.requires_grad]
    optimizer = torch.optim.SGD(learnt, lr=0.1)
    logits.square().sum().backward()
    optimizer.step()
    assert torch.equal(decoder.detector.weight, before)
    assert decoder.maps == MAPS
    slow = {id(one) for one in decoder.feature_parameters()}
    assert slow <= {id(one) for one in learnt}
