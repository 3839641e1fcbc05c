"""One line of input to words: comments, quotes, variables, redirection.

The only reader of command lines: the prompt, ``-s``, ``-e``, standard input, ``run_script`` and
tutorials all come through ``scan``. The rules are a POSIX shell's:

    'single quotes'    nothing inside is special
    "double quotes"    $(NAME) is replaced, \\ keeps ", \\ and $ as they are
    \\x                 outside quotes: x itself
    $(NAME)            the variable's value; outside quotes split at blanks, never read as syntax
    # ...              a comment, at the beginning of the line or after a blank
    ~, ~/x             the home directory, at the beginning of a word
    > f, >> f, | p     at the end: write to f, append to f, send to the program p

``{NAME}`` and ``$NAME`` are text. ``;`` does not separate commands: a word that ends with it is
an error unless quoted.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nnshell.support.errors import UsageError
from nnshell.support.text import short

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_KEPT_IN_DOUBLE_QUOTES = '"\\$`'


class LineError(UsageError):
    """A line that cannot be read: an open quote, an undefined variable, a missing file name."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word's value and how it was typed."""

    text: str
    raw: str

    @property
    def plain(self) -> bool:
        """True when nothing in it was quoted or came from a variable."""
        return self.text == self.raw


@dataclass(frozen=True, slots=True)
class Line:
    """The words of a line, and where its output goes: ``redirector`` is "", ">", ">>" or "|"."""

    words: tuple[Word, ...] = ()
    redirector: str = ""
    target: str = ""

    @property
    def texts(self) -> list[str]:
        return [word.text for word in self.words]


def scan(text: str, variables: Mapping[str, str]) -> Line:
    """The words of one line; LineError says what is wrong with it and where."""
    return _Scanner(text.rstrip("\r\n"), variables).line()


def strip_comment(text: str, variables: Mapping[str, str]) -> str:
    """The line for another program's eyes: variables replaced, the comment gone, quotes kept."""
    return _Scanner(text.rstrip("\r\n"), variables).rest()


class _Scanner:
    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        if "\0" in text:
            raise LineError("a line with a NUL character", hint="is the script a text file?")
        self.text = text
        self.variables = variables
        self.position = 0
        self.words: list[Word] = []
        self.parts: list[str] = []  # of the word being read
        self.start: int | None = None  # where it began; None between words
        self.special: dict[str, Callable[[], None]] = {
            "'": self._single_quotes,
            '"': self._double_quotes,
            "\\": self._backslash,
            "~": self._tilde,
        }

    def line(self) -> Line:
        while self.position < len(self.text):
            character = self.text[self.position]
            if character.isspace():
                self._end_word()
                self.position += 1
            elif character == "#" and self.start is None:
                break
            elif character in ">|":
                return self._redirected(character)
            else:
                self._character(character)
        self._end_word()
        return Line(tuple(self.words))

    def _character(self, character: str) -> None:
        if self.start is None:
            self.start = self.position
        if self.text.startswith("$(", self.position):
            self._split_variable()
        elif character in self.special:
            self.special[character]()
        else:
            self._take(character)

    def _take(self, text: str) -> None:
        self.parts.append(text)
        self.position += len(text)

    def _end_word(self) -> None:
        if self.start is None:
            return
        raw = self.text[self.start : self.position]
        if raw.endswith(";") and not raw.endswith("\\;"):
            raise LineError("';' does not end a command", hint="write one command on a line")
        if self.parts:
            self.words.append(Word("".join(self.parts), raw))
        self.parts, self.start = [], None

    def _single_quotes(self) -> None:
        end = self.text.find("'", self.position + 1)
        if end < 0:
            raise self._unclosed("'")
        self.parts.append(self.text[self.position + 1 : end])
        self.position = end + 1

    def _double_quotes(self) -> None:
        opened = self.position
        self.position += 1
        self.parts.append("")  # an empty pair of quotes is an empty word
        while self.position < len(self.text):
            character = self.text[self.position]
            following = self.text[self.position + 1 : self.position + 2]
            if character == '"':
                self.position += 1
                return
            if character == "\\" and following and following in _KEPT_IN_DOUBLE_QUOTES:
                self.parts.append(following)
                self.position += 2
            elif character == "$" and following == "(":
                self.parts.append(self._variable())
            else:
                self._take(character)
        self.position = opened
        raise self._unclosed('"')

    def _backslash(self) -> None:
        if self.position + 1 == len(self.text):
            raise LineError("a line ends with '\\'", hint="a command is one line")
        self.parts.append(self.text[self.position + 1])
        self.position += 2

    def _tilde(self) -> None:
        following = self.text[self.position + 1 : self.position + 2]
        home = not self.parts and (not following or following == "/" or following.isspace())
        self.parts.append(os.path.expanduser("~") if home else "~")
        self.position += 1

    def _split_variable(self) -> None:
        """A variable outside quotes: every blank in its value ends a word."""
        raw_start = self.position
        value = self._variable()
        raw = self.text[raw_start : self.position]
        pieces = value.split()
        if value[:1].isspace() and self.parts:
            self._close(raw)
        for piece in pieces[:-1]:
            self.parts.append(piece)
            self._close(raw)
        self.parts.extend(pieces[-1:])
        if value[-1:].isspace() and pieces:
            self._close(raw)
        if self.start is None:
            self.start = raw_start

    def _close(self, raw: str) -> None:
        self.words.append(Word("".join(self.parts), raw))
        self.parts = []

    def _variable(self) -> str:
        """The value of the $(NAME) at the position, which moves after it."""
        end = self.text.find(")", self.position)
        if end < 0:
            raise self._unclosed("$(")
        name = self.text[self.position + 2 : end]
        if not _NAME.fullmatch(name):
            hint = "$(NAME) is a variable; single quotes keep the text as it is"
            raise LineError(f"'{short(name)}' is not the name of a variable", hint=hint)
        if name not in self.variables:
            raise LineError(
                f"variable {short(name)} is not defined", hint=_how_to_define(name, self)
            )
        self.position = end + 1
        return self.variables[name]

    def _redirected(self, character: str) -> Line:
        self._end_word()
        if not self.words:
            raise LineError(f"nothing to the left of '{character}'", hint="put a command there")
        if character == "|":
            self.position += 1
            return Line(tuple(self.words), "|", self._program())
        redirector = ">>" if self.text.startswith(">>", self.position) else ">"
        rest = _Scanner(self.text[self.position + len(redirector) :], self.variables).line()
        if len(rest.words) != 1 or rest.redirector or not rest.words[0].text:
            raise LineError(
                f"'{redirector}' takes one file name and ends the line",
                hint='put "quotes" around a file name with blanks',
            )
        return Line(tuple(self.words), redirector, rest.words[0].text)

    def _program(self) -> str:
        program = self.rest()
        if not program:
            raise LineError("nothing to the right of '|'", hint="put a program there")
        return program

    def rest(self) -> str:
        """The text from the position on, with quotes as typed, without its comment."""
        kept: list[str] = []
        while self.position < len(self.text):
            character = self.text[self.position]
            if character == "#" and (not kept or kept[-1][-1:].isspace()):
                break
            if character in "'\"\\":
                start = self.position
                self.special[character]()
                kept.append(self._expanded(self.text[start : self.position]))
            elif self.text.startswith("$(", self.position):
                kept.append(self._variable())
            else:
                kept.append(character)
                self.position += 1
        return "".join(kept).strip()

    def _expanded(self, quoted: str) -> str:
        if not quoted.startswith('"'):
            return quoted
        pattern = r"\\.|\$\(([^)]*)\)"  # an escaped character, or a variable
        return re.sub(pattern, lambda m: self.variables[m[1]] if m[1] else m[0], quoted)

    def _unclosed(self, opening: str) -> LineError:
        column = self.position + 1
        return LineError(
            f"{opening} at column {column} is never closed", hint="close it, or quote it"
        )


def _how_to_define(name: str, scanner: _Scanner) -> str:
    near = difflib.get_close_matches(name, list(scanner.variables), n=1, cutoff=0.75)
    suggestion = f"did you mean $({near[0]})? " if near else ""
    name = short(name)
    return f"{suggestion}define it with `set_var {name} VALUE`, -D {name}=VALUE or the environment"
