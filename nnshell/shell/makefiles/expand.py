"""References in a Makefile's text, ``$(NAME)`` and ``$(function ...)``, replaced by their values.

What only running make could tell (``$(shell ...)``, ``$(wildcard ...)``) raises Undecided with the
reason. Makefiles are strangers' texts: nesting, work and lengths are bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nnshell.shell.makefiles.functions import EAGER, LAZY, UNDECIDED, Undecided, arithmetic, words

MAX_DEPTH = 60  # references inside references
MAX_STEPS = 50_000  # references replaced while a Makefile is read, and for each value after
MAX_LENGTH = 1 << 20  # characters of one value
MAX_WORK = 1 << 25  # characters that these replacements read and write
_CLOSING = {"(": ")", "{": "}"}


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable as the Makefile assigns it; ``undecided`` says why its value is not known.

    ``recursive`` text still holds references, which are replaced each time it is used (``=``).
    """

    text: str
    place: str  # FILE:LINE
    recursive: bool = True
    undecided: str = ""


class Expander:
    """Replaces references; ``find`` gives the variable of a name, or None."""

    def __init__(self, find: Callable[[str], Variable | None]) -> None:
        self._find = find
        self._active: list[str] = []  # variables being replaced, outermost first
        self._local: list[dict[str, str]] = []  # of foreach and call
        self._steps = self._work = 0
        self._depth = 0

    def renew(self) -> None:
        """Forget the work that was done: what comes now is another question."""
        self._steps = self._work = 0

    def expand(self, text: str) -> str:
        """The text without references; Undecided when a value in it cannot be known."""
        if "$" not in text:
            return text
        self._depth += 1
        try:
            if self._depth > MAX_DEPTH:
                raise Undecided("references nest too deeply")
            return self._replaced(text)
        finally:
            self._depth -= 1

    def defined(self, name: str) -> bool:
        """Whether a variable has a text, empty or not once replaced: what `ifdef` asks."""
        variable = self._find(name)
        if variable is not None and variable.undecided:
            raise Undecided(variable.undecided)
        return variable is not None and variable.text != ""

    def _replaced(self, text: str) -> str:
        parts: list[str] = []
        position = length = 0
        while (dollar := text.find("$", position)) >= 0:
            value, end = self._reference(text, dollar + 1)
            parts += (text[position:dollar], value)
            length += dollar - position + len(value)
            position = end
            if length > MAX_LENGTH:
                raise Undecided("a value grows too long")
        return "".join((*parts, text[position:]))

    def _reference(self, text: str, start: int) -> tuple[str, int]:
        """The value of the reference after a dollar sign, and where the text goes on."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise Undecided("it holds too many references")
        opening = text[start : start + 1]
        self._spend(1)
        if opening == "$":
            return "$", start + 1
        if opening not in _CLOSING:
            return self._value(opening), start + 1
        end = _closing(text, start)
        value = self._inside(text[start + 1 : end])
        self._spend(end - start + len(value))
        return value, end + 1

    def _spend(self, work: int) -> None:
        self._work += work
        if self._work > MAX_WORK:
            raise Undecided("it takes too much work to read")

    def _inside(self, body: str) -> str:
        """What stands in parentheses: a function with arguments, or a variable's name."""
        name, _, rest = body.lstrip().partition(" ")
        name, _, more = name.partition("\t")
        rest = f"{more} {rest}" if more else rest
        if rest and name in UNDECIDED:
            return self._undecided(name, rest)
        if rest and name in EAGER:
            count, compute = EAGER[name]
            arguments = [self.expand(part) for part in _arguments(rest, count)]
            if name.startswith("filter") and len(arguments) == 2:  # compares all with all
                self._spend(len(words(arguments[0])) * len(words(arguments[1])))
            if len(arguments) < count:
                raise Undecided(f"$({name} ...) lacks arguments")
            return compute(*arguments)
        if rest and name in LAZY:
            return self._lazy(name, rest)
        name, colon, change = self.expand(body).partition(":")
        if colon and "=" in change:
            old, _, new = change.partition("=")
            pattern = (old, new) if "%" in old else (f"%{old}", f"%{new}")
            return EAGER["patsubst"][1](*pattern, self._value(name))
        return self._value(name + colon + change)

    def _undecided(self, name: str, rest: str) -> str:
        if name == "shell":
            number = arithmetic(self.expand(rest))
            if number is not None:
                return number
        raise Undecided(f"$({name} ...) is known to make only")

    def _value(self, name: str) -> str:
        for scope in reversed(self._local):
            if name in scope:
                return scope[name]
        variable = self._find(name)
        if variable is None:
            return ""
        if variable.undecided:
            raise Undecided(variable.undecided)
        if not variable.recursive:
            return variable.text
        if name in self._active:
            raise Undecided(f"{variable.place}: {name} refers to itself")
        self._active.append(name)
        try:
            return self.expand(variable.text)
        finally:
            self._active.pop()

    def _lazy(self, name: str, rest: str) -> str:
        """Functions that replace only some of their arguments, or one of them several times."""
        if name == "if":
            condition, *branches = _arguments(rest, 3)
            chosen = 0 if self.expand(condition.strip()) else 1
            return self.expand(branches[chosen]) if chosen < len(branches) else ""
        if name in ("and", "or"):
            value = ""
            for part in _arguments(rest, None):
                value = self.expand(part.strip())
                if bool(value) is (name == "or"):
                    return value
            return value
        if name == "call":
            function, *argument = (self.expand(part) for part in _arguments(rest, None))
            scope = {str(number): value for number, value in enumerate((function, *argument))}
            return self._with(scope, f"$({function.strip()})")
        variable, values, text = (*_arguments(rest, 3), "", "")[:3]
        name = self.expand(variable).strip()
        listed = words(self.expand(values))
        return " ".join(self._with({name: value}, text) for value in listed)

    def _with(self, scope: dict[str, str], text: str) -> str:
        self._local.append(scope)
        try:
            return self.expand(text)
        finally:
            self._local.pop()


def _closing(text: str, start: int) -> int:
    """Where the parenthesis opened at ``start`` is closed again."""
    opening, closing = text[start], _CLOSING[text[start]]
    level = 0
    for position in range(start, len(text)):
        if text[position] == opening:
            level += 1
        elif text[position] == closing:
            level -= 1
            if not level:
                return position
    raise Undecided("a reference in it is never closed")


def _arguments(text: str, count: int | None) -> list[str]:
    """The parts of a function's text between commas outside references, ``count`` at most."""
    parts: list[str] = []
    level = start = 0
    for position, character in enumerate(text):
        level += (character in _CLOSING) - (character in _CLOSING.values())
        if character == "," and level == 0 and (count is None or len(parts) < count - 1):
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return [parts[0].lstrip(), *parts[1:]]
