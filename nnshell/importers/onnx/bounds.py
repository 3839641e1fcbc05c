"""Limits on what a model file may say or expand to, checked before anything is made of it.

A file of two kilobytes can describe a billion nodes: functions that call each other. What would be
written out is counted first; the count takes time in the file's own length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx

from nnshell.support.errors import ModelError

MAX_NODES = 20_000  # networks for such chips have hundreds; more than this takes minutes
MAX_EXPANDED_BYTES = 1 << 28  # of all nodes, with the functions they call written out
MAX_CALLS = 64  # functions that call functions that call functions ...
MAX_NAME = 4_000  # characters of the name of a node, a tensor or an operator

_Key = tuple[str, str, str]


def check_bounds(model: onnx.ModelProto, file_name: str) -> None:
    """Raises ModelError for too many nodes, too long names, functions without an end."""
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    sizes = _Sizes(functions, file_name)
    nodes, size = sizes.of(model.graph.node, ())
    if nodes > MAX_NODES:
        written = " with its functions written out" if functions else ""
        raise ModelError(
            f"the model has {_count(nodes)} nodes{written}; accepted: {MAX_NODES:,}",
            where=file_name,
            hint="export a smaller network, or a part of it",
        )
    if functions and size > MAX_EXPANDED_BYTES:
        raise ModelError(
            f"the model has {_count(size)} bytes with its functions written out;"
            f" accepted: {MAX_EXPANDED_BYTES:,}",
            where=file_name,
            hint="export it again without functions",
        )
    _check_names(model, file_name)


def _count(number: int) -> str:
    return f"{number:,}" if number < 10**15 else "more than 10^15"


class _Sizes:
    """Nodes and bytes of functions with all that they call, each function counted once."""

    def __init__(self, functions: dict[_Key, onnx.FunctionProto], file_name: str) -> None:
        self._functions = functions
        self._file_name = file_name
        self._known: dict[_Key, tuple[int, int]] = {}

    def of(self, nodes: Sequence[onnx.NodeProto], callers: tuple[_Key, ...]) -> tuple[int, int]:
        count = size = 0
        for node in _with_inner(nodes):
            key = (node.domain, node.op_type, node.overload)
            more = self._function(key, callers) if key in self._functions else (1, 0)
            count += more[0]
            if self._functions:
                size += node.ByteSize() + more[1]
        return count, size

    def _function(self, key: _Key, callers: tuple[_Key, ...]) -> tuple[int, int]:
        if key in self._known:
            return self._known[key]
        if key in callers or len(callers) >= MAX_CALLS:
            fault = "calls itself" if key in callers else f"is called {len(callers)} calls deep"
            raise ModelError(
                f"the model's function '{key[1]}' {fault}; accepted: {MAX_CALLS} calls deep",
                where=self._file_name,
                hint="export it again without functions",
            )
        self._known[key] = self.of(self._functions[key].node, (*callers, key))
        return self._known[key]


def _with_inner(nodes: Sequence[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Nodes and those of their subgraphs; a file nests no deeper than protobuf reads."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _with_inner(attribute.g.node)
            for graph in attribute.graphs:
                yield from _with_inner(graph.node)


def _check_names(model: onnx.ModelProto, file_name: str) -> None:
    for names in _names(model):
        for name in names:
            if len(name) > MAX_NAME:
                raise ModelError(
                    f"a name in the model has {len(name):,} characters: {name[:40]}...",
                    where=file_name,
                    hint=f"accepted: {MAX_NAME:,} characters",
                )


def _names(model: onnx.ModelProto) -> Iterator[Sequence[str]]:
    graph = model.graph
    for nodes in (graph.node, *(function.node for function in model.functions)):
        for node in _with_inner(nodes):
            yield (node.name, node.op_type, node.domain)
            yield node.input
            yield node.output
    yield [entry.name for entry in (*graph.input, *graph.output, *graph.initializer)]
