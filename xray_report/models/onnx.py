"""A report model as ONNX, for programs that have neither torch nor this package.

    encoder.onnx   images uint8 [N, S, S] -> maps float32 [N, C, h, w]; grey levels are normalised
                   inside
    start.onnx     features float32 [B, 2, C, h, w] and view_mask bool [B, 2] -> the state before
                   the first word, a tensor an output
    step.onnx      tokens int64 [B] and the state -> log-probabilities float32 [B, V] of the next
                   word, and what of the state has changed
    onnx.json      names, types and shapes of all of those, special ids, words, longest report

A state is whatever its decoder makes it (`DecoderState`); the axes of its tensors that grow with
the words written are found by writing some. A study has one report: greedy search or sampling.
Weights and sums are float32. ONNX: https://onnx.ai/onnx/repo-docs/IR.html
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from xray_report.errors import MissingExtraError, OptionError, one_line
from xray_report.files import replacing
from xray_report.models.decoders.guided import OuterDecoder
from xray_report.models.decoders.protocol import Decoder, DecoderState, Tree, map_tree
from xray_report.models.encoders.protocol import Encoder
from xray_report.models.report_model import ReportModel

ENCODER, START, STEP = "encoder.onnx", "start.onnx", "step.onnx"
INTERFACE = "onnx.json"
FILES = (ENCODER, START, STEP, INTERFACE)

USE = '''\
import json
from pathlib import Path

import numpy as np
import onnxruntime

about = json.loads(Path("onnx.json").read_text())
encoder, start, step = (
    onnxruntime.InferenceSession(name) for name in ("encoder.onnx", "start.onnx", "step.onnx")
)


def write(images, view_mask):
    """Reports of grey uint8 images [B, 2, S, S], frontal and lateral; bool [B, 2]: which are."""
    (maps,) = encoder.run(None, {"images": images.reshape(-1, *images.shape[2:])})
    features = maps.reshape(*view_mask.shape, *maps.shape[1:])
    first = start.run(None, {"features": features, "view_mask": view_mask})
    state = dict(zip(about["state"], first))
    tokens, ended = np.full(len(images), about["bos"]), np.zeros(len(images), bool)
    reports = []
    while len(reports) < about["longest"] and not ended.all():
        log_probs, *after = step.run(None, {"tokens": tokens, **state})
        state.update(zip(about["changed"], after))
        log_probs[:, about["never_written"]] = -np.inf
        tokens = log_probs.argmax(1)
        ended |= tokens == about["eos"]
        reports.append(np.where(ended, about["eos"], tokens))
    words = [[about["words"][one] for one in ids if one != about["eos"]] for ids in zip(*reports)]
    return [" ".join(report) for report in words]
'''
"""How the files are used, with numpy and onnxruntime alone; the model card shows it."""

EXAMPLE, SAMPLE = 3, 5
"""Studies that are traced, and that the written files are compared on."""
TRACED = 2
"""Words written before the step that is traced: export takes 0 and 1 for sizes that stay."""
BATCH = "batch"
"""What the ONNX calls the axis of the studies."""
CLOSE = 1e-3
"""Most that a log-probability may differ from torch's, which sums in another order."""


def check_onnx() -> None:
    """Raise `MissingExtraError` unless what writes ONNX is installed."""
    if missing := [name for name in ("onnx", "onnxscript", "onnxruntime") if not find_spec(name)]:
        raise MissingExtraError(
            f"--onnx needs {', '.join(missing)}: pip install 'xray-report[onnx]'"
        )


def onnx_files(model: ReportModel, words: Sequence[str], longest: int) -> dict[str, bytes]:
    """Content of `FILES` by name, compared with the model in onnxruntime.

    Args:
        model: on the CPU, in evaluation mode.
        words: that its tokens stand for, by id.
        longest: most tokens of a report, the end counted.

    Raises:
        MissingExtraError: as of `check_onnx`.
        OptionError: encoder or decoder cannot be written as ONNX, which says which, or writes
            something else there.
    """
    check_onnx()
    encoder, decoder = model.encoder, model.decoder
    size = encoder.preprocessing.size
    batch = torch.export.Dim(BATCH)
    drawn = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2 * SAMPLE, size, size), dtype=torch.uint8, generator=drawn)
    view_mask = torch.rand(SAMPLE, 2, generator=drawn) < 0.7
    with torch.no_grad():
        maps = encoder(encoder.preprocessing(images))
        features = maps.unflatten(0, (SAMPLE, 2))
        shown = features[:EXAMPLE], view_mask[:EXAMPLE]
        state, traced = _states(decoder, *shown)
    names = [name for name, _ in traced.leaves]
    files = {
        ENCODER: _exported(
            f"the encoder {encoder.name}", _Encode(encoder), (images[:EXAMPLE],),
            ({0: batch},), ["images"], ["maps"],
        ),
        START: _exported(
            _named(decoder), _Start(decoder), shown,
            ({0: batch}, {0: batch}), ["features", "view_mask"], names,
        ),
    }  # fmt: skip
    changed = [
        name
        for (name, before), (_, after) in zip(traced.leaves, traced.after, strict=True)
        if before is not after
    ]
    written = torch.export.Dim("written", max=max(longest - 1, TRACED))
    grown = zip(traced.leaves, traced.after, strict=True)
    axes = tuple(_axes(before, after, batch, written) for (_, before), (_, after) in grown)
    outputs = ["log_probs", *(f"next_{name}" for name in changed)]
    outputs += [] if traced.attention is None else ["attention"]
    tokens = torch.full((EXAMPLE,), decoder.special.bos)
    files[STEP] = _exported(
        _named(decoder), _Step(decoder, state, changed),
        (tokens, tuple(leaf for _, leaf in traced.leaves)),
        ({0: batch}, axes), ["tokens", *names], outputs,
    )  # fmt: skip
    about = {
        "models": {name: _described(data) for name, data in files.items()},
        "preprocessing": encoder.preprocessing.to_dict(),
        "state": names,
        "changed": changed,
        **decoder.special._asdict(),
        "never_written": list(decoder.special.never_generated),
        "longest": longest,
        "words": list(words),
    }
    files[INTERFACE] = (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode()
    compare_onnx(files, model, images, view_mask)
    return files


def write_onnx(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write what `onnx_files` gave into `folder`, the description last.

    Earlier ones there are removed, and stay removed where `files` is empty: they are of another
    model. Raises `OutputError` where that cannot be done.
    """
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    for name, data in files.items():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(data)


# The three models as functions of tensors.


class _Encode(nn.Module):
    """Grey pixels to maps."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.encoder(self.encoder.preprocessing(images))
        return maps


class _Start(nn.Module):
    """A study's maps to the tensors of the first state."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, features: Tensor, view_mask: Tensor) -> tuple[Tensor, ...]:
        state = self.decoder.initial_state(features, view_mask)
        # Copied, since an output cannot be another one.
        return tuple(leaf.clone() for _, leaf in _leaves(state))


class _Step(nn.Module):
    """Words and the tensors of a state to log-probabilities and the tensors that have changed."""

    def __init__(self, decoder: Decoder, like: DecoderState, changed: Sequence[str]) -> None:
        super().__init__()
        self.decoder, self.like, self.changed = decoder, like, changed

    def forward(self, tokens: Tensor, leaves: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        log_probs, state = self.decoder.step(tokens, _filled(self.like, leaves))
        after = [leaf for name, leaf in _leaves(state) if name in self.changed]
        return (log_probs, *after, *(() if state.attention is None else (state.attention,)))


def _leaves(state: DecoderState) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a state by the names of the places they have in it."""
    yield from _tree_leaves(state.rows, "rows")
    yield from _tree_leaves(state.studies, "studies")


def _tree_leaves(tree: Tree, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(tree, Tensor):
        yield name, tree
        return
    fields = getattr(tree, "_fields", range(len(tree)))
    for field, part in zip(fields, tree, strict=True):
        yield from _tree_leaves(part, f"{name}_{field}")


def _filled(like: DecoderState, leaves: Sequence[Tensor]) -> DecoderState:
    """A state like that one, of these tensors."""
    rest = iter(leaves)
    rows = map_tree(lambda _: next(rest), like.rows)
    return DecoderState(rows, map_tree(lambda _: next(rest), like.studies))


class _Traced(NamedTuple):
    """The tensors of a state after some words, after one more, and that one's attention."""

    leaves: list[tuple[str, Tensor]]
    after: list[tuple[str, Tensor]]
    attention: Tensor | None


def _states(decoder: Decoder, features: Tensor, view_mask: Tensor) -> tuple[DecoderState, _Traced]:
    tokens = torch.full((len(features),), decoder.special.bos)
    state = decoder.initial_state(features, view_mask)
    for _ in range(TRACED):
        _, state = decoder.step(tokens, state)
    _, after = decoder.step(tokens, state)
    return state, _Traced([*_leaves(state)], [*_leaves(after)], after.attention)


def _axes(before: Tensor, after: Tensor, batch: Any, written: Any) -> dict[int, Any]:
    """The axes of a state's tensor whose size is not always the same."""
    sizes = enumerate(zip(before.shape, after.shape, strict=True))
    return {0: batch, **{axis: written for axis, (one, other) in sizes if one != other}}


def _named(decoder: Decoder) -> str:
    inner = decoder.decoder if isinstance(decoder, OuterDecoder) else decoder
    return f"the decoder {type(inner).__name__}"


# Writing and reading ONNX.


def _exported(
    what: str,
    module: nn.Module,
    example: tuple[Any, ...],
    dynamic_shapes: tuple[Any, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> bytes:
    """The ONNX of a module. Raises `OptionError` naming `what` it is."""
    noisy = logging.getLogger("torch.onnx")
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module.eval(), example, dynamo=True, dynamic_shapes=dynamic_shapes,
                input_names=inputs, output_names=outputs, verbose=False,
            )  # fmt: skip
            assert program is not None
            data: bytes = program.model_proto.SerializeToString()
    except Exception as error:  # of the tracer, the translator, or protobuf beyond 2 GB
        first: BaseException = error
        while first.__cause__ is not None:  # which names the operation that is not known
            first = first.__cause__
        raise OptionError(
            f"--onnx: {what} cannot be written as ONNX by torch {torch.__version__} "
            f"({one_line(first)}): export without --onnx"
        ) from error
    finally:
        noisy.setLevel(level)
    for name, value in _described(data)["inputs"].items():
        if value["shape"][0] != BATCH:
            raise OptionError(
                f"--onnx: {what} takes {name} of {value['shape'][0]} studies alone, once traced: "
                "have it read sizes by shape[0], never by len(), or export without --onnx"
            )
    return data


def _described(data: bytes) -> dict[str, Any]:
    """Types and shapes of a model's inputs and outputs by name."""
    import onnx

    graph = onnx.load_from_string(data).graph

    def values(infos: Any) -> dict[str, Any]:
        return {
            info.name: {
                "type": str(onnx.helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)),
                "shape": [
                    dim.dim_param or dim.dim_value for dim in info.type.tensor_type.shape.dim
                ],
            }
            for info in infos
        }

    return {"inputs": values(graph.input), "outputs": values(graph.output)}


def compare_onnx(
    files: Mapping[str, bytes], model: ReportModel, images: Tensor, view_mask: Tensor
) -> None:
    """Raise `OptionError` unless the files say of some studies' first words what the model says.

    Args:
        files: as `onnx_files` gives them.
        model: that they were made of.
        images: uint8 [2 * B, S, S], both of each study.
        view_mask: bool [B, 2].
    """
    import onnxruntime

    about = json.loads(files[INTERFACE])
    studies = len(view_mask)

    def run(name: str, **given: Tensor) -> list[Tensor]:
        session = onnxruntime.InferenceSession(files[name])
        feed = {key: one.numpy() for key, one in given.items()}
        return [torch.from_numpy(one) for one in session.run(None, feed)]

    try:
        (maps,) = run(ENCODER, images=images)
        features = maps.reshape(studies, 2, *maps.shape[1:])
        found = dict(
            zip(about["state"], run(START, features=features, view_mask=view_mask), strict=True)
        )
        tokens = torch.full((studies,), model.decoder.special.bos)
        with torch.no_grad():
            own = model.encoder(model.encoder.preprocessing(images)).unflatten(0, (studies, 2))
            state = model.decoder.initial_state(own, view_mask)
            for _ in range(min(4, int(about["longest"]))):
                log_probs, state = model.decoder.step(tokens, state)
                there, *after = run(STEP, tokens=tokens, **found)
                found.update(zip(about["changed"], after, strict=False))
                far = float((there - log_probs).abs().max())
                if not far <= CLOSE:
                    raise ArithmeticError(f"log-probabilities differ by {far:.2g}")
                tokens = log_probs.argmax(1)
    except Exception as error:  # onnxruntime has no base class of its own
        raise OptionError(
            f"--onnx: what was written of the encoder {model.encoder.name} and "
            f"{_named(model.decoder)} does not run as they do ({one_line(error)}): export without "
            "--onnx"
        ) from error
