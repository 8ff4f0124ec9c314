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


def one_line(error: Exception) -> str:
    """What another library's error says, on one line of at most 200 characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn the user's own mistakes into one line on stderr and exit code 1.

    Looks through wrapped exceptions, since Hydra wraps what a constructor raises.
    """
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, XrayReportError):
            cause = cause.__cause__
        if cause is None:
            raise
        print(f"error: {cause}", file=sys.stderr)
        raise SystemExit(1) from None
