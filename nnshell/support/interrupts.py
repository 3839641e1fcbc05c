"""Signals that wait: blocks that neither Ctrl-C nor the end of the process cuts in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_WAITING = (signal.SIGINT, *ENDING_SIGNALS)


class Terminated(SystemExit):
    """SIGTERM or SIGHUP: the process ends, with status 128 + n, after everything is put away."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


@contextmanager
def interrupts_waiting() -> Iterator[None]:
    """A block that SIGINT, SIGTERM and SIGHUP do not cut in two: they take effect after it.

    A signal that the process ignores stays ignored. Only the main thread gets signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[tuple[int, FrameType | None]] = []
    before = {number: signal.getsignal(number) for number in _WAITING}
    waiting = [n for n, handler in before.items() if handler not in (None, signal.SIG_IGN)]
    for number in waiting:
        signal.signal(number, lambda *arguments: arrived.append(arguments))
    try:
        yield
    finally:
        for number in waiting:
            signal.signal(number, before[number])
        for number, frame in arrived[:1]:
            _act(before[number], number, frame)


def _act(
    handler: Callable[[int, FrameType | None], object] | int | None,
    number: int,
    frame: FrameType | None,
) -> None:
    if callable(handler):
        handler(number, frame)
    else:  # the system's own action: the process ends
        signal.raise_signal(number)
