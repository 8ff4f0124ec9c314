"""The benchmark's competitors find what they should, so that times compare the same work."""

from __future__ import annotations

import pytest
import torch

from tests.benchmarks import transformer
from tests.benchmarks.alone import measure_alone
from tests.benchmarks.decoding import run
from tests.benchmarks.ending import Ending
from tests.benchmarks.original_beam import original_beam
from xray_report.inference.beam import BeamSearch

WIDTH, WORDS = 3, 6


@pytest.fixture(scope="module")
def given() -> tuple[Ending, torch.Tensor, torch.Tensor]:
    features = torch.randn(4, 2, 1024, 7, 7, generator=torch.Generator().manual_seed(0))
    return Ending(WORDS), features, torch.ones(4, 2, dtype=torch.bool)


def test_reports_end_at_their_studies_lengths(given) -> None:
    model, features, mask = given
    found = BeamSearch(beam_width=WIDTH, max_length=80)(model, features, mask)
    lengths = model.lengths(features).flatten().tolist()
    assert [len(one[0].token_ids) for one in found] == lengths
    assert len(set(lengths)) > 1


@torch.inference_mode()
def test_the_originals_algorithm_keeps_the_same_beams(given) -> None:
    """Before any report ends the two searches are the same."""
    model, features, mask = given
    ours = BeamSearch(beam_width=WIDTH, n_best=WIDTH, max_length=4)(model, features, mask)
    theirs = original_beam(model, features, mask, WIDTH, 4)
    for mine, other in zip(ours, theirs, strict=True):
        assert [list(one.token_ids) for one in mine] == [words[1:] for _, words in other]
        assert [one.log_prob for one in mine] == pytest.approx([s for s, _ in other], abs=1e-3)


def test_every_competitor_is_timed() -> None:
    pytest.importorskip("transformers")
    found = run(studies=3, words=5, every=2, batch=2, repeats=1)
    assert all(value > 0 for name, value in found.items() if "overhead" not in name)


def test_generate_and_ours_write_the_same_words_with_an_equal_transformer() -> None:
    pytest.importorskip("transformers")
    found = transformer.run(studies=3, length=6, vocabulary=40, repeats=1)
    assert found["equal reports, share"] == 1


def test_a_benchmark_that_fails_in_its_process_fails_here() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such"):
        measure_alone("no_such")
