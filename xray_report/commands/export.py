"""`xray-report export`: a trained report model as a folder to share, with its model card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xray_report.errors import DataError, OptionError

if TYPE_CHECKING:
    from xray_report.inference.checkpoint import ReportCheckpoint

LOCAL = ("paths", "callbacks", "logger", "resume")
"""Options of a run that say how its machine was set up, not how the model was made."""


def export(
    source: Annotated[
        Path, typer.Argument(help="A checkpoint, or the folder of a training run (its best).")
    ],
    dest: Annotated[Path, typer.Argument(help="Folder to make.")],
    metrics: Annotated[
        Path | None,
        typer.Option(
            help="metrics.json of an evaluation of it, for the card; if left out, the newest below "
            "--runs-dir that evaluated this checkpoint on its test split."
        ),
    ] = None,
    half: Annotated[
        bool,
        typer.Option(
            "--half", help="Matrices in float16: half the size, and now and then another word."
        ),
    ] = False,
    onnx: Annotated[
        bool,
        typer.Option(
            "--onnx", help="Also write encoder and decoder as ONNX, float32 (extra onnx); minutes."
        ),
    ] = False,
    note: Annotated[
        str, typer.Option(help="What else the card shall say, such as how it was made; Markdown.")
    ] = "",
    runs_dir: Annotated[Path, typer.Option(help="Where evaluations lie.")] = Path("runs"),
) -> None:
    """Write a report model as a folder to share: safetensors, config, tokenizer, model card.

    `checkpoint=DEST`, `--checkpoint DEST`, `encoder.weights=DEST` and `xray_report.load` take it,
    and its name where it was uploaded to the Hugging Face hub.
    Example: xray-report export runs/train/RUN model
    Example: xray-report export runs/train/RUN model --onnx
    """
    from xray_report.inference.checkpoint import (
        BEST,
        CHECKPOINT_FORMAT,
        load_checkpoint,
        longest_report,
    )
    from xray_report.models.folder import check_writable, write_folder
    from xray_report.models.onnx import check_onnx, onnx_files, write_onnx

    check_writable(dest)
    if onnx:
        check_onnx()
    path = source / BEST if (source / BEST).is_file() else source
    checkpoint = load_checkpoint(path)
    found = metrics if metrics is not None else newest_evaluation(runs_dir, checkpoint.sha256)
    scores = {} if found is None else scores_of(found, checkpoint.sha256)
    plain = shareable(checkpoint.hyperparameters)
    longest = longest_report([checkpoint])
    traced = onnx_files(checkpoint.model, checkpoint.tokenizer.words, longest) if onnx else {}
    card = model_card(dest.resolve().name, checkpoint, scores, half, note, onnx)
    about = {"kind": "report", "format": CHECKPOINT_FORMAT, "scores": checkpoint.scores}
    films = None if checkpoint.films is None else checkpoint.films.to_plain()
    write_folder(dest, checkpoint.model, plain, about, checkpoint.epoch, card, films, half=half)
    write_onnx(dest, traced)
    size = sum(one.stat().st_size for one in dest.iterdir()) / 1e6
    typer.echo(f"{path} written to {dest}, {size:.1f} MB")
    if onnx:
        typer.echo(f"{', '.join(traced)}: say in onnxruntime what the model says")
    told = f"those of {found}" if found else "none, since no evaluation of it was found: --metrics"
    typer.echo(f"scores in its card: {told}")
    for option, value in local_paths(plain["about"].get("options"), ""):
        typer.echo(f"note: config.json tells a path of this machine: {option}={value}")


def shareable(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """The hyper-parameters without the options of `LOCAL`."""
    about = dict(hyperparameters["about"])
    if isinstance(options := about.get("options"), Mapping):
        about["options"] = {name: one for name, one in options.items() if name not in LOCAL}
    return {**hyperparameters, "about": about}


def local_paths(options: object, name: str) -> Iterator[tuple[str, str]]:
    """Names and values of options that are absolute paths, at any depth."""
    if isinstance(options, Mapping):
        for key, value in options.items():
            yield from local_paths(value, f"{name}.{key}" if name else str(key))
    elif isinstance(options, str) and Path(options).is_absolute():
        yield name, options


# Scores.


def newest_evaluation(runs_dir: Path, digest: str) -> Path | None:
    """metrics.json of the newest evaluation of this checkpoint on its own test split, if any."""
    from xray_report.evaluation.run import RECORD_FILE
    from xray_report.metrics.files import METRICS_FILE

    found = []
    for path in (runs_dir / "evaluate").rglob(RECORD_FILE):
        made = record_of(path)
        usual = made.get("evaluation") or {}
        own = usual.get("split") == "test" and usual.get("images") == "own"
        if own and digests(made) == [digest] and (path.parent / METRICS_FILE).is_file():
            found.append(path.parent / METRICS_FILE)
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def record_of(path: Path) -> Mapping[str, Any]:
    """What an evaluation says it evaluated; nothing if it cannot be read."""
    import json

    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return plain if isinstance(plain, dict) else {}


def digests(record: Mapping[str, Any]) -> list[object]:
    """SHA-256 of the checkpoints that were evaluated together."""
    parts = record.get("checkpoints")
    return [one.get("sha256") for one in parts] if isinstance(parts, list) else []


def scores_of(path: Path, digest: str) -> dict[str, Any]:
    """The numbers of an evaluation, and under `about` what it evaluated.

    Raises:
        OptionError: it evaluated another checkpoint.
        DataError: it cannot be read, or holds no scores.
    """
    from xray_report.evaluation.run import RECORD_FILE
    from xray_report.metrics.files import METRICS_FILE, read_metrics, result_file

    file = result_file(path, METRICS_FILE)
    record = record_of(file.parent / RECORD_FILE)
    if not record:
        raise DataError(
            f"{file} has no {RECORD_FILE} beside it, so it does not say which checkpoint it is of; "
            "give the folder that evaluate.py wrote"
        )
    if digests(record) != [digest]:
        raise OptionError(f"{file} is of another checkpoint: evaluate this one, or leave it out")
    return {**read_metrics(file), "about": record}


# The model card.

TERMS = {
    "phantom": "Drawn by this package: no patient's. MIT, as the package.",
    "mimic_cxr": "PhysioNet Credentialed Health Data License: the data may not be passed on, and a "
    "model may give away what it has seen. Share it under PhysioNet's terms alone.",
    "rexgradient": "ReXGradient-160K Non-Commercial Data Access and Use Agreement: for research, "
    "not for commerce or the clinic. Share it under that agreement's terms alone.",
    "chexpert_plus": "Stanford University Dataset Research Use Agreement: for research, not for "
    "commerce; the data may not be passed on, and a model may give away what it has seen. Share it "
    "under that agreement's terms alone.",
    "nih_chestxray14": "Free to use; the NIH Clinical Center asks to be named.",
    "imagenet": "ImageNet is for non-commercial research.",
}
"""Terms of what a model can have seen."""

UNKNOWN = "not known"
"""Where a checkpoint does not say."""


def model_card(
    name: str,
    checkpoint: ReportCheckpoint,
    scores: Mapping[str, Any],
    half: bool = False,
    note: str = "",
    onnx: bool = False,
) -> str:
    """README.md as the Hugging Face hub reads it: a head in YAML, then Markdown.

    Args:
        name: of the model.
        checkpoint: it.
        scores: as `scores_of` gives them, or none.
        half: whether matrices are written in float16.
        note: what else it shall say, Markdown.
        onnx: whether ONNX files lie beside it.
    """
    from xray_report.inference.checkpoint import model_note
    from xray_report.models.onnx import USE

    head = card_head(name, checkpoint, scores)
    parts = [
        f"---\n{head}---",
        f"# {name}",
        "Writes the report of a chest X-ray study from its frontal and lateral films. A model of "
        "xray_report.",
        "**Research only, not for clinical use.** It is no medical device, and what it writes must "
        "not be used on patients.",
    ]
    if warning := model_note([checkpoint]):
        parts.append(f"**{warning}**")
    parts += [note] if note else []
    parts += [
        f'## Use\n```python\nimport xray_report\n\nmodel = xray_report.load("{name}")\n'
        'print(model.report(frontal="frontal.png", lateral="lateral.png").text)\n```\n'
        f"or `xray-report predict --frontal F.png --checkpoint {name}`.",
        *([f"### Without this package, by onnxruntime\n```python\n{USE}```"] if onnx else []),
        "## What it is\n" + _lines(facts_of(checkpoint, half)),
        "## Data\n" + _lines(data_of(checkpoint)),
        "## Scores\n" + score_table(checkpoint, scores),
        "## Limits\n" + _lines(limits_of(checkpoint)),
        "## Licences\n" + _lines(terms_of(checkpoint)),
    ]
    return "\n\n".join(parts) + "\n"


def _lines(facts: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {text}" for name, text in facts.items())


def card_head(name: str, checkpoint: ReportCheckpoint, scores: Mapping[str, Any]) -> str:
    """The YAML of a card."""
    import yaml

    from xray_report.evaluation.tables import MAIN_SCORES

    seen = trained_on(checkpoint)
    plain: dict[str, Any] = {
        "license": "mit" if seen == {"phantom"} else "other",
        "library_name": "xray_report",
        "pipeline_tag": "image-to-text",
        "tags": ["radiology-report-generation", "chest-x-ray", "research-only"],
    }
    if scores:
        shown = [
            {"type": key, "name": caption, "value": round(scores[key], 4)}
            for key, caption in MAIN_SCORES.items()
            if key in scores
        ]
        data = scores["about"].get("data", {}).get("name", "unknown")
        split = scores["about"].get("evaluation", {}).get("split", "unknown")
        result = {
            "task": {"type": "image-to-text"},
            "dataset": {"type": data, "name": data, "split": split},
            "metrics": shown,
        }
        plain["model-index"] = [{"name": name, "results": [result]}]
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    return text


def trained_on(checkpoint: ReportCheckpoint) -> set[str]:
    """Names of all that the decoder and the encoder have seen, as far as they say."""
    encoder = checkpoint.model.encoder.source.get("trained_on") or ()
    return {*map(str, encoder), *str(checkpoint.about["data"]).split("+")}


def facts_of(checkpoint: ReportCheckpoint, half: bool) -> dict[str, str]:
    """The model itself: its parts, and where they come from."""
    model, plain, about = checkpoint.model, checkpoint.hyperparameters, checkpoint.about
    decoder = dict(plain["decoder"])
    options = ", ".join(f"{key} {value}" for key, value in decoder.items() if key != "name")
    size = sum(part.numel() for part in model.decoder.parameters()) / 1e6
    source = model.encoder.source
    trained = plain.get("trainable_encoder", False)
    vectors = _option(about, "model", "embedding", "vectors")
    if vectors not in (None, UNKNOWN):
        vectors = f"start from {'GloVe 6B, 50-d' if vectors == 'bundled' else Path(vectors).name}"
    facts = {
        "decoder": f"{decoder.get('name')}, {size:.2f} million parameters ({options})",
        "encoder": f"{model.encoder.name}, weights {source.get('weights')} "
        f"({source.get('format', 'format not known')}), "
        f"{'trained with the decoder' if trained else 'frozen'}; identity {model.encoder.identity}",
        "images": f"{model.encoder.preprocessing.size} px a side, grey levels "
        f"{model.encoder.preprocessing.intensity}",
        "text": f"section {about['target']}, {len(checkpoint.tokenizer)} tokens of tokenizer "
        f"{checkpoint.tokenizer.name}, at most {plain['max_tokens']} a report",
        "word vectors": "random, learnt" if vectors is None else vectors,
        "weights": "matrices in float16" if half else "float32",
        "epoch": UNKNOWN if checkpoint.epoch is None else str(checkpoint.epoch + 1),
        "version": f"xray_report {about.get('version', UNKNOWN)}, seed {about.get('seed')}",
    }
    if labels := plain.get("guiding_labels"):
        facts["told"] = f"what the encoder's classifier sees of {', '.join(labels)}"
    if findings := plain.get("evidence"):
        facts["reads"] = f"where a detector of its own sees {', '.join(findings)}, and no more"
    return facts


def _option(about: Mapping[str, Any], *names: str) -> Any:
    """An option of the run by the names that lead to it; `UNKNOWN` where it does not say."""
    found: Any = about.get("options")
    for name in names:
        if not isinstance(found, Mapping) or name not in found:
            return UNKNOWN
        found = found[name]
    return found


def data_of(checkpoint: ReportCheckpoint) -> dict[str, str]:
    """What decoder and encoder have seen, and of which studies config.json speaks."""
    about, source = checkpoint.about, checkpoint.model.encoder.source
    facts = {"decoder trained on": str(about["data"])}
    if isinstance(split := about.get("split"), Mapping):
        studies = ", ".join(f"{name} {part.get('studies')}" for name, part in split.items())
        facts["split"] = (
            f"{studies} studies; config.json has digests of their ids, so that nobody tests on "
            "what was trained on"
        )
    facts["encoder trained on"] = ", ".join(source.get("trained_on") or ()) or UNKNOWN
    for name, ids in (source.get("studies") or {}).items():
        facts[f"encoder's studies of {name}"] = f"{len(ids)}, whose ids config.json lists"
    return facts


def score_table(checkpoint: ReportCheckpoint, scores: Mapping[str, Any]) -> str:
    """The scores with their 95 % intervals, beside the same scores of baselines."""
    if not scores:
        known = ", ".join(f"{key} {value:.3f}" for key, value in checkpoint.scores.items())
        return f"None on test studies were given. While training, on validation studies: {known}."
    from xray_report.evaluation.tables import MAIN_SCORES, table_rows

    shown = {key: caption for key, caption in MAIN_SCORES.items() if key in scores}
    lines = [f"| | {' | '.join(shown.values())} |", "|---" * (len(shown) + 1) + "|"]
    for row, prefix in table_rows(scores, "**this model**"):
        cells = [_cell(scores, prefix + key) for key in shown]
        lines.append(f"| {row.replace('ceiling*', 'ceiling')} | {' | '.join(cells)} |")
    about = scores["about"]
    split, decode = about.get("evaluation", {}).get("split"), about.get("decode", {})
    search = str(decode.get("_target_", UNKNOWN)).rpartition(".")[2]
    if width := decode.get("beam_width"):
        search = f"{search} of width {width}"
    said = (
        f"{scores['studies']:.0f} {split} studies of {about.get('data', {}).get('name')}, decoded "
        f"by {search}; 95 % bootstrap intervals over studies. Findings and facts "
        "(finding, side, zone, size) are read from both texts by rules; BLEU and CIDEr are of "
        "cleaned text. `exchanged`: this model on other studies' images. `ceiling`: the truth in "
        "other words. Of the baselines only `nearest` and `two constants` see images."
    )
    return said + "\n\n" + "\n".join(lines)


def _cell(scores: Mapping[str, Any], key: str) -> str:
    if key not in scores:
        return "-"
    low, high = scores.get(f"{key}_low"), scores.get(f"{key}_high")
    interval = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
    return f"{scores[key]:.3f}{interval}"


def limits_of(checkpoint: ReportCheckpoint) -> dict[str, str]:
    """What it cannot do."""
    drawn = checkpoint.about["data"] == "phantom"
    return {
        "films": "drawn ones alone: real films are read as nonsense"
        if drawn
        else "those of hospitals other than the training data's may be read worse",
        "views": "one frontal and one lateral image, or one of them; no earlier studies",
        "words": "it can only write words of its training reports, and can write what no film "
        "shows",
    }


def terms_of(checkpoint: ReportCheckpoint) -> dict[str, str]:
    """Licences of what the model was made of."""
    from xray_report.data.download import LICENCES

    known = {**TERMS, "iu_xray": LICENCES["iu-xray"]}
    unknown = "has terms of its own; whether a model trained on it may be shared is for its owner"
    terms = {name: known.get(name, unknown) for name in sorted(trained_on(checkpoint))}
    vectors = _option(checkpoint.about, "model", "embedding", "vectors")
    if vectors not in (None, UNKNOWN):
        terms["GloVe"] = "Public Domain Dedication and License 1.0 (Pennington et al. 2014)."
    return {**terms, "code": "xray_report, MIT."}
