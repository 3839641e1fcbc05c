"""A layer's timeline against one worked out here from the text, and what holds of any timeline."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnshell.chips import Layer, Network, load_chip, load_kernels
from nnshell.chips.model.plan import Budget, make_plan
from nnshell.chips.model.schedule import schedule
from nnshell.chips.model.search import Choice, choose
from nnshell.chips.model.tile_costs import Clocks, LayerPlan, Setting, Step, TileCosts, steps
from nnshell.chips.model.tiling import MAX_TILES
from nnshell.ir.work import Work

from .conftest import conv_work, linear_work, vector_work

CLOCKS = Clocks(100e6, 150e6)


def _setting(l1_bytes: int, cores: int = 8, bytes_per_cycle: float = 8.0) -> Setting:
    """On a chip whose cluster DMA is as fast as GAP8's, or so slow that everything waits for it."""
    chip = load_chip()
    chip = replace(chip, cluster_dma=replace(chip.cluster_dma, bytes_per_cycle=bytes_per_cycle))
    return Setting(chip, load_kernels("autotiler-sq8"), CLOCKS, cores, l1_bytes)


def _overlapping(setting: Setting, roles: tuple[str, ...]) -> Setting:
    """With a library that waits for these operands' tiles in L3 only."""
    return replace(setting, table=replace(setting.table, blocking_l3=frozenset(roles)))


@st.composite
def works(draw: st.DrawFn) -> Work:
    """Small layers of all loop nests; cut into several tiles by the small L1 of the tests."""
    shape = (draw(st.integers(1, 24)), draw(st.integers(4, 24)), draw(st.integers(4, 24)))
    kind = draw(st.sampled_from(("conv", "depthwise", "elementwise", "activation", "linear")))
    if kind == "linear":
        return linear_work(draw(st.integers(64, 900)), draw(st.integers(1, 40)))
    if kind in ("elementwise", "activation"):
        return vector_work(kind, shape, 2 if kind == "elementwise" else 1)
    kernel, stride = draw(st.sampled_from((1, 3))), draw(st.sampled_from((1, 2)))
    if kind == "depthwise":
        return conv_work(shape, shape[0], kernel, stride, depthwise=True)
    return conv_work(shape, draw(st.integers(1, 24)), kernel, stride)


def _chosen(
    work: Work, l1_bytes: int, cores: int, bytes_per_cycle: float = 8.0
) -> tuple[Choice, Setting]:
    setting = _setting(l1_bytes, cores, bytes_per_cycle)
    return choose(work, setting, frozenset(), 0, "layer"), setting


def _slice(plan: LayerPlan, index: int, step: Step) -> tuple[int, ...]:
    """What of an operand a tile works on: the same slice need not be loaded again."""
    operand = plan.geometry.operands[index]
    parts = [step.group]
    parts += [step.out] if operand.by_out else []
    parts += [step.depth] if operand.by_in else []
    parts += [step.rows] if operand.extent != "none" else []
    return tuple(parts)


def _by_the_text(plan: LayerPlan, setting: Setting) -> tuple[int, int, int]:
    """Cycles of a layer, and those in which the cores wait for the cluster DMA and for L3.

    Load the first tile and wait; for every tile start the loads of the next one, run the code that
    leads to it, compute, wait for the store before, start this tile's store; at the end wait for
    all. One transfer at a time on each DMA. What lies in L3 is brought to L2 two tiles ahead, or
    when it is loaded where the library does not overlap it.
    """
    costs, port = TileCosts(plan, setting), setting.chip.cluster_dma
    operands = list(enumerate(plan.geometry.operands))
    order = list(steps(plan.geometry, plan.tile))
    blocking = setting.table.blocking_l3
    at = dict.fromkeys(("cores", "dma", "l3", "stored", "waited", "waited for l3"), 0)
    at["cores"] = setting.chip.node_cycles
    fetched: dict[tuple[int, int], int] = {}

    def wait(until: int, what: str = "waited") -> None:
        at[what] += max(0, until - at["cores"])
        at["cores"] = max(until, at["cores"])

    def needed(number: int) -> list[int]:
        return [
            index
            for index, operand in operands
            if operand.role != "output"
            and (
                number == 0
                or _slice(plan, index, order[number]) != _slice(plan, index, order[number - 1])
            )
        ]

    def fetch(number: int, index: int) -> None:
        at["l3"] = max(at["cores"], at["l3"]) + costs.move(index, order[number])[1]
        fetched[number, index] = at["l3"]

    def ahead(number: int) -> None:
        for index in needed(number) if number < len(order) else ():
            if index in plan.in_l3 and plan.geometry.operands[index].role not in blocking:
                fetch(number, index)

    def start(index: int, step: Step, commands: int) -> int:
        at["cores"] += commands * port.program_cycles
        at["dma"] = max(at["cores"], at["dma"]) + costs.move(index, step)[0]
        return at["dma"]

    def load(number: int) -> int:
        last = 0
        for index in needed(number):
            if index in plan.in_l3:
                if (number, index) not in fetched:
                    fetch(number, index)
                wait(fetched[number, index], "waited for l3")
            last = start(index, order[number], plan.geometry.operands[index].pieces)
        return last

    def store(index: int, step: Step) -> None:
        wait(at["stored"])
        at["stored"] = start(index, step, 1)
        if index in plan.in_l3:
            at["l3"] = max(at["dma"], at["l3"]) + costs.move(index, step)[1]
            if "output" in blocking:
                wait(at["l3"], "waited for l3")

    arrived = load(0)
    ahead(1)
    for number, step in enumerate(order):
        wait(arrived)
        if number + 1 < len(order):
            arrived = max(arrived, load(number + 1))
        ahead(number + 2)
        at["cores"] += setting.table.tile_cycles + costs.compute(step)
        at["cores"] += setting.chip.fork_cycles * plan.kernel.calls
        if step.depth == plan.tile.trips[2] - 1:
            for index, operand in operands:
                if operand.role == "output":
                    store(index, step)
    wait(at["dma"])
    wait(at["l3"], "waited for l3")
    return at["cores"], at["waited"], at["waited for l3"]


@settings(max_examples=60, deadline=None)
@given(
    works(),
    st.sampled_from([1500, 3000, 8000, 50000]),
    st.sampled_from([1, 4, 8]),
    st.sampled_from([8.0, 1.0, 0.1]),
    st.data(),
)
def test_a_layer_takes_the_cycles_of_its_tiles_one_by_one(
    work: Work, l1_bytes: int, cores: int, bytes_per_cycle: float, data: Any
) -> None:
    choice, setting = _chosen(work, l1_bytes, cores, bytes_per_cycle)
    if choice.tiles > MAX_TILES:
        return
    count = len(choice.plan.geometry.operands)
    in_l3 = data.draw(st.one_of(st.just(frozenset()), st.frozensets(st.integers(0, count - 1))))
    plan = replace(choice.plan, in_l3=in_l3)
    roles = data.draw(st.sampled_from([(), ("input",), ("output", "weights")]))
    setting = _overlapping(setting, roles)
    timing = schedule(plan, setting)
    found = timing.cycles, timing.dma_wait_cycles, timing.l3_wait_cycles
    assert found == _by_the_text(plan, setting)
    assert bool(timing.l3_cycles) == bool(in_l3)


@settings(max_examples=30, deadline=None)
@given(works(), st.sampled_from([1500, 4000, 50000]), st.data())
def test_a_resource_does_one_thing_at_a_time_and_times_add_up(
    work: Work, l1_bytes: int, data: Any
) -> None:
    """With operands in L3 as well, inputs, weights and results."""
    choice, setting = _chosen(work, l1_bytes, 8)
    count = len(choice.plan.geometry.operands)
    in_l3 = data.draw(st.frozensets(st.integers(0, count - 1)))
    plan = LayerPlan(
        choice.plan.geometry, choice.plan.kernel, choice.plan.tile, choice.plan.activation, in_l3
    )
    if choice.tiles > MAX_TILES:
        return
    busy: dict[str, list[tuple[int, int]]] = defaultdict(list)
    timing = schedule(plan, setting, lambda who, _, first, last: busy[who].append((first, last)))
    for intervals in busy.values():
        for one, other in itertools.pairwise(sorted(intervals)):
            assert one[1] <= other[0]
    sums = {who: sum(last - first for first, last in spans) for who, spans in busy.items()}
    assert sums.get("cores", 0) == timing.compute_cycles
    assert sums.get("cluster DMA", 0) == timing.dma_cycles
    assert sums.get("micro-DMA", 0) == timing.l3_cycles
    assert max(last for spans in busy.values() for _, last in spans) <= timing.cycles
    waits = timing.dma_wait_cycles + timing.l3_wait_cycles
    assert timing.overhead_cycles == timing.cycles - timing.compute_cycles - waits >= 0
    assert bool(timing.l3_bytes) == bool(in_l3)


@settings(max_examples=25, deadline=None)
@given(works(), st.sampled_from([1500, 4000]), st.data())
def test_moving_an_operand_out_to_l3_never_makes_a_layer_faster(
    work: Work, l1_bytes: int, data: Any
) -> None:
    choice, setting = _chosen(work, l1_bytes, 8)
    if choice.tiles > MAX_TILES:
        return
    plan = choice.plan
    index = data.draw(st.integers(0, len(plan.geometry.operands) - 1))
    moved = LayerPlan(plan.geometry, plan.kernel, plan.tile, plan.activation, frozenset({index}))
    assert schedule(moved, setting).cycles >= schedule(plan, setting).cycles


def _spilled(sizes: dict[str, int], readers: dict[str, int], l2_bytes: int) -> set[str]:
    """What is moved out when these tensors, made one after the other, meet at a last layer."""
    layers = []
    for name, size in sizes.items():
        layers.append(_layer(name, ("input",), size))
    for name, count in readers.items():
        layers += [_layer(f"{name}{number}", (name,), 1) for number in range(count - 1)]
    layers.append(_layer("end", tuple(sizes), 1))
    network = Network("net", tuple(layers), ("input",), ("end",))
    plan = make_plan(network, Budget(l2_bytes, 10**6, 0, False), [0.0] * len(layers))
    return plan.spilled


def _layer(name: str, inputs: tuple[str, ...], size: int) -> Layer:
    work = Work(
        "elementwise", ((1, 1, 1),) * len(inputs), (size, 1, 1), (size, 1, 1),
        input_bytes=(1,) * len(inputs), output_bytes=size,
    )  # fmt: skip
    return Layer(name, "add", work, inputs, name)


@pytest.mark.parametrize(
    ("sizes", "readers", "expected"),
    [
        # bytes moved: a 100 written and read once, 200; b 45 written and read three times, 180
        ({"a": 100, "b": 45}, {"a": 1, "b": 3}, {"b"}),
        ({"a": 100, "b": 55}, {"a": 1, "b": 3}, {"a"}),  # 200 against 220
        ({"a": 60, "b": 100}, {"a": 2, "b": 1}, {"a"}),  # 180 against 200
        ({"a": 60, "b": 80}, {"a": 2, "b": 1}, {"b"}),  # 180 against 160
    ],
)
def test_what_moves_the_fewest_bytes_is_spilled(
    sizes: dict[str, int], readers: dict[str, int], expected: set[str]
) -> None:
    """Written once and read as often as it is used; both relieve the same overflow."""
    slack = 20
    assert _spilled(sizes, readers, sum(sizes.values()) - slack) == expected
