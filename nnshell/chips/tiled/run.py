"""Run the int8 graph tile by tile, through buffers of the planned sizes at the planned addresses.

Memories are arrays of bytes that know which of their bytes were written: a plan that lets buffers
overlap, reads what it has not loaded or forgets a halo fails here, with the layer's name, or gives
other integers than the graph run as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.chips.model.report import SimulationReport
from nnshell.chips.model.search import Choice
from nnshell.chips.model.tile_kernels import TileKernel, tile_kernel
from nnshell.chips.tiled.byte_memory import Area, Memory, bytes_of
from nnshell.chips.tiled.layer_tiles import LayerTiles, records_of
from nnshell.execution.integer_engine import IntegerEngine, quantize_input
from nnshell.ir.arithmetic import integers_of
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.operator import IntArray
from nnshell.ir.qparams import NodeQuantization
from nnshell.support.errors import GraphError


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


def run_tiled(
    graph: Graph,
    report: SimulationReport,
    sample: Sequence[NDArray[Any]],
    target: str = "simulation",
) -> TiledRun:
    """One sample (arrays without a batch axis) through the plan of ``report``, compared layer by
    layer with the int8 engine. ``target`` is whose integers count, as in ``IntegerEngine``.

    Raises:
        QuantizationError: the graph is not quantized.
        GraphError: the plan reads what is not there, or does not fit.
    """
    engine = IntegerEngine(graph, target)
    whole = engine.run([array[np.newaxis] for array in sample])
    if report.shortfalls:
        raise GraphError(f"cannot run tiled: {report.shortfalls[0]}")
    return RunState(
        graph, report, dict(engine.checked([a[np.newaxis] for a in sample])), whole, target
    ).run()


@dataclass(slots=True)
class RunState:
    """The memories while layers go by."""

    graph: Graph
    report: SimulationReport
    given: dict[str, NDArray[Any]]
    whole: dict[str, NDArray[Any]]
    target: str = "simulation"
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
        """All layers in order, each compared with the whole int8 run."""
        numbers = {layer.output: at for at, layer in enumerate(self.report.network.layers)}
        rows = []
        for node in self.graph.steps():
            if node.op.role in ("constant", "output"):
                continue
            self.parts[node.name] = self._parts(node, numbers)
            if node.op.role == "input":
                record = records_of(node).outputs[0]
                values = quantize_input(self.given[node.name], record)
                self._home(node.name).write(bytes_of(values, record.dtype))
            elif node.name in numbers:
                rows.append(self._layer(node, numbers[node.name]))
        outputs = {node.name: self.whole[node.name][0] for node in self.graph.outputs}
        return TiledRun(tuple(rows), outputs)

    def _parts(self, node: Node, numbers: dict[str, int]) -> tuple[str, ...]:
        """The stored tensors after a node: itself, or those that it only joins or renames."""
        if node.op.role == "input" or node.name in numbers:
            return (node.name,)
        refs = [ref for ref in node.inputs if ref.node in self.parts]
        return tuple(name for ref in refs for name in self.parts[ref.node])

    def _home(self, name: str) -> Area:
        if name not in self.homes:
            raise GraphError("has no place in memory", where=name)
        return self.homes[name]

    def _layer(self, node: Node, at: int) -> TiledLayer:
        layer, choice = self.report.network.layers[at], self.report.choices[at]
        refs = [r for r in node.inputs if self.graph[r.node].op.role != "constant"]
        kernel = self._kernel(node, refs, choice, at)
        try:
            if kernel is None:
                tiles, moved = 0, self._run_whole(node)
            else:
                work = LayerTiles(choice, kernel, self, node, refs, at)
                tiles, moved = work.run()
        except GraphError as error:
            raise GraphError(error.message, where=layer.output) from error
        equal = self._agrees(node)
        self._end(at)
        return TiledLayer(layer.output, tiles, moved, equal)

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
        """Bytes of an element of the tensor."""
        return np.dtype(self.dtype(ref)).itemsize

    def dtype(self, ref: Ref) -> str:
        """Element type of the tensor."""
        name = self.parts[ref.node][0]
        return records_of(self.graph[name]).outputs[0].dtype

    def source(self, ref: Ref) -> Area:
        """The bytes of an input now; joined tensors are copied one after the other."""
        areas = [self.homes[name].shaped(-1) for name in self.parts[ref.node]]
        if len(areas) == 1:
            return areas[0]
        data = np.concatenate([area.data for area in areas])
        return Area(areas[0].name, data, np.concatenate([area.written for area in areas]))

    def _run_whole(self, node: Node) -> int:
        """An operator that is not cut: from its inputs' bytes to its output's."""
        inputs = [self._value(ref) for ref in node.inputs]
        result = _evaluate(node, inputs, self.target == "chip")
        records = records_of(node).outputs
        pieces = [
            bytes_of(array, record.dtype) for array, record in zip(result, records, strict=False)
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
        if node.op.role == "constant":
            return None
        if self.parts[ref.node] == (ref.node,):
            first = sum(self._size(Ref(ref.node, index)) for index in range(ref.index))
            shape = (1, *self.graph.type_of(ref).shape)
            data = self._start(ref.node, first + self._size(ref))[first:].read()
            return data.view(self.dtype(ref)).astype(np.int64).reshape(shape)
        inputs = [self._value(below) for below in node.inputs]
        return _evaluate(node, inputs, self.target == "chip")[ref.index]

    def _agrees(self, node: Node) -> bool:
        keys = [node.name, *(f"{node.name}[{n}]" for n in range(1, len(node.outputs)))]
        expected = np.concatenate([self.whole[key].reshape(-1).view(np.uint8) for key in keys])
        return bool(np.array_equal(self._start(node.name, expected.size).read(), expected))

    def _end(self, at: int) -> None:
        """Buffers whose last layer this was are free for others."""
        for entry in self.report.memory.placements:
            if entry.buffer.last == at:
                self.l2.area(entry.offset_bytes, entry.buffer.size_bytes).forget()


def _evaluate(node: Node, inputs: Sequence[IntArray | None], on_chip: bool) -> tuple[IntArray, ...]:
    """A node, or a fusion's nodes one after the other; constants come from the records."""
    if node.body is None:
        records = records_of(node)
        arrays = [
            _constant(records, index) if array is None else array
            for index, array in enumerate(inputs)
        ]
        return integers_of(node.op, records, arrays, chip=on_chip)
    values: dict[str, tuple[IntArray | None, ...]] = {}
    for inner in node.body.steps():
        if inner.op.role == "input":
            assert inner.op.port is not None
            values[inner.name] = (inputs[inner.op.port],)
        elif inner.op.role == "constant":
            values[inner.name] = (None,)
        else:
            arrays_in = [values[ref.node][ref.index] for ref in inner.inputs]
            if inner.op.role == "output":
                assert arrays_in[0] is not None
                return (arrays_in[0],)
            values[inner.name] = _evaluate(inner, arrays_in, on_chip)
    raise AssertionError(f"{node.name} has no output")


def _constant(records: NodeQuantization, index: int) -> IntArray:
    known = records.constants[index] if records.constants else None
    return np.zeros((1, 0), np.int64) if known is None else known[np.newaxis].astype(np.int64)
