"""Progress of long work: a bar on a terminal that goes away, nothing in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_DAY = 24 * 3600.0  # seconds

Progress = Callable[[int], None]  # called with how many are newly done


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Progress]:
    """A callback for an API function; it draws on standard error while the block runs."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    # Steps may be minutes apart: the speed is that of the whole time, not of the last seconds.
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, speed_estimate_period=_DAY) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.advance(task, done)


@contextmanager
def described(description: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """As ``progress``, for work that says how it goes: how many are newly done, and what to say."""
    if not sys.stderr.isatty():
        yield lambda done, text: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn())
    bar = Bar(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(description, total=total, visible=False)
    try:
        yield lambda done, text: _shown(bar, task, done, text)
    finally:
        bar.stop()


def _shown(bar: Any, task: Any, done: int, text: str) -> None:
    """Draws the bar from the first step on: only one may be on the terminal at a time."""
    if not bar.live.is_started:
        bar.start()
    bar.update(task, advance=done, description=text, visible=True)
