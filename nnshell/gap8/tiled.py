"""Run the int8 graph tile by tile, through buffers of the planned sizes at the planned addresses.

Memories are arrays of bytes that know which of their bytes were written: a plan that lets buffers
overlap, reads what it has not loaded or forgets a halo fails here, with the layer's name, or gives
other integers than the graph run as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.errors import GraphError
from nnshell.execution.integer_engine import IntegerEngine, quantize_input
from nnshell.gap8.geometry import Operand
from nnshell.gap8.report import SimulationReport
from nnshell.gap8.search import Choice
from nnshell.gap8.tile_costs import LayerPlan, Step, steps
from nnshell.gap8.tile_kernels import Part, TileKernel, tile_kernel
from nnshell.gap8.tiling import transfers
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.operator import Constant, FusionInput, FusionOutput, Input, IntArray, Output
from nnshell.ir.qparams import NodeQuantization

Bytes = NDArray[np.uint8]


class Memory:
    """Bytes, and which of them hold something."""

    def __init__(self, name: str, size_bytes: int) -> None:
        self.name = name
        self.data: Bytes = np.zeros(size_bytes, np.uint8)
        self.written = np.zeros(size_bytes, np.bool_)

    def area(self, offset: int, size_bytes: int) -> Area:
        if offset < 0 or offset + size_bytes > len(self.data):
            raise GraphError(f"{size_bytes} bytes at {offset} are outside of {self.name}")
        span = slice(offset, offset + size_bytes)
        return Area(self.name, self.data[span], self.written[span])


@dataclass(frozen=True, slots=True)
class Area:
    """A part of a memory, as array of any shape; the same bytes, not a copy."""

    name: str
    data: Bytes
    written: NDArray[np.bool_]

    def shaped(self, *shape: int) -> Area:
        return Area(self.name, self.data.reshape(shape), self.written.reshape(shape))

    def __getitem__(self, part: Any) -> Area:
        return Area(self.name, self.data[part], self.written[part])

    def read(self) -> Bytes:
        if not self.written.all():
            missing = int(self.written.size - self.written.sum())
            raise GraphError(f"{missing} bytes of {self.name} are read before they are written")
        return self.data.copy()

    def write(self, data: Bytes) -> None:
        self.data[...] = data.reshape(self.data.shape)
        self.written[...] = True

    def forget(self) -> None:
        """The buffer's time is over: who reads it now reads garbage."""
        self.data[...] = 0xA5
        self.written[...] = False


@dataclass(frozen=True, slots=True)
class TiledLayer:
    """What was done for a layer: tiles, or 0 when its operator cannot be cut and ran whole."""

    name: str
    tiles: int
    moved_bytes: int
    equal: bool


@dataclass(frozen=True, slots=True)
class TiledRun:
    """Layers in order, and the output tensors as integers by name."""

    layers: tuple[TiledLayer, ...]
    outputs: dict[str, NDArray[Any]]

    @property
    def equal(self) -> bool:
        """Whether every layer gave the integers of the whole run."""
        return all(layer.equal for layer in self.layers)


def run_tiled(graph: Graph, report: SimulationReport, sample: Sequence[NDArray[Any]]) -> TiledRun:
    """One sample (arrays without a batch axis) through the plan of ``report``, compared layer by
    layer with the int8 engine.

    Raises:
        QuantizationError: the graph is not quantized.
        GraphError: the plan reads what is not there, or does not fit.
    """
    engine = IntegerEngine(graph, graph.settings.int8_target)
    whole = engine.run([array[np.newaxis] for array in sample])
    if report.shortfalls:
        raise GraphError(f"cannot run tiled: {report.shortfalls[0]}")
    return _Run(graph, report, dict(engine.checked([a[np.newaxis] for a in sample])), whole).run()


def _bytes_of(array: IntArray, dtype: str) -> Bytes:
    return np.ascontiguousarray(array).astype(dtype).reshape(-1).view(np.uint8)


@dataclass(slots=True)
class _Run:
    """The memories while layers go by."""

    graph: Graph
    report: SimulationReport
    given: dict[str, NDArray[Any]]
    whole: dict[str, NDArray[Any]]
    homes: dict[str, Area] = field(default_factory=dict)
    parts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    l2: Memory = field(init=False)
    l1: Memory = field(init=False)

    def __post_init__(self) -> None:
        self.l2 = Memory("L2", self.report.memory.peak_bytes)
        self.l1 = Memory("L1", self.report.l1_bytes)
        kept = self.report.plan.spilled | self.report.plan.external
        for name in kept:
            size = self.report.plan.sizes.get(name, 0)
            self.homes[name] = Memory(f"{name} outside of L2", size).area(0, size)
        for entry in self.report.memory.placements:
            if entry.buffer.kind == "activation":
                size = entry.buffer.size_bytes
                self.homes[entry.buffer.name] = self.l2.area(entry.offset_bytes, size)

        for name, root in self.report.plan.in_place.items():
            self.homes[name] = self.homes[root]

    def run(self) -> TiledRun:
        numbers = {layer.output: at for at, layer in enumerate(self.report.network.layers)}
        rows = []
        for node in self.graph.steps():
            if isinstance(node.op, Constant | Output):
                continue
            self.parts[node.name] = self._parts(node, numbers)
            if isinstance(node.op, Input):
                record = _records(node).outputs[0]
                values = quantize_input(self.given[node.name], record)
                self._home(node.name).write(_bytes_of(values, record.dtype))
            elif node.name in numbers:
                rows.append(self._layer(node, numbers[node.name]))
        outputs = {node.name: self.whole[node.name][0] for node in self.graph.outputs}
        return TiledRun(tuple(rows), outputs)

    def _parts(self, node: Node, numbers: dict[str, int]) -> tuple[str, ...]:
        """The stored tensors behind a node: itself, or those that it only joins or renames."""
        if isinstance(node.op, Input) or node.name in numbers:
            return (node.name,)
        refs = [ref for ref in node.inputs if ref.node in self.parts]
        return tuple(name for ref in refs for name in self.parts[ref.node])

    def _home(self, name: str) -> Area:
        if name not in self.homes:
            raise GraphError("has no place in memory", where=name)
        return self.homes[name]

    def _layer(self, node: Node, at: int) -> TiledLayer:
        layer, choice = self.report.network.layers[at], self.report.choices[at]
        refs = [r for r in node.inputs if not isinstance(self.graph[r.node].op, Constant)]
        kernel = self._kernel(node, refs, choice, at)
        try:
            if kernel is None:
                tiles, moved = 0, self._run_whole(node)
            else:
                work = _Tiles(choice, kernel, self, node, refs, at)
                tiles, moved = work.run()
        except GraphError as error:
            raise GraphError(error.message, where=layer.name) from error
        equal = self._agrees(node)
        self._end(at)
        return TiledLayer(layer.name, tiles, moved, equal)

    def _kernel(self, node: Node, refs: list[Ref], choice: Choice, at: int) -> TileKernel | None:
        """The tile kernel, where the inputs are stored tensors and the operator can be cut."""
        work, plan = self.report.network.layers[at].work, choice.plan
        if work.kind == "global_pool" and plan.tile.trips[2] > 1:
            return None
        stored = all(self._stored_bytes(ref) == self._size(ref) for ref in refs)
        types = [self.graph.type_of(ref) for ref in refs]
        return tile_kernel(node, types, work, plan.geometry) if stored else None

    def _stored_bytes(self, ref: Ref) -> int:
        return sum(self.homes[name].data.size for name in self.parts[ref.node])

    def _size(self, ref: Ref) -> int:
        return self.graph.type_of(ref).size * self.item_bytes(ref)

    def item_bytes(self, ref: Ref) -> int:
        return np.dtype(self.dtype(ref)).itemsize

    def dtype(self, ref: Ref) -> str:
        name = self.parts[ref.node][0]
        return _records(self.graph[name]).outputs[0].dtype

    def source(self, ref: Ref) -> Area:
        """The bytes of an input now; joined tensors are copied one behind the other."""
        areas = [self.homes[name].shaped(-1) for name in self.parts[ref.node]]
        if len(areas) == 1:
            return areas[0]
        data = np.concatenate([area.data for area in areas])
        return Area(areas[0].name, data, np.concatenate([area.written for area in areas]))

    def _run_whole(self, node: Node) -> int:
        """An operator that is not cut: from its inputs' bytes to its output's."""
        inputs = [self._value(ref) for ref in node.inputs]
        made = _evaluate(node, inputs, self.graph.settings.int8_target == "chip")
        records = _records(node).outputs
        pieces = [
            _bytes_of(array, record.dtype) for array, record in zip(made, records, strict=False)
        ]
        data = np.concatenate(pieces)
        self._start(node.name, data.size).write(data)
        return data.size

    def _start(self, name: str, size_bytes: int) -> Area:
        """The first bytes of a tensor's place, which may be planned larger than they are."""
        home = self._home(name).shaped(-1)
        if size_bytes > home.data.size:
            raise GraphError(f"{size_bytes} bytes do not fit the planned {home.data.size}")
        return home[:size_bytes]

    def _value(self, ref: Ref) -> IntArray | None:
        """An input as integers with a batch axis; None for a constant, which the kernel knows."""
        node = self.graph[ref.node]
        if isinstance(node.op, Constant):
            return None
        if self.parts[ref.node] == (ref.node,):
            first = sum(self._size(Ref(ref.node, index)) for index in range(ref.index))
            shape = (1, *self.graph.type_of(ref).shape)
            data = self._start(ref.node, first + self._size(ref))[first:].read()
            return data.view(self.dtype(ref)).astype(np.int64).reshape(shape)
        inputs = [self._value(below) for below in node.inputs]
        return _evaluate(node, inputs, self.graph.settings.int8_target == "chip")[ref.index]

    def _agrees(self, node: Node) -> bool:
        keys = [node.name, *(f"{node.name}[{n}]" for n in range(1, len(node.outputs)))]
        expected = np.concatenate([self.whole[key].reshape(-1).view(np.uint8) for key in keys])
        return bool(np.array_equal(self._start(node.name, expected.size).read(), expected))

    def _end(self, at: int) -> None:
        """Buffers whose last layer this was are free for others."""
        for entry in self.report.memory.placements:
            if entry.buffer.last == at:
                self.l2.area(entry.offset_bytes, entry.buffer.size_bytes).forget()


def _records(node: Node) -> NodeQuantization:
    """The records of a node, or of the last node inside a fusion."""
    if node.quantization is not None:
        return node.quantization
    assert node.body is not None, node.name
    return _records(node.body[node.body.outputs[0].inputs[0].node])


def _evaluate(node: Node, inputs: Sequence[IntArray | None], on_chip: bool) -> tuple[IntArray, ...]:
    """A node, or a fusion's nodes one after the other; constants come from the records."""
    if node.body is None:
        records = _records(node)
        arrays = [
            _constant(records, index) if array is None else array
            for index, array in enumerate(inputs)
        ]
        compute = node.op.integer_on_chip if on_chip else node.op.integer_multi
        return compute(records, arrays)
    values: dict[str, tuple[IntArray | None, ...]] = {}
    for inner in node.body.steps():
        if isinstance(inner.op, FusionInput):
            values[inner.name] = (inputs[inner.op.index],)
        elif isinstance(inner.op, Constant):
            values[inner.name] = (None,)
        else:
            arrays_in = [values[ref.node][ref.index] for ref in inner.inputs]
            if isinstance(inner.op, FusionOutput):
                assert arrays_in[0] is not None
                return (arrays_in[0],)
            values[inner.name] = _evaluate(inner, arrays_in, on_chip)
    raise AssertionError(f"{node.name} has no output")


def _constant(records: NodeQuantization, index: int) -> IntArray:
    known = records.constants[index] if records.constants else None
    return np.zeros((1, 0), np.int64) if known is None else known[np.newaxis].astype(np.int64)


@dataclass(slots=True)
class _Slot:
    """The L1 buffers of one operand: one, or two that take turns."""

    areas: list[Area]
    turn: int = 0
    tile: Area | None = None

    def next(self) -> Area:
        self.turn = (self.turn + 1) % len(self.areas)
        return self.areas[self.turn]


class _Tiles:
    """One layer's loop over its tiles: load the next, compute this one, store."""

    def __init__(
        self, choice: Choice, kernel: TileKernel, run: _Run, node: Node, refs: list[Ref], at: int
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

    def _slots(self, choice: Choice) -> list[_Slot]:
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
            slots.append(_Slot(areas))
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
        given: list[IntArray] = []
        weights: IntArray | None = None
        for index, operand in self._inputs():
            area = tiles[index]
            assert area is not None
            if operand.role == "weights":
                weights = area.read().view(np.int8).astype(np.int64)
            else:
                given.append(self._integers(operand, area))
        last = step.depth == self.plan.tile.trips[2] - 1
        made = self.kernel.run(part, given, weights, last)
        if made is not None:
            self._store(part, made)

    def _integers(self, operand: Operand, area: Area) -> IntArray:
        """A tile as (channels, rows, columns)."""
        data = np.ascontiguousarray(area.read())
        values = data.view(self.run_.dtype(self.refs[operand.tensor])).astype(np.int64)
        return values.reshape(*values.shape[:2], -1) if values.ndim > 1 else values[:, None, None]

    def _store(self, part: Part, made: IntArray) -> None:
        """The output tile through its L1 buffer to where the tensor lives."""
        nest = self.plan.geometry
        index = next(i for i, o in enumerate(nest.operands) if o.role == "output")
        operand = nest.operands[index]
        data = _bytes_of(made, _records(self.node).outputs[0].dtype)
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
