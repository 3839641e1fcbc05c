"""What is shown: commands over models and files whose names act on a terminal."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from random import Random
from typing import Any

from fuzzing.cases import ACCEPTED, REFUSED, Violation
from fuzzing.models import FIXED
from fuzzing.vocabulary import command_line
from nnshell.shell.app import Shell
from nnshell.shell.commands import command_sets
from nnshell.shell.session import Session

_MARKS = ("\x1b]0;x\x07", "\x1b[2J", "\x9b31m", "\r", "\x08", "\u202e", "\u2028", "\x7f", "\x85")
_STYLE = re.compile(r"\x1b\[(?:[0-9;]*m|\?[0-9;]*[hl])")
_RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e]")
_LINES = (
    *("show --origin", "adjust", "fusions --scale8", "simulate", "qshow", "fquant", "passes"),
    *("show", "weights", "history", "graph", "stats", "fusions --explain *", "temps", "doctor"),
)


def shown_case(random: Random, folder: Path) -> str:
    """A few commands, at a terminal or in a pipe."""
    model = FIXED[random.choice(sorted(FIXED))](random).model()
    _spoil(random, model)
    name = f"m{random.choice(_MARKS)}.onnx"
    (folder / name).write_bytes(model.SerializeToString())
    stream = _Stream(random.random() < 0.5)
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        shell = Shell(Session(), command_sets(), stdin=stream, stdout=stream)
        lines = [f"open '{name}'", *random.choices(_LINES, k=4)]
        if random.random() < 0.5:
            lines.append(command_line(random))
        for line in lines:
            shell.onecmd_plus_hooks(line, add_to_history=False)
    for text in (stream.getvalue(), errors.getvalue(), shell.prompt):
        if found := _RAW.search(_STYLE.sub("", text)):
            at = text[max(0, found.start() - 60) :][:120]
            raise Violation(f"raw {found[0]!r} is shown: {at!r}")
    return REFUSED if shell.failures else ACCEPTED


class _Stream(io.StringIO):
    def __init__(self, at_terminal: bool) -> None:
        super().__init__()
        self._at_terminal = at_terminal

    def isatty(self) -> bool:
        return self._at_terminal


def _spoil(random: Random, model: Any) -> None:
    renamed: dict[str, str] = {}
    graph = model.graph
    for node in graph.node:
        node.name += random.choice(_MARKS)
        for index, output in enumerate(node.output):
            if output and random.random() < 0.5:
                renamed[output] = f"{output}{random.choice(_MARKS)}"
                node.output[index] = renamed[output]
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
    for output in graph.output:
        output.name = renamed.get(output.name, output.name)
