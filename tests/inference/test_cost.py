"""What a search costs besides the model's steps: no waiting for the device, no copied memory."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.inference.tables import EOS_ID, TableModel, features_of
from tests.inference.test_decoder_laws import Sharp
from tests.inference.test_laws import COMMON, NAMES, SEARCHES
from tests.models.decoders.small import SMALL, leaves, maps_of
from tests.models.decoders.small import build as small
from xray_report.inference.search import CHECK_EVERY
from xray_report.models.decoders.pretrained import PretrainedDecoder
from xray_report.models.decoders.protocol import DecoderState

WAITING = {
    "_local_scalar_dense", "nonzero", "masked_select", "equal", "lift_fresh", "_unique2",
}  # fmt: skip
MASKED = {"index", "index_put", "index_put_"}


class Waits(TorchDispatchMode):
    """Counts operations for which a GPU's host stops: results or data that cross over to it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::").partition(".")[0]
        masks = name in MASKED and any(t is not None and t.dtype == torch.bool for t in args[1])
        if name in WAITING or masks or (kwargs or {}).get("device") not in (None, CPU):
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


class Lists(TorchFunctionMode):
    """Counts the ways out of a tensor that pass no operation on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in ("tolist", "numpy", "cpu"):
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


CPU = torch.device("cpu")


class Watched:
    """A model that notes, at each step, the waits so far and the studies' leaves it is given."""

    def __init__(self, model: Any, waits: Waits, lists: Lists) -> None:
        self.model, self.special, self.counters = model, model.special, (waits, lists)
        self.marks: list[Counter[str]] = []
        self.studies: list[list[Tensor]] = []
        self.rows: list[int] = []
        self.starts = 0

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        self.starts += 1
        return self.model.initial_state(features, view_mask)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        self.marks.append(sum((counter.seen for counter in self.counters), Counter()))
        self.studies.append(leaves(state.studies))
        self.rows.append(len(tokens))
        return self.model.step(tokens, state)


def watch(search: Any, model: Any, given: tuple[Tensor, Tensor]) -> Watched:
    waits, lists = Waits(), Lists()
    watched = Watched(model, waits, lists)
    with waits, lists:
        search(watched, *given)
    return watched


def never_ending(studies: int = 5) -> TableModel:
    model = TableModel(studies, 9, seed=4)
    model.tables[..., EOS_ID] = -math.inf
    return model


def test_the_watch_sees_what_would_wait() -> None:
    waits, lists = Waits(), Lists()
    with waits, lists:
        here = torch.arange(4)
        _ = bool(here.sum() > 3), here[here > 2], torch.tensor(3), here.nonzero(), here.tolist()
    assert set(waits.seen + lists.seen) == {
        "_local_scalar_dense", "index", "lift_fresh", "nonzero", "tolist",
    }  # fmt: skip


@pytest.mark.parametrize("rules", COMMON, ids=["plain", "ngram", "repeat", "forced"])
@pytest.mark.parametrize("build", SEARCHES, ids=NAMES)
def test_the_loop_waits_for_the_device_only_to_look_who_has_finished(build, rules) -> None:
    length = 6 * CHECK_EVERY
    search = build(max_length=length, return_attention=True, **rules)
    watched = watch(search, never_ending(), features_of([*range(5)]))
    assert len(watched.marks) == length
    inside = watched.marks[-1] - watched.marks[0]
    assert inside == Counter(nonzero=length // CHECK_EVERY - 1)


@pytest.mark.parametrize("name", SMALL)
def test_a_decoders_own_step_never_waits(name: str) -> None:
    model, given = small(SMALL[name]).eval(), maps_of(4)
    with torch.no_grad():
        waits, lists = Waits(), Lists()
        with waits, lists:
            state = model.initial_state(*given)
            model.step(torch.full((4,), 5), state)
    if isinstance(model, PretrainedDecoder):  # transformers' cache begins with empty tensors
        del waits.seen["lift_fresh"]
    assert not waits.seen + lists.seen


@pytest.mark.parametrize("build", SEARCHES, ids=NAMES)
@pytest.mark.parametrize("name", SMALL)
def test_what_is_attended_to_is_made_once_and_never_copied_per_hypothesis(build, name) -> None:
    model = Sharp(small(SMALL[name]), ending=-1e9)
    watched = watch(build(max_length=9), model, maps_of(6))
    assert watched.starts == 1
    for parts in watched.studies:
        pairs = list(zip(parts, watched.studies[0], strict=True))
        assert any(one is first for one, first in pairs)
        # Beside what was made of the images there may be what has been written.
        assert all(one is first for one, first in pairs if one.shape == first.shape)
        assert all(len(part) == 6 for part in parts)


@pytest.mark.parametrize("build", SEARCHES, ids=NAMES)
def test_studies_and_rows_shrink_together_as_studies_finish(build) -> None:
    model = TableModel(studies=10, words=9, seed=0)
    model.tables[..., EOS_ID] = 0.0
    model.tables[3, ..., EOS_ID] = -50.0
    watched = watch(build(max_length=40), model, features_of([*range(10)]))
    places = watched.rows[-1]
    assert [len(study) for (study,) in watched.studies][:1] == [10]
    assert all(len(study) == 1 for (study,) in watched.studies[2 * CHECK_EVERY :])
    assert all(rows == places for rows in watched.rows[2 * CHECK_EVERY :])
