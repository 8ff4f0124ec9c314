"""`xray-report pretrain-decoder`: a small GPT-2 that has learnt the language of reports."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xray_report.commands.shared import (
    AnnotationOption,
    ColumnOption,
    DeviceOption,
    ReportsOption,
    RootOption,
    SeedOption,
    SplitOption,
    TableOption,
    TargetOption,
    make_source,
)
from xray_report.errors import DataError, MissingExtraError, OptionError, OutputError

if TYPE_CHECKING:
    from torch import Tensor

END = "<|endoftext|>"
"""GPT-2's one special token: it begins, ends and pads."""
LONGEST = 256
"""Tokens of a report that are read; the rest is left out."""


def pretrain_decoder(
    folder: Annotated[Path, typer.Argument(help="Folder to write, for model.architecture.folder.")],
    data: Annotated[
        str,
        typer.Argument(
            help="Whose training reports: phantom, iu_xray, mimic_cxr, rexgradient, chexpert_plus "
            "or csv."
        ),
    ],
    root: RootOption = None,
    split: SplitOption = None,
    annotation: AnnotationOption = None,
    reports: ReportsOption = None,
    table: TableOption = None,
    column: ColumnOption = None,
    target: TargetOption = None,
    data_seed: SeedOption = None,
    width: Annotated[int, typer.Option(help="Width; a multiple of --heads.", min=1)] = 192,
    layers: Annotated[int, typer.Option(help="Layers.", min=1)] = 4,
    heads: Annotated[int, typer.Option(help="Heads of each attention.", min=1)] = 4,
    vocabulary: Annotated[int, typer.Option(help="Most subwords (byte pairs).", min=300)] = 2000,
    epochs: Annotated[int, typer.Option(help="Passes over the reports.", min=1)] = 12,
    lr: Annotated[float, typer.Option(help="Rate of AdamW, falling to 0 along a cosine.")] = 1e-3,
    batch_size: Annotated[int, typer.Option(help="Reports a step.", min=1)] = 16,
    seed: Annotated[int, typer.Option(help="Of weights, order and dropout.")] = 0,
    device: DeviceOption = "auto",
) -> None:
    """Train a small GPT-2 on the training reports of a data set, for `model=gpt2`.

    Images play no part. The epoch of lowest perplexity on the validation reports is kept. The
    folder remembers which studies it has read: no model that is tested on them may start from it.

    Example: xray-report pretrain-decoder gpt2_iu iu_xray --root DIR --split r2gen --annotation FILE
    """
    from xray_report.data.study import report_text
    from xray_report.models.encoders.extractor import resolve_device

    transformers, tokenizers = _libraries()
    if width % heads:
        raise OptionError(f"--width must be a multiple of --heads ({heads}), got {width}")
    if not (math.isfinite(lr) and lr > 0):
        raise OptionError(f"--lr must be above 0, got {lr}")
    run_on = resolve_device(device)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} is there already: name a new folder")
    source = make_source(
        data, root=root, split=split, annotation=annotation, reports=reports, table=table,
        column=column, target=target, seed=data_seed,
    )  # fmt: skip
    texts: dict[str, dict[str, str]] = {"train": {}, "val": {}}
    for study in source.studies():
        text = report_text(study, source.target)
        if text and study.split in texts:
            texts[study.split][study.study_id] = text
    for side, found in texts.items():
        if not found:
            raise DataError(f"{data} has no {side} reports to learn from")
    clean = _cleaner()
    train, val = ([clean(text) for text in texts[side].values()] for side in ("train", "val"))
    typer.echo(f"{data}: {len(train)} training reports, {len(val)} to validate on")

    parting = _byte_pairs(tokenizers, train, vocabulary)
    config = transformers.GPT2Config(
        vocab_size=parting.get_vocab_size(), n_positions=LONGEST, n_embd=width, n_layer=layers,
        n_head=heads, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    best = _fit(
        transformers.GPT2LMHeadModel, config, [_ids(parting, text) for text in train],
        [_ids(parting, text) for text in val], epochs, lr, batch_size, seed, run_on,
    )  # fmt: skip
    seen = {"trained_on": [source.name], "studies": {source.name: sorted(texts["train"])}}
    _write(folder, best, parting, seen)
    typer.echo(f"{folder}: python train.py model=gpt2 model.architecture.folder={folder}")


def _libraries() -> tuple[Any, Any]:
    try:
        import tokenizers
        import transformers
    except ImportError as error:
        raise MissingExtraError(
            "pretrain-decoder needs transformers: pip install xray-report[transformers]"
        ) from error
    return transformers, tokenizers


def _cleaner() -> Any:
    """Reports as text=subwords cleans them."""
    from xray_report.text.cleaning import Cleaner

    cleaner = Cleaner(
        lower_case=False, expand_contractions=False, letters_only=False, drop_short_words=False,
        split_full_stops=False, split_punctuation=True,
    )  # fmt: skip
    return lambda text: cleaner.join(cleaner(text).split())


def _byte_pairs(tokenizers: Any, texts: Sequence[str], size: int) -> Any:
    """A byte-level BPE tokenizer as GPT-2 has one, learnt from texts; `END` has id 0."""
    parting = tokenizers.Tokenizer(tokenizers.models.BPE())
    parting.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    parting.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, special_tokens=[END], show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    parting.train_from_iterator(texts, trainer)
    return parting


def _ids(parting: Any, text: str) -> list[int]:
    """END, the text's ids, END."""
    return [0, *parting.encode(text).ids[: LONGEST - 2], 0]


def _fit(
    network: Any,
    config: Any,
    train: list[list[int]],
    val: list[list[int]],
    epochs: int,
    lr: float,
    batch_size: int,
    seed: int,
    device: Any,
) -> Any:
    """The network as it was in the epoch of lowest perplexity on `val`."""
    import torch
    from rich.console import Console
    from rich.progress import Progress

    torch.manual_seed(seed)
    model = network(config).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    total = epochs * math.ceil(len(train) / batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    lowest, kept = math.inf, {}
    with Progress(transient=True, console=Console(stderr=True)) as bars:
        task = bars.add_task("learning reports", total=total)
        for epoch in range(epochs):
            model.train()
            order = torch.randperm(len(train)).tolist()
            for ids, labels in _batches([train[one] for one in order], batch_size, device):
                loss = model(input_ids=ids, labels=labels).loss
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                bars.advance(task)
            model.eval()
            nats, tokens = 0.0, 0
            with torch.no_grad():
                for ids, labels in _batches(val, batch_size, device):
                    count = int((labels[:, 1:] >= 0).sum())
                    nats += float(model(input_ids=ids, labels=labels).loss) * count
                    tokens += count
            loss_now = nats / tokens
            if loss_now < lowest:
                lowest = loss_now
                kept = {name: one.clone() for name, one in model.state_dict().items()}
            typer.echo(
                f"epoch {epoch}: {loss_now:.3f} nats a token on validation reports, perplexity "
                f"{math.exp(min(loss_now, 700)):.2f}"
            )
    if not kept:
        raise DataError("training diverged in its first epoch: choose a lower --lr")
    model.load_state_dict(kept)
    return model.cpu()


def _batches(
    reports: Sequence[list[int]], size: int, device: Any
) -> Iterator[tuple[Tensor, Tensor]]:
    """Ids [B, T], and as labels the same with -100 where a report has ended."""
    import torch

    for start in range(0, len(reports), size):
        rows = [torch.tensor(one) for one in reports[start : start + size]]
        pad = torch.nn.utils.rnn.pad_sequence
        yield (
            pad(rows, batch_first=True).to(device),
            pad(rows, batch_first=True, padding_value=-100).to(device),
        )


def _write(folder: Path, model: Any, parting: Any, seen: dict[str, Any]) -> None:
    """Write the folder as a whole: beside its place, then renamed."""
    beside = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        model.save_pretrained(beside)
        parting.save(str(beside / "tokenizer.json"))
        config = json.loads((beside / "config.json").read_text(encoding="utf-8"))
        config["xray_report"] = seen
        (beside / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
        if folder.is_dir():
            folder.rmdir()
        beside.rename(folder)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
