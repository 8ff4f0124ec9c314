"""Errors that are the user's to mend: each message names the culprit and the cure."""

from __future__ import annotations


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


class MissingExtraError(XrayReportError):
    """A feature needs an optional dependency that is not installed."""
