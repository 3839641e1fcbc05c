"""Tutorials at the prompt: the shell as the place where a tour happens, and the keys of the tour."""

from __future__ import annotations

import contextlib
import io
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nnshell.settings import Settings
from nnshell.shell.app import Place, Transcript
from nnshell.shell.lines import LineError, scan
from nnshell.tutorials import folder
from nnshell.tutorials.checks import Evidence
from nnshell.tutorials.tour import Kind, Tour
from nnshell.tutorials.walkthrough import Line, Walkthrough

if TYPE_CHECKING:
    from nnshell.shell.app import Shell
    from nnshell.shell.session import Session

_WIDTH = 92  # characters in a line of prose, where the terminal has more
_ENTER = "next"
_KEYS = ("back", "skip", "again", "quit", "exit")


class ShellHost:
    """A shell seen from a tour. ``name`` is the file that messages about its lines name."""

    def __init__(self, shell: Shell, name: str = "") -> None:
        self._shell = shell
        self._name = name

    def say(self, text: str, kind: Kind) -> None:
        if self._shell.stdout.isatty():
            self._draw(text, kind)
        else:
            prompt = self._shell.prompt if kind == "command" else ""
            gap = "\n" if kind == "title" else ""
            self._shell.stdout.write(f"{gap}{prompt}{text}\n")
        self._shell.stdout.flush()

    def _draw(self, text: str, kind: Kind) -> None:
        from rich.markdown import Markdown
        from rich.text import Text

        if kind == "prose":
            width = min(self._shell.main_session.output.get_size().columns, _WIDTH)
            self._shell.poutput(Markdown(text), rich_print_kwargs={"width": width})
            return
        styles = {"title": "bold reverse", "command": "bold cyan", "note": "italic"}
        shown = {"title": f"\n {text} \n", "command": f"    {text}"}.get(kind, text)
        self._shell.poutput(Text(shown, style=styles[kind]))

    def words(self, line: str) -> tuple[str, ...]:
        try:
            return tuple(scan(line, self._shell.session.variables).texts)
        except LineError:
            return (line,)

    def run(self, line: Line, *, quiet: bool = False) -> bool:
        shell = self._shell
        before = shell.failures
        with _silence(shell) if quiet else contextlib.nullcontext(), self._at(line):
            shell.onecmd_plus_hooks(
                line.text,
                add_to_history=not quiet and not line.number,
                raise_keyboard_interrupt=bool(line.number),
            )
        succeeded = shell.failures == before
        shell.failures = before  # what fails in a tutorial is the tutorial's to judge
        return succeeded

    def _at(self, line: Line) -> contextlib.AbstractContextManager[None]:
        """Messages name the line of the walkthrough, but not lines that a person typed."""
        return self._shell.at(Place(self._name, line.number)) if line.number else _nowhere()

    def forget_output(self) -> None:
        self._shell.transcript = Transcript()

    def evidence(self) -> Evidence:
        session = self._shell.session
        heard = self._shell.transcript or Transcript()
        opened = session.opened[session.index] if session.opened else None
        return Evidence(
            graph=opened.graph if opened else None,
            settings=session.settings,
            results="\n".join(heard.results),
            messages="\n".join(heard.messages),
            failures=tuple(heard.failures),
            unsaved=opened.unsaved if opened else False,
        )

    def remember(self) -> Callable[[], None]:
        return self._shell.session.remember()
