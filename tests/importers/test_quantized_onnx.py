"""ONNX models that are quantized already, in both of their forms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from nnshell import flow
from nnshell.session.project import Project
from nnshell.support.errors import ModelError

from .conftest import make_model, runtime
from .parts import node

Save = Callable[..., Path]
Constants = dict[str, np.ndarray[Any, Any]]
DRAW = np.random.default_rng(11)


def whole(*shape: int) -> np.ndarray[Any, Any]:
    """Weights whose largest in each filter is 127, as every converter leaves them."""
    values = DRAW.integers(-127, 128, shape).astype(np.int8)
    values.reshape(shape[0], -1)[:, 0] = 127
    return values


IMAGES = DRAW.uniform(-2, 2, (8, 3, 6, 6)).astype(np.float32)
QUANTITIES: Constants = {
    "s_x": np.float32(0.02),
    "s_w": DRAW.uniform(0.004, 0.01, 4).astype(np.float32),
    "s_y": np.float32(0.12),
    "s_r": np.float32(0.004),
    "s_z": np.float32(0.3),
    "w_q": whole(4, 3, 3, 3),
    "b_q": DRAW.integers(-900, 900, 4).astype(np.int32),
    "r_q": whole(5, 36 * 4).T.copy(),
    "o_q": DRAW.integers(-900, 900, 5).astype(np.int32),
    "z0": np.int8(0),
    "z0_w": np.zeros(4, np.int8),
}
CONSTANTS: Constants = QUANTITIES | {
    "s_b": QUANTITIES["s_x"] * QUANTITIES["s_w"],
    "s_o": QUANTITIES["s_y"] * QUANTITIES["s_r"],
    "z0_b": np.zeros(4, np.int32),
    "z0_o": np.int32(0),
}


def quantize(name: str, scale: str, output: str) -> list[onnx.NodeProto]:
    return [node("QuantizeLinear", name, scale, "z0", outputs=(output,))]


def dequantize(name: str, *operands: str, **attributes: int) -> onnx.NodeProto:
    return node("DequantizeLinear", f"{name}_q", *operands, outputs=(name,), **attributes)


def pairs() -> list[onnx.NodeProto]:
    """Convolution, rectifier and matrix between pairs that quantize and dequantize."""
    return [
        *quantize("x", "s_x", "a_q"),
        dequantize("a", "s_x", "z0"),
        dequantize("w", "s_w", "z0_w", axis=0),
        dequantize("b", "s_b", "z0_b", axis=0),
        node("Conv", "a", "w", "b", outputs=("c",), pads=[1, 1, 1, 1]),
        node("Relu", "c", outputs=("e",)),
        *quantize("e", "s_y", "f_q"),
        dequantize("f", "s_y", "z0"),
        node("Flatten", "f", outputs=("g",)),
        dequantize("r", "s_r", "z0"),
        dequantize("o", "s_o", "z0_o"),
        node("Gemm", "g", "r", "o", outputs=("h",)),
        *quantize("h", "s_z", "y_q"),
        dequantize("y", "s_z", "z0"),
    ]


def operators() -> list[onnx.NodeProto]:
    """The same network of operators on integers; the range of the first cannot rectify."""
    gemm = ["g_q", "s_y", "z0", "r_q", "s_r", "z0", "o_q", "s_z", "z0"]
    convolution = ["a_q", "s_x", "z0", "w_q", "s_w", "z0_w", "s_y", "z0", "b_q"]
    return [
        *quantize("x", "s_x", "a_q"),
        node("QLinearConv", *convolution, outputs=("f_q",), pads=[1, 1, 1, 1]),
        node("Flatten", "f_q", outputs=("g_q",)),
        node("QGemm", *gemm, outputs=("y_q",), domain="com.microsoft"),
        dequantize("y", "s_z", "z0"),
    ]


FORMS = {"pairs": pairs, "operators": operators}


def model(form: Callable[[], list[onnx.NodeProto]]) -> onnx.ModelProto:
    nodes = form()
    read = {name for entry in nodes for name in entry.input}
    constants = {name: np.asarray(v) for name, v in CONSTANTS.items() if name in read}
    proto = make_model(nodes, {"x": ["N", 3, 6, 6]}, ("y",), constants, opset=13)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return proto


def lowered(path: Path | str, **options: bool) -> Project:
    project = flow.open_graph(path, **options)
    flow.adjust(project)
    flow.fuse(project, "scale8")
    return project


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_integers_are_those_of_onnx_runtime_to_a_step(
    form: Callable[[], list[onnx.NodeProto]], save: Save
) -> None:
    path = save(model(form))
    theirs = runtime(path).run(None, {"x": IMAGES})[0]
    project = lowered(path, load_quantization=True)
    found = flow.run(project, flow.load_inputs(IMAGES), "int8")["output_1"]
    assert project.graph.outputs[0].quantization.inputs[0].scale.item() == pytest.approx(0.3)  # type: ignore[union-attr]
    steps = np.abs(np.rint(theirs / 0.3) - found)
    assert steps.max() <= 1 and (steps > 0).mean() < 0.5  # multipliers here have 7 bits
    assert np.abs(found).max() > 20  # the numbers say something


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_without_the_option_real_numbers_are_left(
    form: Callable[[], list[onnx.NodeProto]], save: Save
) -> None:
    path = save(model(form))
    project = lowered(path)
    assert not project.graph.quantized
    kinds = {entry.kind for entry in project.graph.steps()}
    assert not any("quantize" in kind for kind in kinds)
    theirs = runtime(path).run(None, {"x": IMAGES})[0]
    found = flow.run(project, flow.load_inputs(IMAGES))["output_1"]
    assert np.abs(theirs - found).max() < 2 * 0.3  # of what they round
    flow.quantize(project, flow.calibrate(project, flow.load_inputs(IMAGES)))
    assert project.graph.quantized


def test_weights_are_kept_to_the_bit(save: Save) -> None:
    project = flow.open_graph(save(model(pairs)), load_quantization=True)
    kernels = [
        entry.quantization.kernel.values  # type: ignore[union-attr,attr-defined]
        for entry in project.graph.steps()
        if entry.kind == "constant" and entry.type.shape == (4, 3, 3, 3)
    ]
    assert np.array_equal(kernels[0], CONSTANTS["w_q"])


def test_scales_that_the_network_computes_are_refused_with_advice(save: Save) -> None:
    nodes = [
        node("DynamicQuantizeLinear", "x", outputs=("x_q", "s", "z")),
        node("ConvInteger", "x_q", "w_q", outputs=("y",)),
    ]
    constants = {"w_q": CONSTANTS["w_q"].astype(np.int8)}
    path = save(make_model(nodes, {"x": ["N", 3, 6, 6]}, ("y",), constants, opset=13))
    with pytest.raises(ModelError) as caught:
        flow.open_graph(path, load_quantization=True)
    assert "DynamicQuantizeLinear" in str(caught.value) and "ConvInteger" in str(caught.value)


def test_exported_pairs_reopen_to_the_same_integers(tmp_path: Path) -> None:
    project = lowered("sample:lenet")
    draw = np.random.default_rng(0)
    images = flow.load_inputs(draw.normal(size=(8, 3, 32, 32)).astype(np.float32))
    flow.quantize(project, flow.calibrate(project, images))
    path = tmp_path / "pairs.onnx"
    flow.export(project, path, "qdq")
    again = lowered(path, load_quantization=True)
    first, second = (flow.run(p, images, "int8") for p in (project, again))
    assert np.array_equal(first["output_1"], second["output_1"])


def clipped_pairs(*inner: onnx.NodeProto) -> onnx.ModelProto:
    """4 bits in a pair, as QuantizeLinear, Clip, DequantizeLinear; ``inner`` works on integers."""
    nodes = [
        onnx.helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        *inner,
        onnx.helper.make_node("DequantizeLinear", ["c", "s", "z"], ["d"]),
        onnx.helper.make_node("Relu", ["d"], ["y"]),
    ]
    constants = {
        "s": np.float32(0.1),
        "z": np.int8(2),
        "low": np.int8(-8),
        "high": np.int8(7),
        "pads": np.array([0, 0, 0, 0, 0, 0, 1, 1]),
        "border": np.int8(2),
    }
    return make_model(nodes, {"x": ["N", 3, 4, 4]}, ("y",), constants, opset=13)


def test_a_clip_of_integers_is_the_range_of_its_pair(save: Save) -> None:
    clip = onnx.helper.make_node("Clip", ["q", "low", "high"], ["c"])
    project = flow.open_graph(save(clipped_pairs(clip)), load_quantization=True)
    assert [node.kind for node in project if node.op.role != "constant"] == [
        "input",
        "relu",
        "output",
    ]
    known = project.statistics["input_1"]
    assert (known.minimum, known.maximum) == pytest.approx((-1.0, 0.5), rel=1e-6)


def test_a_border_of_integers_is_the_real_number_they_stand_for(save: Save) -> None:
    pad = onnx.helper.make_node("Pad", ["q", "pads", "border"], ["c"])
    path = save(clipped_pairs(pad))
    x = np.random.default_rng(2).normal(size=(2, 3, 4, 4)).astype(np.float32)
    ours = flow.run(flow.open_graph(path), x)["output_1"]
    theirs = runtime(path).run(None, {"x": x})[0]
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 0.1 / 2 + 1e-6
    assert not ours[..., -1].any()


@pytest.mark.parametrize("operator", ["Relu", "Cast"])
def test_what_computes_on_integers_is_refused(save: Save, operator: str) -> None:
    attributes = {"to": onnx.TensorProto.INT8} if operator == "Cast" else {}
    inner = onnx.helper.make_node(operator, ["q"], ["c"], name="odd", **attributes)
    model = clipped_pairs(inner)
    model.opset_import[0].version = 14
    with pytest.raises(ModelError, match=f"{operator} 'odd': it works on integers between"):
        flow.open_graph(save(model))
