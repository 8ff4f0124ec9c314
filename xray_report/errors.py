"""Errors that are the user's to mend: each message names the culprit and the cure."""

from __future__ import annotations

import errno
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


class ReportedError(Exception):
    """A mistake that was told where it was made: only the exit code is left to say it."""


UNHELPFUL = ("To append to your config use", "Config search path:", "See https://hydra")
"""Where Hydra's advice begins that does not help here, or would hide the mistake."""


@contextmanager
def one_line_errors(*others: type[Exception], cure: str = "") -> Iterator[None]:
    """Turn the user's own mistakes into one line on stderr and exit code 1.

    Looks through wrapped exceptions, since Hydra wraps what a constructor raises.

    Args:
        others: exceptions of another library, such as Hydra, that are the user's mistakes too.
        cure: added after those.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, ReportedError) and not print_mistake(error, others, cure):
            raise
        raise SystemExit(1) from None


def print_mistake(
    error: Exception, others: tuple[type[Exception], ...] = (), cure: str = ""
) -> bool:
    """Print the user's own mistake as one line on stderr; False if `error` is none of his."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, XrayReportError):
        cause = cause.__cause__
    if cause is None and (named := _too_long(error)):
        print(f"error: {named}", file=sys.stderr)
        return True
    if cause is None and not isinstance(error, others):
        return False
    print(f"error: {cause or one_line(error) + cure}", file=sys.stderr)
    return True


def _too_long(error: Exception) -> str:
    """What to say of a path that is longer than paths can be, wherever it was met; or ""."""
    for one in causes(error):
        if isinstance(one, OSError) and one.errno == errno.ENAMETOOLONG:
            return f"{str(one.filename)[:60]}... is longer than a path can be: give another"
    return ""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, what it came from, and so on, each once: they can come from one another."""
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def one_line(error: BaseException, most: int = 200) -> str:
    """What another library's exception says, on one line of about `most` characters."""
    text = str(error) or str(error.__cause__ or "")
    for advice in UNHELPFUL:
        text = text.partition(advice)[0]
    text = " ".join(text.split()).rstrip(".") or type(error).__name__
    return text if len(text) <= most else f"{text[:most]}..."
