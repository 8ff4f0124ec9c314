"""What commands share: options, data sets by name, their reports as texts, JSON, the programs."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from xray_report.errors import DataError, MissingExtraError, OptionError

if TYPE_CHECKING:
    from xray_report.data.study import Audited

SplitOption = Annotated[str | None, typer.Option(help="How it is split, as data.split.")]
AnnotationOption = Annotated[Path | None, typer.Option(help="R2Gen's annotation.json.")]
RootOption = Annotated[
    Path | None, typer.Option(help="Its folder; iu_xray without it: the extra's reports alone.")
]
ReportsOption = Annotated[
    Path | None, typer.Option(help="mimic_cxr: folder of the reports, as data.reports.")
]
TableOption = Annotated[Path | None, typer.Option(help="csv: the table; --root: its images.")]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(help="csv: MEANING=NAME, such as image=file or findings=report; repeat it."),
]
LabelOption = Annotated[
    list[str] | None, typer.Option(help="csv: a column that holds a label; repeat it.")
]
SeedOption = Annotated[
    int | None, typer.Option(help="Of random splits and of the phantom, as data.seed; 0.")
]
TargetOption = Annotated[
    str | None, typer.Option(help="findings, impression or both, as data.target.")
]
ProtocolsOption = Annotated[
    list[str] | None,
    typer.Option(help="clean, r2gen, sacrebleu, original, ptb; repeatable. All by default."),
]
TrainOption = Annotated[
    Path | None,
    typer.Option(help="Training reports; with them r2gen's protocol and copying are scored."),
]
TrainColumnOption = Annotated[
    str | None, typer.Option(help="Column or field of the training text.")
]
CheckpointOption = Annotated[
    list[Path] | None,
    typer.Option(
        help="Checkpoint, exported folder or name on the Hugging Face hub; the newest training "
        "run's best if left out, or else the bundled model. Give several for an ensemble."
    ),
]
DeviceOption = Annotated[
    str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto: a GPU where there is one.")
]
RunsOption = Annotated[Path, typer.Option(help="Where training runs lie.")]
JsonOption = Annotated[Path | None, typer.Option(help="Write all numbers to this file.")]


# Data sets by their names.

OPTIONS = {
    "phantom": ("seed", "target"),
    "iu_xray": ("root", "split", "annotation", "seed", "target"),
    "nih_chestxray14": ("root", "split", "seed"),
    "mimic_cxr": ("root", "split", "annotation", "reports", "seed", "target"),
    "rexgradient": ("root", "split", "seed", "target"),
    "chexpert_plus": ("root", "split", "seed", "target"),
    "csv": ("root", "split", "table", "column", "label", "seed", "target"),
}
"""Data set -> the options it has."""


def make_source(name: str, **options: Any) -> Audited:
    """The data set `name` with the options that were given.

    Raises:
        OptionError: no such data set, an option it does not have, or one it needs is missing.
    """
    from xray_report.data.phantom.source import PhantomSource
    from xray_report.data.sources.chexpert_plus import CheXpertPlus
    from xray_report.data.sources.csv import CSVSource
    from xray_report.data.sources.iu_xray import IUXRay
    from xray_report.data.sources.mimic_cxr import MimicCXR
    from xray_report.data.sources.nih_chestxray14 import NIHChestXray14
    from xray_report.data.sources.rexgradient import ReXGradient

    if name == "union":
        raise OptionError("a union is made of data sets: name each of them by itself")
    if name not in OPTIONS:
        raise OptionError(f"DATA must be one of {', '.join(OPTIONS)}, got {name!r}")
    given = {key: value for key, value in options.items() if value is not None and value != []}
    for option in given:
        if option not in OPTIONS[name]:
            raise OptionError(f"--{option} is no option of {name}")
    if name == "phantom":
        return PhantomSource(**given)
    if name == "iu_xray":
        return IUXRay(**given)
    if name == "csv":
        if "table" not in given:
            raise OptionError("csv needs --table FILE and --column MEANING=NAME")
        columns, labels = given.pop("column", []), given.pop("label", [])
        images = given.pop("root", None)
        return CSVSource(images=images, columns=_by_meaning(columns), labels=labels, **given)
    if "root" not in given:
        raise OptionError(f"{name} needs --root DIR")
    if name == "mimic_cxr":
        return MimicCXR(**given)
    if name == "rexgradient":
        return ReXGradient(**given)
    return CheXpertPlus(**given) if name == "chexpert_plus" else NIHChestXray14(**given)


def _by_meaning(columns: list[str]) -> dict[str, str]:
    names = {}
    for column in columns:
        meaning, equals, name = column.partition("=")
        if not (meaning and equals and name):
            raise OptionError(f"--column must be MEANING=NAME, such as image=file; got {column!r}")
        names[meaning] = name
    return names


class Corpus(NamedTuple):
    """Reports of the three sides of a split, and the study ids of its test side."""

    name: str
    train: list[str]
    val: list[str]
    test_ids: list[str]
    test: list[str]


def load_corpus(data: str, **options: Any) -> Corpus:
    """The reports of a data set, its test side sorted by study id.

    Args:
        data: name of the data set.
        options: as of `make_source`; None are not given. iu_xray's split is `r2gen` if none is
            given: its reports and study ids are those of the annotation, no folder is needed.

    Raises:
        OptionError: as of `make_source`, or `r2gen` without the annotation or with a root.
        DataError: files that are missing or malformed, or an empty side.
    """
    if data == "iu_xray" and options.get("split") in (None, "r2gen"):
        name, reports = f"{data}, split r2gen", _annotated_reports(**options)
    else:
        source = make_source(data, **options)
        split = getattr(source, "split", None)
        name, reports = f"{data}, split {split}" if split else data, _reports_of(source)
    sides: dict[str, list[tuple[str, str]]] = {"train": [], "val": [], "test": []}
    for study_id, side, text in reports:
        sides[side].append((study_id, text))
    for side, members in sides.items():
        if not members:
            raise DataError(f"{name}: no {side} reports")
    # In the order that evaluations score in, so that equal texts get equal intervals.
    test_ids, test = zip(*sorted(sides["test"]), strict=True)
    train, val = ([text for _, text in sides[side]] for side in ("train", "val"))
    return Corpus(name, train, val, list(test_ids), list(test))


def _annotated_reports(
    annotation: Path | None, split: str | None = None, **others: Any
) -> list[tuple[str, str, str]]:
    """(study id, side, report) of the studies in R2Gen's annotation that have a report."""
    from xray_report.data.sources.r2gen import read_annotation
    from xray_report.text.cleaning import text_or_none

    if annotation is None:
        raise OptionError(
            "split r2gen was drawn at random and is in R2Gen's annotation.json; "
            "give --annotation FILE"
        )
    for option, value in others.items():
        if value not in (None, []):
            raise OptionError(
                f"split r2gen reads the reports in --annotation: leave out --{option}"
            )
    entries = [one for one in read_annotation(annotation) if text_or_none(one.report)]
    return [(entry.entry_id, entry.split, entry.report) for entry in entries]


def _reports_of(source: Audited) -> list[tuple[str, str, str]]:
    """(study id, side, report) of the studies that have a side and a report, each once."""
    from xray_report.data.study import report_text

    found = {}
    for study in source.studies():
        text = report_text(study, source.target)
        if study.split and text:
            found[study.study_id] = (study.study_id, str(study.split), text)
    return list(found.values())


def training_texts(train: Path | None, column: str | None) -> list[str] | None:
    """The training reports of a file. Raises `OptionError` for a column without a file."""
    from xray_report.metrics.files import TRAINING, read_texts

    if train is not None:
        return read_texts(train, TRAINING, column=column).texts
    if column is not None:
        raise OptionError("--train-column goes with --train FILE")
    return None


def own_or_bundled(runs_dir: Path) -> Path:
    """The newest run's best checkpoint, or else the bundled model, which is said."""
    from xray_report.inference.checkpoint import newest_or_bundled
    from xray_report.models.folder import BUNDLED_MODEL

    found = newest_or_bundled(runs_dir)
    if found == BUNDLED_MODEL:
        typer.echo(
            f"note: no --checkpoint, and no training run below {runs_dir}: the bundled model "
            "writes, which knows drawings only",
            err=True,
        )
    return found


def write_json(path: Path, plain: object) -> None:
    """Write plain values as JSON, in their order."""
    from json import dumps

    from xray_report.files import replacing

    with replacing(path) as temporary:
        text = dumps(plain, indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


# train.py and evaluate.py, for who installed a wheel.

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""Context settings of commands whose whole command line is Hydra's."""

PACKAGE = Path(__file__).parents[1]


def train(context: typer.Context) -> None:
    """Train a model: `xray-report train model=attention`. The same program as train.py."""
    run("train", context.args)


def evaluate(context: typer.Context) -> None:
    """Evaluate a trained model: `xray-report evaluate decode=beam`. The same as evaluate.py."""
    run("evaluate", context.args)


def run(name: str, arguments: list[str]) -> None:
    """Run the program `name` with these arguments, as `python NAME.py` would."""
    path = program(name)
    sys.argv = [str(path), *arguments]
    runpy.run_path(str(path), run_name="__main__")


def program(name: str) -> Path:
    """The program's file: in the wheel beside its conf/, in a checkout at the top."""
    places = (PACKAGE / "programs" / f"{name}.py", PACKAGE.parent / f"{name}.py")
    for path in places:
        if (path.parent / "conf" / f"{name}.yaml").is_file() and path.is_file():
            return path
    raise MissingExtraError(
        f"{name}.py and its conf/ are neither at {' nor at '.join(map(str, places))}: "
        "reinstall the package"
    )
