"""Ranges, explanations, sweeps and the summary: they follow from the report and agree with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nnshell.chips import Network, Parameters, SimulationReport, load_chip, simulate_network
from nnshell.chips.insight.explain import explain
from nnshell.chips.insight.sweep import MAX_POINTS, Axes, Point, sweep
from nnshell.chips.insight.uncertainty import (
    FLOOR,
    UNMEASURED,
    Family,
    Validation,
    load_validation,
    range_around,
    ranges,
)
from nnshell.chips.model.energy import power_mw
from nnshell.chips.model.tile_costs import Clocks
from nnshell.ir.work import Work
from nnshell.reports import simulation_tables, simulation_text
from nnshell.support.errors import UsageError


@pytest.fixture
def mixed(
    conv: Callable[..., Work],
    linear: Callable[..., Work],
    vector: Callable[..., Work],
    network: Callable[..., Network],
) -> Network:
    """Layers with and without measured kernels, and a classifier that waits for its weights."""
    return network(
        conv((3, 32, 32), 16, 3, 2),
        conv((16, 16, 16), 16, 3, depthwise=True),
        conv((16, 16, 16), 128, 1),
        vector("resize", (128, 16, 16)),
        linear(32768, 20),
        name="mixed",
    )


@pytest.fixture
def report(mixed: Network) -> SimulationReport:
    return simulate_network(mixed)


# ---------------------------------------------------------------- ranges


def test_every_range_holds_its_figure(report: SimulationReport) -> None:
    known = ranges(report)
    for layer, entry in zip(report.layers, known.layers, strict=True):
        assert entry.range.low_cycles < layer.cycles < entry.range.high_cycles
    assert known.total.low_cycles < report.total_cycles < known.total.high_cycles
    assert report.ranges == known


def test_kernels_without_a_measurement_are_marked_and_wider(report: SimulationReport) -> None:
    pairs = zip(report.layers, ranges(report).layers, strict=True)
    by_kernel = {layer.kernel: (layer.cycles, entry) for layer, entry in pairs}
    (known, seen), (unknown, guessed) = by_kernel["depthwise 3x3"], by_kernel["resize"]
    assert seen.measured and not guessed.measured
    assert guessed.range.high_cycles / unknown > seen.range.high_cycles / known


def test_a_library_nobody_compared_has_wide_ranges_everywhere(mixed: Network) -> None:
    report = simulate_network(mixed)
    unknown = Validation({})
    known = load_validation(report.kernels).total_error_of(report.layers)
    assert unknown.total_error_of(report.layers) > 1.2 * known
    assert unknown.kernel_error("pointwise") == UNMEASURED


def test_a_total_is_known_as_well_as_totals_of_the_same_kernels(report: SimulationReport) -> None:
    shares: dict[str, float] = {}
    for layer in report.layers:
        own = (layer.cycles - layer.l3_wait_cycles) / report.total_cycles
        shares[layer.kernel] = shares.get(layer.kernel, 0.0) + own
    same = {kernel: Family(3, 0.5, share) for kernel, share in shares.items()}
    covered = Validation(same, 3, 0.04, 1.0)
    assert covered.total_error_of(report.layers) == pytest.approx(0.04)
    assert Validation(same, 3, 0.0, 1.0).total_error_of(report.layers) == pytest.approx(FLOOR)
    none = {kernel: replace(family, share=0.0) for kernel, family in same.items()}
    assert Validation(none, 3, 0.04, 1.0).total_error_of(report.layers) > 0.08


def test_a_range_is_a_factor_to_both_sides() -> None:
    found = range_around(1000, 2.0)
    assert found.low_cycles > 0
    assert found.high_cycles * found.low_cycles == pytest.approx(1_000_000, rel=0.01)


def test_the_ranges_of_the_package_are_those_of_its_kernels() -> None:
    for name in ("autotiler-sq8", "pulp-nn"):
        found = load_validation(name)
        assert found.families
        assert all(0 < family.error < 1 for family in found.families.values())


# ---------------------------------------------------------------- where the time goes


def test_computing_waiting_and_calls_are_the_whole_time(report: SimulationReport) -> None:
    for layer in report.layers:
        parts = (layer.compute_cycles, layer.dma_wait_cycles, layer.l3_wait_cycles)
        assert min(parts) >= 0 and layer.overhead_cycles > 0
        assert sum(parts) + layer.overhead_cycles == layer.cycles


def test_an_explanation_accounts_for_every_cycle_of_the_cores(report: SimulationReport) -> None:
    for layer in report.layers:
        found = explain(report, layer.name)
        parts = sum(part.cycles for part in found.parts)
        assert parts == pytest.approx(layer.compute_cycles, rel=0.01, abs=2 * layer.tiles)


def test_hardly_any_tile_is_faster_than_the_chosen_one(report: SimulationReport) -> None:
    for layer in report.layers:
        chosen, *others = explain(report, layer.node).alternatives
        assert chosen.chosen and chosen.cycles == layer.cycles - layer.stall_cycles
        assert all(other.cycles > 0.98 * chosen.cycles for other in others)
        assert all(other.choice.l1_bytes <= report.parameters.l1_budget() for other in others)


def test_an_explanation_says_what_would_help_a_layer_that_waits(report: SimulationReport) -> None:
    found = explain(report, "layer4")
    assert found.layer.bound_by == "l3"
    helps = {entry.what: entry.cycles for entry in found.what_ifs}
    assert helps["with all its data in L2"] < found.layer.cycles / 2
    assert "weights, 655,493 bytes: L3" in " ".join(found.where)


@pytest.mark.parametrize("name", ["nobody", "6"])
def test_a_layer_that_is_not_there_is_refused(report: SimulationReport, name: str) -> None:
    with pytest.raises(UsageError, match="no layer"):
        explain(report, name)


# ---------------------------------------------------------------- what if


def _better(one: Point, other: Point) -> bool:
    pairs = list(zip(one.costs(), other.costs(), strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def test_a_sweep_tries_all_combinations_and_marks_the_pareto_front(mixed: Network) -> None:
    axes = Axes(cores=(1, 4, 8), voltage=(1.0, 1.2), l2=(100_000, 300_000))
    found = sweep(mixed, Parameters(), axes)
    assert len(found.points) == axes.count == 12
    for point in found.points:
        beaten = any(_better(other, point) for other in found.points)
        assert point.pareto == (not beaten)
    assert {point.parameters.cl_freq for point in found.points} == {100e6, 175e6}


def test_a_sweep_gives_what_single_simulations_give(mixed: Network) -> None:
    axes = Axes(cores=(2, 8), fc_freq=(100e6, 250e6), l1=(32_000, 64_000))
    for point in sweep(mixed, Parameters(), axes).points:
        assert point.cycles == simulate_network(mixed, point.parameters).total_cycles


def test_points_the_chip_cannot_have_are_left_out_with_a_reason(mixed: Network) -> None:
    found = sweep(mixed, Parameters(), Axes(voltage=(1.0, 1.2), cl_freq=(175e6,)))
    assert len(found.points) == 1
    assert "too fast for 1 V" in found.left_out[0]


@pytest.mark.parametrize(
    "axes", [Axes(voltage=(2.0,)), Axes(l1=(1,)), Axes(l2=tuple(range(1, MAX_POINTS + 2)))]
)
def test_sweeps_that_cannot_be_are_refused(mixed: Network, axes: Axes) -> None:
    with pytest.raises(UsageError):
        sweep(mixed, Parameters(), axes)


def test_the_constraint_to_relax_first_saves_most(mixed: Network) -> None:
    found = sweep(mixed, Parameters(fc_freq=100e6), Axes(cores=(8,))).relaxations
    assert found[0].setting == "fc_freq"
    assert [entry.saved_ms for entry in found] == sorted(
        (entry.saved_ms for entry in found), reverse=True
    )


def test_what_to_relax_starts_from_the_fastest_point_of_the_table(mixed: Network) -> None:
    slow = sweep(mixed, Parameters(), Axes(cl_freq=(50e6,), cores=(4,)))
    assert {"cl_freq", "cluster_num_cores"} <= {entry.setting for entry in slow.relaxations}
    assert slow.relaxations[0].before in ("50M", "4") and slow.remarks == ()


def test_a_table_says_what_does_not_fit_and_what_the_chip_does_not_run(mixed: Network) -> None:
    small = sweep(mixed, Parameters(), Axes(l2=(10,)))
    assert small.relaxations == () and "does not fit L2" in small.remarks[0]
    fast = sweep(mixed, Parameters(), Axes(cl_freq=(175e6, 1e9)))
    assert fast.remarks == ("cl_freq 1000 MHz: GAP8 runs at most 175 MHz",)
    notes = simulation_tables.sweep_table(fast).notes
    assert set(fast.remarks) <= set(notes)


def test_power_goes_with_the_square_of_the_voltage_and_with_the_clock() -> None:
    chip = load_chip()
    low, mid, high = (
        power_mw(chip, Clocks(100e6, 100e6, volt), 1.0) / chip.at_voltage(volt).volt ** 2
        for volt in (1.0, 1.1, 1.2)
    )
    assert min(low, high) <= mid <= max(low, high)
    half = power_mw(chip, Clocks(100e6, 50e6, 1.2), 1.0)
    assert power_mw(chip, Clocks(100e6, 100e6, 1.2), 1.0) == pytest.approx(2 * half)


# ---------------------------------------------------------------- text


def test_the_summary_fits_one_screen_and_says_what_it_must(report: SimulationReport) -> None:
    lines = simulation_text.summary(report)
    assert len(lines) <= 24
    text = "\n".join(lines)
    for word in ("cycles", "mJ", "9 of 10", "wait for L3", "L2 planned", "bound by l3"):
        assert word in text


def test_bars_show_something_for_anything_and_never_overflow() -> None:
    assert simulation_text.bar(1, 10_000, 10).count(simulation_text.FULL) == 1
    assert simulation_text.bar(20, 10, 10) == simulation_text.FULL * 10
    assert simulation_text.bar(0, 0, 10) == simulation_text.EMPTY * 10


def test_the_memory_map_draws_every_large_buffer_where_it_lies(report: SimulationReport) -> None:
    lines = simulation_text.memory_map(report)
    assert any("weights layer0" in line for line in lines)
    assert "above the live bytes" in lines[-1]
    cells = [line[10:] for line in lines[1:25]]
    assert set("".join(cells)) > {"·"} and len(set("".join(cells))) > 2
    assert set(cells[0]) != {"·"}, "the map ends where L2 is used no more"
    largest = max(report.memory.placements, key=lambda entry: entry.buffer.size_bytes)
    letter = next(line[2] for line in lines[25:] if f"{largest.buffer.name}," in line)
    step = -(-report.l2_peak_bytes // 24)
    rows = sum(letter in row for row in cells)
    assert abs(rows - largest.buffer.size_bytes / step) < 2


def test_reports_of_an_empty_network_are_text_too() -> None:
    empty = simulate_network(Network("nothing", (), ("input",), ()))
    assert simulation_text.summary(empty) and simulation_text.memory_map(empty)
    assert simulation_tables.layer_table(empty).rows == ()


def test_sweeps_and_explanations_are_tables_and_lines(report: SimulationReport) -> None:
    found = sweep(report.network, Parameters(), Axes(cores=(4, 8)))
    table = simulation_tables.sweep_table(found)
    assert len(table.rows) == 2 and any("relax first" in note for note in table.notes)
    lines = simulation_text.explanation(report, explain(report, "layer4"))
    assert any("what would help" in line for line in lines)


# ---------------------------------------------------------------- another library, another chip

THIRD = """
name = "third"
layout = "hwc"
blocking_l3 = []
constants_from = "ram"
keeps_weights = true
l2_size = 400000
activation = { other = 3.0 }
fused_pool = { tap = 1.0, output = 5.0 }
[[kernel]]
name = "one for all"
match = { kinds = ["conv", "depthwise", "resize", "linear"] }
orders = [["out", "rows"]]
[[kernel.terms]]
name = "taps"
cycles = 1.0
per = ["out_share", "positions", "patch"]
origin = "derived"
source = "a test"
"""


def test_a_third_library_and_another_chip_are_files(mixed: Network, tmp_path: Path) -> None:
    from importlib.resources import files

    table, chip = tmp_path / "third.toml", tmp_path / "chip.toml"
    table.write_text(THIRD)
    text = files("nnshell.chips.tables").joinpath("chip.toml").read_text(encoding="utf-8")
    chip.write_text(
        text.replace('name = "GAP8"', 'name = "GAP16"')
        .replace("cores = 8", "cores = 16")
        .replace("bytes = 524288", "bytes = 2097152")
    )
    parameters = Parameters(kernels=str(table), cluster_num_cores=16, cluster_slave_stack_size=512)
    found = simulate_network(mixed, parameters, chip=load_chip(chip))
    assert (found.kernels, found.setting.chip.name) == ("third", "GAP16")
    assert {layer.kernel for layer in found.layers} == {"one for all"}
    assert found.parameters.l2_size == 400_000
    assert not any(entry.measured for entry in ranges(found).layers)
    fewer = simulate_network(mixed, replace(parameters, cluster_num_cores=8), chip=load_chip(chip))
    assert found.total_cycles < fewer.total_cycles


def test_a_network_that_takes_seconds_has_a_rate_above_zero(
    conv: Callable[..., Work], network: Callable[..., Network]
) -> None:
    slow = simulate_network(network(conv((512, 128, 128), 512, 3)))
    assert slow.latency_ms > 1000
    line = simulation_text.summary(slow)[0]
    assert float(line.split()[-4]) == pytest.approx(1e3 / slow.latency_ms, rel=0.06)
