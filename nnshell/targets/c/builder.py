"""A network under construction: values for the graph's tensors, calls for its nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.flat import Item
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.types import TensorType
from nnshell.support.errors import GraphError
from nnshell.targets.c.program import (
    AXES,
    Buffer,
    Call,
    Loops,
    Place,
    Value,
    memory_order,
)

LARGEST_BYTES = (1 << 31) - 1  # the kernels count in 32 bits


@dataclass(slots=True, eq=False)
class Builder:
    """Collects calls. ``layer`` is the path of the node in work, ``chip`` whose integers count."""

    chip: bool = False
    layer: str = ""
    calls: list[Call] = field(default_factory=list)
    constants: list[NDArray[Any]] = field(default_factory=list)
    _count: int = 0

    # -- values ----------------------------------------------------------------------------

    def new(self, shape: Sequence[int], order: Sequence[int], dtype: str) -> Value:
        """An uninitialised value in the arena."""
        size = int(np.prod(shape, dtype=object)) * int(np.dtype(dtype).itemsize)
        self._check_size(size)
        self._count += 1
        buffer = Buffer("arena", self._count - 1, size)
        return Value(buffer, tuple(shape), tuple(order), dtype)

    def result(self, type: TensorType, dtype: str) -> Value:
        """Room for a node's output, in the order that its type has in memory."""
        return self.new(type.shape, memory_order(type), dtype)

    def outside(self, place: Place, index: int, shape: Sequence[int], dtype: str) -> Value:
        """An input or output of the network, in the order of its axes."""
        size = int(np.prod(shape, dtype=object)) * int(np.dtype(dtype).itemsize)
        self._check_size(size)
        return Value(Buffer(place, index, size), tuple(shape), tuple(range(len(shape))), dtype)

    def constant(self, value: NDArray[Any], like: Value | None = None) -> Value:
        """A constant operand, its axes in the order of ``like``'s."""
        order = tuple(range(value.ndim))
        if like is not None and len(like.shape) >= value.ndim:
            missing = len(like.shape) - value.ndim
            order = tuple(axis - missing for axis in like.order if axis >= missing)
        stored = np.ascontiguousarray(value.transpose(order))
        self.constants.append(stored)
        buffer = Buffer("constant", len(self.constants) - 1, stored.nbytes)
        return Value(buffer, value.shape, order, str(value.dtype))

    def ordered(self, value: Value, order: Sequence[int]) -> Value:
        """The value with its axes in ``order``: itself, or a copy."""
        if value.lies_as(order):
            return replace(value, order=tuple(order))
        copy = self.new(value.shape, order, value.dtype)
        self.move(value, copy)
        return copy

    def pixels(self, value: Value) -> Value:
        """A feature map with its channels innermost."""
        return self.ordered(value, (1, 2, 0))

    def plain(self, value: Value) -> Value:
        """A value whose elements lie as its shape says."""
        return self.ordered(value, range(len(value.shape)))

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > LARGEST_BYTES:
            raise GraphError(
                f"a tensor of {size_bytes:,} bytes is too large for C kernels",
                where=f"node {self.layer}" if self.layer else "",
                hint="they count in 32 bits; make the model's input smaller",
            )

    # -- calls -----------------------------------------------------------------------------

    def call(
        self,
        kernel: str,
        fields: dict[str, Any],
        inputs: Sequence[Value],
        output: Value,
        in_place: Sequence[int] = (),
    ) -> Value:
        call = Call(kernel, fields, tuple(inputs), output, self.layer, tuple(in_place))
        if output.size:
            self.calls.append(call)
        return output

    def move(
        self,
        source: Value,
        target: Value,
        *,
        extents: Sequence[int] | None = None,
        source_start: int = 0,
        target_start: int = 0,
        source_steps: Sequence[int] | None = None,
        target_steps: Sequence[int] | None = None,
    ) -> None:
        """Copy elements: the whole of both values, or ``extents`` from and to a start.

        Steps are by logical axis, in elements.
        """
        counts = tuple(source.shape if extents is None else extents)
        a = tuple(source.steps if source_steps is None else source_steps)
        b = tuple(target.steps if target_steps is None else target_steps)
        axes = target.order
        loops = self.loops([counts[i] for i in axes], [[s[i] for i in axes] for s in (a, b)])
        fields = {
            "element_bytes": source.element_bytes,
            "from_start": source_start,
            "to_start": target_start,
            "extents": loops.extents,
            "from": loops.steps[0],
            "to": loops.steps[1],
        }
        self.call("move", fields, [source], target)

    def loops(self, extents: Sequence[int], steps: Sequence[Sequence[int]]) -> Loops:
        """An iteration space with as many axes as the kernels have."""
        loops = Loops(tuple(extents), tuple(tuple(s) for s in steps)).joined()
        self._check_axes(len(loops.extents))
        return loops.padded()

    def _check_axes(self, axes: int) -> None:
        if axes > AXES:
            raise GraphError(
                f"its data has {axes} axes, and C kernels at most {AXES}",
                where=f"node {self.layer}",
            )

    def stack(self, extents: Sequence[int], steps: Sequence[Sequence[int]]) -> Loops:
        """The same for kernels that do all the work of the last axis themselves: it has one."""
        loops = self.loops(extents, steps)
        self._check_axes(AXES + int(loops.extents[0] != 1))
        return Loops((*loops.extents[1:], 1), tuple((*s[1:], 0) for s in loops.steps))

    def broadcast(self, operands: Sequence[Value], output: Value) -> Loops:
        """Loops over ``output`` in memory order; operands are aligned at their last axis."""
        rank = len(output.shape)
        steps = []
        for operand in operands:
            aligned = (0,) * (rank - len(operand.shape)) + operand.steps
            steps.append([aligned[axis] for axis in output.order])
        return self.loops([output.shape[axis] for axis in output.order], steps)


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A node to be written in C: its quantization, its inputs, its types."""

    item: Item
    quantization: NodeQuantization
    inputs: tuple[Value, ...]  # of a filter's parameters: an empty constant

    @property
    def op(self) -> Any:
        return self.item.node.op

    @property
    def kernel(self) -> Any:
        """The integers of the node's kernel."""
        return self.quantization.kernel

    @property
    def types(self) -> tuple[TensorType, ...]:
        return self.item.node.outputs

    @property
    def dtype(self) -> str:
        """Element type of output 0."""
        return self.quantization.output.dtype


def loop_fields(loops: Loops) -> dict[str, Any]:
    """nn_loops of two operands, or of one."""
    second = loops.steps[1] if len(loops.steps) > 1 else (0,) * AXES
    return {"extents": loops.extents, "first": loops.steps[0], "second": second}


def is_aligned(value: Value, output: Value) -> bool:
    """Whether the value's elements lie exactly as the output's: it may become it in place."""
    return (
        value.shape == output.shape
        and value.lies_as(output.order)
        and value.element_bytes == output.element_bytes
    )


def in_place(value: Value, output: Value) -> tuple[int, ...]:
    """The inputs of a call with one input that its output may take the place of."""
    return (0,) if is_aligned(value, output) else ()
