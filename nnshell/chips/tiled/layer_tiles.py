"""One layer tile by tile: load the next tile, compute this one, store, at the planned addresses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nnshell.chips.model.geometry import Operand
from nnshell.chips.model.search import Choice
from nnshell.chips.model.tile_costs import LayerPlan, Step, steps
from nnshell.chips.model.tile_kernels import Part, TileKernel
from nnshell.chips.model.tiling import transfers
from nnshell.chips.tiled.byte_memory import Area, Bytes, bytes_of
from nnshell.ir.graph import Node, Ref
from nnshell.ir.operator import IntArray
from nnshell.ir.qparams import NodeQuantization
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from nnshell.chips.tiled.run import RunState


def records_of(node: Node) -> NodeQuantization:
    """The records of a node, or of the last node inside a fusion."""
    if node.quantization is not None:
        return node.quantization
    assert node.body is not None, node.name
    return records_of(node.body[node.body.outputs[0].inputs[0].node])


@dataclass(slots=True)
class Slot:
    """The L1 buffers of one operand: one, or two that take turns."""

    areas: list[Area]
    turn: int = 0
    tile: Area | None = None

    def next(self) -> Area:
        self.turn = (self.turn + 1) % len(self.areas)
        return self.areas[self.turn]


class LayerTiles:
    """One layer's loop over its tiles: load the next, compute this one, store."""

    def __init__(
        self,
        choice: Choice,
        kernel: TileKernel,
        run: RunState,
        node: Node,
        refs: list[Ref],
        at: int,
    ) -> None:
        self.plan: LayerPlan = choice.plan
        self.kernel = kernel
        self.run_ = run
        self.node = node
        self.refs = refs
        self.weights = _weights(node)
        self.moved = 0
        self.slots = self._slots(choice)
        self.staging = self._staging(at)

    def _slots(self, choice: Choice) -> list[Slot]:
        """L1 addresses: operand after operand, twice where tiles of it follow each other."""
        alignment = self.run_.report.setting.chip.l1_alignment_bytes
        trips = {
            axis: np.array([count])
            for axis, count in zip(
                ("group", "out", "rows", "in"),
                (self.plan.geometry.groups, *self.plan.tile.trips),
                strict=True,
            )
        }
        offset, slots = 0, []
        for operand in self.plan.geometry.operands:
            size = self._slot_bytes(operand)
            copies = 2 if transfers(operand, trips, self.plan.tile.order)[0] > 1 else 1
            areas = []
            for _ in range(copies):
                areas.append(self.run_.l1.area(offset, size))
                offset += -(-size // alignment) * alignment
            slots.append(Slot(areas))
        if offset > choice.l1_bytes:
            raise GraphError(f"tiles take {offset} bytes of L1, planned are {choice.l1_bytes}")
        for slot in slots:
            for area in slot.areas:
                area.forget()
        return slots

    def _slot_bytes(self, operand: Operand) -> int:
        nest, tile = self.plan.geometry, self.plan.tile
        rows = 1
        if operand.extent == "input":
            rows = int(nest.input_rows(np.array([tile.rows]))[0])
        elif operand.extent == "output":
            rows = tile.rows
        count = operand.unit_bytes * rows
        count *= tile.out if operand.by_out else 1
        count *= tile.depth if operand.by_in else 1
        return int(np.ceil(count - 1e-6))

    def _staging(self, at: int) -> Area | None:
        """The L2 buffer through which this layer's tiles of L3 operands pass."""
        for entry in self.run_.report.memory.placements:
            if entry.buffer.kind == "staging" and entry.buffer.layer == at:
                return self.run_.l2.area(entry.offset_bytes, entry.buffer.size_bytes)
        return None

    def run(self) -> tuple[int, int]:
        """How many tiles ran and how many bytes moved."""
        order = list(steps(self.plan.geometry, self.plan.tile))
        self._load(order[0], None)
        for number, step in enumerate(order):
            tiles = [slot.tile for slot in self.slots]
            if number + 1 < len(order):
                self._load(order[number + 1], step)
            self._compute(step, tiles)
        return len(order), self.moved

    def _inputs(self) -> Iterator[tuple[int, Operand]]:
        for index, operand in enumerate(self.plan.geometry.operands):
            if operand.role in ("input", "weights"):
                yield index, operand

    def _load(self, step: Step, before: Step | None) -> None:
        for index, operand in self._inputs():
            if before is not None and self._part(operand, before) == self._part(operand, step):
                continue
            source = self._source(operand, step)
            data = source.read()
            if index in self.plan.in_l3 and self.staging is not None:
                data = self._through_l2(data)
            slot = self.slots[index]
            target = slot.next()
            target.forget()
            tile = target[: data.size]
            tile.write(data)
            slot.tile = tile.shaped(*data.shape)
            self.moved += data.size

    def _through_l2(self, data: Bytes) -> Bytes:
        assert self.staging is not None
        area = self.staging[: data.size]
        area.write(data)
        return area.shaped(*data.shape).read()

    def _part(self, operand: Operand, step: Step) -> tuple[int, ...]:
        return (
            step.group,
            step.out if operand.by_out else -1,
            step.depth if operand.by_in else -1,
            step.rows if operand.extent != "none" else -1,
        )

    def _tile(self, step: Step) -> Part:
        nest, tile = self.plan.geometry, self.plan.tile

        def span(number: int, size: int, extent: int) -> tuple[int, int]:
            return number * size, min(extent, (number + 1) * size)

        return Part(
            step.group,
            span(step.out, tile.out, nest.out),
            span(step.rows, tile.rows, nest.height),
            span(step.depth, tile.depth, nest.depth),
        )

    def _source(self, operand: Operand, step: Step) -> Area:
        """The bytes of a tile where they are stored."""
        part, nest = self._tile(step), self.plan.geometry
        if operand.role == "weights":
            return self._weight_tile(part)
        ref = self.refs[operand.tensor]
        item = self.run_.item_bytes(ref)
        whole = self.run_.source(ref)
        if operand.extent == "none":  # a vector, or channels with all their pixels
            return self._vector_tile(operand, part, whole)
        inputs = operand.extent == "input"
        height, width = (
            (nest.input_height, nest.input_width) if inputs else (nest.height, nest.width)
        )
        rows = nest.input_span(*part.rows) if inputs else part.rows
        channels, first = (part.out, 0) if operand.by_out else (part.depth, part.group * nest.depth)
        if not (operand.by_out or operand.by_in):
            channels = (0, 1)
        shaped = whole.shaped(-1, height, width * item)
        return shaped[first + channels[0] : first + channels[1], rows[0] : rows[1]]

    def _vector_tile(self, operand: Operand, part: Part, whole: Area) -> Area:
        nest = self.plan.geometry
        if operand.by_out:
            return whole.shaped(nest.out, -1)[part.out[0] : part.out[1]]
        return whole.shaped(nest.depth, -1)[part.depth[0] : part.depth[1]]

    def _weight_tile(self, part: Part) -> Area:
        assert self.weights is not None
        nest = self.plan.geometry
        first = part.group * nest.out
        tile = self.weights[first + part.out[0] : first + part.out[1]]
        if not nest.channelwise:
            tile = tile[:, part.depth[0] : part.depth[1]]
        data = tile.view(np.uint8)
        return Area("flash", data, np.ones(data.shape, np.bool_))

    def _compute(self, step: Step, tiles: Sequence[Area | None]) -> None:
        part = self._tile(step)
        values: list[IntArray] = []
        weights: IntArray | None = None
        for index, operand in self._inputs():
            area = tiles[index]
            assert area is not None
            if operand.role == "weights":
                weights = area.read().view(np.int8).astype(np.int64)
            else:
                values.append(self._integers(operand, area))
        last = step.depth == self.plan.tile.trips[2] - 1
        outputs = self.kernel.run(part, values, weights, last)
        if outputs is not None:
            self._store(part, outputs)

    def _integers(self, operand: Operand, area: Area) -> IntArray:
        """A tile as (channels, rows, columns)."""
        data = np.ascontiguousarray(area.read())
        values = data.view(self.run_.dtype(self.refs[operand.tensor])).astype(np.int64)
        return values.reshape(*values.shape[:2], -1) if values.ndim > 1 else values[:, None, None]

    def _store(self, part: Part, array: IntArray) -> None:
        """The output tile through its L1 buffer to where the tensor lives."""
        nest = self.plan.geometry
        index = next(i for i, o in enumerate(nest.operands) if o.role == "output")
        operand = nest.operands[index]
        data = bytes_of(array, records_of(self.node).outputs[0].dtype)
        target = self.slots[index].next()
        target.forget()
        tile = target[: data.size]
        tile.write(data)
        data = tile.read()
        if index in self.plan.in_l3 and self.staging is not None:
            data = self._through_l2(data)
        home = self.run_.homes[self.node.name].shaped(-1)
        rows = home.shaped(
            -1,
            nest.height,
            home.data.size // (_channels(nest.out * nest.groups, operand) * nest.height),
        )
        first = part.group * nest.out
        channels = (first + part.out[0], first + part.out[1]) if operand.by_out else (0, 1)
        span = part.rows if operand.extent != "none" else (0, nest.height)
        rows[channels[0] : channels[1], span[0] : span[1]].write(data)
        self.moved += data.size


def _channels(out: int, operand: Operand) -> int:
    return out if operand.by_out else 1


def _weights(node: Node) -> NDArray[np.int8] | None:
    """A filter's int8 weights: output channels, input channels, taps."""
    nodes: list[Node] = [node] if node.body is None else list(node.body.steps())
    for inner in nodes:
        kernel = inner.quantization.kernel if inner.quantization is not None else None
        weights = getattr(kernel, "weights", None)
        if weights is not None:
            return np.ascontiguousarray(weights.reshape(*weights.shape[:2], -1))
    return None
