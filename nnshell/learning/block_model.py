"""One block of a quantized graph in torch: rounded as the kernels round, with free parameters.

Each tensor that is rounded has a step, each filter a rounding, a step and a bias. Rounding lets
gradients through unchanged (straight-through), which makes steps learnable as well (S. Esser et
al., "Learned step size quantization", 2020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nnshell.ir.flat import FlatGraph, Item, Tensor
from nnshell.ir.foreign import ForeignGraph, ForeignNode
from nnshell.ir.qparams import FLOAT_BITS, NodeQuantization, QParams
from nnshell.ir.requests import ChosenFilter, Range
from nnshell.learning.blocks import Block, is_filter
from nnshell.learning.places import rounded_group
from nnshell.learning.rows import filter_constants
from nnshell.learning.torch_ops import check_nodes, run_node, tensor_of
from nnshell.quantization import Learned
from nnshell.quantization.solving.groups import Group, Grouping

_ROUND = "=Round"  # a quantizer among the nodes (no operator of ONNX); input 1 names the group
_WEIGHTS, _BIAS = 1, 2  # inputs of a filter


def rounded(values: torch.Tensor) -> torch.Tensor:
    """Halves up, as kernels round; the gradient passes as if nothing happened."""
    result: torch.Tensor = values + (torch.floor(values + 0.5) - values).detach()
    return result


class _Round(torch.autograd.Function):
    """Values to integers and back; gradients of values and step as of learned step size."""

    @staticmethod
    def forward(
        ctx: Any,
        values: torch.Tensor,
        step: torch.Tensor,
        limits: tuple[int, int],
        kept: torch.Tensor | None,
    ) -> torch.Tensor:
        """``limits`` count from the zero point; where ``kept`` is set values stay unrounded."""
        scaled = values / step
        integers = torch.floor(scaled + 0.5).clamp_(*limits)
        inside = (scaled >= limits[0]) & (scaled <= limits[1])
        if kept is not None:
            inside |= kept
            integers = torch.where(kept, scaled, integers)
        ctx.save_for_backward(inside, integers - scaled.mul_(inside))
        return integers * step

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inside, change = ctx.saved_tensors
        return gradients[0] * inside, (gradients[0] * change).sum(), None, None


class Quantizer(torch.nn.Module):
    """The record of a group of tensors, with a step that can be learned."""

    def __init__(self, record: QParams, learnable: bool) -> None:
        super().__init__()
        self.record = record
        self.change = torch.nn.Parameter(torch.zeros(()), requires_grad=learnable)

    def step(self) -> torch.Tensor:
        return self.record.first_scale * torch.exp(self.change)

    def forward(self, values: torch.Tensor, drop: float = 0.0) -> torch.Tensor:
        """Rounded values; each stays as it is with probability ``drop``."""
        zero = self.record.zero_point
        low, high = self.record.limits
        kept = None
        if drop:
            kept = torch.empty(values.shape, dtype=torch.uint8).random_() < round(256 * drop)
        limits = (low - zero, high - zero)
        result: torch.Tensor = _Round.apply(values, self.step(), limits, kept)
        return result

    def range(self) -> Range:
        """The real numbers of the smallest and the largest integer: gives just this record."""
        step, zero = float(self.step().detach()), self.record.zero_point
        low, high = self.record.limits
        return Range((low - zero) * step, (high - zero) * step)


class LearnedWeights(torch.nn.Module):
    """Weights, steps and bias of a filter."""

    def __init__(self, made: NodeQuantization, weights: NDArray[Any], bias: NDArray[Any]) -> None:
        super().__init__()
        record = made.inputs[_WEIGHTS]
        self.bits, self.limits = record.bits, record.limits
        self.integral = self.bits != FLOAT_BITS
        scale = tensor_of(record.scale.astype(np.float32))
        self.scale = scale.reshape(-1, *(1 for _ in weights.shape[1:]))
        units = tensor_of(weights) / self.scale  # of the first step
        if self.integral:  # begin at the integers as they are, which may not be the nearest
            integers = tensor_of(made.kernel.weights.astype(np.float32))
            nearest = torch.clamp(torch.floor(units + 0.5), *self.limits)
            units = torch.where(nearest == integers, units, integers)
        self.units = torch.nn.Parameter(units)
        self.change = torch.nn.Parameter(torch.zeros_like(self.scale))
        self.bias = torch.nn.Parameter(tensor_of(bias))
        if not self.integral:  # what stays float stays as it is
            self.requires_grad_(False)

    def step(self) -> torch.Tensor:
        return self.scale * torch.exp(self.change)

    def integers(self) -> torch.Tensor:
        low, high = self.limits
        return torch.clamp(rounded(self.units * torch.exp(-self.change)), low, high)

    def forward(self) -> torch.Tensor:
        return self.integers() * self.step() if self.integral else self.units * self.scale

    def chosen(self) -> ChosenFilter:
        with torch.no_grad():
            scale = self.step().reshape(-1).numpy().astype(np.float32)
            integers = self.integers().numpy().astype(np.int8)
            return ChosenFilter(self.bits, scale, integers, self.bias.numpy().copy())


class BlockModel(torch.nn.Module):
    """Runs a block in training: ``drop`` is the share of values that stay unrounded (QDrop)."""

    def __init__(self, flat: FlatGraph, grouping: Grouping, block: Block, learned: Learned) -> None:
        super().__init__()
        self._flat, self._grouping, self._learned = flat, grouping, learned
        self.block = block
        self._build = ForeignGraph()
        self._names = {tensor: f"{tensor.path}[{tensor.index}]" for tensor in block.inputs}
        self.filters: dict[str, LearnedWeights] = {}
        self.quantizers: dict[str, Quantizer] = {}
        self._groups: dict[str, Group] = {}
        for item in block.items:
            self._add(item)
        check_nodes(self._build.nodes, (_ROUND,))
        self._constants = {k: tensor_of(v) for k, v in self._build.constants.items()}
        self.parts = torch.nn.ModuleList([*self.filters.values(), *self.quantizers.values()])

    # -- writing the block ---------------------------------------------------------------------

    def _add(self, item: Item) -> None:
        inputs = [self._input(item, index, tensor) for index, tensor in enumerate(item.inputs)]
        types = item.graph.input_types(item.node)
        result = item.node.op.to_onnx(self._build, inputs, types, item.node.outputs)
        for tensor, name in zip(item.outputs, result, strict=True):
            self._names[tensor] = self._rounding(item, tensor, name)

    def _input(self, item: Item, index: int, tensor: Tensor) -> str:
        value = self._flat.maker(tensor).node.op.known_value
        if value is None:
            return self._names[tensor]
        if not is_filter(item) or index not in (_WEIGHTS, _BIAS):
            return self._build.constant(_rounded_constant(item, index, value))
        if item.path not in self.filters:
            self.filters[item.path] = self._weights(item)
        return f"{item.path}#{index}"

    def _weights(self, item: Item) -> LearnedWeights:
        quantization = item.node.quantization
        assert quantization is not None
        weights, bias = filter_constants(self._flat, item)
        bits = quantization.inputs[_WEIGHTS].bits
        chosen = self._learned.filter_of(item.path, bits)
        corrected = bias if chosen is None or chosen.bias is None else chosen.bias
        return LearnedWeights(quantization, weights, corrected)

    def _rounding(self, item: Item, tensor: Tensor, name: str) -> str:
        """The tensor after its quantizer, unless it needs none."""
        quantization = item.node.quantization
        assert quantization is not None
        group = rounded_group(self._flat, self._grouping, item, tensor)
        if group is None:
            return name
        key = str(id(group))
        if key not in self.quantizers:
            record = quantization.outputs[tensor.index]
            self.quantizers[key] = Quantizer(record, self._learnable(group))
            self._groups[key] = group
        return self._build.node(_ROUND, [name, key])

    def _learnable(self, group: Group) -> bool:
        """Whether the range is ours to choose: all who make it are in the block, at few bits."""
        own = {item.path for item in self.block.items}
        return group.free and all(candidate.maker.path in own for candidate in group.candidates)

    # -- running it ----------------------------------------------------------------------------

    def forward(self, inputs: Sequence[torch.Tensor], drop: float = 0.0) -> torch.Tensor:
        """What the block ends with."""
        return self.run(inputs, [self.block.output], drop)[0]

    def run(
        self, inputs: Sequence[torch.Tensor], wanted: Sequence[Tensor], drop: float = 0.0
    ) -> list[torch.Tensor]:
        """Tensors of the block; the last of all is rounded whatever ``drop`` says."""
        results: dict[str, torch.Tensor] = dict(self._constants)
        for tensor, values in zip(self.block.inputs, inputs, strict=True):
            results[f"{tensor.path}[{tensor.index}]"] = values
        for path, weights in self.filters.items():
            results[f"{path}#{_WEIGHTS}"], results[f"{path}#{_BIAS}"] = weights(), weights.bias
        end = self._names[self.block.output]
        for node in self._build.nodes:
            results[node.outputs[0]] = self._run(
                node, results, 0.0 if node.outputs[0] == end else drop
            )
        return [results[self._names[tensor]] for tensor in wanted]

    def _run(
        self, node: ForeignNode, results: Mapping[str, torch.Tensor], drop: float
    ) -> torch.Tensor:
        if node.op != _ROUND:
            return run_node(node, [results[name] for name in node.inputs])
        result: torch.Tensor = self.quantizers[node.inputs[1]](results[node.inputs[0]], drop)
        return result

    # -- what was learned ----------------------------------------------------------------------

    def ranges(self) -> dict[str, Range]:
        """Ranges of the learned steps, by the nodes that statistics know."""
        return {
            candidate.source.path: quantizer.range()
            for key, quantizer in self.quantizers.items()
            if quantizer.change.requires_grad
            for candidate in self._groups[key].candidates
        }


def _rounded_constant(item: Item, index: int, value: NDArray[Any]) -> NDArray[Any]:
    quantization = item.node.quantization
    assert quantization is not None
    integers = quantization.constants[index] if quantization.constants else None
    if integers is None or quantization.inputs[index].bits == FLOAT_BITS:
        return value
    return quantization.inputs[index].dequantize(integers)
