"""Options that the scoring commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Split = Annotated[
    str | None, typer.Option(help="Split of the data set: r2gen (the default), study, dedup.")
]
Annotation = Annotated[Path | None, typer.Option(help="R2Gen's annotation.json.")]
Root = Annotated[Path | None, typer.Option(help="Folder with the reports, if not the extra's.")]
Protocols = Annotated[
    list[str] | None,
    typer.Option(help="clean, r2gen, sacrebleu, original, ptb; repeatable. All by default."),
]
Train = Annotated[
    Path | None,
    typer.Option(help="Training reports; with them r2gen's protocol and copying are scored."),
]
TrainColumn = Annotated[str | None, typer.Option(help="Column or field of the training text.")]
JsonFile = Annotated[Path | None, typer.Option(help="Write all numbers to this file.")]
Column = Annotated[str | None, typer.Option(help="Column or field of the text in that file.")]
IdColumn = Annotated[
    str | None, typer.Option(help="Column or field with the study's id, the same in both files.")
]
Extras = Annotated[
    list[str] | None,
    typer.Option(help="meteor, meteor_nltk, bertscore, chexbert, radgraph; repeatable."),
]
