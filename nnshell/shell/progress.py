"""Progress of long work: a bar on a terminal that goes away, nothing in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_DAY = 24 * 3600.0  # seconds

Progress = Callable[[int], None]  # called with how many are newly done


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Progress]:
    """A callback for an API function; it draws on standard error while the block runs."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    # Steps may be minutes apart: the speed is that of the whole time, not of the last seconds.
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, speed_estimate_period=_DAY) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.advance(task, done)
