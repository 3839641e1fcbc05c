"""GNU make's functions on text, as its manual describes them."""

from __future__ import annotations

import ast
import operator
import os
from collections.abc import Callable
from typing import Any

_MAX_OPERANDS = 64
_MAX_DIGITS = 18


class Undecided(Exception):
    """A value that cannot be known without running make; says why."""


def words(text: str) -> list[str]:
    return text.split()


def _matched(pattern: str, word: str) -> str | None:
    """What % of the pattern stands for in the word ("" for a pattern without), None: no match."""
    if "%" not in pattern:
        return "" if word == pattern else None
    head, _, tail = pattern.partition("%")
    fits = len(word) >= len(head) + len(tail) and word.startswith(head) and word.endswith(tail)
    return word[len(head) : len(word) - len(tail)] if fits else None


def _pattern_replaced(pattern: str, replacement: str, text: str) -> str:
    def one(word: str) -> str:
        stem = _matched(pattern, word)
        return word if stem is None else replacement.replace("%", stem, 1)

    return " ".join(one(word) for word in words(text))


def _filtered(patterns: str, text: str, *, keep: bool) -> str:
    expected = words(patterns)
    return " ".join(
        word
        for word in words(text)
        if any(_matched(pattern, word) is not None for pattern in expected) is keep
    )


def _number(text: str) -> int:
    if not text.strip().isdecimal() or len(text.strip()) > _MAX_DIGITS:
        raise Undecided(f"'{text.strip()[:40]}' is not a number of words")
    return int(text)


def _each(change: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: " ".join(filter(None, (change(word) for word in words(text))))


def _directory(word: str) -> str:
    return word[: word.rfind("/") + 1] or "./"


def _suffix(word: str) -> str:
    return os.path.splitext(word)[1]


def _without_suffix(word: str) -> str:
    return os.path.splitext(word)[0]


def _real(word: str) -> str:
    return os.path.realpath(word) if os.path.exists(word) else ""


def _substituted(old: str, new: str, text: str) -> str:
    if not old:
        return text + new
    if len(text) + text.count(old) * len(new) > 1 << 20:
        raise Undecided("a value grows too long")
    return text.replace(old, new)


def _joined(left: str, right: str) -> str:
    first, second = words(left), words(right)
    count = max(len(first), len(second))
    first += [""] * (count - len(first))
    second += [""] * (count - len(second))
    return " ".join(a + b for a, b in zip(first, second, strict=True))


# Name: the number of its arguments, and what it makes of them.
EAGER: dict[str, tuple[int, Callable[..., str]]] = {
    "subst": (3, _substituted),
    "patsubst": (3, _pattern_replaced),
    "strip": (1, lambda text: " ".join(words(text))),
    "findstring": (2, lambda part, text: part if part in text else ""),
    "filter": (2, lambda patterns, text: _filtered(patterns, text, keep=True)),
    "filter-out": (2, lambda patterns, text: _filtered(patterns, text, keep=False)),
    "sort": (1, lambda text: " ".join(sorted(set(words(text))))),
    "word": (2, lambda n, text: "".join(words(text)[_number(n) - 1 : _number(n)])),
    "wordlist": (3, lambda a, b, text: " ".join(words(text)[max(_number(a) - 1, 0) : _number(b)])),
    "words": (1, lambda text: str(len(words(text)))),
    "firstword": (1, lambda text: "".join(words(text)[:1])),
    "lastword": (1, lambda text: "".join(words(text)[-1:])),
    "dir": (1, _each(_directory)),
    "notdir": (1, _each(lambda word: word[word.rfind("/") + 1 :])),
    "suffix": (1, _each(_suffix)),
    "basename": (1, _each(_without_suffix)),
    "addsuffix": (2, lambda end, text: " ".join(f"{word}{end}" for word in words(text))),
    "addprefix": (2, lambda start, text: " ".join(f"{start}{word}" for word in words(text))),
    "join": (2, _joined),
    "abspath": (1, _each(os.path.abspath)),
    "realpath": (1, _each(_real)),
    "info": (1, lambda text: ""),
    "warning": (1, lambda text: ""),
    "error": (1, lambda text: ""),  # the Makefile would stop; its variables are what is asked for
}
LAZY = frozenset({"if", "or", "and", "foreach", "call"})
UNDECIDED = frozenset(
    {"shell", "wildcard", "eval", "file", "guile", "value", "origin", "flavor", "load", "let"}
    | {"intcmp"}
)


def arithmetic(command: str) -> str | None:
    """The answer of the program ``expr`` to whole numbers with + - * / %; None for all else.

    Makefiles of the SDK add up stack sizes with ``$(shell expr A \\+ B \\* 7)``.
    """
    program, *operands = command.replace("\\", "").replace("'", "").replace('"', "").split()[:1000]
    numbers = [word for word in operands if word not in ("+", "-", "*", "/", "%", "(", ")")]
    plain = all(w.lstrip("-").isdecimal() and len(w) <= _MAX_DIGITS for w in numbers)
    if program != "expr" or not operands or not plain or len(operands) > _MAX_OPERANDS:
        return None
    try:
        text = " ".join(str(int(w)) if w in numbers else w for w in operands)
        return str(_computed(ast.parse(text, mode="eval").body))
    except (SyntaxError, ZeroDivisionError):
        return None


_OPERATIONS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1),  # toward zero
    ast.Mod: lambda a, b: abs(a) % abs(b) * (-1 if a < 0 else 1),
}


def _computed(node: Any) -> int:
    match node:
        case ast.Constant(value=int(value)):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_computed(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return _OPERATIONS[type(op)](_computed(left), _computed(right))
    raise SyntaxError("not arithmetic")
