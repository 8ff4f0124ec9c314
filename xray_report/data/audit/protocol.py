"""What an audit asks of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from xray_report.data.study import StudySource


@runtime_checkable
class Audited(StudySource, Protocol):
    """A source that tells what its rules left out."""

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many studies (or what the name says) each rule left out, after `studies`."""
        ...


@runtime_checkable
class Published(Protocol):
    """A source that also knows what was published, whether or not it was found on this disk."""

    def published(self) -> Mapping[str, Any]:
        """Counts by name; a value may be a mapping of counts."""
        ...
