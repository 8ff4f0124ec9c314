"""Progress of encoding, for people at a terminal and for log files."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY = 10.0


class EncodingProgress:
    """A bar with images/s on a terminal's stderr; elsewhere a line every ten seconds.

    Args:
        total: images to come.
        shown: show anything at all.
    """

    def __init__(self, total: int, shown: bool) -> None:
        self.total, self.done = total, 0
        self._console = Console(stderr=True, quiet=not shown, highlight=False)
        self._bar = Progress(
            TextColumn("Encoding images"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f}/s"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not shown or not self._console.is_terminal,
            transient=True,
        )
        self._start = self._said = time.perf_counter()

    def __enter__(self) -> EncodingProgress:
        self._bar.start()
        self._task = self._bar.add_task("encode", total=self.total, rate=0.0)
        return self

    def advance(self, images: int) -> None:
        """Count `images` more."""
        now = time.perf_counter()
        self.done += images
        rate = self.done / max(now - self._start, 1e-9)
        self._bar.update(self._task, advance=images, rate=rate)
        last = self.done == self.total
        if not self._console.is_terminal and (last or now - self._said >= LINE_EVERY):
            self._said = now
            self._console.print(f"Encoding images: {self.done} of {self.total}, {rate:.1f}/s")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
