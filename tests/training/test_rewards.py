"""Rewards against the metrics they are of, and a loss that makes what is rewarded likelier."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn

from evaluate import evaluate
from tests.inference.checkpoints import WORDS
from tests.models.decoders.small import MAPS, every_decoder, maps_of
from tests.tiny_source import TEXTS, TinySource
from tests.training.test_interruption import Killer
from tests.training.test_options import options as composed_options
from tests.training.test_report_module import fit, options
from xray_report import assemble
from xray_report.data.dataset import Batch
from xray_report.errors import CheckpointError, OptionError
from xray_report.inference.checkpoint import load_checkpoint
from xray_report.inference.search import Hypothesis
from xray_report.job import Stopped
from xray_report.metrics.bleu import bleu_statistics, smoothed_bleu4
from xray_report.metrics.cider import cider
from xray_report.metrics.files import read_metrics
from xray_report.metrics.findings.scores import study_f1
from xray_report.metrics.protocols import clean_tokens
from xray_report.models.decoders.build import build_decoder
from xray_report.models.decoders.guided import GuidedDecoder, told_shape
from xray_report.models.decoders.protocol import Decoder, DecoderState
from xray_report.models.embedding import WordEmbedding
from xray_report.models.report_model import ReportModel
from xray_report.text.words import Vocabulary, WordTokenizer
from xray_report.tokens import WORD_TOKENS
from xray_report.training.options import check_options
from xray_report.training.report_module import ReportModule
from xray_report.training.rewards import (
    PARTS,
    Rewards,
    SelfCritical,
    SelfCriticalOptions,
    advantages,
    mean_entropy,
    policy_loss,
    self_critical_options,
    token_rows,
)
from xray_report.training.trainer import build_trainer

ALL = dict.fromkeys(PARTS, 1.0)
REFERENCES = [
    "The heart is normal. The lungs are clear.",
    "Large right pleural effusion. The heart is enlarged.",
    "Left lower lobe opacity. No effusion.",
]
HYPOTHESES = [
    "The lungs are clear. The heart is normal.",
    "Large left pleural effusion.",
    "Left lower lobe opacity. No effusion.",
]


# Rewards.


def test_rewards_are_the_metrics_of_the_clean_protocol() -> None:
    found = Rewards(ALL, REFERENCES)(HYPOTHESES, REFERENCES)
    left, right = ([clean_tokens(text) for text in side] for side in (HYPOTHESES, REFERENCES))
    classes, facts = study_f1(left, right)
    assert list(found) == list(PARTS)
    assert found["cider"] == pytest.approx(cider(left, right) / 10)
    assert found["bleu4"] == pytest.approx(smoothed_bleu4(bleu_statistics(left, right)))
    assert found["findings"] == pytest.approx(classes)
    assert found["facts"] == pytest.approx(facts)
    # By hand: the right size on the wrong side is no fact; the second misses the large heart.
    assert found["findings"] == pytest.approx([1, 2 / 3, 1])
    assert found["facts"] == pytest.approx([1, 0, 1])
    assert found["bleu4"][2] == found["cider"][2] == pytest.approx(1)


def test_document_frequencies_are_the_training_reports_not_the_batchs() -> None:
    rewards = Rewards({"cider": 1.0}, REFERENCES)
    alone = [rewards([one], [two])["cider"][0] for one, two in zip(HYPOTHESES, REFERENCES)]  # noqa: B905
    assert alone == pytest.approx(rewards(HYPOTHESES, REFERENCES)["cider"])
    assert alone[2] > 0.9


def test_equal_reports_are_scored_once_and_all_get_their_score() -> None:
    rewards = Rewards(ALL, REFERENCES)
    order = [2, 0, 0, 1, 2]
    once = rewards(HYPOTHESES, REFERENCES)
    many = rewards([HYPOTHESES[n] for n in order], [REFERENCES[n] for n in order])
    for name in PARTS:
        assert many[name] == pytest.approx(once[name][order])


def test_an_empty_report_earns_nothing_even_where_nothing_is_to_find() -> None:
    found = Rewards(ALL, REFERENCES)(["", "Heart normal."], ["Clear lungs."] * 2)
    assert [part[0] for part in found.values()] == [0, 0, 0, 0]
    assert (found["findings"][1], found["facts"][1]) == (1, 1)


def test_only_parts_with_a_weight_are_computed_and_summed() -> None:
    rewards = Rewards({"findings": 0.5, "facts": 2.0, "cider": 0.0}, REFERENCES)
    found = rewards(HYPOTHESES, REFERENCES)
    assert list(found) == ["findings", "facts"]
    assert rewards.weighted(found) == pytest.approx([0.5 + 2, 0.5 * 2 / 3, 0.5 + 2])


def test_a_report_is_measured_against_the_others_of_its_study() -> None:
    found = advantages(np.array([[1.0, 0.0, 0.5], [0.3, 0.3, 0.3]]))
    assert found[0] == pytest.approx([1 - 0.25, -0.75, 0])
    assert found[1] == pytest.approx([0, 0, 0])


# The loss.


def test_the_gradient_of_two_words_is_that_of_the_policy() -> None:
    """One report is each word; d/dlogit of -A log p is A (p - one-hot)."""
    logits = torch.tensor([[[0.3, -0.2]], [[0.3, -0.2]]], requires_grad=True)
    targets, advantage = torch.tensor([[0], [1]]), torch.tensor([0.5, -0.5])
    loss = policy_loss(logits, targets, -1, advantage)
    loss.backward()
    p = logits[0, 0].softmax(0).detach()
    expected = torch.stack(
        [0.5 * (p - torch.tensor([1.0, 0])), -0.5 * (p - torch.tensor([0, 1.0]))]
    )
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[:, 0], expected / 2)
    downhill = -logits.grad.sum((0, 1))
    assert downhill[0] > 0 > downhill[1]  # the better word becomes likelier


def test_padding_changes_nothing_and_every_word_weighs_the_same() -> None:
    torch.manual_seed(0)
    logits, advantage = torch.randn(2, 3, 5), torch.tensor([1.0, -2.0])
    targets = torch.tensor([[4, 2, 1], [3, 1, 0]])
    loss = policy_loss(logits, targets, 0, advantage)
    words = logits.log_softmax(-1).gather(2, targets.unsqueeze(2)).squeeze(2)
    assert loss == pytest.approx(float((-words[0].sum() + 2 * words[1, :2].sum()) / 5))
    longer = torch.cat([logits, torch.randn(2, 4, 5)], 1)
    padded = torch.cat([targets, torch.zeros(2, 4, dtype=torch.long)], 1)
    torch.testing.assert_close(policy_loss(longer, padded, 0, advantage), loss)


def test_entropy_is_of_the_words_that_are_there() -> None:
    logits = torch.zeros(2, 2, 8)
    logits[1, 1, 3] = 50  # certain, and padding
    present = torch.tensor([[True, True], [True, False]])
    assert float(mean_entropy(logits, present)) == pytest.approx(math.log(8))
    assert float(mean_entropy(logits, torch.ones_like(present))) < math.log(8)


def test_an_unfinished_report_has_no_end_to_learn() -> None:
    drawn = [
        Hypothesis((5, 6), 0.0, 0.0, finished=True),
        Hypothesis((7,), 0.0, 0.0, finished=False),
    ]
    assert token_rows(drawn, WORD_TOKENS).tolist() == [[2, 5, 6, 3], [2, 7, 0, 0]]


# Steps of every decoder.


TOKENIZER = WordTokenizer(Vocabulary(WORDS))
STUDIES = ("one", "two", "three")
TRUTH = ("No effusion.", "Heart normal.", "Effusion. Lungs clear.")


def model_of(architecture: dict[str, Any], labels: int = 0) -> ReportModel:
    """A report model of features, with random weights, in training mode."""
    torch.manual_seed(0)
    shape = told_shape(MAPS, labels) if labels else MAPS
    embedding = WordEmbedding(len(TOKENIZER), 5)
    if architecture["name"] == "attention":
        architecture = {**architecture, "compile": False}
    decoder: Decoder = build_decoder(architecture, TOKENIZER.special, embedding, shape)
    encoder: Any = nn.Identity()
    names = [f"label {number}" for number in range(labels)]
    return ReportModel(encoder, GuidedDecoder(decoder, MAPS, names) if labels else decoder).train()


def critical(**changes: Any) -> SelfCritical:
    chosen: dict[str, Any] = {"rewards": ALL, "samples": 4, **changes}
    return SelfCritical(SelfCriticalOptions(**chosen), TOKENIZER, 9, TRUTH * 2, seed=5)


def taught(critic: SelfCritical, model: ReportModel, step: int) -> tuple[Tensor, dict[str, Any]]:
    features, view_mask = maps_of(len(STUDIES))
    return critic(model, features.float(), view_mask, STUDIES, TRUTH, step)


def drawn(critic: SelfCritical, model: ReportModel, step: int) -> list[tuple[int, ...]]:
    features, view_mask = maps_of(len(STUDIES))
    found = critic.draw(model, features.float(), view_mask, STUDIES, step)
    return [one.token_ids for one in found]


@every_decoder
@pytest.mark.parametrize("labels", [0, 2])
def test_a_step_moves_all_that_cross_entropy_moves(
    architecture: dict[str, Any], labels: int
) -> None:
    model = model_of(architecture, labels)
    loss, logged = taught(critical(entropy=0.1), model, 0)
    assert model.decoder.training
    assert {"reward", "entropy", "reward_seconds", *(f"reward_{one}" for one in PARTS)} == set(
        logged
    )
    assert 0 < logged["reward"] < 4
    loss.backward()
    moved = {name for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    features, view_mask = maps_of(len(STUDIES))
    tokens = torch.tensor([[2, 5, 6, 3], [2, 7, 8, 3], [2, 6, 4, 3]])
    model(features.float(), view_mask, tokens).sum().backward()
    usual = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert moved == usual


@every_decoder
def test_the_draws_are_those_of_the_step_and_of_nothing_else(architecture: dict[str, Any]) -> None:
    model = model_of(architecture)
    state = torch.get_rng_state()
    first = drawn(critical(), model, 3)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(first) == 4 * len(STUDIES)
    assert drawn(critical(), model, 3) == first
    assert drawn(critical(), model, 4) != first
    other = SelfCritical(SelfCriticalOptions(rewards=ALL, samples=4), TOKENIZER, 9, TRUTH, seed=6)
    assert drawn(other, model, 3) != first


@every_decoder
def test_what_is_learnt_from_is_the_model_that_drew(architecture: dict[str, Any]) -> None:
    """Without dropout the loss has no chance in it; with dropout it is another each time."""
    options = {"dropout": 0.5} if architecture["name"] in ("attention", "transformer") else {}
    model = model_of({**architecture, **options})
    one, other = (float(taught(critical(), model, 0)[0]) for _ in range(2))
    assert one == other
    assert model.decoder.training
    if options:
        one, other = (float(taught(critical(dropout=True), model, 0)[0]) for _ in range(2))
        assert one != other


class Unwritten(nn.Module):
    """A decoder that finds the words which no search writes likelier, in every way."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder, self.special = decoder, decoder.special
        self.bias = nn.Parameter(torch.zeros(len(TOKENIZER)))

    def forward(self, *given: Tensor) -> Tensor:
        logits: Tensor = self.decoder(*given)
        return logits + self.bias

    def initial_state(self, *given: Tensor) -> DecoderState:
        return self.decoder.initial_state(*given)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        log_probs, state = self.decoder.step(tokens, state)
        return (log_probs + self.bias).log_softmax(-1), state


@every_decoder
def test_words_that_are_never_drawn_are_not_made_likelier(architecture: dict[str, Any]) -> None:
    """Each push against a drawn report would push them, and nothing would push against them."""
    model = model_of(architecture)
    wrapped: Any = Unwritten(model.decoder)
    model.decoder = wrapped
    never = list(TOKENIZER.special.never_generated)
    losses = []
    for bias in (0.0, 8.0):  # they take nearly all of what is likely from the others
        wrapped.bias.data[never] = bias
        model.zero_grad()
        loss, _ = taught(critical(entropy=0.1), model, 0)
        loss.backward()
        losses.append(loss.detach())
        assert wrapped.bias.grad[never].tolist() == [0.0] * len(never)
        assert wrapped.bias.grad.abs().max() > 0
    torch.testing.assert_close(*losses, rtol=1e-3, atol=1e-4)


@every_decoder
def test_mixed_precision_keeps_the_gradients(architecture: dict[str, Any]) -> None:
    """Autocast caches the weights that drawing casts without a gradient."""
    model = model_of(architecture)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = taught(critical(), model, 0)
    loss.backward()
    for name, weight in model.named_parameters():
        if weight.requires_grad and weight.dim() > 1:
            assert weight.grad is not None, name
            assert weight.grad.isfinite().all(), name


def test_the_share_of_rewards_is_of_whole_steps() -> None:
    model, critic = model_of({"name": "encoder_decoder", "rnn_size": 10}), critical()
    assert "reward_share" not in taught(critic, model, 0)[1]
    assert 0 < taught(critic, model, 1)[1]["reward_share"] < 1


def test_without_a_difference_there_is_nothing_to_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    def alike(self: Rewards, left: Any, right: Any) -> dict[str, Any]:
        return {"facts": np.repeat([0.0, 0.7, 1.0], 4)}  # each study's reports get the same

    monkeypatch.setattr(Rewards, "__call__", alike)
    model = model_of({"name": "encoder_decoder", "rnn_size": 10})
    loss, logged = taught(critical(), model, 0)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-7)
    assert logged["reward"] == pytest.approx(1.7 / 3)
    gradients = [one.grad.abs().max() for one in model.parameters() if one.grad is not None]
    assert gradients
    assert max(gradients) < 1e-7


def test_a_guided_decoder_is_told_as_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    original = GuidedDecoder.read

    def noted(self: Any, features: Any, view_mask: Any, labels: Any = None) -> Tensor:
        told.append(labels)
        return original(self, features, view_mask, labels)

    monkeypatch.setattr(GuidedDecoder, "read", noted)
    taught(critical(), model_of({"name": "encoder_decoder", "rnn_size": 10}, 2), 0)
    assert told == [None, None]  # drawing, and the teacher-forced pass


def test_what_is_rewarded_becomes_likelier() -> None:
    """From random weights, one finding of three studies is learnt from its reward alone."""
    model = model_of({"name": "encoder_decoder", "rnn_size": 16, "dropout": 0.0})
    critic = critical(rewards={"findings": 1.0}, samples=8)
    optimizer = torch.optim.Adam([one for one in model.parameters() if one.requires_grad], 2e-2)
    rewards = []
    for step in range(60):
        loss, logged = taught(critic, model, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rewards.append(logged["reward"])
    assert np.mean(rewards[-10:]) > np.mean(rewards[:3]) + 0.2


# Options.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 1}, r"training\.samples must be an integer of at least 2, got 1"),
        (
            {"rewards": {"bleu": 1.0}},
            r"training\.rewards\.bleu is no option \(did you mean 'bleu4'",
        ),
        ({"rewards": {"cider": -1.0}}, r"training\.rewards\.cider must be .*, got -1"),
        ({"rewards": {"cider": 0.0}}, r"training\.rewards must have a weight above 0"),
        ({"rewards": 1.0}, r"training\.rewards must be weights by name"),
        ({"entropy": "much"}, r"training\.entropy must be"),
        ({"cross_entropy": -0.1}, r"training\.cross_entropy must be"),
        ({"name": "reinforce"}, r"training\.name must be one of cross_entropy, scst"),
        ({"start": None}, r"training\.start must be a path"),
        ({"baseline": "greedy"}, r"training\.baseline is no option"),
    ],
)
def test_bad_options_are_named(change: dict[str, Any], message: str) -> None:
    good = {
        "name": "scst", "start": "a.ckpt", "samples": 5, "rewards": ALL, "entropy": 0.0,
        "cross_entropy": 0.0, "dropout": False,
    }  # fmt: skip
    assert self_critical_options(good) == SelfCriticalOptions(rewards=ALL)
    with pytest.raises(OptionError, match=message):
        self_critical_options({**good, **change})
    for name in good.keys() - {"name"}:
        with pytest.raises(OptionError, match=rf"training\.{name} is not set"):
            self_critical_options({key: value for key, value in good.items() if key != name})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("training=scst",), r"set training\.start on the command line"),
        (
            ("training=scst", "training.start=no.ckpt"),
            r"training\.start: there is no checkpoint no",
        ),
        (("training=scst", "training.start=no.ckpt", "model=chexnet"), "model.kind=chexnet"),
        (("+training.samples=3",), r"training\.samples is no option"),
    ],
)
def test_mistakes_are_found_before_data_are_read(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises((OptionError, CheckpointError), match=message) as caught:
        check_options(composed_options(*overrides))
    assert "\n" not in str(caught.value)


def test_the_files_options_are_accepted_with_their_own_rate_and_epochs(tmp_path: Path) -> None:
    (tmp_path / "best.ckpt").touch()
    found = composed_options("training=scst", f"training.start={tmp_path / 'best.ckpt'}")
    check_options(found)
    assert self_critical_options(found["training"]) is not None
    assert (found["model"]["optimizer"]["lr"], found["trainer"]["max_epochs"]) == (2e-4, 10)
    usual = composed_options()
    assert self_critical_options(usual["training"]) is None
    assert usual["model"]["optimizer"]["lr"] > 2e-4


# Whole trainings.


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a training by cross-entropy."""
    folder = tmp_path_factory.mktemp("start")
    trainer, _ = fit(folder, epochs=4)
    trainer.save_checkpoint(folder / "best.ckpt")
    return folder / "best.ckpt"


def scst_options(start: Path, **changes: Any) -> dict[str, Any]:
    rewards = {
        "name": "scst", "start": str(start), "samples": 3, "rewards": ALL, "entropy": 0.01,
        "cross_entropy": 0.1, "dropout": False,
    }  # fmt: skip
    chosen = options(start.parent, training=rewards)
    chosen["loader"]["batch_size"] = 2
    return {**chosen, **changes}


def train(
    folder: Path, start: Path, *callbacks: pl.Callback, resume: Path | None = None
) -> tuple[pl.Trainer, assemble.Training]:
    pl.seed_everything(0)
    resumed = None if resume is None else str(resume)
    made = assemble.training(TinySource((8, 4, 4)), scst_options(start, resume=resumed))
    last = ModelCheckpoint(folder, "last", enable_version_counter=False)
    plain = {
        "max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False,
        "enable_model_summary": False, "num_sanity_val_steps": 0, "use_distributed_sampler": False,
    }  # fmt: skip
    trainer = build_trainer(plain, None, [last, *callbacks])
    trainer.fit(made.module, made.datamodule, ckpt_path=resume)
    return trainer, made


def test_it_starts_from_the_weights_and_scores_beside_what_it_rewards(
    start: Path, tmp_path: Path
) -> None:
    made = assemble.training(TinySource((8, 4, 4)), scst_options(start))
    before = load_checkpoint(start).model.state_dict()
    state: Any = made.module.model.state_dict()  # type: ignore[union-attr,operator]
    assert all(torch.equal(state[name], weight) for name, weight in before.items())
    trainer, _ = train(tmp_path / "run", start)
    scores = trainer.callback_metrics
    assert {f"train/reward_{name}" for name in PARTS} <= scores.keys()
    assert {"train/reward", "train/entropy", "train/cross_entropy", "train/loss"} <= scores.keys()
    assert 0 < scores["train/reward_share"] < 1
    assert {"val/bleu4", "val/facts_f1", "val/cider", "val/distinct"} <= scores.keys()
    loaded = load_checkpoint(tmp_path / "run" / "last.ckpt")
    moved = loaded.model.state_dict()
    assert any(not torch.equal(moved[name], weight) for name, weight in before.items())
    again = ReportModule.load_from_checkpoint(tmp_path / "run" / "last.ckpt")
    assert again.rewarded == SelfCriticalOptions(
        rewards=ALL, samples=3, entropy=0.01, cross_entropy=0.1
    )


def test_its_checkpoint_is_evaluated(start: Path, tmp_path: Path) -> None:
    train(tmp_path / "run", start)
    config = {
        "checkpoint": str(tmp_path / "run" / "last.ckpt"),
        "data": {"_target_": "tests.tiny_source.TinySource", "sizes": [8, 4, 4]},
        "decode": {"_target_": "xray_report.inference.beam.BeamSearch", "beam_width": 2},
        "paths": {"runs_dir": str(tmp_path), "output_dir": str(tmp_path / "out")},
        "evaluation": {
            "cache_dir": str(start.parent / "cache"), "device": "cpu", "workers": 0,
            "resamples": 20, "image_baselines": False, "page_studies": 1,
        },
    }  # fmt: skip
    evaluate(OmegaConf.create(config))
    scores = read_metrics(tmp_path / "out" / "metrics.json")
    assert 0 <= scores["facts/f1"] <= 1
    assert scores["studies"] == 4


@pytest.mark.parametrize("step", [2, 5])
def test_what_was_stopped_goes_on_to_the_same_weights_without_its_start(
    step: int, start: Path, tmp_path: Path
) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _, whole = train(tmp_path / "whole", start)
        with pytest.raises(Stopped):
            train(tmp_path / "a", start, Killer(step))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        gone = start.parent / "gone.ckpt"
        _, rest = train(tmp_path / "b", gone, resume=tmp_path / "a" / "last.ckpt")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    expected = whole.module.state_dict()
    for name, weight in rest.module.state_dict().items():
        assert torch.equal(weight, expected[name]), name


def test_a_batch_without_a_study_costs_nothing(start: Path) -> None:
    module: Any = assemble.training(TinySource((8, 4, 4)), scst_options(start)).module
    nothing = torch.zeros(0, 2)
    empty = Batch([], None, None, nothing.bool(), nothing.long(), [], nothing.unsqueeze(2))
    assert float(module.training_step(empty, 0).detach()) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "encoder's weights are others"),
        (
            {"text": {"name": "words", "max_tokens": 31, "tokenizer": {}}},
            "max tokens is 31, that of",
        ),
    ],
)
def test_a_start_of_other_options_is_refused(
    change: dict[str, Any], message: str, start: Path
) -> None:
    with pytest.raises(CheckpointError, match=rf"^training\.start: .*{message}") as caught:
        assemble.training(TinySource((8, 4, 4)), scst_options(start, **change))
    assert "\n" not in str(caught.value)


def test_a_start_of_other_studies_or_of_nothing_is_refused(start: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"training\.start: the val split holds other"):
        assemble.training(TinySource((8, 5, 4)), scst_options(start))
    foreign = tmp_path / "foreign.ckpt"
    torch.save({"state_dict": {}}, foreign)
    with pytest.raises(CheckpointError, match=r"^training\.start: .*foreign"):
        assemble.training(TinySource((8, 4, 4)), scst_options(foreign))


def test_the_texts_of_the_tiny_source_differ_in_their_findings() -> None:
    """Else the trainings above would have nothing to tell apart."""
    assert len({tuple(study_f1([text] * 4, TEXTS)[0]) for text in TEXTS}) > 1
