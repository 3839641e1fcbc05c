"""Files that kill ONNX's own code, or that grow when it writes them out: refused in words."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from nnshell.importers.onnx import bounds, native, weights
from nnshell.importers.onnx.importer import import_onnx
from nnshell.importers.onnx.native import Died, Native, Refused
from nnshell.support.errors import ModelError

from .conftest import make_model
from .parts import ints, node, zeros

Save = Callable[..., Path]


def deadly(opset: int = 12) -> onnx.ModelProto:
    """A pool larger than its input has a negative extent, over which Slice's inference aborts."""
    nodes = [
        node("Relu", "x", outputs=("a",), name="fine"),
        node("MaxPool", "a", outputs=("b",), name="pool", kernel_shape=[9, 9]),
        node("Slice", "b", "start", "end", "axis", "step", name="cut"),
    ]
    constants = {"start": ints(-1), "end": ints(0), "axis": ints(2), "step": ints(-1)}
    return make_model(nodes, {"x": [1, 3, 4, 4]}, constants=constants, opset=opset)


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(ModelError) as caught:
        import_onnx(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.fixture(params=["forked", "spawned"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "forked" and not native._FORKS:
        pytest.skip("only on Linux the child is a fork")
    monkeypatch.setattr(native, "_FORKS", request.param == "forked")


@pytest.mark.usefixtures("either_way")
def test_a_model_that_kills_the_child_is_refused_and_the_node_named() -> None:
    model = deadly()
    with Native() as child:
        with pytest.raises(Died, match=r"ends with SIGABRT over it, at Slice 'cut'"):
            child.infer(model)
        with pytest.raises(Died, match="Slice 'cut'"):
            child.convert(model, 21)
        child.infer(make_model([node("Relu", "x")], {"x": [1, 3]}))  # the next one is as good


@pytest.mark.parametrize("opset", [12, 21])
def test_open_survives_any_file(save: Save, opset: int) -> None:
    text = refusal(save(deadly(opset)))
    assert "cut" in text or "pool" in text


def test_what_onnx_refuses_keeps_its_words() -> None:
    model = make_model([node("Relu", "x", "x")], {"x": [1, 3]})
    model.graph.output[0].type.tensor_type.shape.SetInParent()
    with Native() as child, pytest.raises(Refused, match="Relu"):
        child.check(model)


def test_a_child_that_works_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "SECONDS", 0.001)
    monkeypatch.setattr(native, "_FORKS", False)  # it has to load onnx first
    with Native() as child, pytest.raises(Died, match="for more than"):
        child.check(make_model([node("Relu", "x")], {"x": [1, 3]}))


def test_an_axis_of_minus_one_is_one_that_the_file_leaves_open(save: Save) -> None:
    path = save(make_model([node("Relu", "x")], {"x": [-1, 3, -1, 4]}))
    assert "x (?)" in refusal(path)
    graph = import_onnx(path, input_shapes={"x": [1, 3, 4, 4]}).graph
    assert graph.inputs[0].type.shape == (3, 4, 4)


# -- expansion -----------------------------------------------------------------------------


def function(name: str, *calls: str) -> onnx.FunctionProto:
    """A function that calls others one after the other."""
    tensors = ["x", *(f"t{i}" for i in range(len(calls) - 1)), "y"]
    nodes = [
        helper.make_node(
            call, [tensors[i]], [tensors[i + 1]], domain="own" if call != "Relu" else ""
        )
        for i, call in enumerate(calls)
    ]
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["x"], ["y"], nodes, imports)


def calling(functions: list[onnx.FunctionProto]) -> onnx.ModelProto:
    model = make_model([node(functions[0].name, "x", domain="own")], {"x": [1, 3]})
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.functions.extend(functions)
    return model


def test_functions_are_written_out(save: Save) -> None:
    inner = function("Inner", "Relu", "Relu")
    graph = import_onnx(save(calling([function("Outer", "Inner", "Inner"), inner]))).graph
    assert sum(n.kind == "relu" for n in graph) == 4


def test_functions_that_double_thirty_times_are_refused(save: Save) -> None:
    names = [f"F{i}" for i in range(30)]
    functions = [function(f, g, g) for f, g in pairwise(names)]
    text = refusal(save(calling([*functions, function(names[-1], "Relu", "Relu")])))
    assert "1,073,741,824 nodes with its functions written out; accepted: 20,000" in text


def test_a_function_that_calls_itself_is_refused(save: Save) -> None:
    text = refusal(save(calling([function("F", "G"), function("G", "F")])))
    assert "the model's function 'F' calls itself" in text


def test_deep_calls_are_refused(save: Save) -> None:
    names = [f"F{i}" for i in range(bounds.MAX_CALLS + 2)]
    functions = [function(f, g) for f, g in pairwise(names)]
    text = refusal(save(calling([*functions, function(names[-1], "Relu")])))
    assert f"is called {bounds.MAX_CALLS} calls deep" in text


def test_bytes_count_as_well_as_nodes(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_EXPANDED_BYTES", 1000)
    outer = function("Outer", *["Inner"] * 50)
    assert "bytes with its functions written out" in refusal(
        save(calling([outer, function("Inner", "Relu")]))
    )


def test_more_nodes_than_accepted_are_refused(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_NODES", 2)
    chain = [node("Relu", f"t{i}", outputs=(f"t{i + 1}",)) for i in range(3)]
    path = save(make_model(chain, {"t0": [1, 3]}, outputs=("t3",)))
    assert "the model has 3 nodes; accepted: 2" in refusal(path)


def test_a_name_of_any_length_is_one_line(save: Save) -> None:
    path = save(make_model([node("Relu", "x", name="n" * 100_000)], {"x": [1, 3]}))
    assert "a name in the model has 100,000 characters" in refusal(path)


# -- weights -------------------------------------------------------------------------------


def test_large_tensors_are_set_aside_and_come_back(save: Save) -> None:
    values = np.arange(90_000, dtype=np.float32).reshape(300, 300)
    constant = node("Constant", outputs=("c",), value=onnx.numpy_helper.from_array(values * 2, "?"))
    nodes = [constant, node("MatMul", "x", "w", outputs=("t",)), node("MatMul", "t", "c")]
    model = make_model(nodes, {"x": [1, 300]}, constants={"w": values, "s": zeros(2)})
    assert model.ByteSize() > 4 * weights.LARGE_BYTES
    taken = weights.take_weights(model)
    assert sorted(taken) == ["c", "w"]
    assert model.ByteSize() < weights.LARGE_BYTES
    with weights.standing_in(model, taken):
        assert [given.name for given in model.graph.input] == ["x", "c", "w"][:1] + list(taken)
    assert [given.name for given in model.graph.input] == ["x"]
    graph = import_onnx(save(make_model(nodes, {"x": [1, 300]}, constants={"w": values}))).graph
    assert graph.parameters() >= 180_000
