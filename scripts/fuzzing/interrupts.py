"""Ctrl-C at any moment: what it stops leaves graphs, settings and files as they were, or done."""

from __future__ import annotations

import io
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType

from fuzzing.cases import ACCEPTED, REFUSED, Violation, fingerprint, snapshot
from fuzzing.scripts import prepare
from nnshell.shell.app import Shell
from nnshell.shell.commands import command_sets
from nnshell.shell.session import Session

_START = ("open model.onnx", "adjust", "fusions --scale8", "aquant img/* -M RGB -D 255")
_LINES = (
    *("open other.onnx", "adjust", "fusions --scale8", "aquant img/* -M RGB", "fquant", "undo"),
    *("qtune --step * quantized_dimension=tensor", "imageformat input_1 rgb888 offset_int8"),
    *("save_state", "save_state new/state.json", "open model.json", "save_stats stats.json"),
    *("gen model.c -M out -T out/tensors -t -H model.h", "simulate --json sim.json --trace t.json"),
    *("simulate x.npz", "validate x.npz --json v.json", "qerror x.npz -c errors.csv", "qshow"),
    *("dump x.npz -q --npz tensors.npz", "draw -f net.dot", "set l1_size 1000", "extract _Conv_0"),
)
_LONGEST_S = 0.25


def interrupt_case(random: Random, folder: Path) -> str:
    """A command, interrupted; then the same again, whole."""
    prepare(random, folder)
    shell = Shell(Session(), command_sets(), stdin=io.StringIO(), stdout=io.StringIO())
    for line in _START[: random.choice((1, 3, 4, 4, 4))]:
        shell.onecmd_plus_hooks(line, add_to_history=False)
    line = random.choice(_LINES)
    before, files, failures = _session(shell), snapshot(folder), shell.failures
    try:
        with _interrupted_after(random.uniform(0.0001, _LONGEST_S)):
            shell.onecmd_plus_hooks(line, add_to_history=False, raise_keyboard_interrupt=True)
    except KeyboardInterrupt:
        if _session(shell) != before:
            raise Violation(f"'{line}' was interrupted and changed the session") from None
        _check_files(shell, line, folder, files)
        return REFUSED
    return ACCEPTED if shell.failures == failures else REFUSED


@contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    """Ctrl-C after so much time of this process's work."""
    signal.signal(signal.SIGVTALRM, _on_alarm)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _on_alarm(_number: int, _frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)


def _session(shell: Shell) -> list[object]:
    session = shell.session
    graphs = [fingerprint(opened.project) for opened in session.opened]
    return [graphs, session.settings.copy(), session.index, sorted(session.tensors)]


def _check_files(shell: Shell, line: str, folder: Path, before: dict[str, str]) -> None:
    """Nothing was written, or all of it: what the same command writes when nobody stops it."""
    after = snapshot(folder)
    if after == before:
        return
    shell.onecmd_plus_hooks(line, add_to_history=False)
    if snapshot(folder).keys() != after.keys():
        raise Violation(f"'{line}' was interrupted and wrote a part: {sorted(after)}")
