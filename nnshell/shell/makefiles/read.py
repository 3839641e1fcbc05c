"""A Makefile's variables: assignments, includes and conditions, read in order.

Rules, recipes and functions with effects are passed over. Where a condition cannot be decided
without running make, the variables assigned under it are undecided, with the reason.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from nnshell.shell.makefiles.conditions import Conditions
from nnshell.shell.makefiles.expand import MAX_LENGTH, Expander, Variable
from nnshell.shell.makefiles.functions import Undecided
from nnshell.support.files import read_bounded

_MAX_FILE_BYTES = 1 << 20
_MAX_FILES = 100  # a Makefile and all it includes
_MAX_NESTING = 20  # includes inside includes
_MAX_LINES = 100_000  # in all files together
_MAX_LINE = 1 << 16  # characters; those of an SDK have hundreds
_ASSIGNMENT = re.compile(
    r"(?P<words>(?:(?:export|override|private)\s+)*)"
    r"(?P<name>(?:[^\s:#=$+?!]|\$\([^()\s]*\)|[+?!](?!=))+)\s*(?P<sign>:::?=|:=|\?=|\+=|!=|=)\s*"
    r"(?P<value>.*)",
    re.DOTALL,
)
_INCLUDE = re.compile(r"[-s]?include\s+(?P<files>.+)", re.DOTALL)
_DEFINE = re.compile(r"(?:override\s+)?define\s+(?P<name>\S+)\s*(?P<sign>:::?=|:=|\?=|\+=|=)?\s*")


@dataclass(slots=True)
class Makefile:
    """What reading a Makefile gave: its variables, and the files that were and were not read."""

    variables: dict[str, Variable]
    expander: Expander
    files: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def value(self, name: str) -> str:
        """The value of a variable; KeyError for none, Undecided when only make could tell."""
        if name not in self.variables:
            raise KeyError(name)
        self.expander.renew()
        return self.expander.expand(f"$({name})").strip()


def read_makefile(
    path: str, given: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None
) -> Makefile:
    """Read a Makefile; OSError when it cannot be.

    ``given`` are variables of make's command line: an assignment in the Makefile does not change
    them. Those of ``environment`` are there until one does.
    """
    reader = _Reader(dict(given or {}), environment or {})
    reader.file(path, 0)
    return reader.makefile


class _Reader:
    def __init__(self, given: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self._given = {name: Variable(text, "-D", recursive=False) for name, text in given.items()}
        self._environment = {**environment, "CURDIR": os.getcwd()}
        self.makefile = Makefile({}, Expander(self._find))
        self._lines = 0

    def _find(self, name: str) -> Variable | None:
        variable = self._given.get(name) or self.makefile.variables.get(name)
        if variable is None and name in self._environment:
            return Variable(self._environment[name], "environment", recursive=False)
        return variable

    def file(self, path: str, nesting: int) -> None:
        """Read one file; those it includes with it."""
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe could keep us waiting
            raise OSError(0, "it is not a file", path)
        text = read_bounded(path, _MAX_FILE_BYTES).decode("utf-8", errors="replace")
        self.makefile.files.append(path)
        conditions, rule = Conditions(self.makefile.expander), False
        lines = _logical_lines(text.replace("\r\n", "\n"))
        for number, line in lines:
            self._lines += 1
            if self._lines > _MAX_LINES or len(line) > _MAX_LINE:
                raise OSError(0, "it has too many or too long lines", path)
            if rule and line.startswith("\t"):
                continue  # a recipe
            place, line = f"{path}:{number}", _without_comment(line).lstrip()
            if conditions.take(line, place) or not line:
                continue
            defined = _DEFINE.match(line)
            if defined:
                self._define(defined, lines, conditions, place)
            elif conditions.active is not False:
                rule = not self._statement(line, conditions, place, nesting) and ":" in line

    def _statement(self, line: str, conditions: Conditions, place: str, nesting: int) -> bool:
        """Take one line; False when it is no assignment and no include."""
        included = _INCLUDE.fullmatch(line)
        if included:
            self._include(included["files"], conditions, place, nesting)
            return True
        assignment = _ASSIGNMENT.fullmatch(line)
        if assignment is None:
            return False
        try:
            name = self.makefile.expander.expand(assignment["name"]).strip()
        except Undecided:
            return True
        override = "override" in assignment["words"]
        if name and (override or name not in self._given):
            if override:
                self._given.pop(name, None)
            self._assign(name, assignment["sign"], assignment["value"], conditions, place)
        return True

    def _assign(self, name: str, sign: str, text: str, conditions: Conditions, place: str) -> None:
        variables, before = self.makefile.variables, self._find(name)
        if sign == "?=" and before is not None:
            return
        if conditions.active is None:
            variables[name] = Variable("", place, undecided=conditions.reason)
        elif sign == "!=":
            variables[name] = Variable("", place, undecided=f"{place}: != runs a program")
        elif sign == "+=" and before is not None:
            variables[name] = self._appended(before, text, place)
        elif sign in ("=", "?=", "+="):
            variables[name] = Variable(text, place)
        else:
            variables[name] = self._simple(text, place)

    def _appended(self, before: Variable, text: str, place: str) -> Variable:
        if before.undecided:
            return before
        more = Variable(text, place) if before.recursive else self._simple(text, place)
        if more.undecided or len(before.text) + len(text) > MAX_LENGTH:
            return Variable("", place, undecided=more.undecided or f"{place}: it grows too long")
        joined = f"{before.text} {more.text}" if before.text else more.text
        return Variable(joined, place, before.recursive)

    def _simple(self, text: str, place: str) -> Variable:
        try:
            return Variable(self.makefile.expander.expand(text), place, recursive=False)
        except Undecided as undecided:
            return Variable("", place, undecided=_placed(str(undecided), place))

    def _define(
        self,
        match: re.Match[str],
        lines: Iterator[tuple[int, str]],
        conditions: Conditions,
        place: str,
    ) -> None:
        """A variable of several lines, up to its `endef`."""
        body: list[str] = []
        for _, line in lines:
            self._lines += 1
            if line.strip().split(" ")[0] == "endef":
                break
            body.append(line)
        if conditions.active is not False and match["name"] not in self._given:
            self._assign(match["name"], match["sign"] or "=", "\n".join(body), conditions, place)

    def _include(self, names: str, conditions: Conditions, place: str, nesting: int) -> None:
        try:
            paths = self.makefile.expander.expand(names).split()
        except Undecided:
            paths = [names]
        full = nesting >= _MAX_NESTING or len(self.makefile.files) >= _MAX_FILES
        for path in paths[:_MAX_FILES]:
            if full or conditions.active is None:
                self.makefile.unread.append(path)
                continue
            try:
                self.file(path, nesting + 1)
            except (OSError, ValueError):  # rules of an SDK that is not there, as a rule
                self.makefile.unread.append(path)


def _placed(reason: str, place: str) -> str:
    return reason if reason.startswith(("/", ".")) or ":" in reason else f"{place}: {reason}"


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; one that ends with a backslash goes on in the next."""
    lines = iter(enumerate(text.split("\n"), start=1))
    for number, line in lines:
        parts: list[str] = []
        while line.endswith("\\") and not line.endswith("\\\\"):
            parts.append(line[:-1].rstrip() if parts else line[:-1].rstrip(" "))
            _, line = next(lines, (0, ""))
            line = line.lstrip()
        yield number, " ".join((*parts, line)) if parts else line


def _without_comment(line: str) -> str:
    """The line up to a # that is neither escaped nor inside a reference."""
    level = 0
    for position, character in enumerate(line):
        level = max(0, level + (character in "({") - (character in ")}"))
        if character == "#" and level == 0 and line[position - 1 : position] != "\\":
            return line[:position]
    return line.replace("\\#", "#")
