"""`ifeq`, `ifdef`, `else`, `endif` of a Makefile: which lines count.

A condition is met, not met, or undecided when it needs what only running make could tell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nnshell.shell.makefiles.expand import Expander
from nnshell.shell.makefiles.functions import Undecided

_MAX_LEVELS = 1000
_WORD = re.compile(r"(?P<word>ifeq|ifneq|ifdef|ifndef|else|endif)\b\s*(?P<rest>.*)", re.DOTALL)


@dataclass(slots=True)
class _Level:
    """One condition: whether its present branch counts, and whether an earlier one did."""

    active: bool | None
    before: bool | None = False


class Conditions:
    """The conditions around a line of one file."""

    def __init__(self, expander: Expander) -> None:
        self._expander = expander
        self._levels: list[_Level] = []
        self.reason = ""  # why the innermost undecided condition is

    @property
    def active(self) -> bool | None:
        """Whether lines count now; None when that cannot be known."""
        states = [level.active for level in self._levels]
        if False in states:
            return False
        return None if None in states else True

    def take(self, line: str, place: str) -> bool:
        """Whether the line is one of these words; it is acted on then."""
        match = _WORD.match(line)
        if match is None:
            return False
        word, rest = match["word"], match["rest"]
        if word == "endif":
            del self._levels[-1:]
        elif word != "else":
            if len(self._levels) < _MAX_LEVELS:
                live = self.active is not False  # what is passed over is not looked at
                self._levels.append(_Level(self._met(word, rest, place) if live else False))
        elif self._levels:
            self._otherwise(self._levels[-1], rest.strip(), place)
        return True

    def _otherwise(self, level: _Level, rest: str, place: str) -> None:
        """The branch after `else`, which may have a condition of its own."""
        level.before = _either(level.before, level.active)
        level.active = False
        if level.before is True or any(outer.active is False for outer in self._levels[:-1]):
            return
        match = _WORD.match(rest)
        met = self._met(match["word"], match["rest"], place) if match else True
        level.active = None if met and level.before is None else met

    def _met(self, word: str, rest: str, place: str) -> bool | None:
        try:
            if word in ("ifdef", "ifndef"):
                name = self._expander.expand(rest).strip()
                return self._expander.defined(name) is (word == "ifdef")
            sides = _sides(rest)
            if sides is None:
                return False
            left, right = (self._expander.expand(side) for side in sides)
            return (left == right) is (word == "ifeq")
        except Undecided as undecided:
            self.reason = f"{place}: {word} is undecided: {undecided}"
            return None


def _either(first: bool | None, second: bool | None) -> bool | None:
    if first is True or second is True:
        return True
    return None if first is None or second is None else False


def _sides(text: str) -> tuple[str, str] | None:
    """The two sides of ``(a,b)``, ``'a' 'b'`` or ``"a" "b"``."""
    text = text.strip()
    if text.startswith("(") and text.endswith(")"):
        level = 0
        for position, character in enumerate(text):
            level += (character == "(") - (character == ")")
            if character == "," and level == 1:
                return text[1:position].rstrip(), text[position + 1 : -1].lstrip()
        return None
    match = re.fullmatch(r"""(?P<a>'[^']*'|"[^"]*")\s*(?P<b>'[^']*'|"[^"]*")""", text)
    return (match["a"][1:-1], match["b"][1:-1]) if match else None
