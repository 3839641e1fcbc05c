"""Answers to questions of courses, typed as a student would, beside numpy and ONNX Runtime."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

from nnshell.cli import main
from nnshell.support.samples import resolve

OPEN = ("open sample:lenet", "adjust", "fusions --scale8", 'set input_norm_func "x: x/128-1"')
QUANTIZED = (*OPEN, "aquant sample:calibration")


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Any:
    """What the last of some lines prints."""

    def run(*lines: str) -> str:
        words = [word for line in (*lines[:-1], "pwd", lines[-1]) for word in ("-e", line)]
        assert main(words) == 0
        return capsys.readouterr().out.partition(f"{Path.cwd()}\n")[2]

    return run


def rows(printed: str) -> list[dict[str, Any]]:
    return list(json.loads(printed[printed.index("[") :]))


@pytest.fixture(scope="module")
def constants() -> dict[str, NDArray[Any]]:
    model = onnx.load(resolve("sample:lenet"))
    return {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}


@pytest.fixture(scope="module")
def images() -> NDArray[np.float32]:
    """The calibration images as the network takes them."""
    paths = sorted(resolve("sample:calibration").glob("*.png"))
    pixels = np.stack([np.asarray(Image.open(path)) for path in paths])
    return (pixels.transpose(0, 3, 1, 2) / 128 - 1).astype(np.float32)


@pytest.fixture(scope="module")
def float_tensors(images: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """What ONNX Runtime makes at the relus, pools and the output."""
    model = onnx.load(resolve("sample:lenet"))
    names = [node.output[0] for node in model.graph.node]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    parts = [session.run(names, {"input": image[None]}) for image in images]
    return {
        name: np.concatenate(p) for name, p in zip(names, zip(*parts, strict=True), strict=True)
    }


# -- report 0 ----------------------------------------------------------------------------------


def test_ranges_and_sigmas_of_weights(ask: Any, constants: dict[str, NDArray[Any]]) -> None:
    found = {row["name"]: row for row in rows(ask(*OPEN, "weights --format json"))}
    for name, key in (("_conv1_Conv_weights", "conv1.weight"), ("_fc3_Gemm_weights", "fc3.weight")):
        value, row = constants[key].astype(np.float64), found[name]
        mean, sigma = value.mean(), value.std()
        assert row["min"] == pytest.approx(value.min()) and row["max"] == pytest.approx(value.max())
        for n in (1, 2, 3):
            outside = 100 * (np.abs(value - mean) > n * sigma).mean()
            assert row[f"outside_{n}_sigma"] == pytest.approx(outside, abs=1e-6)
            assert row[f"high_{n}_sigma"] == pytest.approx(mean + n * sigma, rel=1e-5)


def test_ranges_of_activations(ask: Any, float_tensors: dict[str, NDArray[Any]]) -> None:
    lines = ("open sample:lenet", OPEN[-1], "activations sample:calibration --format json")
    found = {row["name"]: row for row in rows(ask(*lines))}
    for name, tensor in (("_Relu", "/Relu_output_0"), ("_fc3_Gemm", "output")):
        value = float_tensors[tensor].astype(np.float64)
        assert found[name]["min"] == pytest.approx(value.min(), abs=1e-4)
        assert found[name]["max"] == pytest.approx(value.max(), rel=1e-5)
        assert found[name]["mean"] == pytest.approx(value.mean(), rel=1e-4)
        assert found[name]["sigma"] == pytest.approx(value.std(), rel=1e-4)


def test_memory_before_and_after(ask: Any, constants: dict[str, NDArray[Any]]) -> None:
    shown = ask(*QUANTIZED, "size")
    parameters = sum(value.size for value in constants.values())
    weights = sum(value.size for name, value in constants.items() if name.endswith("weight"))
    assert f"{parameters:,} parameters are {4 * parameters:,} bytes as float32" in shown
    assert f"({4 * parameters / 2**20:.4f} MB)" in shown
    assert re.search(rf"parameters quantized +{weights + 4 * (parameters - weights):,}", shown)
    assert "kept in floats" in shown


def test_scales_by_hand(
    ask: Any, constants: dict[str, NDArray[Any]], float_tensors: dict[str, NDArray[Any]]
) -> None:
    shown = ask(*QUANTIZED, "explain scales 3")
    s_weights = np.abs(constants["conv1.weight"][0]).max() / 127
    s_out = float_tensors["/Relu_output_0"].max() / 255
    factor = s_weights / 128 / s_out
    numbers = [float(n) for n in re.findall(r"sO +=.*?: (\S+), zO|M +=.*= (\S+)", shown)[0] if n]
    assert numbers[0] == pytest.approx(s_out, rel=1e-6)
    assert float(re.search(r"M +=.*= (\S+)", shown)[1]) == pytest.approx(factor, rel=1e-6)  # type: ignore[index]
    bias = round(float(constants["conv1.bias"][0]) / (s_weights / 128))
    assert f"= {bias} + 0 + " in shown


def test_the_chain_of_layers(ask: Any, float_tensors: dict[str, NDArray[Any]]) -> None:
    shown = ask(*QUANTIZED, "explain formula")
    out = float_tensors["output"]
    scale = max(out.max() / 127, -out.min() / 128)
    assert float(shown.split()[-1]) == pytest.approx(scale, rel=1e-6)
    assert shown.count("(sO") == 4  # each layer reads the scale of the one before


# -- report 1 ----------------------------------------------------------------------------------


def test_integers_of_a_layer(ask: Any, constants: dict[str, NDArray[Any]]) -> None:
    shown = ask(*QUANTIZED, "weights 3 --values --int --channel 0")
    printed = [int(n) for n in re.findall(r"(?m)^ +.*", shown) for n in n.split()][:75]
    value = constants["conv1.weight"][0].astype(np.float64)
    expected = np.rint(value / (np.abs(value).max() / 127)).astype(int).ravel()
    assert printed == expected.tolist()


def test_the_ladder_is_that_of_validate(ask: Any) -> None:
    line = (
        "sweep sample:test --calibrate_on sample:calibration --quantize nothing,all --format json"
    )
    table = rows(ask(*QUANTIZED, f"{line} --format json"))
    found = {row["quantize"]: row["accuracy"] for row in table}
    for what, option in (("nothing", ""), ("all", " -q")):
        shown = ask(*QUANTIZED, f"validate sample:test{option}")
        percent = float(re.search(r"Total accuracy: (\S+)", shown)[1])  # type: ignore[index]
        assert 100 * found[what] == pytest.approx(percent, abs=0.005)


# -- report 2 ----------------------------------------------------------------------------------


def test_losses_of_an_autoencoder(ask: Any) -> None:
    with np.load(resolve("sample:vae_test") / "silhouettes.npz") as stored:
        x = stored["images"].astype(np.float64) / 255
    session = onnxruntime.InferenceSession(resolve("sample:vae"))
    inputs = x.reshape(-1, 1, 1, 16, 16).astype(np.float32)
    y = np.concatenate([session.run(None, {"input": image})[0] for image in inputs])
    t, y = x.reshape(100, -1), y.astype(np.float64).clip(1e-7, 1 - 1e-7)
    bce = -(t * np.log(y) + (1 - t) * np.log1p(-y)).mean()
    for metric, value in (("mse", np.square(y - t).mean()), ("bce", bce)):
        line = f'validate sample:vae_test --metric {metric} --norm_func "x: x/255"'
        shown = ask("open sample:vae", line)
        assert float(shown.split(":")[-1].split()[0]) == pytest.approx(value, rel=1e-4)


# -- report 3 ----------------------------------------------------------------------------------


def test_ten_numbers_and_an_outlier(ask: Any) -> None:
    numbers = [-0.16, -0.04, 0.07, -0.08, 0, -0.09, 0.03, 0.11, 0.15, -0.02]
    for values in (numbers, [*numbers, 15]):
        words = " ".join(map(str, values))
        form = "--levels 255 --clip_type none --form symmetric"
        (row,) = rows(ask("pwd", f"quantize_values {words} {form} --format json"))
        x = np.array(values)
        scale = np.abs(x).max() / 127
        assert row["scale"] == pytest.approx(scale)
        assert row["mean_error"] == pytest.approx(np.abs(np.rint(x / scale) * scale - x).mean())


def test_a_network_for_a_pencil(ask: Any) -> None:
    lines = ("open sample:mlp", "adjust", "fusions --scale8")
    shown = ask(*lines, "dump sample:mlp_inputs --limit 1 -d")
    assert "0.8250" in shown and "0.6275   0.5300" in shown and "0.4290" in shown
    assert f"{1 / (1 + math.exp(-0.429)):.4f}" in shown
    shown = ask(*lines, "aquant sample:mlp_inputs", "dump sample:mlp_inputs --limit 1 -q -d -s -1")
    assert float(shown.split()[-1]) == pytest.approx(1 / (1 + math.exp(-0.429)), abs=1 / 127)


# -- report 4 ----------------------------------------------------------------------------------


def test_fewer_bits_have_fewer_steps(ask: Any, constants: dict[str, NDArray[Any]]) -> None:
    reach = float(np.abs(constants["conv1.weight"][0]).max())
    for bits in (8, 6, 3):
        lines = (*OPEN, f"aquant sample:calibration --limit 10 --weight_bits {bits} "
                 "--weight_clip none")  # fmt: skip
        shown = ask(*lines, "explain scales 3")
        steps = 2 ** (bits - 1) - 1
        assert f"max|w|/{steps}" in shown
        scale = float(re.search(r"sW .*: (\S+)", shown)[1])  # type: ignore[index]
        assert scale == pytest.approx(reach / steps, rel=1e-6)
