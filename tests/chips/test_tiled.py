"""Tile by tile is the same to the bit, and a plan that is wrong is found out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnshell.chips import Parameters, SimulationReport, network_from_graph, simulate_network
from nnshell.chips.model.geometry import Geometry
from nnshell.chips.tiled.run import TiledRun, run_tiled
from nnshell.ir.basic_operators import Input, Output
from nnshell.ir.graph import Graph, Node, Ref, constant_node
from nnshell.ir.operator import Operator
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Window
from nnshell.ops.add import Add
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.linear import Linear
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.relu import Relu
from nnshell.passes.catalogue import passes_named
from nnshell.passes.manager import run_passes
from nnshell.quantization import quantize_graph
from nnshell.quantization.options import QuantizationOptions
from nnshell.quantization.ranges.calibration import calibrate_graph, random_batches
from nnshell.support.errors import GraphError, QuantizationError
from nnshell.support.packing import MemoryMap

Shape = tuple[int, int, int]


class Net:
    """A chain of layers with random weights; ``last`` is the tensor it ends in."""

    def __init__(self, shape: Shape) -> None:
        self.random = np.random.default_rng(sum(shape))
        self.graph = Graph("net")
        kind = TensorType(shape, Layout.CHW)
        self.graph.add(Node("input_1", Input(kind, 0), [], (kind,)))
        self.last = Ref("input_1")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.graph.type_of(self.last).shape

    def add(self, name: str, op: Operator, *others: Ref) -> Net:
        refs = [self.last, *others]
        self.graph.add(Node(name, op, refs, op.infer([self.graph.type_of(ref) for ref in refs])))
        self.last = Ref(name)
        return self

    def constant(self, name: str, *shape: int) -> Ref:
        value = self.random.normal(size=shape).astype(np.float32)
        self.graph.add(constant_node(name, value))
        return Ref(name)

    def conv(self, name: str, filters: int, window: Window, groups: int = 1) -> Net:
        weights = self.constant(f"{name}_w", filters, self.shape[0] // groups, *window.kernel)
        return self.add(name, Conv2D(window, groups), weights, self.constant(f"{name}_b", filters))

    def linear(self, name: str, outputs: int) -> Net:
        size = int(np.prod(self.shape))
        weights = self.constant(f"{name}_w", outputs, size)
        return self.add(name, Linear(), weights, self.constant(f"{name}_b", outputs))

    def quantized(self) -> Graph:
        self.graph.add(Node("output_1", Output(0), [self.last], (self.graph.type_of(self.last),)))
        run_passes(self.graph, passes_named(("scale8",)))
        statistics = calibrate_graph(self.graph, random_batches(self.graph, normal=1.0))
        quantize_graph(self.graph, statistics, QuantizationOptions())
        return self.graph


def _run(graph: Graph, report: SimulationReport) -> TiledRun:
    random = np.random.default_rng(7)
    sample = [random.standard_normal(node.type.shape).astype(np.float32) for node in graph.inputs]
    return run_tiled(graph, report, sample)


def _tiles(run: TiledRun) -> Sequence[int]:
    return [layer.tiles for layer in run.layers]


@st.composite
def nets(draw: st.DrawFn) -> Graph:
    """A filter with or without pool and activation, an addition, and a classifier."""
    channels = draw(st.integers(1, 20))
    net = Net((channels, draw(st.integers(3, 24)), draw(st.integers(3, 24))))
    kind = draw(st.sampled_from(["conv", "depthwise", "grouped"]))
    groups = {"conv": 1, "depthwise": channels, "grouped": 2 if channels % 2 == 0 else 1}[kind]
    filters = channels if kind == "depthwise" else groups * draw(st.integers(1, 20))
    kernel = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    dilations = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    window = Window(
        kernel,
        (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        dilations,
        tuple(draw(st.integers(0, k - 1)) for k in (*kernel, *kernel)),  # type: ignore[arg-type]
    )
    if min(window.output_size(*net.shape[1:])) < 1:
        window = Window()
    net.conv("conv1", filters, window, groups)
    if draw(st.booleans()):
        net.add("relu1", Relu())
    if draw(st.booleans()) and min(net.shape[1:]) >= 3:
        pads = draw(st.sampled_from([(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 1, 0)]))
        pool = Window((3, 2), (2, 1), (1, 1), pads)
        net.add("pool1", draw(st.sampled_from([MaxPool(pool), AveragePool(pool)])))
    if draw(st.booleans()):
        before = net.last
        net.conv("conv2", net.shape[0], Window((3, 3), pads=(1, 1, 1, 1)))
        net.add("add1", Add(), before)
    if draw(st.booleans()):
        net.linear("fc", draw(st.integers(1, 30)))
    return net.quantized()


@settings(max_examples=60, deadline=None)
@given(
    nets(),
    st.sampled_from([13_000, 16_000, 64_000]),
    st.sampled_from([3_000, 20_000, 300_000]),
    st.sampled_from(["autotiler-sq8", "pulp-nn"]),
)
def test_tile_by_tile_gives_the_integers_of_the_whole(
    graph: Graph, l1_size: int, l2_size: int, kernels: str
) -> None:
    parameters = Parameters(l1_size=l1_size, l2_size=l2_size, kernels=kernels)
    report = simulate_network(network_from_graph(graph), parameters)
    if not report.fits:
        with pytest.raises(GraphError, match="cannot run tiled"):
            _run(graph, report)
        return
    run = _run(graph, report)
    assert run.equal, [layer for layer in run.layers if not layer.equal]
    assert min(_tiles(run)) > 0


@pytest.fixture
def cut() -> tuple[Graph, SimulationReport]:
    """A small network that the budgets cut into many tiles."""
    net = Net((16, 24, 20))
    net.conv("conv1", 24, Window((3, 3), pads=(1, 1, 1, 1))).add("relu1", Relu())
    net.conv("conv2", 24, Window((5, 5), pads=(2, 2, 2, 2)), 24)
    net.conv("conv3", 32, Window()).linear("fc", 10)
    graph = net.quantized()
    parameters = Parameters(l1_size=16_000, l2_size=30_000)
    return graph, simulate_network(network_from_graph(graph), parameters)


def test_a_cut_network_runs_in_as_many_tiles_as_planned(
    cut: tuple[Graph, SimulationReport],
) -> None:
    run = _run(*cut)
    assert run.equal
    assert _tiles(run) == [layer.tiles for layer in cut[1].layers]
    assert max(_tiles(run)) > 4
    assert all(layer.moved_bytes > 0 for layer in run.layers)


def test_a_forgotten_halo_is_found_out(
    cut: tuple[Graph, SimulationReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Geometry.input_span

    def without_halo(self: Geometry, first: int, last: int) -> tuple[int, int]:
        low, high = full(self, first, last)
        return low, high - 1 if high - low > 1 and last < self.height else high

    monkeypatch.setattr(Geometry, "input_span", without_halo)
    with pytest.raises((GraphError, ValueError)):
        assert not _run(*cut).equal


def test_buffers_that_overlap_are_found_out(cut: tuple[Graph, SimulationReport]) -> None:
    graph, report = cut
    memory = report.memory
    overlapping = tuple(replace(entry, offset_bytes=0) for entry in memory.placements)
    wrong = replace(report, memory=MemoryMap(overlapping, memory.peak_bytes, memory.live_bytes))
    try:
        assert not _run(graph, wrong).equal
    except GraphError as error:
        assert "before they are written" in str(error)


def test_a_tile_larger_than_its_buffers_is_found_out(
    cut: tuple[Graph, SimulationReport],
) -> None:
    graph, report = cut
    small = tuple(replace(choice, l1_bytes=choice.l1_bytes // 2) for choice in report.choices)
    with pytest.raises(GraphError, match="of L1"):
        _run(graph, replace(report, choices=small))


def test_only_quantized_graphs_run() -> None:
    net = Net((3, 8, 8)).conv("conv1", 4, Window((3, 3)))
    graph = net.graph
    graph.add(Node("output_1", Output(0), [net.last], (graph.type_of(net.last),)))
    with pytest.raises(QuantizationError):
        _run(graph, simulate_network(network_from_graph(graph)))
