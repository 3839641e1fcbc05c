"""A graph as a torch module: its float function, or with everything rounded as its records say.

Operators write themselves as ONNX nodes, which ``torch_ops`` computes; weights and biases of
filters are parameters. A quantized graph is rounded where the simulated engine rounds it, by a
quantizer for each filter's weights and for each group of tensors that share a record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nnshell.ir.facts import EVERYTHING
from nnshell.ir.flat import FlatGraph, Item, Tensor, flatten
from nnshell.ir.foreign import ForeignGraph, ForeignNode
from nnshell.ir.graph import Graph
from nnshell.ir.permutations import inverse
from nnshell.ir.qparams import FLOAT_BITS, QParams
from nnshell.ir.requests import ChosenFilter, Range
from nnshell.learning.places import rounded_group
from nnshell.learning.torch_ops import check_nodes, run_outputs, tensor_of
from nnshell.learning.training.activations import FixedActivations, activations_of
from nnshell.learning.training.rounding import QuantizedGradient
from nnshell.learning.training.weights import FloatWeights, RoundedWeights, weights_of
from nnshell.quantization import Learned
from nnshell.quantization.solving.groups import Group, Grouping, group_tensors
from nnshell.support.errors import GraphError

_ROUND = "=Round"  # a quantizer among the nodes (no operator of ONNX); input 1 is its number
_NOISY = "=QuantizedGradient"
_WEIGHTS, _BIAS = 1, 2  # inputs of a filter


@dataclass(frozen=True, slots=True, eq=False)
class _Filter:
    """A filter: its item, and the positions of its parameters and its quantizer."""

    item: Item
    weights: int
    bias: int | None
    quantizer: FloatWeights
    order: tuple[int, ...]  # what brings its weights to output channel first

    def first(self, weights: torch.Tensor) -> torch.Tensor:
        """Weights with their output channel first."""
        return weights.permute(self.order) if self.order else weights

    def back(self, weights: torch.Tensor) -> torch.Tensor:
        """Weights as the operator takes them."""
        return weights.permute(inverse(self.order)) if self.order else weights


class TrainedModel(torch.nn.Module):
    """``graph`` in torch; ``quantizer`` "none" is its float function, others need its records.

    Takes a tensor for each graph input, batch axis first, and gives one for each graph output.
    Raises GraphError for the first node that cannot be trained through.
    """

    def __init__(self, graph: Graph, quantizer: str = "none", gradient_bits: int = 0) -> None:
        super().__init__()
        if quantizer != "none":
            graph.require_quantized()
        self.quantizer, self._gradient_bits = quantizer, gradient_bits
        self.flat: FlatGraph = flatten(graph)
        self._grouping: Grouping | None = group_tensors(self.flat) if self._rounds else None
        self._build = ForeignGraph()
        self._names: dict[Tensor, str] = {}
        self._sources: dict[str, Tensor] = {}  # of parameters, by tensor name
        self._positions: dict[Tensor, int] = {}
        self._groups: list[Group] = []
        self._names_of_inputs: dict[str, str] = {}
        self.values = torch.nn.ParameterList()
        self.activations = torch.nn.ModuleList()
        self.rounding = torch.nn.ModuleList()
        self._filters: list[_Filter] = []
        for item in self.flat.items:
            self._add(item)
        self.inputs = [self._names_of_inputs[node.name] for node in graph.inputs]
        self.ends = [self.flat.resolve(node.inputs[0]) for node in graph.outputs]
        self.outputs = [self._names[tensor] for tensor in self.ends]
        for number, value in enumerate(self._build.constants.values()):
            self.register_buffer(f"constant_{number}", tensor_of(value), persistent=False)
        self._constant_names = list(self._build.constants)

    @property
    def _rounds(self) -> bool:
        return self.quantizer != "none"

    # -- writing it ------------------------------------------------------------------------

    def _add(self, item: Item) -> None:
        op = item.node.op
        if op.role == "constant":
            return
        if op.role == "input":
            self._add_input(item)
            return
        if op.role == "output":
            return
        inputs = self._filter_inputs(item) if op.role == "filter" else self._plain_inputs(item)
        begin = len(self._build.nodes)
        results = op.to_onnx(
            self._build, inputs, item.graph.input_types(item.node), item.node.outputs
        )
        self._check(item, self._build.nodes[begin:])
        for tensor, name in zip(item.outputs, results, strict=True):
            if op.role == "filter" and self._gradient_bits:
                name = self._build.node(_NOISY, [name])
            self._names[tensor] = self._rounded(item, tensor, name)

    def _check(self, item: Item, nodes: Sequence[ForeignNode]) -> None:
        """Raises GraphError that names the operator and the node."""
        try:
            check_nodes(nodes)
        except GraphError as error:
            raise GraphError(
                f"{item.node.kind} cannot be trained through: {error.message}",
                where=f"node {item.path}",
                hint="train before the command that put it there, or cut it off with remove",
            ) from error

    def _add_input(self, item: Item) -> None:
        name = self._build.fresh(item.path)
        self._names_of_inputs[item.path] = name
        self._names[item.outputs[0]] = self._rounded(item, item.outputs[0], name)

    def _plain_inputs(self, item: Item) -> list[str]:
        """Constants that are no weights, on their grids, and activations."""
        names = []
        for index, tensor in enumerate(item.inputs):
            value = self.flat.maker(tensor).node.op.known_value
            if value is not None:
                value = _on_grid(item, index, value) if self._rounds else value
            names.append(self._names[tensor] if value is None else self._build.constant(value))
        return names

    def _filter_inputs(self, item: Item) -> list[str]:
        known = [self.flat.maker(tensor).node.op.known_value for tensor in item.inputs[1:]]
        constants = [value for value in known if value is not None]
        if len(constants) < _BIAS:
            raise GraphError(
                f"{item.node.op.kind} has no constant weights to train", where=f"node {item.path}"
            )
        order = item.node.op.weights_order
        given, offsets = constants[:_BIAS]
        first = given.transpose(order) if order else given
        quantizer = weights_of(self.quantizer, self._record(item), first)
        self.rounding.append(quantizer)
        start = quantizer.start(tensor_of(first).float())
        back = start.permute(inverse(order)) if order else start
        weights = self._parameter(item.inputs[_WEIGHTS], back.contiguous())
        bias = self._parameter(item.inputs[_BIAS], tensor_of(offsets).float())
        self._filters.append(_Filter(item, weights, bias, quantizer, tuple(order)))
        number = len(self._filters) - 1
        data = self._names[item.inputs[0]]
        return [data, self._build.fresh(f"weights {number}"), self._build.fresh(f"bias {number}")]

    def _record(self, item: Item) -> QParams | None:
        quantization = item.node.quantization
        return quantization.inputs[_WEIGHTS] if self._rounds and quantization else None

    def _parameter(self, tensor: Tensor, value: torch.Tensor) -> int:
        """Position of a constant that is trained; one that several filters read is one."""
        if tensor not in self._positions:
            self._positions[tensor] = len(self.values)
            self.values.append(torch.nn.Parameter(value.clone()))
        return self._positions[tensor]

    def _rounded(self, item: Item, tensor: Tensor, name: str) -> str:
        if self._grouping is None:
            return name
        group = rounded_group(self.flat, self._grouping, item, tensor)
        if group is None:
            return name
        if group not in self._groups:
            quantization = item.node.quantization
            assert quantization is not None
            free = group.free and item.node.op.role != "input"
            record = quantization.outputs[tensor.index]
            self._groups.append(group)
            self.activations.append(
                activations_of(self.quantizer, record, free, _surroundings(group))
            )
        return self._build.node(_ROUND, [name, str(self._groups.index(group))])

    # -- running it ------------------------------------------------------------------------

    def forward(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        """Values of the graph outputs."""
        return self.run(inputs, self.outputs)

    def run(self, inputs: Sequence[torch.Tensor], names: Sequence[str]) -> list[torch.Tensor]:
        """Tensors of the written graph by name."""
        results: dict[str, torch.Tensor] = {
            name: getattr(self, f"constant_{number}")
            for number, name in enumerate(self._constant_names)
        }
        results.update(zip(self.inputs, inputs, strict=True))
        for number, entry in enumerate(self._filters):
            values = entry.quantizer(entry.first(self.values[entry.weights]))
            results[f"weights {number}"] = entry.back(values)
            if entry.bias is not None:
                results[f"bias {number}"] = self.values[entry.bias]
        for node in self._build.nodes:
            results.update(zip(node.outputs, self._run(node, results), strict=True))
        return [results[name] for name in names]

    def _run(
        self, node: ForeignNode, results: Mapping[str, torch.Tensor]
    ) -> tuple[torch.Tensor, ...]:
        if node.op == _ROUND:
            return (self.activations[int(node.inputs[1])](results[node.inputs[0]]),)
        if node.op == _NOISY:
            noisy: torch.Tensor = QuantizedGradient.apply(
                results[node.inputs[0]], self._gradient_bits
            )
            return (noisy,)
        empty = next(iter(results.values())).new_empty(0)
        return run_outputs(node, [results[n] if n else empty for n in node.inputs])

    def biases(self) -> set[torch.nn.Parameter]:
        """Parameters that are biases."""
        return {self.values[entry.bias] for entry in self._filters if entry.bias is not None}

    def before_softmax(self) -> list[str]:
        """For each output the tensor that a softmax makes it of, or itself."""
        names = []
        for tensor in self.ends:
            maker = self.flat.maker(tensor)
            named = self._names[maker.inputs[0]] if maker.node.op.role == "softmax" else None
            names.append(named or self._names[tensor])
        return names

    # -- what was learned ------------------------------------------------------------------

    def trained(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Float weights and biases by the path of their constant."""
        with torch.no_grad():
            for tensor, position in self._positions.items():
                value = self.values[position]
                for entry in self._filters:
                    if entry.weights == position:
                        value = entry.back(entry.quantizer.real(entry.first(value)))
                        break
                yield tensor.path, value.detach().cpu().numpy().astype(np.float32)

    def learned(self) -> Learned:
        """Integers, steps, biases and ranges, for the quantizer of graphs."""
        filters = {entry.item.path: self._chosen(entry) for entry in self._filters}
        return Learned(
            {path: chosen for path, chosen in filters.items() if chosen is not None},
            self.ranges(),
        )

    def _chosen(self, entry: _Filter) -> ChosenFilter | None:
        quantizer = entry.quantizer
        if not isinstance(quantizer, RoundedWeights):
            return None
        with torch.no_grad():
            values = entry.first(self.values[entry.weights])
            step = quantizer.step(values)
            assert step is not None
            return ChosenFilter(
                quantizer.bits,
                step.reshape(-1).cpu().numpy().astype(np.float32),
                quantizer.integers(values).cpu().numpy().astype(np.int8),
                None if entry.bias is None else self.values[entry.bias].detach().cpu().numpy(),
            )

    def ranges(self) -> dict[str, Range]:
        """Ranges that training chose, by the nodes that statistics know."""
        return {
            candidate.source.path: quantizer.range()
            for group, quantizer in self.grouped()
            if quantizer.learns
            for candidate in group.candidates
        }

    def grouped(self) -> list[tuple[Group, FixedActivations]]:
        """Each group of tensors that are rounded, and what rounds them."""
        return list(zip(self._groups, self.activations, strict=True))


def _surroundings(group: Group) -> Range:
    """What no tensor of a group leaves: the ranges of the rectifiers that all its makers have."""
    known = [candidate.source.node.op.clips_to for candidate in group.candidates]
    ends = [entry for entry in known if entry is not None]
    if len(ends) < len(known) or not ends:
        return EVERYTHING
    return Range(min(e.minimum for e in ends), max(e.maximum for e in ends))


def _on_grid(item: Item, index: int, value: NDArray[Any]) -> NDArray[Any]:
    """A constant that is no weight as its integers mean it, or as it is."""
    quantization = item.node.quantization
    if quantization is None or not quantization.constants:
        return value
    integers = quantization.constants[index]
    if integers is None or quantization.inputs[index].bits == FLOAT_BITS:
        return value
    return quantization.inputs[index].dequantize(integers)
