"""Graphs as text: print one, parse it back. Pass tests are written in it.

    graph example
    %input_1 = input : 3x8x8 chw
    %conv_weights = constant : 4x3x3x3 = normal(1)
    %conv_biases = constant : 4 = [0.5, 0.0, -1.0, 2.0]
    %conv = conv2d(%input_1, %conv_weights, %conv_biases) {window=Window(kernel=(3, 3))} : 4x6x6 chw
    %parts = split(%conv) {axis=0, sizes=(1, 3)} : 1x6x6 chw, 3x6x6 chw
    %relu = relu(%parts[1]) : 3x6x6 chw
    %output_1 = output(%relu) : 3x6x6 chw

Attributes that have their default value are left out. A fusion's line ends with ``(``; its body
follows, up to a line ``)``. Types may be left out except those of graph inputs; where they stand
they are checked. ``normal(SEED)`` is standard normal numbers, ``zeros`` and ``ones`` say
themselves, ``value(NAME)`` is an array given to the parser. ``#`` starts a comment. Origins,
quantization and node options are not part of the text.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import Field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.basic_operators import Constant, Input
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.operator import OPERATORS, Operator
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Window
from nnshell.support.errors import GraphError

Values = Mapping[str, NDArray[Any]]

_INLINE_ELEMENTS = 16  # constants up to this size are printed in full
_LINE = re.compile(
    r"%(?P<name>\S+) = (?P<kind>\w+)"
    r"(?:\((?P<inputs>[^)]*)\))?"
    r"(?: \{(?P<attributes>.*)\})?"
    r"(?: : (?P<types>[^=(]*?))?"
    r"(?: = (?P<value>.*?))?"
    r"(?P<body> \()?"
)
_REFERENCE = re.compile(r"%(?P<node>[^\s\[\]]+)(?:\[(?P<index>\d+)\])?")


def print_graph(graph: Graph) -> str:
    """The graph as text, nodes in insertion order; ``large_constants`` has what is left out."""
    return "\n".join([f"graph {graph.name}", *_lines(graph, "")]) + "\n"


def large_constants(graph: Graph) -> dict[str, NDArray[Any]]:
    """Values that the text only names, as ``parse_graph`` takes them."""
    return {
        node.name: node.op.value
        for node in graph
        if isinstance(node.op, Constant) and node.op.value.size > _INLINE_ELEMENTS
    }


def parse_graph(text: str, values: Values | None = None) -> Graph:
    """The graph that a text describes. Raises GraphError with the line at fault."""
    lines = [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    graph = Graph()
    if lines and lines[0][1].startswith("graph "):
        graph.name = lines.pop(0)[1].removeprefix("graph ")
    lines.reverse()
    _parse_body(graph, lines, values or {}, nested=False)
    return graph


# -- printing ------------------------------------------------------------------------------


def _lines(graph: Graph, indent: str) -> list[str]:
    printed = []
    for node in graph:
        types = ", ".join(_type_text(entry) for entry in node.outputs)
        line = f"{indent}%{node.name} = {node.kind}{_inputs_text(node)}{_attributes_text(node)}"
        line += f" : {types}" if types else ""
        if isinstance(node.op, Constant):
            line += f" = {_value_text(node.name, node.op.value)}"
        if node.body is None:
            printed.append(line)
            continue
        printed += [f"{line} (", *_lines(node.body, f"{indent}  "), f"{indent})"]
    return printed


def _inputs_text(node: Node) -> str:
    if not node.inputs:
        return ""
    return f"({', '.join(_reference_text(ref) for ref in node.inputs)})"


def _reference_text(ref: Ref) -> str:
    return f"%{ref.node}[{ref.index}]" if ref.index else f"%{ref.node}"


def _attributes_text(node: Node) -> str:
    shown = _given_fields(node.op)
    return f" {{{', '.join(shown)}}}" if shown else ""


def _given_fields(op: Operator) -> list[str]:
    return [
        f"{entry.name}={_literal(getattr(op, entry.name))}"
        for entry in _attribute_fields(type(op))
        if getattr(op, entry.name) != entry.default
    ]


def _attribute_fields(kind: type[Operator]) -> list[Field[Any]]:
    """Fields that are printed as attributes: not an input's type, not a constant's value."""
    hidden = {"type"} if issubclass(kind, Input) else {"value"} if kind is Constant else set()
    return [entry for entry in fields(kind) if entry.name not in hidden]


def _literal(value: Any) -> str:
    if isinstance(value, Window):
        values = [
            f"{entry.name}={getattr(value, entry.name)}"
            for entry in fields(Window)
            if getattr(value, entry.name) != entry.default
        ]
        return f"Window({', '.join(values)})"
    if isinstance(value, Operator):
        return f"{value.kind}({', '.join(_given_fields(value))})"
    return repr(value)


def _type_text(tensor: TensorType) -> str:
    layout = "" if tensor.layout is Layout.NONE else f" {tensor.layout}"
    dtype = "" if tensor.dtype == "float32" else f" {tensor.dtype}"
    return f"{tensor}{layout}{dtype}"


def _value_text(name: str, value: NDArray[Any]) -> str:
    if value.size > _INLINE_ELEMENTS:
        return f"value({name})"
    return repr(value.tolist())


# -- parsing -------------------------------------------------------------------------------


def _parse_body(
    graph: Graph, lines: list[tuple[int, str]], values: Values, *, nested: bool
) -> None:
    """Parse lines (the next one is last) into ``graph``, up to ``)`` when nested."""
    stated: dict[str, tuple[int, tuple[TensorType, ...]]] = {}
    while lines:
        number, line = lines.pop()
        if nested and line == ")":
            break
        match = _LINE.fullmatch(line)
        if match is None:
            raise GraphError(f"cannot be read: {line}", where=f"line {number}")
        types = _parse_types(match["types"] or "", number)
        node = _parse_node(match, types, values, number)
        if match["body"]:
            node.body = Graph(node.name)
            _parse_body(node.body, lines, values, nested=True)
        graph.add(node)
        stated[node.name] = (number, types)
    _infer_types(graph, {name: number for name, (number, _) in stated.items()})
    for name, (number, types) in stated.items():
        if types and types != graph[name].outputs:
            result = ", ".join(_type_text(entry) for entry in graph[name].outputs)
            raise GraphError(f"%{name} is {result}", where=f"line {number}")


def _infer_types(graph: Graph, line_numbers: Mapping[str, int]) -> None:
    for node in graph:
        for ref in node.inputs:
            if ref.node not in graph:
                where = f"line {line_numbers[node.name]}"
                raise GraphError(f"no node is called %{ref.node}", where=where)
    try:
        graph.infer_types()
    except (IndexError, ValueError) as error:
        raise GraphError(f"a node has too few or too many inputs: {error}") from error


def _parse_node(
    match: re.Match[str], types: tuple[TensorType, ...], values: Values, number: int
) -> Node:
    kind = OPERATORS.get(match["kind"])
    if kind is None:
        raise GraphError(f"no operator is called '{match['kind']}'", where=f"line {number}")
    attributes = _parse_attributes(match["attributes"] or "", number)
    if issubclass(kind, Input):
        if len(types) != 1:
            raise GraphError("a graph input needs its type", where=f"line {number}")
        attributes["type"] = types[0]
    if kind is Constant:
        attributes["value"] = _parse_value(match["value"] or "", types, values, number)
    try:
        op = kind(**attributes)
    except TypeError as error:
        raise GraphError(str(error), where=f"line {number}") from None
    return Node(match["name"], op, _parse_references(match["inputs"] or "", number))


def _parse_references(text: str, number: int) -> list[Ref]:
    refs = []
    for part in (part.strip() for part in text.split(",") if part.strip()):
        match = _REFERENCE.fullmatch(part)
        if match is None:
            raise GraphError(f"'{part}' is not an input", where=f"line {number}")
        refs.append(Ref(match["node"], int(match["index"] or 0)))
    return refs


def _parse_types(text: str, number: int) -> tuple[TensorType, ...]:
    return tuple(_parse_type(part.strip(), number) for part in text.split(",") if part.strip())


def _parse_type(text: str, number: int) -> TensorType:
    words = text.split()
    layouts = {str(layout): layout for layout in Layout}
    try:
        shape = () if words[0] == "scalar" else tuple(int(n) for n in words[0].split("x"))
    except ValueError:
        raise GraphError(f"'{text}' is not a type", where=f"line {number}") from None
    layout = next((layouts[word] for word in words[1:] if word in layouts), Layout.NONE)
    dtype = next((word for word in words[1:] if word not in layouts), "float32")
    return TensorType(shape, layout, dtype)


def _parse_attributes(text: str, number: int) -> dict[str, Any]:
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError(text)
        return {str(entry.arg): _evaluated(entry.value) for entry in call.keywords}
    except (SyntaxError, ValueError, TypeError):
        raise GraphError(f"attributes {{{text}}} cannot be read", where=f"line {number}") from None


def _evaluated(node: ast.expr) -> Any:
    """A literal, ``inf``, or a ``Window`` or an operator of literals."""
    match node:
        case ast.Constant():
            return node.value
        case ast.Tuple():
            return tuple(_evaluated(entry) for entry in node.elts)
        case ast.List():
            return [_evaluated(entry) for entry in node.elts]
        case ast.UnaryOp(op=ast.USub()):
            return -_evaluated(node.operand)
        case ast.Name(id="inf"):
            return float("inf")
        case ast.Call(func=ast.Name(id="Window"), args=[]):
            return Window(**_evaluated_keywords(node))
        case ast.Call(func=ast.Name(id=kind), args=[]) if kind in OPERATORS:
            return OPERATORS[kind](**_evaluated_keywords(node))
    raise ValueError(ast.dump(node))


def _evaluated_keywords(call: ast.Call) -> dict[str, Any]:
    return {str(entry.arg): _evaluated(entry.value) for entry in call.keywords}


def _parse_value(
    text: str, types: Sequence[TensorType], values: Values, number: int
) -> NDArray[Any]:
    """A constant's elements, in the shape and of the type that the line states."""
    tensor = types[0] if types else None
    match = re.fullmatch(r"(normal|value)\((\S+)\)|zeros|ones", text)
    if match is None or tensor is None:
        return _parse_elements(text, tensor, number)
    if match[1] == "value":
        if match[2] not in values:
            raise GraphError(f"no value is given for '{match[2]}'", where=f"line {number}")
        return values[match[2]]
    if match[1] == "normal":
        array = np.random.default_rng(int(match[2])).normal(size=tensor.shape)
        return array.astype(tensor.dtype)
    return np.full(tensor.shape, text == "ones", tensor.dtype)


def _parse_elements(text: str, tensor: TensorType | None, number: int) -> NDArray[Any]:
    try:
        elements = _evaluated(ast.parse(text, mode="eval").body)
        array = np.asarray(elements, tensor.dtype if tensor is not None else np.float32)
        return array.reshape(tensor.shape) if tensor is not None else array
    except (SyntaxError, ValueError, TypeError):
        raise GraphError(f"value '{text}' cannot be read", where=f"line {number}") from None
