"""Quantizing a graph: solve for the records, then let every operator make its integers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from nnshell.ir.arithmetic import arithmetic_of
from nnshell.ir.flat import Item, Tensor, flatten
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.records import Answer, Record
from nnshell.ir.requests import POW2, SQ8, ChosenFilter, QuantizeRequest
from nnshell.numeric.records import NOTABLE_LOSS, loss, symmetric_record
from nnshell.ops.families.recurrent import STATE_RANGE
from nnshell.passes.memory import placed_by, renew_copies
from nnshell.passes.rewriting import bypass
from nnshell.quantization.learned import Learned
from nnshell.quantization.options import QuantizationOptions
from nnshell.quantization.ranges.statistics import Statistics
from nnshell.quantization.solving.placing import PLACED
from nnshell.quantization.solving.solution import Solution, solve

_LOG = logging.getLogger(__name__)

_MUCH_COARSER = 3.0  # times the state's own scale


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
    renew_copies(twin)
    solution = solve(twin, statistics, options, learned)
    fill_records(twin, solution.records, options, learned)
    warn_of_states(solution)
    warn_of_faults(twin)
    graph.nodes = twin.nodes


def warn_of_states(solution: Solution) -> None:
    """Say which recurrent layers keep their state in a scale that a reader of the output wants."""
    for item in solution.surroundings.flat.items:
        entry = solution.surroundings.entry(item)
        if item.node.op.sequence_axis is None or item.node.quantization is None or entry is None:
            continue
        seen, record = entry.inside.get(STATE_RANGE), item.node.quantization.output
        if seen is None:
            continue
        own = symmetric_record(seen)
        cut = loss(record, seen)
        if cut > NOTABLE_LOSS or record.first_scale > _MUCH_COARSER * own.first_scale:
            _LOG.warning(
                "%s: its state is kept in the scale of what reads its output, %.3g, where its own "
                "would be %.3g: %.0f%% of its range is cut off; put another layer between them",
                item.path,
                record.first_scale,
                own.first_scale,
                100 * cut,
            )


def warn_of_faults(graph: Graph) -> None:
    """Say where integers do what the model does not mean."""
    for item in flatten(graph).items:
        quantization = item.node.quantization
        if quantization is None or item.node.op.boundary:
            continue
        meaning = arithmetic_of(item.node.op, quantization.scheme)
        caution = meaning.caution(quantization, item.graph.input_types(item.node))
        if caution:
            _LOG.warning("%s: %s", item.path, caution)


def fill_records(
    graph: Graph,
    records: Mapping[str, Answer],
    options: QuantizationOptions,
    learned: Learned | None = None,
    stored: Mapping[str, QParams] | None = None,
) -> None:
    """Give every node its record, by ``NODE`` and ``FUSION/NODE``, and kernels their integers.

    ``stored`` are records of constants in a model file: one whose scales are those that the kernel
    needs stays the constant's own.
    """
    _Filler(graph, records, options, learned, stored or {}).fill()


def remove_quantization(graph: Graph) -> None:
    """Make the graph a float graph again: no records, no quantize nodes, no copies beside them."""
    graph.clear_quantization()
    for node in [node for node in graph if node.op.made_by_quantizer or placed_by(node, PLACED)]:
        bypass(graph, node)


class _Filler:
    """Writes a solution into the nodes."""

    def __init__(
        self,
        graph: Graph,
        records: Mapping[str, Answer],
        options: QuantizationOptions,
        learned: Learned | None,
        stored: Mapping[str, QParams],
    ) -> None:
        self.stored = stored
        self.graph = graph
        self.flat = flatten(graph)
        self.records = records
        self.options = options
        self.learned = learned
        self.constants: dict[Tensor, tuple[QParams, NDArray[Any] | None]] = {}

    def fill(self) -> None:
        """Give every node its records and integers, constants after their readers."""
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
        answer = self.records[item.path]
        scheme = self._scheme(item, answer)
        meaning = arithmetic_of(op, scheme)
        inputs = tuple(
            None if values[i] is not None and i in meaning.parameters else final(record)
            for i, record in enumerate(answer.inputs)
        )
        request = QuantizeRequest(
            item.path,
            inputs,
            tuple(final(record) for record in answer.outputs),
            item.graph.input_types(item.node),
            item.node.outputs,
            values,
            self.options.for_node(item.path).kernel,
            self._chosen(item),
        )
        quantization = replace(meaning.quantize(request), scheme=scheme)
        item.node.quantization = quantization
        for index, tensor in enumerate(item.inputs):
            if values[index] is not None:
                integers = quantization.constants[index] if quantization.constants else None
                record = self._kept(tensor, quantization.inputs[index])
                self.constants.setdefault(tensor, (record, integers))

    def _scheme(self, item: Item, answer: Answer) -> str:
        """The one that was chosen; what the solver puts in goes by the records around it."""
        op = item.node.op
        if not (op.made_by_quantizer or op.copies or op.boundary):
            return self.options.for_node(item.path).scheme
        records = (*answer.inputs, *answer.outputs)
        return POW2 if all(record.params.fixed_point for record in records) else SQ8

    def _kept(self, tensor: Tensor, record: QParams) -> QParams:
        """The file's record of a constant, where it says the same as the kernel's."""
        stored = self.stored.get(tensor.path)
        if stored is None or not Record(stored).equals(Record(record)):
            return record
        return stored

    def _chosen(self, item: Item) -> ChosenFilter | None:
        bits = self.options.for_node(item.path).weight_bits
        return None if self.learned is None else self.learned.filter_of(item.path, bits)

    def _constant(self, tensor: Tensor) -> NDArray[Any] | None:
        return self.flat.maker(tensor).node.op.known_value

    def _fill_constant(self, item: Item) -> None:
        record, integers = self.constants.get(item.outputs[0], (None, None))
        if record is None:
            record = final(self.records[item.path].outputs[0])
        if integers is None:
            value = self._constant(item.outputs[0])
            assert value is not None
            integers = record.stored(value)
        kernel, scheme = QuantizedConstant(integers), _scheme_of(record)
        item.node.quantization = NodeQuantization((), (record,), kernel, scheme)

    def _fill_fusion(self, fusion: Node, body: Graph) -> None:
        answer = self.records[fusion.name]
        inputs = tuple(
            self._edge_record(ref, record)
            for ref, record in zip(fusion.inputs, answer.inputs, strict=True)
        )
        for node in body:
            if node.op.role == "input" and node.op.port is not None:
                record = inputs[node.op.port]
                node.quantization = NodeQuantization((), (record,), scheme=_scheme_of(record))
            elif node.op.role == "output" and node.op.port is not None:
                record = final(answer.outputs[node.op.port])
                node.quantization = NodeQuantization(
                    (record,), (record,), scheme=_scheme_of(record)
                )
        outputs = tuple(final(record) for record in answer.outputs)
        scheme = self.options.for_node(fusion.name).scheme
        fusion.quantization = NodeQuantization(inputs, outputs, scheme=scheme)

    def _edge_record(self, ref: Ref, record: Record) -> QParams:
        """Of a constant, the one that its integers were made with."""
        known = self.constants.get(self.flat.resolve(ref))
        return known[0] if known is not None else final(record)


def _scheme_of(record: QParams) -> str:
    return POW2 if record.fixed_point else SQ8


def final(record: Record) -> QParams:
    """A record once nothing about it changes any more."""
    return replace(record.params, forced=bool(record.pins))
