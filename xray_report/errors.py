"""Errors that are the user's to mend: each message names the culprit and the cure."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class XrayReportError(Exception):
    """Base of all errors a command shows as one line, without a traceback."""


class OptionError(XrayReportError, ValueError):
    """An option's value is outside what it may be."""


class DataError(XrayReportError):
    """A data set, a table or a file of it is missing or malformed."""


class ImageError(DataError):
    """An image cannot be read."""


class WeightsError(XrayReportError):
    """Encoder weights are missing, unknown in format or do not fit."""


class VectorsError(XrayReportError):
    """A word vector file is missing or malformed."""


class CheckpointError(XrayReportError):
    """A checkpoint is missing, unreadable or not one of ours."""


class OutputError(XrayReportError, OSError):
    """A file that was asked for cannot be written."""


class MissingExtraError(XrayReportError):
    """A feature needs an optional dependency that is not installed."""


UNHELPFUL = ("To append to your config use", "Config search path:", "See https://hydra")
"""Where Hydra's advice begins that does not help here, or would hide the mistake."""


@contextmanager
def one_line_errors(*others: type[Exception], cure: str = "") -> Iterator[None]:
    """Turn the user's own mistakes into one line on stderr and exit code 1.

    Looks through wrapped exceptions, since Hydra wraps what a constructor raises.

    Args:
        others: exceptions of another library, such as Hydra, that are the user's mistakes too.
        cure: said after those.
    """
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, XrayReportError):
            cause = cause.__cause__
        if cause is None and not isinstance(error, others):
            raise
        print(f"error: {cause or one_line(error) + cure}", file=sys.stderr)
        raise SystemExit(1) from None


def one_line(error: BaseException, most: int = 200) -> str:
    """What another library's exception says, on one line of about `most` characters."""
    said = str(error)
    for advice in UNHELPFUL:
        said = said.partition(advice)[0]
    said = " ".join(said.split()).rstrip(".") or type(error).__name__
    return said if len(said) <= most else f"{said[:most]}..."
