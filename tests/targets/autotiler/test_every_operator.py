"""Every operator's examples: generated, accepted by a C compiler, or refused with a reason."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

import nnshell.ops  # noqa: F401 - fills the registry
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.ir.arithmetic import arithmetic_of
from nnshell.ir.examples import graph_of, random_inputs
from nnshell.ir.graph import Graph
from nnshell.ir.operator import OPERATORS, Example
from nnshell.quantization import QuantizationOptions
from nnshell.support.errors import GraphError, QuantizationError
from nnshell.support.settings import Settings
from nnshell.targets.autotiler import generate
from nnshell.targets.autotiler.build import build, emitter

WITHOUT_KERNEL = {"input", "output", "constant", "fusion", "fusion_input", "fusion_output"}
HIDDEN = {"reshape", "unused"}
CASES = [
    pytest.param(example, id=f"{kind} {number} {example.name}".strip())
    for kind in OPERATORS
    if kind not in WITHOUT_KERNEL
    for number, example in enumerate(OPERATORS[kind].examples())
]
# What the AutoTiler's generators cannot do, by what the error says.
REFUSED = {
    "conv2d 3": "padding",  # more than its kernel needs
    "average_pool 1": "counts padding",
    "average_pool 3": "counts padding",
    "softmax 2": "last axis",
    "matmul 2": "per column",
    "matmul 4": "per column",
    "image_format 3": "bw16 with offset_int8",
    "image_format 4": "rgb16 with offset_int8",
    "image_format 5": "none with offset_int8",
    "gru 4": "resets after the product",
    **{f"channels_last {number}": "channels are last" for number in range(6)},
}


def _in_pow2(example: Example) -> bool:
    try:
        arithmetic_of(example.op, "POW2")
    except QuantizationError:
        return False
    return all(source.dtype == "float32" for source in example.inputs)


@pytest.mark.parametrize("kind", sorted(set(OPERATORS) - WITHOUT_KERNEL - HIDDEN))
def test_every_operator_has_an_emitter(kind: str) -> None:
    for example in OPERATORS[kind].examples():
        assert emitter(graph_of(example)["node"]) is not None


@pytest.mark.parametrize("example", CASES)
def test_an_operator_is_generated_or_refused_by_name(
    example: Example,
    quantized: Callable[..., Graph],
    check_syntax: Callable[..., None],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    graph = quantized(graph_of(example))
    case = re.search(r"\[(\w+ \d+)", request.node.name)
    assert case is not None
    if case[1] in REFUSED:
        with pytest.raises(GraphError, match=REFUSED[case[1]]) as caught:
            build(graph, Settings())
        assert "node" in caught.value.where
        return
    files = generate(graph, Settings(), model_directory=tmp_path, tensor_directory=tmp_path)
    check_syntax(files.model, *files.kernels[:1])


POW2_REFUSED = {
    **{case: reason for case, reason in REFUSED.items() if "per column" not in reason},
    "clip 0": "applies this 'clip'",
    "clip 1": "applies this 'clip'",
    "clip 2": "applies this 'clip'",
    "hsigmoid 0": "applies this 'hsigmoid'",  # its slope is not the kernel's
    "relun 1": "whole numbers",
    "softmax 1": "several rows",
    "softmax 2": "several rows",
    "matmul 4": "stack",
    "matmul 5": "stack",
}


@pytest.mark.parametrize("example", [c for c in CASES if _in_pow2(c.values[0])])
def test_an_operator_in_pow2_is_generated_or_refused_by_name(
    example: Example,
    quantized: Callable[..., Graph],
    check_syntax: Callable[..., None],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    graph = quantized(graph_of(example), QuantizationOptions(scheme="POW2"))
    case = re.search(r"\[(\w+ \d+)", request.node.name)
    assert case is not None
    if case[1] in POW2_REFUSED:
        with pytest.raises(GraphError, match=POW2_REFUSED[case[1]]) as caught:
            build(graph, Settings())
        assert "node" in caught.value.where
        return
    files = generate(graph, Settings(), model_directory=tmp_path, tensor_directory=tmp_path)
    check_syntax(files.model, *files.kernels[:1])


OWN_KERNELS = {
    "add",
    "clip",
    "div",
    "exp",
    "mul",
    "pad",
    "prelu",
    "strided_slice",
    "sub",
    "transpose",
}


@pytest.mark.parametrize("scheme", ["SQ8", "POW2"])
@pytest.mark.parametrize("example", [c for c in CASES if c.values[0].op.kind in OWN_KERNELS])
def test_expression_kernels_compute_what_the_simulation_does(
    example: Example,
    scheme: str,
    quantized: Callable[..., Graph],
    build_library: Callable[[Path, Path], None],
    tmp_path: Path,
) -> None:
    if scheme == "POW2" and not _in_pow2(example):
        pytest.skip("has no arithmetic in POW2")
    graph = quantized(graph_of(example), QuantizationOptions(scheme=scheme))
    try:
        files = generate(graph, Settings(), model_directory=tmp_path, tensor_directory=tmp_path)
    except GraphError:
        pytest.skip("refused")
    declared = re.findall(r"void (s\d+_kernel)\(", files.kernels[1].read_text())
    if not declared:
        pytest.skip("the AutoTiler has a generator for it")
    build_library(files.kernels[0], tmp_path / "kernels.so")
    batch = random_inputs(graph, 1, seed=1)
    values = IntegerEngine(graph).run(batch)
    expected = values["node"][0]
    found = _run_kernel(tmp_path, files.kernels[1].read_text(), declared[0], graph, values)
    np.testing.assert_array_equal(found.reshape(expected.shape), expected)


def _run_kernel(
    folder: Path, header: str, name: str, graph: Graph, values: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Call the C function on the whole tensors, all rows at once."""
    plan = build(graph, Settings())
    bindings = [binding.variable for binding in plan.kernels[0].bindings]
    arrays = []
    for variable in bindings[:-1]:
        constant = next((v for v in plan.constants if v.name == variable), None)
        if constant is not None:
            arrays.append(np.frombuffer(constant.file_bytes(), constant.dtype).copy())
        else:
            arrays.append(np.ascontiguousarray(values[variable.lower()][0]))
    arrays.append(np.full(values["node"][0].shape, 99, values["node"].dtype))
    rows = re.search(r"KER_ITER_D0, (\d+), 8", plan.expressions[0].generator)
    assert rows is not None
    fields = [(f"a{i}", ctypes.c_void_p) for i in range(len(arrays))]
    structure = type(
        "Arguments", (ctypes.Structure,), {"_fields_": [*fields, ("rows", ctypes.c_uint)]}
    )
    library = ctypes.CDLL(str(folder / "kernels.so"))
    arguments = structure(*(array.ctypes.data for array in arrays), int(rows[1]))
    getattr(library, name)(ctypes.byref(arguments))
    return arrays[-1]
