"""Parser of norm functions: ``x: (x/255-0.5)/0.5``, as text, into the tree of ``norm``.

The text is parsed with Python's own grammar (``ast``) and only the forms listed here are taken;
the rest is refused with the name of what is not understood. Nothing is compiled or evaluated, and
length, depth and numbers are bounded: a hostile text ends in an error, not in a hang.

    x: EXPRESSION | lambda x: EXPRESSION | EXPRESSION in x
    + - * / // % ** << >> unary - ( ) numbers
    np.array([...]) np.asarray, of nested lists of numbers
    np.abs sqrt log exp minimum maximum clip mean std min max flip reshape transpose float32 ...
    x.reshape(3,1,1) x.transpose(2,0,1) x.astype(np.float32) x.clip(0,1) x.mean(axis=0) x.T
    x[::-1], x[..., 0:3], x[None]
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnshell.inputs.norm import (
    EVALUATION_ERRORS,
    MIN_ELEMENT_LIMIT,
    Apply,
    Constant,
    Expression,
    Image,
    NormFunction,
    Static,
    evaluate,
)
from nnshell.support.errors import UsageError
from nnshell.support.text import short

MAX_LENGTH = 4096  # characters
MAX_DEPTH = 60  # nested operations
_PREFIX = re.compile(r"(?:lambda\s+)?([A-Za-z_]\w*)\s*:(.*)", re.DOTALL)
_FORM = 'write it as "x: x/128-1"'

_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.FloorDiv: "floor_divide",
    ast.Mod: "remainder",
    ast.Pow: "power",
}
# Of real numbers: times 2**n, and divided by it and rounded down.
_SHIFTS: dict[type[ast.operator], str] = {ast.LShift: "multiply", ast.RShift: "floor_divide"}
_MAX_SHIFT = 62
_UNARY: dict[type[ast.unaryop], str] = {ast.USub: "negative", ast.UAdd: "positive"}

# Element-wise numpy functions and how many operands each takes.
_ELEMENTWISE = {"abs": 1, "sqrt": 1, "log": 1, "exp": 1, "minimum": 2, "maximum": 2, "clip": 3}
_REDUCTIONS = ("mean", "std", "min", "max")
_CASTS = {"float": "float64", "float16": "float16", "float32": "float32", "float64": "float64"}
_CASTS |= {name: name for name in ("int8", "uint8", "int16", "uint16", "int32")}
_METHODS = (*_REDUCTIONS, "reshape", "transpose", "astype", "clip", "flip")
_NUMPY = ("np", "numpy")


class _Refused(Exception):
    """What is wrong with the text."""


def parse_norm(text: str) -> NormFunction:
    """Parse a norm function; UsageError says what is not understood.

    >>> parse_norm("x: x/128-1")(np.array([0.0, 192.0])).tolist()
    [-1.0, 0.5]
    """
    try:
        return NormFunction(text, _parse(text))
    except _Refused as refused:
        raise UsageError(f"norm function {short(text)!r}: {refused}", hint=_FORM) from None


def _parse(text: str) -> Expression:
    if len(text) > MAX_LENGTH:
        raise _Refused(f"longer than {MAX_LENGTH} characters")
    match = _PREFIX.fullmatch(text.strip())
    variable, body = match.groups() if match else ("x", text)
    if variable in _NUMPY:
        raise _Refused(f"{variable!r} is numpy and cannot be the image's name")
    tree = _syntax(body.strip())
    expression = _Builder(variable).build(tree)
    if isinstance(expression, Constant):
        raise _Refused(f"does not use {variable}")
    return expression


def _syntax(body: str) -> ast.expr:
    if not body:
        raise _Refused("is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's remarks on odd spellings
            tree = ast.parse(body, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "its characters or nesting"
        raise _Refused(f"is not an expression: {reason}") from None
    level: list[ast.AST] = [tree]
    for _ in range(2 * MAX_DEPTH):  # about two syntax nodes for each operation
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return tree
    raise _Refused("is nested too deeply")


class _Builder:
    """Turns syntax nodes into expressions; one method for each form of the language."""

    def __init__(self, variable: str) -> None:
        self.variable = variable

    def build(self, node: ast.expr) -> Expression:
        """The expression that a node of Python's syntax tree stands for; UsageError for others."""
        match node:
            case ast.Constant():
                return Constant(_number(node))
            case ast.Name(id=name):
                return self._name(name)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _SHIFTS:
                factor = Constant(2.0 ** _shift(right))
                return _apply(_SHIFTS[type(op)], self.build(left), factor)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return _apply(_BINARY[type(op)], self.build(left), self.build(right))
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
                return _apply(_UNARY[type(op)], self.build(operand))
            case ast.Call(func=ast.Name(id="abs")):
                return self._function("abs", node)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=name)) if (
                owner in _NUMPY
            ):
                return self._function(name, node)
            case ast.Call(func=ast.Attribute(value=owner, attr=name)) if name in _METHODS:
                return self._method(name, self.build(owner), node)
            case ast.Attribute(value=owner, attr="T"):
                return _apply("transpose", self.build(owner))
            case ast.Subscript(value=owner, slice=index):
                return _apply("slice", self.build(owner), arguments=(_index(index),))
        raise _Refused(f"{_shown(node)} is not supported")

    def _name(self, name: str) -> Expression:
        if name != self.variable:
            raise _Refused(f"unknown name {name!r}; the image is {self.variable!r}")
        return Image()

    def _function(self, name: str, call: ast.Call) -> Expression:
        name = {"absolute": "abs", "amin": "min", "amax": "max"}.get(name, name)
        if name in ("array", "asarray"):
            return self._array(call)
        if name in _CASTS:
            return _apply("cast", *self._operands(call, 1), arguments=(_CASTS[name],))
        if name in _ELEMENTWISE:
            return _apply(name, *self._operands(call, _ELEMENTWISE[name]))
        if name not in _METHODS or name == "astype" or not call.args:
            raise _Refused(f"{_shown(call)} is not supported")
        owner = self.build(call.args[0])
        rest = ast.Call(func=call.func, args=call.args[1:], keywords=call.keywords)
        return self._method(name, owner, rest)

    def _operands(self, call: ast.Call, count: int) -> list[Expression]:
        if len(call.args) != count or call.keywords:
            raise _Refused(f"{_shown(call.func)} takes {count} values")
        return [self.build(argument) for argument in call.args]

    def _method(self, name: str, owner: Expression, call: ast.Call) -> Expression:
        if name == "clip":
            return _apply("clip", owner, *self._operands(call, 2))
        if name in ("reshape", "transpose"):
            shape = _axes(call, required=name == "reshape", keyword=_SHAPE_KEYWORD[name])
            return _apply(name, owner, arguments=() if shape is None else (shape,))
        if name == "astype":
            return _apply("cast", owner, arguments=(_dtype(call),))
        if name == "flip":
            return _apply("flip", owner, arguments=(_keywords(call, "axis")["axis"],))
        value = _keywords(call, "axis", "keepdims")
        return _apply(name, owner, arguments=(value["axis"], bool(value["keepdims"])))

    def _array(self, call: ast.Call) -> Expression:
        if not call.args or len(call.args) > 2 or any(k.arg != "dtype" for k in call.keywords):
            raise _Refused(f"{_shown(call)} is not supported")
        content = call.args[0]
        if not isinstance(content, ast.List | ast.Tuple):
            return self.build(content)
        try:
            return Constant(np.array(self._numbers(content), dtype=np.float64))
        except (ValueError, TypeError):
            raise _Refused("the lists in np.array differ in length") from None

    def _numbers(self, node: ast.expr) -> Any:
        if isinstance(node, ast.List | ast.Tuple):
            if not node.elts:
                raise _Refused("np.array holds an empty list")
            return [self._numbers(element) for element in node.elts]
        value = self.build(node)
        if not isinstance(value, Constant) or np.ndim(value.value):
            raise _Refused("np.array takes numbers only")
        return float(value.value)


_SHAPE_KEYWORD = {"reshape": "shape", "transpose": "axes"}


def _apply(function: str, *operands: Expression, arguments: tuple[Static, ...] = ()) -> Expression:
    """An operation, computed at once when all its operands are constants."""
    applied = Apply(function, operands, arguments)
    if not all(isinstance(operand, Constant) for operand in operands):
        return applied
    try:
        with np.errstate(all="ignore"):
            value = evaluate(applied, None, MIN_ELEMENT_LIMIT)
    except EVALUATION_ERRORS as error:
        raise _Refused(str(error)) from None
    if not np.all(np.isfinite(value)):
        raise _Refused("a constant in it is not finite")
    return Constant(value)


def _number(node: ast.Constant) -> float:
    if isinstance(node.value, bool) or not isinstance(node.value, int | float):
        raise _Refused(f"{_shown(node)} is not a number")
    try:
        value = float(node.value)
    except OverflowError:
        value = float("inf")
    if not np.isfinite(value):
        raise _Refused("a number in it is too large")
    return value


def _static(node: ast.expr) -> Static:
    """An argument that must be known beforehand: an integer, None, True, False, or a tuple."""
    match node:
        case ast.Constant(value=bool() | int() | None):
            return node.value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(value))):
            return -value
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return tuple(_static(element) for element in elements)
    raise _Refused(f"{_shown(node)} must be a whole number")


def _shift(node: ast.expr) -> int:
    count = _integer(node)
    if not 0 <= count <= _MAX_SHIFT:
        raise _Refused(f"a shift by {count} bits")
    return count


def _axes(call: ast.Call, *, required: bool, keyword: str) -> Static:
    """The axes of reshape(3,1,1), reshape((3,1,1)) or reshape(shape=(3,1,1)); None for none."""
    source = _keywords(ast.Call(call.func, [], call.keywords), keyword)[keyword]
    values: Sequence[Static] = [_static(argument) for argument in call.args]
    if source is not None:
        values = [source, *values]
    if len(values) == 1 and isinstance(values[0], tuple):
        values = values[0]
    if not all(type(value) is int for value in values):
        raise _Refused(f"{_shown(call)} takes whole numbers")
    if not values and required:
        raise _Refused(f"{_shown(call)} needs a shape")
    return tuple(values) if values else None


def _keywords(call: ast.Call, *names: str) -> dict[str, Static]:
    """Values of the arguments ``names``, by place or by name; None for those left out."""
    if len(call.args) > len(names) or any(k.arg not in names for k in call.keywords):
        raise _Refused(f"{_shown(call)} takes only {' and '.join(names)}")
    values = dict.fromkeys(names)
    entries = [
        *zip(names, call.args, strict=False),
        *((k.arg or "", k.value) for k in call.keywords),
    ]
    values.update((name, _static(node)) for name, node in entries)
    return values


def _dtype(call: ast.Call) -> str:
    match call.args:
        case [ast.Attribute(value=ast.Name(id=owner), attr=name)] if owner in _NUMPY:
            pass
        case [ast.Name(id=name)] | [ast.Constant(value=str(name))]:
            pass
        case _:
            name = ""
    if name not in _CASTS or call.keywords:
        raise _Refused(f"{_shown(call)}: use {', '.join(_CASTS)}")
    return _CASTS[name]


def _index(node: ast.expr) -> tuple[Any, ...]:
    elements = node.elts if isinstance(node, ast.Tuple) else [node]
    return tuple(_one_index(element) for element in elements)


def _one_index(node: ast.expr) -> Any:
    match node:
        case ast.Slice(lower=lower, upper=upper, step=step):
            return slice(
                *(None if part is None else _integer(part) for part in (lower, upper, step))
            )
        case ast.Constant(value=None) | ast.Attribute(value=ast.Name(id="np"), attr="newaxis"):
            return None
        case ast.Constant(value=value) if value is Ellipsis:
            return Ellipsis
    return _integer(node)


def _integer(node: ast.expr) -> int:
    value = _static(node)
    if type(value) is not int:
        raise _Refused(f"{_shown(node)} must be a whole number")
    return value


def _shown(node: ast.AST) -> str:
    try:
        text = ast.unparse(node)
    except (ValueError, RecursionError):  # lone surrogates, say
        return type(node).__name__
    return repr(short(text, 40))
