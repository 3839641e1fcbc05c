"""What a tile computes: the layer's integers on a part of its output channels, rows and inputs.

The arithmetic is that of the operators (``nnshell.ops``); only borders, channels of a filter's
constants and partial sums over input channels are cut to the tile. ``tile_kernel`` gives None for
layers whose outputs are not local to a tile (transposes, resizes, softmax): they run as a whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from nnshell.chips.model.geometry import Geometry
from nnshell.ir.arithmetic import integers_of
from nnshell.ir.facts import POOLS
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.operator import IntArray
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.types import TensorType
from nnshell.ir.work import Window, Work
from nnshell.numeric.fixed_point import Multiplier
from nnshell.numeric.kernels.filters import FilterKernel
from nnshell.numeric.kernels.windows import pad_map, taps


@dataclass(frozen=True, slots=True)
class Part:
    """A tile: group, output channels, output rows and input channels, as half-open spans."""

    group: int
    out: tuple[int, int]
    rows: tuple[int, int]
    depth: tuple[int, int]


class TileKernel(Protocol):
    """Computes tiles of one layer; partial sums stay inside until the last input channels."""

    def run(
        self, part: Part, inputs: Sequence[IntArray], weights: IntArray | None, last: bool
    ) -> IntArray | None:
        """The finished tile (channels, rows, columns), or None before the last input channels."""
        ...


def tile_kernel(
    node: Node, types: Sequence[TensorType], work: Work, nest: Geometry
) -> TileKernel | None:
    """The kernel for a node of the graph, None when it cannot be cut."""
    chain = _chain(node)
    if not chain:
        return None
    first, *rest = chain
    if any(not _local(after) for after in rest):
        return None
    if first.op.role == "filter" and isinstance(_kernel(first), FilterKernel):
        return _FilterTile(first, tuple(rest), nest, work.kind == "depthwise")
    if first.op.role in POOLS:
        return _PoolTile(tuple(chain), nest)
    if first.op.role in ("global_max", "global_mean"):
        return _ChannelTile(tuple(chain), work.inputs[0])
    same = all(kind.size == node.type.size for kind in types) and len(types) == len(node.inputs)
    if first.op.local_to_tile and same:
        return _ElementTile(tuple(chain))
    return None


def _kernel(node: Node) -> object:
    return node.quantization.kernel if node.quantization is not None else None


def _chain(node: Node) -> list[Node]:
    """The computing nodes of a layer if each only feeds the next, in order; else nothing."""
    if node.body is None:
        return [node] if node.quantization is not None else []
    beside = ("input", "output", "constant")
    nodes = [inner for inner in node.body.steps() if inner.op.role not in beside]
    for before, after in itertools.pairwise(nodes):
        if [ref.node for ref in _fed(node.body, after)] != [before.name]:
            return []
    return nodes if all(inner.quantization is not None for inner in nodes) else []


def _fed(body: Graph, node: Node) -> list[Ref]:
    return [ref for ref in node.inputs if body[ref.node].op.role != "constant"]


def _local(node: Node) -> bool:
    """Whether a node after the filter can run on a tile."""
    return node.op.local_to_tile or node.op.role in POOLS


def _records(node: Node) -> NodeQuantization:
    assert node.quantization is not None
    return node.quantization


def _apply(node: Node, inputs: Sequence[IntArray]) -> IntArray:
    """One node on arrays (channels, rows, columns)."""
    (result,) = integers_of(node.op, _records(node), [array[np.newaxis] for array in inputs])
    return cast(IntArray, result[0])


def _pool(node: Node, nest_height: int, rows: tuple[int, int], array: IntArray) -> IntArray:
    """A pool on the rows that ``rows`` of its output need of a map of ``nest_height`` rows."""
    window = node.op.sliding_window()
    assert window is not None
    cut = node.op.with_window(cut_window(window, rows, nest_height))
    (result,) = integers_of(cut, _records(node), [array[np.newaxis]])
    return cast(IntArray, result[0])


def cut_window(window: Window, rows: tuple[int, int], height: int) -> Window:
    """The window with the padding that output rows ``rows`` see of a map of ``height`` rows."""
    extent = window.dilations[0] * (window.kernel[0] - 1) + 1
    top, left, _, right = window.pads
    start = rows[0] * window.strides[0] - top
    stop = (rows[1] - 1) * window.strides[0] - top + extent
    return replace(window, pads=(max(0, -start), left, max(0, stop - height), right))


@dataclass(slots=True)
class _FilterTile:
    """Convolutions and linear layers; the sums of products of a tile's input channels add up."""

    node: Node
    rest: tuple[Node, ...]
    nest: Geometry
    depthwise: bool
    sums: IntArray | None = None

    def run(
        self, part: Part, inputs: Sequence[IntArray], weights: IntArray | None, last: bool
    ) -> IntArray | None:
        assert weights is not None
        products = self._products(part, inputs[0], weights)
        self.sums = products if self.sums is None else self.sums + products
        if not last:
            return None
        result = self._finish(part, self.sums)
        self.sums = None
        for node in self.rest:
            if node.op.role in POOLS:
                result = _pool(node, self.nest.filter_height, part.rows, result)
            else:
                result = _apply(node, [result])
        return result

    def _products(self, part: Part, array: IntArray, weights: IntArray) -> IntArray:
        window = cut_window(
            self.nest.window, self.nest.filter_span(*part.rows), self.nest.input_height
        )
        padded = pad_map(array[np.newaxis], window, _records(self.node).input.zero_point)
        seen = np.stack([view[0] for _, _, view in taps(padded, window)], axis=1)
        flat = weights.reshape(*weights.shape[:2], -1)  # channels, input channels, taps
        if self.depthwise:
            return cast(IntArray, np.einsum("ct,ctij->cij", flat[:, 0], seen))
        channels, _, rows, columns = seen.shape
        data = seen.reshape(channels * seen.shape[1], rows * columns).astype(np.float64)
        sums = flat.reshape(len(flat), -1).astype(np.float64) @ data  # exact below 2**53
        return cast(IntArray, sums.astype(np.int64).reshape(-1, rows, columns))

    def _finish(self, part: Part, sums: IntArray) -> IntArray:
        records = _records(self.node)
        kernel: FilterKernel = records.kernel
        first = part.group * self.nest.out
        span = slice(first + part.out[0], first + part.out[1])
        scaling = _cut_scaling(kernel.scaling, span)
        cut = FilterKernel(kernel.weights[span], kernel.bias[span], scaling)
        return cast(IntArray, cut.finish(sums[np.newaxis], records.output)[0])


def _cut_scaling(scaling: Multiplier, span: slice) -> Multiplier:
    """The factors of some channels; one factor for all stays."""

    def cut(values: NDArray[Any]) -> NDArray[Any]:
        return values[span] if values.size > 1 else values

    return Multiplier(
        cut(scaling.scale),
        cut(scaling.multiplier),
        cut(scaling.shift),
        cut(scaling.available_bits),
    )


@dataclass(frozen=True, slots=True)
class _PoolTile:
    chain: tuple[Node, ...]
    nest: Geometry

    def run(
        self, part: Part, inputs: Sequence[IntArray], weights: IntArray | None, last: bool
    ) -> IntArray | None:
        result = _pool(self.chain[0], self.nest.input_height, part.rows, inputs[0])
        for node in self.chain[1:]:
            result = _apply(node, [result])
        return result


@dataclass(frozen=True, slots=True)
class _ChannelTile:
    """Global pools: whole channels."""

    chain: tuple[Node, ...]
    shape: tuple[int, int, int]

    def run(
        self, part: Part, inputs: Sequence[IntArray], weights: IntArray | None, last: bool
    ) -> IntArray | None:
        result = inputs[0].reshape(-1, *self.shape[1:])
        for node in self.chain:
            result = _apply(node, [result])
        return result.reshape(len(result), 1, 1)


@dataclass(frozen=True, slots=True)
class _ElementTile:
    chain: tuple[Node, ...]

    def run(
        self, part: Part, inputs: Sequence[IntArray], weights: IntArray | None, last: bool
    ) -> IntArray | None:
        result = _apply(self.chain[0], inputs)
        for node in self.chain[1:]:
            result = _apply(node, [result])
        return result
