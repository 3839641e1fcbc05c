"""The report: its parts agree with each other, with the trace, and with what is asked for."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import pytest

from nnshell.chips import (
    Layer,
    Network,
    Parameters,
    SimulationReport,
    chrome_trace,
    levers,
    load_chip,
    simulate_network,
)
from nnshell.chips.insight.advice import l2_to_hold
from nnshell.chips.model.kernels import TABLES
from nnshell.ir.work import Window, Work, WorkKind
from nnshell.support.errors import GraphError, UsageError

SHAPE = (16, 12, 10)
TRACKS = {"layers": 1, "cores": 2, "cluster DMA": 3, "micro-DMA": 4}


@pytest.fixture
def small(
    conv: Callable[..., Work],
    linear: Callable[..., Work],
    vector: Callable[..., Work],
    network: Callable[..., Network],
) -> Network:
    """A few layers of different kinds; the classifier's weights do not fit a small L2."""
    return network(
        conv((3, 32, 32), 16, 3, 2),
        conv((16, 16, 16), 16, 3, depthwise=True),
        conv((16, 16, 16), 32, 1),
        vector("activation", (32, 16, 16)),
        linear(8192, 100),
        name="small",
    )


@pytest.fixture(params=[300_000, 10_000], ids=["all in L2", "spilling"])
def report(request: pytest.FixtureRequest, small: Network) -> SimulationReport:
    return simulate_network(small, Parameters(l2_size=request.param))


def _events(report: SimulationReport, track: str) -> list[dict[str, Any]]:
    events = chrome_trace(report)["traceEvents"]
    return [event for event in events if event["ph"] == "X" and event["tid"] == TRACKS[track]]


def test_the_layers_add_up_to_the_total(report: SimulationReport) -> None:
    assert sum(layer.cycles for layer in report.layers) == report.total_cycles
    assert report.latency_ms == pytest.approx(report.total_cycles / 175e3)
    assert sum(layer.energy_mj for layer in report.layers) == pytest.approx(report.energy_mj)


def test_no_part_of_a_layer_takes_longer_than_the_layer(report: SimulationReport) -> None:
    for layer in report.layers:
        parts = (layer.compute_cycles, layer.dma_l2_l1_cycles, layer.dma_l3_l2_cycles)
        assert 0 < max(parts) <= layer.cycles


def test_the_trace_agrees_with_the_table_to_the_cycle(report: SimulationReport) -> None:
    spans = [(event["ts"], event["dur"]) for event in _events(report, "layers")]
    assert [duration for _, duration in spans] == [layer.cycles for layer in report.layers]
    assert spans[-1][0] + spans[-1][1] == report.total_cycles
    sums = {
        "cores": sum(layer.compute_cycles for layer in report.layers),
        "cluster DMA": sum(layer.dma_l2_l1_cycles for layer in report.layers),
        "micro-DMA": sum(layer.dma_l3_l2_cycles for layer in report.layers),
    }
    for track, expected in sums.items():
        assert sum(event["dur"] for event in _events(report, track)) == expected, track


def test_a_resource_does_one_thing_at_a_time(report: SimulationReport) -> None:
    for track in TRACKS:
        events = sorted(_events(report, track), key=lambda event: event["ts"])
        for one, other in itertools.pairwise(events):
            assert one["ts"] + one["dur"] <= other["ts"], track


def test_the_trace_is_plain_json(report: SimulationReport) -> None:
    trace = json.loads(json.dumps(chrome_trace(report)))
    names = {event["args"]["name"] for event in trace["traceEvents"] if event["ph"] == "M"}
    assert names == set(TRACKS)


def test_the_json_form_has_the_contract_s_keys(report: SimulationReport) -> None:
    found = json.loads(json.dumps(report.to_json()))
    assert list(found) == [
        "network", "kernels", "frequency_mhz", "total_cycles", "latency_ms", "energy_mj", "macs",
        "l1_bytes", "l2_peak_bytes", "l3_bytes", "range_cycles", "layers",
    ]  # fmt: skip
    assert list(found["layers"][0]) == [
        "name", "op", "macs", "cycles", "compute_cycles", "dma_l2_l1_cycles", "dma_l3_l2_cycles",
        "bound_by", "tile", "tiles", "l1_bytes", "l2_bytes", "l3_bytes", "energy_mj",
        "range_cycles", "measured",
    ]  # fmt: skip
    assert list(found["layers"][0]["tile"]) == ["rows", "channels"]
    assert (found["network"], found["kernels"]) == ("small", "autotiler-sq8")
    assert found["frequency_mhz"] == {"fc": 250, "cluster": 175}


def test_a_small_l2_moves_tensors_to_l3_and_costs_cycles(small: Network) -> None:
    large, little = (
        simulate_network(small, Parameters(l2_size=size)) for size in (300_000, 10_000)
    )
    assert little.total_cycles > large.total_cycles
    assert little.l2_peak_bytes <= 10_000 < large.l2_peak_bytes
    assert sum(layer.l3_bytes for layer in little.layers) > large.network.constant_bytes
    assert little.l3_bytes > little.network.constant_bytes


def test_every_weight_crosses_l3_at_least_once_when_none_stays(small: Network) -> None:
    report = simulate_network(small, Parameters(kernels="pulp-nn"))
    for layer, row in zip(small.layers, report.layers, strict=True):
        assert row.l3_bytes >= layer.constant_bytes


def test_memory_of_each_layer_is_within_the_budgets(report: SimulationReport) -> None:
    for layer in report.layers:
        assert layer.l1_bytes <= report.parameters.l1_budget()
        assert layer.l2_bytes <= report.parameters.l2_size
    assert report.l1_bytes == max(layer.l1_bytes for layer in report.layers)
    for _, _, offset, size, _, _ in report.memory_rows():
        assert offset + size <= report.l2_peak_bytes


def test_fewer_cores_and_slower_clocks_take_longer(
    conv: Callable[..., Work], network: Callable[..., Network]
) -> None:
    work = network(conv((64, 16, 16), 64, 1), conv((64, 16, 16), 64, depthwise=True))
    cycles = [
        simulate_network(work, Parameters(cluster_num_cores=cores)).total_cycles
        for cores in (1, 2, 4, 8)
    ]
    assert cycles == sorted(cycles, reverse=True)
    assert 5 * cycles[3] < cycles[0] < 8 * cycles[3]
    slow = simulate_network(work, Parameters(cl_freq=87.5e6))
    assert slow.latency_ms > 1.9 * simulate_network(work).latency_ms


def test_a_slower_fabric_controller_slows_what_waits_for_l3(small: Network) -> None:
    slow, fast = (simulate_network(small, Parameters(fc_freq=hz)) for hz in (50e6, 250e6))
    assert slow.layers[-1].bound_by == "l3"
    assert slow.layers[-1].cycles > 2 * fast.layers[-1].cycles
    assert slow.layers[1].compute_cycles == fast.layers[1].compute_cycles


def test_a_lower_voltage_takes_less_power(small: Network) -> None:
    low = simulate_network(small, Parameters(fc_freq=90e6, cl_freq=90e6))
    high = simulate_network(small, Parameters(fc_freq=160e6, cl_freq=90e6))
    assert low.energy_mj / low.latency_ms < high.energy_mj / high.latency_ms


def test_equal_layers_cost_the_same(
    conv: Callable[..., Work], network: Callable[..., Network]
) -> None:
    report = simulate_network(network(*[conv((32, 14, 14), 32, 1) for _ in range(4)]))
    assert len({layer.cycles for layer in report.layers}) == 1


def test_the_same_network_gives_the_same_report(small: Network) -> None:
    assert simulate_network(small).to_json() == simulate_network(small).to_json()


# ---------------------------------------------------------------- what does not fit


def test_a_layer_that_does_not_fit_l1_is_a_result_with_its_gap_and_levers(
    conv: Callable[..., Work], network: Callable[..., Network]
) -> None:
    report = simulate_network(network(conv((8, 64, 64), 8, 3)), Parameters(l1_size=14_000))
    assert not report.fits
    (shortfall,) = report.shortfalls
    assert (shortfall.memory, shortfall.where) == ("L1", "layer0")
    assert shortfall.gap_bytes == shortfall.demand_bytes - shortfall.limit_bytes > 0
    assert any(lever.startswith("set l1_size") for lever in shortfall.levers)
    assert report.to_json()["does_not_fit"][0]["gap_bytes"] == shortfall.gap_bytes


def test_doing_what_the_lever_says_makes_it_fit(
    conv: Callable[..., Work], network: Callable[..., Network]
) -> None:
    layer = network(conv((8, 64, 64), 8, 3))
    lever = simulate_network(layer, Parameters(l1_size=14_000)).shortfalls[0].levers[0]
    assert simulate_network(layer, Parameters(l1_size=int(lever.split()[-1]))).fits


def test_smaller_stacks_make_room_where_all_of_l1_does_not(
    conv: Callable[..., Work], network: Callable[..., Network]
) -> None:
    layer = network(conv((37, 16, 767), 53, 3))
    (shortfall,) = simulate_network(layer, Parameters()).shortfalls
    l1_size, stack = (int(word.rstrip(",")) for word in shortfall.levers[0].split()[2:6:3])
    assert stack < 1024
    assert simulate_network(layer, Parameters(l1_size=l1_size, cluster_slave_stack_size=stack)).fits


def test_levers_the_chip_does_not_have_are_not_named(
    conv: Callable[..., Work], linear: Callable[..., Work], network: Callable[..., Network]
) -> None:
    large = simulate_network(network(conv((16, 512, 512), 16, 1), conv((16, 512, 512), 16, 1)))
    (ram,) = simulate_network(large.network, Parameters(l3_size=100_000)).shortfalls
    assert ram.levers and not any("l2_size" in lever for lever in ram.levers)
    streamed = network(linear(30_000, 100))
    (slow,) = levers(simulate_network(streamed, Parameters(fc_freq=100e6)))
    (fast,) = levers(simulate_network(streamed, Parameters(fc_freq=250e6)))
    assert "a faster fc_freq" in slow and "fc_freq" not in fast


def test_an_l2_too_small_for_the_streaming_buffers_is_reported(small: Network) -> None:
    report = simulate_network(small, Parameters(l2_size=2_000))
    (shortfall,) = report.shortfalls
    assert shortfall.memory == "L2"
    assert shortfall.demand_bytes == report.l2_peak_bytes > 2_000


def test_activations_and_constants_beyond_l3_are_reported(small: Network) -> None:
    report = simulate_network(small, Parameters(l2_size=10_000, l3_size=100, l3_flash_mb=0))
    assert {shortfall.memory for shortfall in report.shortfalls} == {"L3 flash", "L3 RAM"}
    assert all(str(shortfall) in levers(report) for shortfall in report.shortfalls)


def test_layers_that_wait_for_l3_are_named_with_a_lever(small: Network) -> None:
    lines = levers(simulate_network(small))
    assert any(line.startswith("layer4 waits") and "weights" in line for line in lines)


def test_doing_what_an_l2_lever_says_ends_the_waiting(
    conv: Callable[..., Work], linear: Callable[..., Work], network: Callable[..., Network]
) -> None:
    net = network(conv((32, 40, 40), 32, 3), conv((32, 40, 40), 64, 1), linear(102_400, 2))
    for at in (0, 2):
        waiting = simulate_network(net, Parameters(l2_size=80_000))
        size = l2_to_hold(waiting, at)
        assert size is not None and waiting.layers[at].l3_wait_cycles > 0
        assert simulate_network(net, Parameters(l2_size=size)).layers[at].l3_wait_cycles == 0
    assert l2_to_hold(simulate_network(network(linear(600_000, 1))), 0) is None


def test_a_layer_that_waits_for_its_tiles_is_named_with_a_lever(
    vector: Callable[..., Work], network: Callable[..., Network]
) -> None:
    chip = load_chip()
    slow = replace(chip, cluster_dma=replace(chip.cluster_dma, bytes_per_cycle=0.5))
    report = simulate_network(network(vector("elementwise", (16, 40, 40), 2)), chip=slow)
    assert report.layers[0].bound_by == "dma"
    (lever,) = levers(report)
    assert lever.startswith("layer0 waits") and "for the L1 DMA" in lever


# ---------------------------------------------------------------- every kind, odd sizes


def _work_of(kind: str, shape: tuple[int, int, int], vector: Callable[..., Work]) -> Work:
    """Some work of each kind over a feature map."""
    channels, height, width = shape
    base = vector(kind, shape, 2 if kind in ("elementwise", "matmul") else 1)
    if kind in ("conv", "depthwise", "grouped"):
        groups = {"conv": 1, "depthwise": channels, "grouped": 2 if channels % 2 == 0 else 1}[kind]
        weights = channels * channels // groups
        return dataclasses.replace(
            base, groups=groups, weight_bytes=weights, macs=weights * height * width
        )
    if kind == "linear":
        size = channels * height * width
        return dataclasses.replace(
            base, output=(10, 1, 1), filter_output=(10, 1, 1), output_bytes=10,
            weight_bytes=10 * size, macs=10 * size,
        )  # fmt: skip
    if kind == "matmul":
        macs = channels * height * width * width
        return dataclasses.replace(base, macs=macs)
    if kind == "global_pool":
        return dataclasses.replace(
            base, output=(channels, 1, 1), filter_output=(channels, 1, 1), output_bytes=channels
        )
    if kind == "pool" and min(height, width) >= 2:
        window = Window((2, 2), (2, 2))
        output = (channels, *window.output_size(height, width))
        size = output[0] * output[1] * output[2]
        return dataclasses.replace(
            base, window=window, output=output, filter_output=output, output_bytes=size
        )
    return base


@pytest.mark.parametrize("shape", [(1, 1, 1), (1000, 1, 1), SHAPE, (3, 1, 257), (2, 480, 640)])
@pytest.mark.parametrize("kind", sorted(set(get_args(WorkKind)) - {"none"}))
@pytest.mark.parametrize("kernels", TABLES)
def test_every_kind_of_work_is_simulated_at_any_size(
    kernels: str,
    kind: str,
    shape: tuple[int, int, int],
    vector: Callable[..., Work],
    network: Callable[..., Network],
) -> None:
    report = simulate_network(network(_work_of(kind, shape, vector)), kernels=kernels)
    (layer,) = report.layers
    assert layer.cycles > 0
    assert max(layer.compute_cycles, layer.dma_l2_l1_cycles, layer.dma_l3_l2_cycles) <= layer.cycles
    assert layer.tiles >= 1
    assert report.energy_mj > 0


def test_a_huge_layer_is_scaled_from_its_first_tiles(
    conv: Callable[..., Work], network: Callable[..., Network]
) -> None:
    report = simulate_network(network(conv((3, 4096, 4096), 32, 3)), Parameters(l1_size=20_000))
    assert report.layers[0].tiles > 10_000
    assert report.macs_per_cycle > 0.5


def test_a_network_without_layers_is_an_empty_report() -> None:
    report = simulate_network(Network("nothing", (), ("input",), ()))
    assert (report.total_cycles, report.energy_mj, report.l2_peak_bytes) == (0, 0, 0)
    assert report.fits


# ---------------------------------------------------------------- wrong settings and networks


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cluster_num_cores", 0),
        ("cluster_num_cores", 9),
        ("l1_size", 70_000),
        ("l1_size", 5_000),
        ("l2_size", 600_000),
        ("l3_size", -1),
        ("fc_freq", 0.0),
        ("fc_freq", -5.0),
        ("cl_freq", float("nan")),
        ("cl_freq", float("inf")),
        ("kernels", "none such"),
    ],
)
def test_a_setting_the_chip_cannot_have_is_refused_by_name(
    small: Network, name: str, value: Any
) -> None:
    with pytest.raises(UsageError) as raised:
        simulate_network(small, Parameters(**{name: value}))
    assert (name if name != "kernels" else value) in str(raised.value)
    assert raised.value.hint


def test_a_tensor_nobody_makes_is_refused(conv: Callable[..., Work]) -> None:
    layer = Layer("lonely", "conv2d", conv((3, 8, 8), 4), ("ghost",), "out")
    with pytest.raises(GraphError, match="ghost"):
        simulate_network(Network("broken", (layer,), ("input",), ("out",)))


def test_a_tensor_made_twice_is_refused(conv: Callable[..., Work]) -> None:
    work = conv((3, 8, 8), 3)
    layers = (
        Layer("one", "conv2d", work, ("input",), "x"),
        Layer("two", "conv2d", work, ("input",), "x"),
    )
    with pytest.raises(GraphError, match="twice"):
        simulate_network(Network("broken", layers, ("input",), ("x",)))


@pytest.mark.parametrize("shape", [(0, 8, 8), (3, 0, 8), (3, 8, -1)])
def test_an_empty_feature_map_is_refused(
    shape: tuple[int, int, int], vector: Callable[..., Work], network: Callable[..., Network]
) -> None:
    with pytest.raises(GraphError, match="no elements"):
        simulate_network(network(vector("activation", shape)))


def test_a_work_the_table_does_not_know_is_refused(vector: Callable[..., Work]) -> None:
    layer = Layer("odd", "odd", vector("none", (1, 2, 2)), ("input",), "out")
    with pytest.raises(GraphError, match="no kernel for none"):
        simulate_network(Network("odd", (layer,), ("input",), ("out",)))
