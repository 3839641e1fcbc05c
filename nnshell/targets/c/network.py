"""From a quantized graph to the network of calls that computes its integers."""

from __future__ import annotations

import numpy as np

from nnshell.ir.basic_operators import Constant, Input
from nnshell.ir.flat import FlatGraph, Item, Tensor, flatten
from nnshell.ir.graph import Graph
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.types import TensorType
from nnshell.targets.c.builder import Builder, Site
from nnshell.targets.c.forms import form_of
from nnshell.targets.c.merging import merged
from nnshell.targets.c.program import Port, Program, Value


def network_of(graph: Graph, keys: dict[str, Tensor], *, chip: bool = False) -> Program:
    """The calls that compute the tensors in ``keys``, which become the network's outputs.

    Raises QuantizationError where a node is not quantized or has no C form, GraphError where
    tensors are too large for 32 bits.
    """
    graph.require_quantized()
    return _Network(graph, keys, chip).program()


def graph_outputs(graph: Graph) -> dict[str, Tensor]:
    """The tensors that the graph gives, by the name of the output."""
    return {node.name: Tensor(node.name) for node in graph.outputs}


class _Network:
    """Values by tensor while the calls are collected."""

    def __init__(self, graph: Graph, keys: dict[str, Tensor], chip: bool) -> None:
        self._graph = graph
        self._keys = keys
        self._flat: FlatGraph = flatten(graph)
        self._build = Builder(chip)
        self._values: dict[Tensor, Value] = {}
        self._needed = self._flat.needed(keys.values())
        self._inputs = {node.name: index for index, node in enumerate(graph.inputs)}
        for item in self._flat.items:
            if item.path in self._needed and not isinstance(item.node.op, Constant):
                self._build.layer = item.path
                self._enter(item)

    def program(self) -> Program:
        items = [item for item in self._flat.items if item.path in self._needed]
        calls = merged(self._build.calls)
        return Program(
            self._graph.name,
            tuple(calls),
            tuple(self._build.constants),
            tuple(self._port(node.name, Tensor(node.name)) for node in self._graph.inputs),
            tuple(self._port(key, tensor) for key, tensor in self._keys.items()),
            {item.path: _note(item) for item in items},
            self._graph.macs(),
        )

    def _enter(self, item: Item) -> None:
        """Write the item's calls; what it makes is copied out where that was asked for."""
        if isinstance(item.node.op, Input):
            index, source = self._inputs[item.path], item.node.type
            results = [
                self._build.outside("input", index, source.shape, _record(item).outputs[0].dtype)
            ]
        else:
            inputs = tuple(self._operand(item, index) for index in range(len(item.inputs)))
            site = Site(item, _record(item), inputs)
            results = list(form_of(item)(self._build, site))
        for tensor, value in zip(item.outputs, results, strict=True):
            self._values[tensor] = value
            for index, key_tensor in enumerate(self._keys.values()):
                if key_tensor == tensor:
                    self._copy_out(index, value)

    def _operand(self, item: Item, index: int) -> Value:
        """An input: made by a call, or a constant (which a filter has in its kernel)."""
        tensor = item.inputs[index]
        if tensor in self._values:
            return self._values[tensor]
        known = _record(item).constants
        value = known[index] if known else None
        return self._build.constant(np.zeros(0, np.int8) if value is None else value)

    def _copy_out(self, index: int, value: Value) -> None:
        target = self._build.outside("output", index, value.shape, value.dtype)
        self._build.move(value, target)

    def _port(self, key: str, tensor: Tensor) -> Port:
        item = self._flat.maker(tensor)
        record = _record(item).outputs[tensor.index]
        shape = item.node.outputs[tensor.index]
        return Port(
            key,
            TensorType(shape.shape, shape.layout, record.dtype),
            record.dtype,
            record.first_scale,
            record.zero_point,
        )


def _record(item: Item) -> NodeQuantization:
    assert item.node.quantization is not None, f"{item.path} is not quantized"
    return item.node.quantization


def _note(item: Item) -> str:
    node = item.node
    types = item.graph.input_types(node)
    text = node.op.describe(types, node.outputs, node.body)
    return f"{node.kind} {text}, from {node.origin}".replace(" ,", ",")
