"""Quantizing by the ranges that a model file holds: `open -q`.

NNTool solves for records once, on the graph as it was opened, and then keeps them: `adjust` and
`fusions` take every node's record along, and a fusion's is put together from those of its nodes.
So the search runs on the opened graph here too, and its records are carried over to the graph as
it is now. Only what a fusion's kernel fixes, the int32 before a gate, is made anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from nnshell.ir.basic_operators import Constant
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.operator import Operator
from nnshell.ir.qparams import QParams
from nnshell.ir.records import ALL_PINS, Answer, Record
from nnshell.ir.requests import Range
from nnshell.ops.channels_last import ChannelsLast
from nnshell.ops.families.record_rules import plain
from nnshell.passes.memory import renew_copies
from nnshell.quantization.learned import Learned
from nnshell.quantization.options import QuantizationOptions
from nnshell.quantization.quantize import (
    fill_records,
    quantize_graph,
    remove_quantization,
    warn_of_states,
)
from nnshell.quantization.ranges.statistics import Statistics, TensorStatistics
from nnshell.quantization.solving.placing import insert_quantize
from nnshell.quantization.solving.solution import solve
from nnshell.reading.registry import StoredTensor


@dataclass(frozen=True, slots=True, eq=False)
class ImportedQuantization:
    """A graph as it was opened, and the ranges of its nodes that the model file gives.

    ``weights`` are records of constants in the file, kept where they are what the constants get;
    ``stored`` are the file's integers of activations.
    """

    graph: Graph
    statistics: Statistics
    weights: Mapping[str, QParams] = field(default_factory=dict)
    stored: Mapping[str, StoredTensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        graph: Graph,
        ranges: Mapping[str, Range],
        weights: Mapping[str, QParams],
        stored: Mapping[str, StoredTensor],
    ) -> ImportedQuantization:
        """From what an importer read: ranges, records of weights, integers, each by node."""
        entries = {name: TensorStatistics(r.minimum, r.maximum) for name, r in ranges.items()}
        return cls(graph.copy(), Statistics(entries), weights, stored)


def quantize_imported(
    graph: Graph,
    imported: ImportedQuantization,
    options: QuantizationOptions,
    learned: Learned | None = None,
) -> None:
    """Quantize ``graph``, which passes made of the imported one, by the imported one's records.

    Where passes have changed what nodes compute, there is nothing to carry over: the ranges alone
    are used then, as after a calibration.
    """
    twin = graph.copy()
    remove_quantization(twin)
    renew_copies(twin)
    opened = imported.graph.copy()
    here = _options_of_nodes(options, twin)
    solution = solve(opened, imported.statistics, here, learned)
    records = _Carrier(twin, opened, solution.records).carried()
    if records is None:
        quantize_graph(graph, imported.statistics, options, learned)
        return
    fill_records(twin, records, options, learned, imported.weights)
    warn_of_states(solution)
    graph.nodes = twin.nodes


def _options_of_nodes(options: QuantizationOptions, graph: Graph) -> QuantizationOptions:
    """Options of single nodes by the names that nodes have outside of fusions."""
    if not options.nodes:
        return options
    nodes = {}
    for node in graph:
        inner = [node] if node.body is None else [n for n in node.body if not n.op.boundary]
        for part in inner:
            path = node.name if part is node else f"{node.name}/{part.name}"
            values = options.values_of(path)
            if values:
                nodes[part.name] = values
    return replace(options, nodes=nodes)


class _Carrier:
    """Records of nodes by their names, taken to where the nodes are now."""

    def __init__(self, graph: Graph, opened: Graph, records: Mapping[str, Answer]) -> None:
        self.graph = graph
        self.opened = opened
        self.known = records
        self.records: dict[str, Answer] = {}

    def carried(self) -> dict[str, Answer] | None:
        """Records by ``NODE`` and ``FUSION/NODE``; None when a node computes something new."""
        for node in self.graph.steps():
            body = node.body
            answer = self._single(node) if body is None else self._fusion(node, body)
            if answer is None:
                return None
            self.records[node.name] = answer
        self._place()
        return self.records

    def _single(self, node: Node) -> Answer | None:
        known = self._known(node)
        if known is not None and len(known.inputs) == len(node.inputs):
            return known
        if not (node.op.keeps_record or node.op.moves_only(self.graph.input_types(node))):
            return None
        arriving = tuple(self._made(ref) for ref in node.inputs)
        return Answer(arriving, (arriving[0],) * len(node.outputs))

    def _known(self, node: Node) -> Answer | None:
        """What a node of this name had, if it still is what it was."""
        before = self.opened.nodes.get(node.name)
        answer = self.known.get(node.name)
        if before is None or answer is None or _kind(before.op) != _kind(node.op):
            return None
        return answer

    def _made(self, ref: Ref) -> Record:
        return self.records[ref.node].outputs[ref.index]

    def _fusion(self, fusion: Node, body: Graph) -> Answer | None:
        for inner in body.steps():
            if inner.op.boundary:
                continue
            known = self._known(inner)
            if known is None:
                return None
            self.records[f"{fusion.name}/{inner.name}"] = known
        self._widen(fusion, body)
        if not self._settled(fusion, body):
            return None
        inputs = [self._entry(fusion, body, index) for index in range(len(fusion.inputs))]
        outputs = [
            self.records[f"{fusion.name}/{end.inputs[0].node}"].outputs[end.inputs[0].index]
            for end in body.outputs
        ]
        for node in body.inputs:
            number = node.op.port
            assert number is not None
            self.records[f"{fusion.name}/{node.name}"] = Answer((), (inputs[number],))
        for node, record in zip(body.outputs, outputs, strict=True):
            self.records[f"{fusion.name}/{node.name}"] = Answer((record,), (record,))
        return Answer(tuple(inputs), tuple(outputs))

    def _entry(self, fusion: Node, body: Graph, index: int) -> Record:
        """What the first inner node that reads an outer input wants of it."""
        entry = body.inputs[index]
        for reader, position in body.consumers(entry.name):
            return self.records[f"{fusion.name}/{reader.name}"].inputs[position]
        return self._made(fusion.inputs[index])

    def _widen(self, fusion: Node, body: Graph) -> None:
        """A filter leaves int32 to an activation whose kernel wants it, through pools between."""
        for node in body:
            if not node.op.needs_wide_input:
                continue
            path = f"{fusion.name}/{node.name}"
            answer = self.records[path]
            chain, maker = [], body[node.inputs[0].node]
            while maker.op.keeps_record and not maker.op.boundary:
                chain.append(maker)
                maker = body[maker.inputs[0].node]
            if not maker.op.makes_wide:
                continue
            wide = _wide(node.op, answer)
            self.records[path] = Answer((wide, *answer.inputs[1:]), answer.outputs)
            for pool in chain:
                self.records[f"{fusion.name}/{pool.name}"] = Answer((wide,), (wide,))
            result = f"{fusion.name}/{maker.name}"
            self.records[result] = Answer(self.records[result].inputs, (wide,))

    def _settled(self, fusion: Node, body: Graph) -> bool:
        """Whether inner nodes read the records that are made for them; there is no quantize node.

        What keeps its record takes that of its reader, so that it is converted before the fusion.
        """
        for node in reversed(body.steps()):
            answer = self.records.get(f"{fusion.name}/{node.name}")
            if answer is None:
                continue
            for index, ref in enumerate(node.inputs):
                maker = body[ref.node]
                path = f"{fusion.name}/{maker.name}"
                made, expected = self.records.get(path), answer.inputs[index]
                if made is None or made.outputs[ref.index].equals(expected):
                    continue
                if not maker.op.keeps_record or len(body.consumers(maker.name)) > 1:
                    return False
                self.records[path] = Answer((expected,) * len(made.inputs), (expected,))
        return True

    # -- where records meet that differ ----------------------------------------------------

    def _place(self) -> None:
        """``X_qin0`` before input 0 of X where what arrives is not what X has."""
        for node in list(self.graph):
            for index, ref in enumerate(node.inputs):
                if isinstance(self.graph[ref.node].op, Constant):
                    continue
                source, expected = self._made(ref), self.records[node.name].inputs[index]
                if not source.equals(expected):
                    added = insert_quantize(self.graph, node, index)
                    self.records[added.name] = Answer((source,), (expected,))


def _wide(op: Operator, answer: Answer) -> Record:
    """int32 over all that it can stand for; pinned unless the scale is the kernel's own."""
    params = op.wide_record(answer.outputs[0].params)
    low, high = (limit * params.scale.astype(np.float64) for limit in params.limits)
    full = replace(params, minimum=low, maximum=high, forced=False)
    return plain(full, *(() if params.forced else ALL_PINS))


def _kind(op: Operator) -> str:
    return op.inner.kind if isinstance(op, ChannelsLast) else op.kind
