"""Operators that compute nothing, or keep their record: their integers are those of any scheme."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnshell.ir.arithmetic import arithmetic
from nnshell.ir.basic_operators import Reshape
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import IntArray, Operator, Types
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import RecordRule
from nnshell.ir.requests import POW2
from nnshell.lowering.moves import lower_pick
from nnshell.lowering.products import lower_weighted
from nnshell.lowering.requantize import settled
from nnshell.numeric.fixed_point import saturate
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.concat import Concat
from nnshell.ops.copy import Copy
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.pad import Pad
from nnshell.ops.pow2.base import FixedPoint
from nnshell.ops.pow2.rules import decide_join, decide_moves, rule
from nnshell.ops.resize import BilinearResizer, NearestNeighborResizer, Resizer
from nnshell.ops.split import Split
from nnshell.ops.strided_slice import StridedSlice
from nnshell.ops.transpose import Transpose

POSITION_BITS = 16  # of a fraction of a row or column
WEIGHT_BITS = 7


@arithmetic(POW2, Reshape, Transpose, Copy, Split, StridedSlice, Pad, MaxPool, AveragePool)
class Moved(FixedPoint[Operator]):
    """Output integers mean what input integers mean."""

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return rule(decide_moves)

    def integer_multi(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray]
    ) -> tuple[IntArray, ...]:
        return self.op.integer_multi(quantization, inputs)

    integer_on_chip = integer_multi

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        settled_inputs = [settled(build, x) for x in inputs]
        return self.op.lower(quantization, build, settled_inputs, outputs)


@arithmetic(POW2, Concat)
class Joined(Moved):
    """Tensors one after the other, all in one record."""

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        """The record with the most integer bits, asked of all parts."""
        return rule(decide_join)


# -- resizers: the kernels' own steps through the input, whatever coordinates the model has ------


def _other_positions(op: Resizer, kernel: str) -> str:
    return (
        f"its POW2 kernel reads at p {kernel}, the model at '{op.coordinates}' positions: results "
        "are those of the chip, and differ from the model's"
    )


@arithmetic(POW2, NearestNeighborResizer)
class FixedNearest(FixedPoint[NearestNeighborResizer]):
    """Element (step * i + 1/2) of each axis, step = (extent - 1) / (size - 1) rounded down."""

    def caution(self, quantization: NodeQuantization, inputs: Types) -> str:
        """Unless each index is the model's."""
        expected = self.op.indices(inputs[0].shape)
        own = self._indices(inputs[0].shape[1:])
        same = all(np.array_equal(one, other) for one, other in zip(own, expected, strict=True))
        return "" if same else _other_positions(self.op, "(n_in - 1) / (n_out - 1)")

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return rule(decide_moves)

    def _indices(self, shape: Sequence[int]) -> list[IntArray]:
        half = 1 << (POSITION_BITS - 1)
        return [
            (((extent - 1) << POSITION_BITS) // max(size - 1, 1) * np.arange(size) + half)
            >> POSITION_BITS
            for extent, size in zip(shape, self.op.size, strict=True)
        ]

    def compute(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray], wraps: bool
    ) -> IntArray:
        rows, columns = self._indices(inputs[0].shape[2:])
        picked: IntArray = inputs[0][:, :, rows][:, :, :, columns]
        return picked

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        x = settled(build, inputs[0])
        rows, columns = self._indices(x.shape[1:])
        return (lower_pick(build, lower_pick(build, x, rows, 2), columns, 3),)


@arithmetic(POW2, BilinearResizer)
class FixedBilinear(FixedPoint[BilinearResizer]):
    """Four neighbours weighted in Q7, rounded down; step = (extent - 1) / size rounded down."""

    def caution(self, quantization: NodeQuantization, inputs: Types) -> str:
        """No positions of a model are these."""
        return _other_positions(self.op, "(n_in - 1) / n_out")

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return rule(decide_moves)

    def _weights(self, extent: int, size: int) -> IntArray:
        """(size, extent): the weights in Q7 of each result along one axis."""
        position = ((extent - 1) << POSITION_BITS) // size * np.arange(size)
        before = position >> POSITION_BITS
        share = (position >> (POSITION_BITS - WEIGHT_BITS)) & ((1 << WEIGHT_BITS) - 1)
        matrix = np.zeros((size, extent), np.int64)
        np.add.at(matrix, (np.arange(size), before), (1 << WEIGHT_BITS) - share)
        np.add.at(matrix, (np.arange(size), np.minimum(before + 1, extent - 1)), share)
        return matrix

    def compute(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray], wraps: bool
    ) -> IntArray:
        _, _, height, width = inputs[0].shape
        rows, columns = (
            self._weights(height, self.op.size[0]),
            self._weights(width, self.op.size[1]),
        )
        mean = (rows @ inputs[0] @ columns.T) >> (2 * WEIGHT_BITS)
        return saturate(mean, quantization.output.limits)

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        x = settled(build, inputs[0])
        _, height, width = x.shape
        x = lower_weighted(build, x, self._weights(height, self.op.size[0]), 2)
        x = build.widened(lower_weighted(build, x, self._weights(width, self.op.size[1]), 3))
        factor = np.array(np.ldexp(1.0, -2 * WEIGHT_BITS))
        name = build.floor_of(x, factor, np.array(0.0))
        low, high = x.low >> (2 * WEIGHT_BITS), x.high >> (2 * WEIGHT_BITS)
        return (build.narrowed(IntegerTensor(name, x.shape, low, high, True)),)
