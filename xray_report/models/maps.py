"""The shape of an encoder's maps, which encoders state and decoders are built for."""

from __future__ import annotations

from typing import NamedTuple


class MapShape(NamedTuple):
    """Shape of the map that an encoder makes of one view."""

    channels: int
    height: int
    width: int

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    @property
    def locations(self) -> int:
        """Locations of one view; of both, location = (view * height + row) * width + column."""
        return self.height * self.width
