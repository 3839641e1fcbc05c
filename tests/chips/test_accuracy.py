"""Simulated against published cycles: single layers here, whole networks with the test data.

``published_layers.csv`` holds published figures with their source; shapes are channels x height x
width.
"""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median

import pytest

from nnshell.chips import Layer, LayerReport, Network, Parameters, simulate_graph, simulate_network
from nnshell.importers.onnx.importer import import_onnx
from nnshell.ir.graph import Graph
from nnshell.ir.work import Window, Work, WorkKind
from nnshell.passes.catalogue import passes_named
from nnshell.passes.manager import run_passes
from nnshell.passes.pipelines import adjust_passes
from nnshell.support.settings import Settings

POW2_NETWORK = "mobilenet_v1_1.0_224_pow2"
PUBLISHED = list(csv.DictReader(Path(__file__).with_name("published_layers.csv").open()))
ROWS = [row for row in PUBLISHED if row["network"] != POW2_NETWORK]
KINDS: dict[str, WorkKind] = {
    "conv2d": "conv",
    "pointwise": "conv",
    "depthwise": "depthwise",
    "linear": "linear",
    "global_avgpool": "global_pool",
    "add": "elementwise",
    "softmax": "softmax",
}
OTHERS = ("ds_cnn_small", "ds_cnn_medium", "vww_mit_proxyless")
IMAGE_NETWORKS = (
    *("mobilenet_v1_1.0_224", "mobilenet_v1_0.5_160", "mobilenet_v1_0.25_128"),
    *("mobilenet_v2_1.0_224", "mobilenet_v2_1.0_128", "mobilenet_v2_0.5_96"),
)
MORE_IMAGE_NETWORKS = (
    *("mobilenet_v1_1.0_128", "mobilenet_v1_0.75_160", "mobilenet_v1_0.5_224"),
    *("mobilenet_v1_0.5_192", "mobilenet_v1_0.25_224", "mobilenet_v1_0.25_160"),
    *("mobilenet_v2_1.0_160", "mobilenet_v2_1.0_96", "mobilenet_v2_0.75_128"),
    "mobilenet_v2_0.5_224",
)
PUBLISHED_L2 = 350_000  # of the image networks and the DS-CNNs
DORY = Parameters(kernels="pulp-nn", cl_freq=100e6)
POW2 = Parameters(
    kernels="autotiler-pow2",
    l1_size=50_000 + DORY.stack_bytes,
    l2_size=PUBLISHED_L2,
    cl_freq=150e6,
    fc_freq=50e6,
)


def _numbers(text: str, separator: str = "x") -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(separator))


def _layer(row: dict[str, str]) -> Layer:
    given, made = _numbers(row["input"]), _numbers(row["output"])
    kind = KINDS[row["op"]]
    filters = kind in ("conv", "depthwise")
    taps = math.prod(_numbers(row["kernel"])) if filters else 1
    depth = {"conv": given[0], "depthwise": 1, "linear": math.prod(given)}.get(kind, 0)
    weights = made[0] * depth * taps
    window = Window()
    if filters:
        kernel, stride = _numbers(row["kernel"]), _numbers(row["stride"])
        pads = _numbers(row["pads"], " ")
        window = Window(kernel, stride, (1, 1), pads)  # type: ignore[arg-type]
    inputs = ("a", "b") if kind == "elementwise" else ("a",)
    work = Work(
        kind=kind,
        inputs=(given,) * len(inputs),  # type: ignore[arg-type]
        output=made,  # type: ignore[arg-type]
        filter_output=made,  # type: ignore[arg-type]
        window=window,
        groups=made[0] if kind == "depthwise" else 1,
        macs=weights * made[1] * made[2],
        input_bytes=(math.prod(given),) * len(inputs),
        output_bytes=math.prod(made) * (2 if kind == "softmax" else 1),
        weight_bytes=weights,
        constant_bytes=6 * made[0] + 13 if weights else 13,
    )
    return Layer(row["layer"], row["op"], work, inputs, "out")


def _simulated(row: dict[str, str]) -> LayerReport:
    """The layer alone, with the memories its source gives."""
    layer = _layer(row)
    network = Network(row["layer"], (layer,), layer.inputs, ("out",))
    parameters = DORY if row["network"].endswith("dory") else Parameters(l1_size=60_000)
    return simulate_network(network, parameters).layers[0]


def _error(row: dict[str, str]) -> float:
    """Relative error; waiting for weights belongs to the layer before, which is not there."""
    found = _simulated(row)
    return (found.cycles - found.stall_cycles) / float(row["cycles"]) - 1


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['network']} {row['layer']}")
def test_a_published_layer_is_met_within_a_sixth(row: dict[str, str]) -> None:
    assert abs(_error(row)) < 1 / 6


def test_the_median_layer_is_met_within_three_percent() -> None:
    errors = [abs(_error(row)) for row in ROWS]
    assert median(errors) < 0.03
    assert fmean(errors) < 0.05


@pytest.fixture(scope="session")
def make(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes one report a network, by the path a user takes: open, adjust, fuse, simulate."""
    maker = test_data / "gap8" / "make_nets.py"
    if not maker.is_file():
        pytest.skip("the test data has no gap8/make_nets.py")

    def reports(names: Sequence[str]) -> Path:
        folder = tmp_path_factory.mktemp("reports")
        models = tmp_path_factory.mktemp("models")
        for name in names:
            model = models / f"{name}.onnx"
            subprocess.run([sys.executable, str(maker), name, str(model)], check=True, timeout=120)
            report = simulate_graph(_fused(model), Settings(l2_size=PUBLISHED_L2))
            (folder / f"{name}.json").write_text(json.dumps(report.to_json()))
        return folder

    return reports


def _fused(model: Path) -> Graph:
    graph = import_onnx(model).graph
    run_passes(graph, adjust_passes(graph))
    run_passes(graph, passes_named(("scale8",)))
    return graph


@pytest.mark.parametrize(
    ("names", "measured"),
    [
        ((*OTHERS, *IMAGE_NETWORKS), "measured.csv"),
        (MORE_IMAGE_NETWORKS, "measured_more.csv"),
    ],
)
def test_published_networks_are_met_within_three_percent(
    test_data: Path, make: Callable[..., Path], names: Sequence[str], measured: str
) -> None:
    gap8 = test_data / "gap8"
    if not (gap8 / measured).is_file():
        pytest.skip(f"the test data has no gap8/{measured}")
    found = subprocess.run(
        [
            *(sys.executable, str(gap8 / "compare.py"), str(make(names)), str(gap8 / measured)),
            *("--family", "sq8", "--require-all", "--summary"),
            *("--max-total", "3", "--max-layer", "3"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "warning" not in found.stdout


def _wide(layer: Layer) -> Layer:
    """The layer with 16-bit activations and weights."""
    work = layer.work
    return replace(
        layer,
        work=replace(
            work,
            input_bytes=tuple(2 * size for size in work.input_bytes),
            output_bytes=2 * work.output_bytes,
            weight_bytes=2 * work.weight_bytes,
        ),
    )


def _pow2_network() -> Network:
    """The layers of the POW2 network one after the other, as they were measured."""
    layers: list[Layer] = []
    for row in PUBLISHED:
        if row["network"] == POW2_NETWORK:
            source = layers[-1].output if layers else "input"
            layers.append(replace(_layer(row), inputs=(source,), output=row["layer"]))
    return Network(POW2_NETWORK, tuple(layers), ("input",), (layers[-1].output,))


def test_the_pow2_network_is_met() -> None:
    report = simulate_network(_pow2_network(), POW2)
    published = [float(r["cycles"]) for r in PUBLISHED if r["network"] == POW2_NETWORK]
    errors = [
        abs(layer.cycles / cycles - 1)
        for layer, cycles in zip(report.layers, published, strict=True)
    ]
    assert abs(report.total_cycles / sum(published) - 1) < 0.04
    assert median(errors) < 0.12


def test_16_bit_layers_take_kernels_of_their_own_and_more_time() -> None:
    network = _pow2_network()
    wide = replace(network, layers=tuple(_wide(layer) for layer in network.layers))
    narrow, wider = simulate_network(network, POW2), simulate_network(wide, POW2)
    assert wider.total_cycles > 1.2 * narrow.total_cycles
    for layer in wider.layers:
        filters = layer.kernel.startswith(("conv", "pointwise", "depthwise", "linear"))
        assert layer.kernel.endswith(", 16 bits") is filters
