"""Checks of walkthroughs: one declarative line each, nothing is evaluated as Python.

A check is met or says in a sentence what is not so. Words are quoted as in a shell. ``==``
compares numbers as far as they are written: ``== 93.5`` holds for 93.48.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nnshell.support.errors import NNShellError, UsageError
from nnshell.support.settings import Settings

if TYPE_CHECKING:  # the list of tutorials appears without numpy
    from nnshell.ir.graph import Graph
    from nnshell.quantization.rows import QuantizationRow

_NUMBER = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_EQUAL = "=="


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a check can look at: the session, and what was printed since the step began."""

    graph: Graph | None
    settings: Settings
    results: str = ""
    messages: str = ""  # notes and warnings
    failures: tuple[str, ...] = ()  # messages of commands that failed
    unsaved: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of check: its words (those in capitals are arguments), meaning and judge.

    The judge returns what is not so, or "" when the check holds.
    """

    words: str
    meaning: str
    judge: Callable[..., str]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a walkthrough."""

    text: str
    form: Form
    arguments: tuple[str, ...]

    def unmet(self, evidence: Evidence) -> str:
        """Why the check does not hold; "" when it does."""
        try:
            return self.form.judge(evidence, *self.arguments)
        except NNShellError as error:
            return str(error)

    @property
    def expects_failure(self) -> bool:
        """Whether it waits for a command that fails."""
        return self.form.judge is _fails

    @property
    def of_any_data(self) -> bool:
        """Whether it holds whatever the model and the data are."""
        return self.form.judge in (_quantized, _not_quantized, _file_exists)

    def written_to(self, folder: str) -> Check:
        """The check with ``$(OUT)`` replaced."""
        arguments = tuple(word.replace("$(OUT)", folder) for word in self.arguments)
        return replace(self, text=self.text.replace("$(OUT)", folder), arguments=arguments)


def parse_check(line: str) -> Check:
    """A check from its line; UsageError when it is of no known form."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"'{line}' cannot be read: {error}") from None
    for form in FORMS:
        arguments = _match(form.words.split(), words)
        if arguments is not None:
            _refuse_bad_arguments(form, arguments, line)
            return Check(line, form, arguments)
    known = sorted({form.words for form in FORMS if form.words.split()[0] == words[0]})
    hint = f"known: {'; '.join(known or sorted(form.words for form in FORMS))}"
    raise UsageError(f"'{line}' is no check", hint=hint)


def _match(pattern: Sequence[str], words: Sequence[str]) -> tuple[str, ...] | None:
    if len(pattern) != len(words):
        return None
    pairs = list(zip(pattern, words, strict=True))
    if any(expected != word for expected, word in pairs if not expected.isupper()):
        return None
    return tuple(word for expected, word in pairs if expected.isupper())


def _refuse_bad_arguments(form: Form, arguments: tuple[str, ...], line: str) -> None:
    values = dict(zip(filter(str.isupper, form.words.split()), arguments, strict=True))
    if values.get("FIELD", "scale") not in _FIELDS:
        raise UsageError(f"'{line}': a record has {', '.join(_FIELDS)}, not {values['FIELD']}")
    if "EXPRESSION" in values:
        value_of(values["EXPRESSION"])
    if "OP" not in values:
        return
    operator, value = arguments[-2:]
    if operator != _EQUAL and operator not in _COMPARISONS:
        raise UsageError(f"'{line}': '{operator}' is not one of ==, {', '.join(_COMPARISONS)}")
    if operator != _EQUAL and not _NUMBER.fullmatch(value):
        raise UsageError(f"'{line}': '{value}' is not a number")


# -- judges --------------------------------------------------------------------------------


def _compare(what: str, result: float | str, operator: str, expected: str) -> str:
    if isinstance(result, str) or not _NUMBER.fullmatch(expected):
        same = str(result) == expected
        return "" if same and operator == _EQUAL else f"{what} is {result}, not {expected}"
    number = float(expected.replace(",", ""))
    if operator != _EQUAL:
        holds = _COMPARISONS[operator](result, number)
        return "" if holds else f"{what} is {result:g}, not {operator} {expected}"
    return (
        ""
        if abs(result - number) <= _half_unit(expected)
        else f"{what} is {result:.6g}, not {expected}"
    )


def _half_unit(text: str) -> float:
    """Half of the last digit that a number was written with."""
    mantissa, _, exponent = text.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return 0.5 * 10.0 ** (int(exponent or 0) - decimals) * (1 + 1e-9)


def graph_of(evidence: Evidence) -> Graph:
    """The open graph; UsageError when there is none."""
    if evidence.graph is None:
        raise UsageError("no graph is open")
    return evidence.graph


def _quantized(evidence: Evidence) -> str:
    return "" if graph_of(evidence).quantized else "the graph is not quantized"


def _not_quantized(evidence: Evidence) -> str:
    return "the graph is quantized" if graph_of(evidence).quantized else ""


def _has_node(evidence: Evidence, name: str) -> bool:
    from nnshell.ir.graph import all_nodes

    return any(key == name for key, _, _ in all_nodes(graph_of(evidence)))


def _exists(evidence: Evidence, name: str) -> str:
    return "" if _has_node(evidence, name) else f"there is no node {name}"


def _absent(evidence: Evidence, name: str) -> str:
    return f"node {name} is there" if _has_node(evidence, name) else ""


def _step_count(evidence: Evidence, operator: str, value: str) -> str:
    return _compare("the number of steps", float(len(graph_of(evidence))), operator, value)


_FIELDS: dict[str, Callable[[QuantizationRow], float | str]] = {
    "scale": lambda row: row.outputs[0].scale,
    "zero_point": lambda row: row.outputs[0].zero_point,
    "minimum": lambda row: row.outputs[0].minimum,
    "maximum": lambda row: row.outputs[0].maximum,
    "dtype": lambda row: row.outputs[0].dtype,
    "input_scale": lambda row: row.inputs[0].scale,
    "weight_scale": lambda row: row.weight_scales[0],
    "multiplier": lambda row: row.multiplier[0],
    "shift": lambda row: row.shift[0],
}


def _record(evidence: Evidence, name: str, field: str, operator: str, value: str) -> str:
    from nnshell.quantization.rows import quantization_rows

    row = next((row for row in quantization_rows(graph_of(evidence)) if row.name == name), None)
    if row is None:
        return f"there is no node {name}"
    try:
        result = _FIELDS[field](row)
    except IndexError:
        return f"node {name} has no {field}"
    return _compare(f"the {field.replace('_', ' ')} of {name}", result, operator, value)


def record_value(evidence: Evidence, name: str, field: str) -> float:
    """A number of a node's record; ``name`` selects the node. UsageError when there is none."""
    from nnshell.ir.select import select_one
    from nnshell.quantization.rows import quantization_rows

    graph = graph_of(evidence)
    key, _ = select_one(graph, name)
    rows = [row for row in quantization_rows(graph) if row.name == key]
    result = _FIELDS[field](rows[0]) if rows and field in _FIELDS and rows[0].outputs else ""
    if isinstance(result, str):
        raise UsageError(f"node {name} has no {field}", hint=f"fields: {', '.join(_FIELDS)}")
    return result


def _setting(evidence: Evidence, name: str, operator: str, value: str) -> str:
    result = evidence.settings[name]
    plain = (
        result if isinstance(result, int | float) and not isinstance(result, bool) else str(result)
    )
    return _compare(f"setting {name}", plain, operator, value)


def _folded(text: str) -> str:
    return " ".join(text.split())


def _prints(evidence: Evidence, text: str) -> str:
    result = _folded(text) in _folded(evidence.results)
    return "" if result else f"no command printed '{text}'"


def _warns(evidence: Evidence, text: str) -> str:
    result = _folded(text) in _folded(evidence.messages)
    return "" if result else f"no command noted or warned '{text}'"


def _fails(evidence: Evidence, text: str) -> str:
    result = any(_folded(text) in _folded(failure) for failure in evidence.failures)
    return "" if result else f"no command failed with '{text}'"


def _number_behind(evidence: Evidence, text: str, operator: str, value: str) -> str:
    return _compare(f"'{text}'", number_after(evidence, text), operator, value)


def number_after(evidence: Evidence, text: str) -> float:
    """The first number printed after the last ``text``; UsageError when there is none."""
    _, result, rest = _folded(evidence.results).rpartition(_folded(text))
    number = _NUMBER.search(rest) if result else None
    if number is None:
        raise UsageError(f"no command printed a number after '{text}'")
    return float(number[0].replace(",", ""))


def _calculate(_: Evidence, expression: str, operator: str, value: str) -> str:
    return _compare(expression, value_of(expression), operator, value)


def value_of(expression: str) -> float:
    """Arithmetic by the rules of norm functions; UsageError when it has no value."""
    from nnshell.inputs.norm import EVALUATION_ERRORS, evaluate
    from nnshell.inputs.norm_parser import parse_norm

    try:
        function = parse_norm(f"x: 0 * x + ({expression})")  # it has to use x
        return float(evaluate(function.body, 0.0, 1))
    except (NNShellError, *EVALUATION_ERRORS) as error:
        raise UsageError(f"'{expression}' has no value: {error}") from None


def _file_exists(_: Evidence, path: str) -> str:
    return "" if Path(path).is_file() else f"there is no file {path}"


def _file_contains(_: Evidence, path: str, text: str) -> str:
    if not Path(path).is_file():
        return f"there is no file {path}"
    content = Path(path).read_text(encoding="utf-8", errors="replace")
    return "" if _folded(text) in _folded(content) else f"file {path} does not contain '{text}'"


def _saved(evidence: Evidence) -> str:
    graph_of(evidence)
    return "the graph has unsaved changes" if evidence.unsaved else ""


FORMS = (
    Form("quantized", "every step has a record", _quantized),
    Form("not quantized", "some step has no record", _not_quantized),
    Form("saved", "nothing changed since the state was saved", _saved),
    Form("node NAME exists", "there is such a node, or FUSION/NODE", _exists),
    Form("node NAME absent", "there is no such node", _absent),
    Form("steps OP NUMBER", "how many steps the graph has", _step_count),
    Form("record NODE FIELD OP VALUE", f"FIELD: {', '.join(_FIELDS)} (channel 0)", _record),
    Form("setting NAME OP VALUE", "a value of `set`", _setting),
    Form("prints TEXT", "a command of this step printed it; blanks count as one", _prints),
    Form("warns TEXT", "a command of this step noted or warned it", _warns),
    Form("fails TEXT", "a command of this step failed with this message", _fails),
    Form("number TEXT OP VALUE", "the first number printed after the last TEXT", _number_behind),
    Form("calculate EXPRESSION OP VALUE", "arithmetic as in norm functions", _calculate),
    Form("file PATH exists", "PATH may begin with $(OUT)", _file_exists),
    Form("file PATH contains TEXT", "blanks count as one", _file_contains),
)
