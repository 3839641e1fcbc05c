"""`--check`: every line of a script against commands and options, without running it."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from cmd2 import Statement
from cmd2.exceptions import Cmd2ArgparseError, EmptyStatement

from nnshell.shell.app import Shell, read_script
from nnshell.shell.transcript import Place
from nnshell.support.errors import NNShellError

# Later lines depend on what these do, and they touch nothing outside the session.
_RUN = frozenset({"set", "set_var", "alias", "macro"})


class Checker:
    """Reads scripts in order and reports every line that could not run; counts in ``failures``."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._scripts: list[Path] = []
        shell.stdout = io.StringIO()

    @property
    def failures(self) -> int:
        return self._shell.failures

    def script(self, path: str) -> None:
        """Check a script file and the scripts it runs."""
        try:
            lines = read_script(path)
        except NNShellError as error:
            self._shell.fail(str(error))
            return
        self._scripts.append(Path(path).resolve())
        self.lines(lines, path)
        self._scripts.pop()

    def lines(self, lines: Iterable[str], name: str, *, first: int = 1) -> None:
        for number, line in enumerate(lines, start=first):
            with self._shell.at(Place(name, number)):
                self._line(line, name)

    def _line(self, line: str, name: str) -> None:
        try:
            statement = self._shell.statement(line)
            if statement.command:
                self._statement(statement, name)
        except (Cmd2ArgparseError, EmptyStatement):
            return  # a question for help, or a blank line
        except Exception as error:
            self._shell.pexcept(error)

    def _statement(self, statement: Statement, name: str) -> None:
        if statement.command in _RUN:
            self._shell.onecmd(statement, add_to_history=False)
            return
        arguments = self._shell.parsed_arguments(statement)
        if statement.command == "run_script" and arguments is not None:
            self._nested(arguments.script, name)

    def _nested(self, path: str, name: str) -> None:
        shown = path if not self._scripts else str(Path(name).parent / Path(path).expanduser())
        if Path(shown).resolve() in self._scripts:
            raise NNShellError("a script cannot run itself", where=path)
        self.script(shown)
