"""Quantizing a graph: solve for the records, then let every operator make its integers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from nnshell.ir.arithmetic import arithmetic_of
from nnshell.ir.flat import Item, Reader, Site, Tensor
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.requests import ChosenFilter, QuantizeRequest
from nnshell.ir.types import Origin
from nnshell.ops.quantize import Quantize
from nnshell.quantization.learned import Learned
from nnshell.quantization.options import QuantizationOptions
from nnshell.quantization.ranges.statistics import Statistics
from nnshell.quantization.solving.solver import Solution
from nnshell.support.errors import QuantizationError

_LOG = logging.getLogger(__name__)

_MOST_ROUNDS = 8  # of inserting quantize nodes; two suffice unless something is wrong
_ORIGIN = Origin(passes=("quantize",))


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedConstant:
    """Kernel of a constant: its integers, as they are written to files."""

    values: NDArray[Any]


def quantize_graph(
    graph: Graph,
    statistics: Statistics,
    options: QuantizationOptions | None = None,
    learned: Learned | None = None,
) -> None:
    """Give every node, constant and inner node of ``graph`` its records and integers.

    ``learned`` takes the place of nearest integers and calibrated ranges where it has any.
    Quantize nodes of an earlier run are removed and new ones inserted where records conflict.
    Raises QuantizationError naming the node when its range is missing or not finite, and leaves
    the graph as it was.
    """
    options = options or QuantizationOptions()
    twin = graph.copy()
    remove_quantization(twin)
    solution = _solve(twin, statistics, options, learned)
    _Filler(solution).fill()
    for name, loss in solution.warnings.items():
        _LOG.warning(
            "%s: %.0f%% of its range is cut off, as what it is joined with has larger steps; "
            "try --no_allow_asymmetric_out",
            name,
            100 * loss,
        )
    graph.nodes = twin.nodes


def remove_quantization(graph: Graph) -> None:
    """Make the graph a float graph again: no records, no quantize nodes."""
    graph.clear_quantization()
    for node in [node for node in graph if node.op.made_by_quantizer]:
        source = node.inputs[0]
        for consumer, index in graph.consumers(node.name):
            consumer.inputs[index] = source
        graph.remove(node.name)


def _solve(
    graph: Graph, statistics: Statistics, options: QuantizationOptions, learned: Learned | None
) -> Solution:
    for _ in range(_MOST_ROUNDS):
        solution = Solution(graph, statistics, options, learned)
        if not solution.conflicts:
            return solution
        for reader in solution.conflicts:
            _insert(solution, reader)
    names = ", ".join(sorted({reader.item.path for reader in solution.conflicts})[:3])
    raise QuantizationError("its records cannot be reconciled", where=f"node {names}")


def _site(solution: Solution, reader: Reader) -> Site | None:
    """Where a tensor enters a fusion, seen from an inner node behind nodes that only move it."""
    item, index = reader.item, reader.index
    while item.sites[index] is None:
        item, index = solution.flat.maker(item.inputs[index]), 0
        if not item.node.op.keeps_record:
            return None
    return item.sites[index]


def _insert(solution: Solution, reader: Reader) -> None:
    """A quantize node in front of one input; ``X_qin0`` for input 0 of X."""
    graph = solution.flat.graph
    site = _site(solution, reader)
    if site is None:
        raise QuantizationError(
            "its input has a record that it cannot take, and no node fits in front of it",
            where=f"node {reader.item.path}",
            hint="open the model again and quantize it without this fusion",
        )
    consumer = graph[site.node]
    source = consumer.inputs[site.index]
    if graph[source.node].op.made_by_quantizer and len(graph.consumers(source.node)) == 1:
        return  # two conflicts at one edge
    name = graph.unique_name(f"{site.node}_qin{site.index}")
    given = graph.type_of(source)
    op = Quantize()
    graph.insert(Node(name, op, [source], op.infer((given,)), _ORIGIN), before=site.node)
    consumer.inputs[site.index] = Ref(name)
    _LOG.debug("%s makes the record that %s needs", name, site.node)


class _Filler:
    """Writes a solution into the nodes."""

    def __init__(self, solution: Solution) -> None:
        self.solution = solution
        self.flat = solution.flat
        self.graph = solution.flat.graph
        self.learned = solution.learned
        self.constants: dict[Tensor, tuple[QParams, NDArray[Any] | None]] = {}

    def fill(self) -> None:
        for item in self.flat.items:
            if item.node.op.role != "constant":
                self._fill_item(item)
        for item in self.flat.items:
            if item.node.op.role == "constant":
                self._fill_constant(item)
        for node in self.graph:
            if node.body is not None:
                self._fill_fusion(node, node.body)

    def _fill_item(self, item: Item) -> None:
        op = item.node.op
        values = tuple(self._constant(tensor) for tensor in item.inputs)
        inputs = tuple(
            None if values[i] is not None and i in op.parameters else self.solution.record(tensor)
            for i, tensor in enumerate(item.inputs)
        )
        request = QuantizeRequest(
            item.path,
            inputs,
            tuple(self.solution.record(tensor) for tensor in item.outputs),
            item.graph.input_types(item.node),
            item.node.outputs,
            values,
            self.solution.options.for_node(item.path).kernel,
            self._chosen(item),
        )
        made = arithmetic_of(op, self.solution.options.scheme).quantize(request)
        item.node.quantization = made
        for index, tensor in enumerate(item.inputs):
            if values[index] is not None:
                integers = made.constants[index] if made.constants else None
                self.constants.setdefault(tensor, (made.inputs[index], integers))

    def _chosen(self, item: Item) -> ChosenFilter | None:
        bits = self.solution.options.for_node(item.path).weight_bits
        return None if self.learned is None else self.learned.filter_of(item.path, bits)

    def _constant(self, tensor: Tensor) -> NDArray[Any] | None:
        return self.flat.maker(tensor).node.op.known_value

    def _fill_constant(self, item: Item) -> None:
        tensor = item.outputs[0]
        if tensor in self.constants:
            record, integers = self.constants[tensor]
        else:
            record, integers = self.solution.record(tensor), None
        if integers is None:
            value = self._constant(tensor)
            assert value is not None
            integers = record.quantize(value).astype(record.dtype)
        kernel = QuantizedConstant(integers)
        item.node.quantization = NodeQuantization((), (record,), kernel)

    def _fill_fusion(self, fusion: Node, body: Graph) -> None:
        inputs = tuple(self._edge_record(ref) for ref in fusion.inputs)
        for node in body:
            if node.op.role == "input" and node.op.port is not None:
                node.quantization = NodeQuantization((), (inputs[node.op.port],))
            elif node.op.role == "output":
                inner = body[node.inputs[0].node].quantization
                assert inner is not None
                record = inner.outputs[node.inputs[0].index]
                node.quantization = NodeQuantization((record,), (record,))
        outputs = tuple(
            border.quantization.output for border in body.outputs if border.quantization is not None
        )
        fusion.quantization = NodeQuantization(inputs, outputs)

    def _edge_record(self, ref: Ref) -> QParams:
        tensor = self.flat.resolve(ref)
        known = self.constants.get(tensor)
        return known[0] if known is not None else self.solution.record(tensor)
