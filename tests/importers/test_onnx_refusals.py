"""Models that are refused: one error that says which nodes, why, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from nnshell.importers.onnx import unsupported
from nnshell.importers.onnx.importer import import_onnx
from nnshell.reading.registry import IMPORTS
from nnshell.support.errors import ModelError

from .conftest import make_model
from .parts import ints, node, zeros

Save = Callable[..., Path]
IMAGE = ["N", 4, 8, 8]


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(ModelError) as caught:
        import_onnx(path, **options)
    return str(caught.value)


def test_all_nodes_at_fault_are_reported_at_once(save: Save) -> None:
    nodes = [
        node("LRN", "x", outputs=("a",), name="norm", size=3),
        node("Conv", "a", "w", outputs=("b",), name="wrong", auto_pad="SAME_UPPER", group=3),
        node("LSTM", "l", "k", "r", outputs=("c",), name="rnn", hidden_size=1),
        node("Relu", "b", outputs=("d",), name="fine"),
        node("Pad", "d", "p", name="mirror", mode="wrap"),
    ]
    constants = {"w": zeros(4, 4, 2, 2), "p": ints(0, 0, 1, 1, 0, 0, 1, 1)}
    constants |= {"k": zeros(1, 4, 4), "r": zeros(1, 4, 1), "l": zeros(1, 1, 4)}
    path = save(nodes=nodes, inputs={"x": IMAGE}, outputs=("y", "c"), constants=constants)
    text = refusal(path)
    first = text.splitlines()[0]
    assert first.startswith(f"4 nodes of {path.name} cannot be imported - change the model")
    assert "LRN 'norm': operator not supported; train with batch normalization" in text
    assert "Conv 'wrong'" in text
    assert "3 groups" in text
    assert "LSTM 'rnn'" in text
    assert "Pad 'mirror': mode = wrap; accepted: constant, reflect, edge" in text
    assert "fine" not in text


def test_one_node_at_fault_is_one_line(save: Save) -> None:
    path = save(nodes=[node("LRN", "x", name="act", size=3)], inputs={"x": IMAGE})
    text = refusal(path)
    assert (
        text == f"LRN 'act': operator not supported ({path.name}) - train with batch normalization"
    )


def test_a_wrong_attribute_comes_with_what_to_do(save: Save) -> None:
    mirror = node("Pad", "x", "p", name="mirror", mode="wrap")
    path = save(nodes=[mirror], inputs={"x": IMAGE}, constants={"p": ints(*[0] * 8)})
    assert "accepted: constant" in refusal(path)
    assert " - change the model" in refusal(path)


def test_nodes_that_lead_to_no_output_do_not_matter(save: Save) -> None:
    nodes = [node("LRN", "x", outputs=("dead",), size=3), node("Relu", "x")]
    graph = import_onnx(save(nodes=nodes, inputs={"x": IMAGE})).graph
    assert {n.kind for n in graph} == {"input", "relu", "output"}


CASES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "weights that are computed": (
        [node("Conv", "x", "x", outputs=("y",))],
        {},
        "'x' is not a constant",
    ),
    "dilated Conv in three axes": (
        [node("Unsqueeze", "x", "a", outputs=("t",)), node("Conv", "t", "w")],
        {"a": ints(2), "w": zeros(3, 4, 1, 3, 3)},
        "has shape 1x4x1x8x8",
    ),
    "pool with used indices": (
        [
            node("MaxPool", "x", outputs=("t", "i"), kernel_shape=[2, 2]),
            node("Cast", "i", outputs=("y",), to=1),
        ],
        {},
        "output 1 'i' is used",
    ),
    "pads as large as the kernel": (
        [node("MaxPool", "x", kernel_shape=[2, 2], pads=[0, 2, 0, 0])],
        {},
        "pads = (0, 2, 0, 0); accepted: pads smaller than the kernel",
    ),
    "empty weights": (
        [node("Add", "x", "w")],
        {"w": zeros(0)},
        "'w' is empty, of shape [0]",
    ),
    "a shape of reals": (
        [node("Slice", "x", "s", "e")],
        {"s": zeros(4), "e": zeros(4)},
        "float32",
    ),
    "kernel larger than the image": (
        [node("Conv", "x", "w")],
        {"w": zeros(1, 4, 9, 9)},
        "larger than its padded 8x8 input",
    ),
    "Softmax over samples": ([node("Softmax", "x", axis=0)], {}, "along axis 0, the batch axis"),
    "Concat of samples, open batch is one sample": (
        [node("Transpose", "x", perm=[1, 0, 2, 3], outputs=("t",)), node("Conv", "t", "w")],
        {"w": zeros(3, 4, 1, 1)},
        "is the batch axis, the operator needs it at axis 0",
    ),
    "Resize cubic": (
        [node("Resize", "x", "", "s", mode="cubic")],
        {"s": np.array([1, 1, 2, 2], np.float32)},
        "mode = cubic; accepted: nearest, linear",
    ),
    "Resize of channels": (
        [node("Resize", "x", "", "s")],
        {"s": np.array([1, 2, 1, 1], np.float32)},
        "scales",
    ),
    "Reshape that mixes": ([node("Reshape", "x", "s")], {"s": ints(5, -1)}, "cannot make shape"),
    "computed shape": (
        [node("Cast", "x", outputs=("i",), to=7), node("Reshape", "x", "i")],
        {},
        "to = 7",
    ),
    "NaN weights": (
        [node("Conv", "x", "bad")],
        {"bad": np.full((1, 4, 1, 1), np.nan, np.float32)},
        "'bad' holds 4 numbers that are NaN or infinite",
    ),
    "infinite bias": (
        [node("Conv", "x", "w", "bad")],
        {"w": zeros(1, 4, 1, 1), "bad": np.array([np.inf], np.float32)},
        "'bad' holds 1 numbers",
    ),
    "weights too large for float32": (
        [
            node("Cast", "w", outputs=("v",), to=11),
            node("Mul", "v", "ten", outputs=("u",)),
            node("Cast", "u", outputs=("f",), to=1),
            node("Conv", "x", "f"),
        ],
        {"w": np.full((1, 4, 1, 1), 3e38, np.float32), "ten": np.array(10.0)},
        "NaN or infinite",
    ),
    "division by zero": ([node("Div", "x", "z")], {"z": zeros(1)}, "divides by zeros in 'z'"),
    "Clip the wrong way round": (
        [node("Clip", "x", "a", "b")],
        {"a": np.array(2, np.float32), "b": np.array(1, np.float32)},
        "min = 2 is above max = 1",
    ),
    "negative variance": (
        [node("BatchNormalization", "x", "s", "s", "s", "v")],
        {"s": zeros(4), "v": np.full(4, -1, np.float32)},
        "negative variances",
    ),
    "Gather of too many pieces": (
        [node("Reshape", "x", "s", outputs=("t",)), node("Gather", "t", "i", axis=1)],
        {"s": ints(1, 256), "i": np.random.default_rng(0).permutation(256)},
        "pieces",
    ),
    "index outside": ([node("Gather", "x", "i", axis=1)], {"i": ints(4)}, "indices [4]"),
    "empty slice": (
        [node("Slice", "x", "s", "e", "a")],
        {"s": ints(5), "e": ints(5), "a": ints(2)},
        "5:5:1",
    ),
    "constant output": ([node("Add", "c", "c")], {"c": zeros(3)}, "does not depend on the input"),
    "a constant that explodes": (
        [node("ConstantOfShape", "s", outputs=("c",)), node("Add", "x", "c")],
        {"s": ints(1 << 20, 1 << 20)},
        "elements",
    ),
    "an output that explodes": (
        [node("Pad", "x", "p")],
        {"p": ints(0, 0, 1 << 20, 1 << 20, 0, 0, 1 << 20, 1 << 20)},
        "its output has shape",
    ),
    "a filter of another domain": (
        [node("FusedConv", "x", "w", domain="com.microsoft")],
        {"w": zeros(1, 4, 1, 1)},
        "operator of domain 'com.microsoft'",
    ),
    "an operator nobody knows": ([node("Frobnicate", "x")], {}, "Frobnicate"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_at_fault_is_named(name: str, save: Save) -> None:
    nodes, constants, expected = CASES[name]
    assert expected in refusal(save(nodes=nodes, inputs={"x": IMAGE}, constants=constants))


def test_control_flow_is_refused_by_name(save: Save) -> None:
    branch = onnx.helper.make_graph(
        [node("Relu", "x", outputs=("t",))],
        "branch",
        [],
        [onnx.helper.make_tensor_value_info("t", 1, IMAGE)],
    )
    nodes = [
        node("If", "c", name="choose", then_branch=branch, else_branch=branch),
        node("LRN", "y", outputs=("z",), name="act", size=3),
    ]
    path = save(nodes=nodes, inputs={"x": IMAGE}, outputs=("z",), constants={"c": np.array(True)})
    text = refusal(path)
    assert "If 'choose': operator not supported" in text
    assert "LRN 'act'" in text


# -- inputs --------------------------------------------------------------------------------


def test_open_extents_are_named_and_can_be_given(save: Save) -> None:
    shape = ["N", 3, "height", "width"]
    path = save(nodes=[node("Relu", "x")], inputs={"x": shape})
    text = refusal(path)
    assert "x (height, width)" in text
    assert "--subs" in text
    graph = import_onnx(path, subs={"height": 6, "width": 7}).graph
    assert graph["input_1"].type.shape == (3, 6, 7)
    for name in ("x", "input_1"):
        graph = import_onnx(path, input_shapes={name: [1, 3, 4, 5]}).graph
        assert graph["input_1"].type.shape == (3, 4, 5)


def test_names_that_do_not_exist_are_refused(save: Save) -> None:
    path = save(nodes=[node("Relu", "x")], inputs={"x": ["N", 3, "h"]})
    assert "no extent called 'height'" in refusal(path, subs={"height": 6})
    assert "it has N, h" in refusal(path, subs={"height": 6})
    assert "no input called 'z'" in refusal(path, input_shapes={"z": [1, 3, 4]})


@pytest.mark.parametrize("shape", [[0, 3], ["N", 0], ["N", 1 << 40], ["N", *[1] * 9]])
def test_impossible_input_shapes_are_refused(shape: list[Any], save: Save) -> None:
    path = save(nodes=[node("Relu", "x")], inputs={"x": shape})
    assert "input 'x' has shape" in refusal(path)


def test_strings_as_input_are_refused(save: Save) -> None:
    path = save(
        nodes=[node("Identity", "x")],
        inputs={"x": ["N", 3]},
        input_type=onnx.TensorProto.STRING,
        output_type=onnx.TensorProto.STRING,
    )
    assert "input 'x' has element type STRING" in refusal(path)


def test_integers_that_are_not_cast_are_refused(save: Save) -> None:
    path = save(
        nodes=[node("Add", "x", "x")],
        inputs={"x": ["N", 3]},
        input_type=onnx.TensorProto.INT32,
        output_type=onnx.TensorProto.INT32,
    )
    assert "element type int32; accepted: real numbers" in refusal(path)


def test_samples_of_a_fixed_batch_must_not_mix(save: Save) -> None:
    path = save(
        nodes=[node("Reshape", "x", "s")], inputs={"x": [10, 4, 6]}, constants={"s": ints(5, -1)}
    )
    graph = import_onnx(path).graph  # ten channels rather than ten samples
    assert graph["input_1"].type.shape == (10, 4, 6)
    nodes = [
        node("Reshape", "x", "s", outputs=("t",)),
        node("Conv", "x", "w", outputs=("u",)),
        node("Flatten", "t"),
        node("Flatten", "u", outputs=("z",)),
    ]
    path = save(
        nodes=nodes,
        inputs={"x": [10, 4, 6, 6]},
        outputs=("y", "z"),
        constants={"s": ints(5, -1), "w": zeros(3, 4, 1, 1)},
    )
    assert "mixes the 10 samples of the batch" in refusal(path)


# -- files ---------------------------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "file not found" in refusal(tmp_path / "nothing.onnx")


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"not a model at all", b"\x08\x07"])
def test_a_file_that_is_no_model_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(data)
    assert "not an ONNX model, or is damaged" in refusal(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize("opset", [6, 27])
def test_opsets_outside_the_range_are_refused(opset: int, save: Save) -> None:
    path = save(nodes=[node("Relu", "x")], inputs={"x": ["N", 3]}, opset=opset)
    assert f"opset {opset}; accepted: 7 to 26" in refusal(path)


def test_nodes_in_any_order_are_accepted(save: Save) -> None:
    nodes = [node("Tanh", "t"), node("Relu", "x", outputs=("t",))]
    graph = import_onnx(save(nodes=nodes, inputs={"x": ["N", 3]})).graph
    assert [n.kind for n in graph.steps()] == ["input", "relu", "tanh", "output"]


def test_a_cycle_is_refused(save: Save) -> None:
    nodes = [node("Tanh", "t"), node("Relu", "y", outputs=("t",))]
    assert "cycle" in refusal(save(nodes=nodes, inputs={"x": ["N", 3]}))


def test_initializers_that_are_also_inputs_are_initializers(save: Save) -> None:
    path = save(
        nodes=[node("Gemm", "x", "w")],
        inputs={"w": [3, 2], "x": ["N", 3]},
        constants={"w": np.ones((3, 2), np.float32)},
    )
    graph = import_onnx(path).graph
    assert [n.origin.foreign_name for n in graph.inputs] == ["x"]


def test_files_of_old_exporters_are_read(save: Save) -> None:
    """Their IR version wants initializers among the inputs, which are no inputs."""
    path = save(
        nodes=[node("Gemm", "x", "w", "b")],
        inputs={"w": [3, 2], "b": [2], "x": [1, 3]},
        constants={"w": np.ones((3, 2), np.float32), "b": np.ones(2, np.float32)},
        opset=7,
    )
    model = onnx.load(path)
    model.ir_version = 3
    graph = import_onnx(save(model)).graph
    assert [n.origin.foreign_name for n in graph.inputs] == ["x"]


def test_a_resize_that_the_converter_made_keeps_its_name(save: Save) -> None:
    nodes = [
        node("Upsample", "x", outputs=("u",), scales=[1.0, 1.0, 2.0, 2.0]),
        node("Relu", "u"),
    ]
    graph = import_onnx(save(nodes=nodes, inputs={"x": ["N", 2, 3, 3]}, opset=7)).graph
    assert "Upsample_u" in [n.name for n in graph]


def external_model(folder: Path, location: str) -> Path:
    weights = onnx.TensorProto(name="w", data_type=1, dims=[3, 2])
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node("Gemm", "x", "w")], "g", [info("x", 1, ["N", 3])], [info("y", 1, ["N", 2])], [weights]
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8
    )
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(np.arange(6, dtype="<f4").tobytes())
    graph = import_onnx(external_model(tmp_path, "weights.bin")).graph
    weights = graph.constant(graph["Gemm_y"].inputs[1])
    assert weights is not None
    assert weights.tolist() == [[0, 2, 4], [1, 3, 5]]


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "a/../../secret.bin", ""])
def test_external_data_outside_the_folder_is_refused(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(24))
    assert "outside the model's folder" in refusal(external_model(folder, location))


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(24))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    assert "outside the model's folder" in refusal(external_model(folder, "link.bin"))


def test_missing_or_short_external_data_is_refused(tmp_path: Path) -> None:
    assert "is missing: 'weights.bin'" in refusal(external_model(tmp_path, "weights.bin"))
    (tmp_path / "weights.bin").write_bytes(bytes(20))
    assert "raw_data size (20 bytes)" in refusal(external_model(tmp_path, "weights.bin"))


def test_there_is_no_advice_against_what_is_imported() -> None:
    import nnshell.ops  # noqa: F401 - fills the registry

    assert not set(unsupported.ADVICE) & set(IMPORTS), "take these lines out of ADVICE"
    assert all(onnx.defs.has(operator) for operator in unsupported.ADVICE), "operators of ONNX"


@pytest.mark.parametrize(
    ("domain", "operator", "name"),
    [
        ("qonnx.custom_op.general", "Quant", "QONNX"),
        ("onnx.brevitas", "BipolarQuant", "QONNX"),
        ("finn.custom_op.general", "MultiThreshold", "QONNX"),
        ("PACTOps", "RequantShift", "quantlib"),
        ("", "RequantShift", "quantlib"),
        ("org.openvinotoolkit", "FakeQuantize", "OpenVINO"),
    ],
)
def test_dialects_of_quantized_models_are_one_line(
    save: Save, domain: str, operator: str, name: str
) -> None:
    nodes = [
        onnx.helper.make_node(operator, ["x"], ["a"], name="first", domain=domain),
        onnx.helper.make_node(operator, ["a"], ["y"], name="second", domain=domain),
    ]
    model = make_model(nodes, {"x": IMAGE})
    if domain:
        model.opset_import.append(onnx.helper.make_opsetid(domain, 1))
    text = refusal(save(model))
    assert "\n" not in text
    assert f"{operator} 'first' and 1 more" in text
    assert name in text
    assert "QuantizeLinear" in text


def test_an_unknown_attribute_names_node_and_near_names(save: Save) -> None:
    nodes = [node("Conv", "x", "w", name="odd", kernel_size=[3, 3])]
    text = refusal(save(nodes=nodes, inputs={"x": IMAGE}, constants={"w": zeros(4, 4, 3, 3)}))
    assert text.startswith("Conv 'odd': it has no attribute 'kernel_size'")
    assert "did you mean kernel_shape?" in text


def test_a_sequence_as_output_is_called_one(save: Save) -> None:
    model = make_model([node("SplitToSequence", "x", axis=1)], {"x": IMAGE})
    value = onnx.helper.make_tensor_sequence_value_info("y", onnx.TensorProto.FLOAT, None)
    model.graph.output[0].CopyFrom(value)
    assert "output 'y' is a sequence; accepted: tensors" in refusal(save(model))


def test_a_branch_on_an_input_is_called_one(save: Save) -> None:
    def branch(op: str) -> onnx.GraphProto:
        info = onnx.helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, None)
        return onnx.helper.make_graph([node(op, "x", outputs=("b",))], "branch", [], [info])

    choice = node("If", "c", name="either", then_branch=branch("Relu"), else_branch=branch("Abs"))
    model = make_model([choice], {"x": IMAGE, "c": []})
    model.graph.input[1].type.tensor_type.elem_type = onnx.TensorProto.BOOL
    assert "choice of the input 'c' at run time" in refusal(save(model))
