"""cmd2's view of a line, made by this package's own scanner."""

from __future__ import annotations

import re
import shlex

from cmd2 import Statement
from cmd2.exceptions import Cmd2ShlexError
from cmd2.parsing import StatementParser

from nnshell.shell.legacy import modernize
from nnshell.shell.lines import LineError, Word, scan, strip_comment
from nnshell.shell.session import Session

SHORTCUTS = {"?": "help", "!": "shell", "@": "run_script", "@@": "run_script"}
FOR_ANOTHER_PROGRAM = "shell"  # the command whose arguments another program reads

_PASTED_PROMPT = re.compile(r"^\(NNT[^)]*\)\s*")  # of a line that was copied from a session


class BadLine(LineError, Cmd2ShlexError):
    """A line that cannot be read, in a form that the prompt also knows."""


class LineParser(StatementParser):
    """Splits lines by the rules of ``lines.scan``; ``args`` of a statement is words quoted anew."""

    def __init__(self, session: Session) -> None:
        super().__init__(terminators=(), shortcuts=SHORTCUTS)
        self._session = session

    def parse(self, line: str) -> Statement:
        try:
            return self._parse(line)
        except LineError as error:
            raise BadLine(error.message, where=error.where, hint=error.hint) from None

    def _parse(self, line: str) -> Statement:
        variables = self._session.variables
        expanded = self._expand(_PASTED_PROMPT.sub("", line.strip()))
        command, _, rest = expanded.partition(" ")
        if command == FOR_ANOTHER_PROGRAM:
            return Statement(strip_comment(rest, variables), raw=line, command=command)
        scanned = scan(expanded, variables)
        words, _ = modernize(scanned.words)
        if not words:
            return Statement("", raw=line)
        return Statement(
            " ".join(_typed(word) for word in words[1:]),
            raw=line,
            command=words[0].text,
            suffix=f"{scanned.redirector} {scanned.target}" if scanned.redirector else "",
        )

    def words(self, args: str) -> tuple[Word, ...]:
        """The words of a statement's arguments."""
        return scan(args, self._session.variables).words

    def warnings(self, line: str) -> list[str]:
        """What is spelled in an old way on a line that can be read."""
        expanded = self._expand(_PASTED_PROMPT.sub("", line.strip()))
        if expanded.partition(" ")[0] == FOR_ANOTHER_PROGRAM:
            return []
        return modernize(scan(expanded, self._session.variables).words)[1]

    def get_command_arg_list(
        self, command_name: str, to_parse: Statement | str, preserve_quotes: bool
    ) -> tuple[Statement, list[str]]:
        if not isinstance(to_parse, Statement):
            to_parse = self.parse(f"{command_name} {to_parse}")
        if command_name == FOR_ANOTHER_PROGRAM:
            return to_parse, [to_parse.args] if to_parse.args else []
        words = self.words(to_parse.args)
        return to_parse, [word.raw if preserve_quotes else word.text for word in words]


def destination_of(statement: Statement) -> tuple[str, str]:
    """What follows the command, `>`, `>>`, `|` or nothing, and the file or program there.

    It travels as the suffix: the shell writes the file or starts the program after the command,
    all results at once, while cmd2 would open it before.
    """
    sign, _, target = statement.suffix.partition(" ")
    return sign, target


def _typed(word: Word) -> str:
    """A word so that scanning it again gives the same value, whatever the variables are then."""
    return word.raw if word.plain else shlex.quote(word.text)
