"""Questions in walkthroughs: what is asked, which answer is right, and how an answer is read.

A block ```` ```ask ```` begins with the question. Then lines that begin with a word:

    number QUANTITY     the answer is a number: a written one, or one that the session has
    within 2            how far off it may be; also in percent: within 5 % (1 % if left out)
    choice TEXT         an answer to choose from; of several
    right TEXT          the one that is right
    free                anything is an answer; it is kept for the page to hand in
    hint TEXT           shown at the first Enter or wrong answer

QUANTITY is a number, ``printed TEXT`` (the first number printed after the last TEXT), ``record
NODE FIELD``, ``weights NODE FIELD`` or ``calculate EXPRESSION``. A number that the session has is
judged on any data; a written one on the sample data only.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from nnshell.support.errors import NNShellError, UsageError
from nnshell.tutorials import checks
from nnshell.tutorials.checks import Evidence

_KEYWORDS = ("number", "within", "choice", "right", "free", "hint")
_LITERAL = re.compile(r"[-+]?\d[\d.]*(?:[eE][-+]?\d+)?")
_UNIT = re.compile(r"\s*(?:%|percent|bytes?|bits?|dB|times|x|cycles|ms)$", re.IGNORECASE)
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
_LETTERS = "abcdefghi"
_TOLERANCE = 0.01  # of the right answer, where none is written

Kind = Literal["number", "choice", "free"]


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a step. ``right`` is the place of the right choice, from 0."""

    text: str
    line: int
    kind: Kind
    quantity: tuple[str, ...] = ()
    tolerance: float = _TOLERANCE
    relative: bool = True
    choices: tuple[str, ...] = ()
    right: int = -1
    hint: str = ""

    @property
    def literal(self) -> bool:
        """Whether the number stands in the walkthrough, so that it holds for its own data only."""
        return len(self.quantity) == 1

    def lettered(self) -> list[str]:
        """The choices, each with its letter."""
        return [f"{_LETTERS[n]}) {choice}" for n, choice in enumerate(self.choices)]

    def expected(self, evidence: Evidence) -> float | str:
        """The right answer now: a number, or the text of the right choice.

        Raises UsageError when the session does not have it.
        """
        if self.kind == "number":
            return _quantity(evidence, self.quantity)
        return self.choices[self.right] if self.kind == "choice" else ""

    def reads(self, text: str, is_command: Callable[[str], bool]) -> str | None:
        """A typed line as an answer, or None when it is something else: a command."""
        words = text.split()
        explicit = bool(words) and words[0] == "answer" and len(words) > 1
        typed = text.strip().removeprefix("answer ").strip() if explicit else text.strip()
        if self.kind == "number" and number_of(typed) is not None:
            return typed
        if self.kind == "choice" and self._chosen(typed) is not None:
            return typed
        if explicit or (self.kind == "free" and typed and not is_command(typed.split()[0])):
            return typed
        return None

    def is_right(self, typed: str, evidence: Evidence) -> bool:
        """Whether an answer that ``reads`` took is right."""
        if self.kind == "free":
            return True
        if self.kind == "choice":
            return self._chosen(typed) == self.right
        number, expected = number_of(typed), self.expected(evidence)
        if number is None or isinstance(expected, str):
            return False
        room = self.tolerance * (abs(expected) if self.relative else 1.0)
        return abs(number - expected) <= room + 1e-9 * abs(expected)

    def shown(self, typed: str) -> str:
        """An answer as the page to hand in has it: a choice in words."""
        place = self._chosen(typed) if self.kind == "choice" else None
        return typed if place is None else self.choices[place]

    def direction(self, typed: str, evidence: Evidence) -> str:
        """``large`` or ``small`` for a wrong number, else ""."""
        number, expected = number_of(typed), self.expected(evidence)
        if self.kind != "number" or number is None or isinstance(expected, str):
            return ""
        return "large" if number > expected else "small"

    def _chosen(self, typed: str) -> int | None:
        word = typed.strip().rstrip(").").lower()
        if len(word) == 1 and word in _LETTERS[: len(self.choices)]:
            return _LETTERS.index(word)
        same = [n for n, choice in enumerate(self.choices) if choice.lower() == word]
        return same[0] if same else None


def number_of(text: str) -> float | None:
    """A typed number: with a unit, a decimal comma, groups of thousands, or arithmetic (1/128)."""
    plain = _UNIT.sub("", text.strip())
    if _THOUSANDS.fullmatch(plain.lstrip("+-")):
        plain = plain.replace(",", "")
    plain = plain.replace(",", ".").replace("^", "**")
    if not plain or not re.fullmatch(r"[-+*/(). \deE]+", plain):
        return None
    try:
        return float(plain)
    except ValueError:
        pass
    try:
        return checks.value_of(plain)
    except NNShellError:
        return None


def _quantity(evidence: Evidence, words: tuple[str, ...]) -> float:
    if len(words) == 1:
        return float(words[0])
    kind, *arguments = words
    return _QUANTITIES[kind][1](evidence, *arguments)


def _weights(evidence: Evidence, name: str, field: str) -> float:
    """A figure of a constant's distribution; ``name`` selects it, or the node that reads it."""
    from nnshell.reports.distributions import SIGMAS, constant_distributions, constants_of

    graph = checks.graph_of(evidence)
    entry = constant_distributions(graph, constants_of(graph, name))[0]
    sigmas = {f"outside_{n}": 100 * share for n, share in zip(SIGMAS, entry.outside, strict=True)}
    sigmas |= {f"low_{n}": entry.mean - n * entry.sigma for n in SIGMAS}
    sigmas |= {f"high_{n}": entry.mean + n * entry.sigma for n in SIGMAS}
    plain = {
        "count": float(entry.count),
        "minimum": entry.minimum,
        "maximum": entry.maximum,
        "mean": entry.mean,
        "sigma": entry.sigma,
    }
    values = plain | sigmas
    if field not in values:
        raise UsageError(f"weights have no '{field}'", hint=f"known: {', '.join(values)}")
    return values[field]


_QUANTITIES: dict[str, tuple[int, Callable[..., float]]] = {
    "printed": (1, checks.number_after),
    "record": (2, checks.record_value),
    "weights": (2, _weights),
    "calculate": (1, lambda _, expression: checks.value_of(expression)),
}


# -- reading a block -----------------------------------------------------------------------


def parse_question(lines: Iterable[str], first: int) -> Question:
    """A question from the lines of its block; UsageError says what is wrong with it."""
    text, fields = _split(lines)
    if not text:
        raise UsageError("a question without words")
    choices = [value for word, value in fields if word in ("choice", "right")]
    right = [n for n, (word, _) in enumerate(_choices(fields)) if word == "right"]
    values = dict(fields)
    kinds: list[Kind] = [kind for kind in ("number", "free") if kind in values]
    kinds += ["choice"] if choices else []
    if len(kinds) != 1:
        raise UsageError("a question has a number, choices, or is free", hint="one of the three")
    if kinds[0] == "choice" and (len(right) != 1 or not 2 <= len(choices) <= len(_LETTERS)):
        raise UsageError("choices: two to nine, one of them right")
    question = Question(text, first, kinds[0], hint=values.get("hint", ""))
    if kinds[0] == "choice":
        return replace(question, choices=tuple(choices), right=right[0])
    if kinds[0] == "number":
        question = replace(question, quantity=_parsed_quantity(values["number"]))
        return _with_tolerance(question, values.get("within", ""))
    return question


def translated_question(base: Question, lines: Iterable[str]) -> Question:
    """The question in other words; what is right stays. UsageError when choices are missing."""
    text, fields = _split(lines)
    choices = tuple(value for _, value in _choices(fields))
    if not text or len(choices) != len(base.choices):
        raise UsageError(f"the question has {len(base.choices)} choices")
    hint = dict(fields).get("hint", "")
    return replace(base, text=text, choices=choices, hint=hint or base.hint)


def _choices(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(word, value) for word, value in fields if word in ("choice", "right")]


def _split(lines: Iterable[str]) -> tuple[str, list[tuple[str, str]]]:
    text: list[str] = []
    fields: list[tuple[str, str]] = []
    for line in lines:
        word, _, value = line.strip().partition(" ")
        if word in _KEYWORDS and (text or fields):
            fields.append((word, value.strip()))
        elif line.strip() and fields:
            raise UsageError(f"'{word}' is none of {', '.join(_KEYWORDS)}")
        elif line.strip():
            text.append(line.strip())
    return " ".join(text), fields


def _parsed_quantity(text: str) -> tuple[str, ...]:
    words = tuple(shlex.split(text))
    if len(words) == 1 and _LITERAL.fullmatch(words[0]):
        return words
    form = _QUANTITIES.get(words[0]) if words else None
    if form is None or len(words) != form[0] + 1:
        raise UsageError(f"'{text}' is no quantity", hint=f"a number, or {', '.join(_QUANTITIES)}")
    return words


def _with_tolerance(question: Question, text: str) -> Question:
    if not text:
        return question
    number, relative = text.removesuffix("%").strip(), text.endswith("%")
    if not _LITERAL.fullmatch(number) or float(number) < 0:
        raise UsageError(f"'within {text}' is no tolerance", hint="within 0.5, within 5 %")
    return replace(question, tolerance=float(number) / (100 if relative else 1), relative=relative)
