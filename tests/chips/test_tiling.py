"""Tiles: they cover the output exactly, stay within L1 and read what they need."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnshell.chips import load_chip, load_kernels
from nnshell.chips.model.counts import COUNTS, TileSizes
from nnshell.chips.model.geometry import Geometry, geometry
from nnshell.chips.model.kernels import Kernel
from nnshell.chips.model.schedule import schedule
from nnshell.chips.model.search import Choice, choose
from nnshell.chips.model.tile_costs import Clocks, LayerPlan, Setting, steps
from nnshell.chips.model.tiling import (
    axis_sizes,
    candidates,
    kernel_cycles,
    tile_bytes,
    transfers,
)
from nnshell.ir.work import Window, Work

CLOCKS = Clocks(250e6, 175e6)
SQ8 = load_kernels("autotiler-sq8")


def _setting(l1_bytes: int = 52736, cores: int = 8, kernels: str = "autotiler-sq8") -> Setting:
    return Setting(load_chip(), load_kernels(kernels), CLOCKS, cores, l1_bytes)


@st.composite
def filters(draw: st.DrawFn) -> Work:
    """Convolutions of all kinds with odd sizes, strides, pads, dilations and fused pools."""
    kind = draw(st.sampled_from(["conv", "depthwise", "grouped"]))
    groups = draw(st.integers(2, 3)) if kind == "grouped" else 1
    channels = groups * draw(st.integers(1, 40))
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    window = Window(
        (draw(st.integers(1, 5)), draw(st.integers(1, 5))),
        (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        (draw(st.integers(1, 2)), 1),
        tuple(draw(st.integers(0, 2)) for _ in range(4)),  # type: ignore[arg-type]
    )
    rows, columns = window.output_size(height, width)
    if min(rows, columns) < 1:
        window = Window()
        rows, columns = height, width
    out = channels if kind == "depthwise" else groups * draw(st.integers(1, 40))
    filtered, pool = (out, rows, columns), None
    output = filtered
    if draw(st.booleans()) and min(rows, columns) >= 2:
        pool = Window((2, 2), (2, 2))
        output = (out, *pool.output_size(rows, columns))
    depth = 1 if kind == "depthwise" else channels // groups
    weights = out * depth * math.prod(window.kernel)
    return Work(
        kind=kind,  # type: ignore[arg-type]
        inputs=((channels, height, width),),
        output=output,
        filter_output=filtered,
        window=window,
        groups=out if kind == "depthwise" else groups,
        macs=weights * rows * columns,
        input_bytes=(channels * height * width,),
        output_bytes=math.prod(output),
        weight_bytes=weights,
        constant_bytes=6 * out + 13,
        pool=pool,
        pool_kind="max" if pool else None,
        activation=draw(st.sampled_from([None, "relu", "hswish"])),
    )


def _chosen(work: Work, setting: Setting) -> Choice:
    return choose(work, setting, frozenset(), 0, "layer")


@settings(max_examples=60, deadline=None)
@given(filters(), st.sampled_from([4000, 16000, 52736]))
def test_tiles_cover_every_output_of_every_input_channel_once(work: Work, l1_bytes: int) -> None:
    plan = _chosen(work, _setting(l1_bytes)).plan
    nest, tile = plan.geometry, plan.tile
    seen = np.zeros((nest.groups, nest.out, nest.height, nest.depth), np.int64)
    for step in steps(nest, tile):
        seen[
            step.group,
            step.out * tile.out : (step.out + 1) * tile.out,
            step.rows * tile.rows : (step.rows + 1) * tile.rows,
            step.depth * tile.depth : (step.depth + 1) * tile.depth,
        ] += 1
    assert (seen == 1).all()
    assert nest.groups * nest.out * nest.height * nest.width == math.prod(work.output)


@settings(max_examples=60, deadline=None)
@given(filters(), st.sampled_from([6000, 20000, 52736]))
def test_a_chosen_tile_stays_within_l1_or_says_that_it_does_not(work: Work, l1_bytes: int) -> None:
    choice = _chosen(work, _setting(l1_bytes))
    assert choice.fits == (choice.l1_bytes <= l1_bytes)


@settings(max_examples=60, deadline=None)
@given(filters())
def test_the_rows_a_tile_reads_are_those_its_window_touches(work: Work) -> None:
    nest = geometry(work, matrix=False)
    for first in range(nest.height):
        for last in range(first + 1, min(nest.height, first + 4) + 1):
            assert nest.input_span(first, last) == _touched(work, nest, first, last)


def _touched(work: Work, nest: Geometry, first: int, last: int) -> tuple[int, int]:
    rows = set()
    for row in range(first, last):
        for filtered in _filter_rows(work, nest, row):
            for tap in range(work.window.kernel[0]):
                at = filtered * work.window.strides[0] + tap * work.window.dilations[0]
                rows.add(at - work.window.pads[0])
    if not rows:
        return nest.input_span(first, last)
    return max(0, min(rows)), max(0, min(nest.input_height, max(rows) + 1))


def _filter_rows(work: Work, nest: Geometry, row: int) -> list[int]:
    if work.pool is None:
        return [row]
    start = row * work.pool.strides[0] - work.pool.pads[0]
    taps = range(start, start + work.pool.kernel[0])
    return [tap for tap in taps if 0 <= tap < nest.filter_height]


@settings(max_examples=40, deadline=None)
@given(filters(), st.sampled_from(["autotiler-sq8", "pulp-nn"]))
def test_more_cores_never_make_the_same_tile_slower(work: Work, kernels: str) -> None:
    table = load_kernels(kernels)
    kernel = table.matching(work)[0]
    nest = geometry(work, matrix=kernel.matrix)
    previous = None
    for cores in (1, 2, 4, 8):
        found = candidates(nest, kernel, kernel.orders[0], cores, 4)
        cycles = kernel_cycles(kernel, table, work.activation, found.sizes)
        total = sum(cycles.values())
        assert previous is None or (total <= previous).all()
        previous = total


@pytest.mark.parametrize("extent", [1, 3, 7, 8, 9, 64, 1000, 100_003])
@pytest.mark.parametrize("multiple", [1, 4, 8])
def test_axis_sizes_reach_from_one_unit_to_the_whole_axis(extent: int, multiple: int) -> None:
    sizes = axis_sizes(extent, multiple, cut=True)
    assert sizes.max() == extent
    assert sizes.min() <= max(1, multiple)
    assert all(size == extent or size % multiple == 0 for size in sizes)


def test_an_axis_that_no_order_names_is_never_cut() -> None:
    assert axis_sizes(1000, 8, cut=False).tolist() == [1000]


def test_counts_are_what_they_say(conv: Callable[..., Work]) -> None:
    work = conv((12, 10, 9), 20, 3)
    nest = geometry(work, matrix=False)
    one = np.array([1])
    tile = TileSizes(nest, 8, 20 * one, 5 * one, 12 * one)
    expected = {
        "out_share": 3, "depth_fours": 3, "depth_rest": 0, "positions": 45, "position_fours": 11,
        "position_one": 1, "position_share": 6, "taps": 9, "kernel_rows": 3, "columns": 9,
        "output_share": 113, "border": 17, "padded_sides": 3,
        "padded_edges": 19, "patch": 108, "rows": 5,
        "input_positions": 63,
    }  # fmt: skip
    assert {name: int(COUNTS[name](tile)[0]) for name in expected} == expected


def test_columns_in_one_bank_are_counted_only_at_multiples_of_a_bank_row() -> None:
    work = Work("conv", ((64, 4, 4),), (8, 4, 4), (8, 4, 4), input_bytes=(1024,), output_bytes=128)
    nest = geometry(work, matrix=True)
    one = np.array([1])
    count = COUNTS["depth_fours_in_one_bank"]
    assert count(TileSizes(nest, 8, one, one, 64 * one))[0] == 16
    assert count(TileSizes(nest, 8, one, one, 60 * one))[0] == 0


def _time(work: Work, kernel: Kernel, setting: Setting, in_l3: frozenset[int]) -> int:
    choice = choose(work, setting, frozenset(), 0, "layer")
    return schedule(
        LayerPlan(choice.plan.geometry, kernel, choice.plan.tile, None, in_l3), setting
    ).cycles


def test_operands_in_l3_make_a_layer_slower(conv: Callable[..., Work]) -> None:
    work = conv((32, 40, 40), 32, 3, depthwise=True)
    setting = _setting()
    kernel = SQ8.matching(work)[0]
    resident = _time(work, kernel, setting, frozenset())
    streamed = _time(work, kernel, setting, frozenset({0}))
    assert streamed > 1.2 * resident


def test_the_search_prefers_whole_layers_that_fit(conv: Callable[..., Work]) -> None:
    choice = _chosen(conv((16, 8, 8), 16, 1), _setting())
    assert choice.plan.tile.out == 16


def test_double_buffering_is_paid_for_only_where_tiles_change(conv: Callable[..., Work]) -> None:
    work = conv((64, 16, 16), 64, 1)
    kernel = SQ8.matching(work)[0]
    nest = geometry(work, matrix=True)
    found = candidates(nest, kernel, ("rows", "out"), 8, 4)
    whole = (found.sizes.out == 64) & (found.sizes.rows == 256)
    operands = 64 * 256 * 2 + 64 * 64 + 6 * 64 + 16
    assert found.l1_bytes[whole].tolist() == [operands + 64 * kernel.column_buffers]


@pytest.mark.parametrize("kind", ["pointwise", "few channels", "depthwise", "linear"])
def test_activations_of_two_bytes_take_twice_the_memory_of_maps_and_columns(
    conv: Callable[..., Work], linear: Callable[..., Work], kind: str
) -> None:
    work = {
        "pointwise": conv((128, 12, 12), 64, 1),
        "few channels": conv((16, 12, 12), 32, 1),
        "depthwise": conv((16, 12, 12), 16, 3, depthwise=True),
        "linear": linear(128, 16),
    }[kind]
    wide = dataclasses.replace(
        work, input_bytes=(2 * work.input_bytes[0],), output_bytes=2 * work.output_bytes
    )
    kernel = load_kernels("autotiler-sq8").matching(work)[0]
    demands = []
    for each in (work, wide):
        nest = geometry(each, matrix=kernel.matrix)
        cuts = candidates(nest, kernel, kernel.orders[0], 8, 1)
        demands.append(cuts.l1_bytes)
        assert nest.input_element_bytes == each.input_bytes[0] / work.input_bytes[0]
    fixed = [operand for operand in nest.operands if operand.role in ("weights", "constants")]
    same = sum(
        tile_bytes(operand, cuts.sizes)
        * (1 + (transfers(operand, cuts.trips, kernel.orders[0]) > 1).astype(np.int64))
        for operand in fixed
    )
    same = same + cuts.sizes.out * cuts.sizes.positions * kernel.accumulator_bytes
    assert ((demands[1] - same) == 2 * (demands[0] - same)).all()
