"""Integers against real arithmetic on what they stand for: every operator, by discovery.

The inputs of a kernel are read back as real numbers, constants too; ONNX Runtime computes the
operator on exactly those; in units of the output the kernel may differ by its rounding and no more.
Inputs have zero points, those too that the solver would not choose: a kernel that forgets one, in
its padding for example, is off by many units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import nnshell.ops  # noqa: F401 - fills the registry
from nnshell.execution.float_engine import FloatEngine
from nnshell.ir.basic_operators import Constant
from nnshell.ir.examples import graph_of, random_inputs
from nnshell.ir.graph import Graph
from nnshell.ir.operator import OPERATORS, Example
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.requests import QuantizeRequest
from nnshell.ir.types import TensorType
from nnshell.ops.channels_last import ChannelsLast
from nnshell.ops.quantize import Quantize
from nnshell.quantization import calibrate_graph, quantize_graph

SAMPLES = 16
UNITS = 1.3  # half for rounding, the rest for factors of 8 bits and limits in units of the input
OTHER_UNITS = {"add": 2.0, "sub": 2.0, "softmax": 1.8}  # two factors; a chain of roundings in Q15
# Of kernels that round once, to the nearest: half a unit, and what factors of 16 bits leave.
OTHER_UNITS |= {
    "average_pool": 0.52,
    "exp": 0.52,
    "function": 0.52,
    "hsigmoid": 0.6,
    "bilinear_resizer": 0.85,
}
# Of layers that read their own result at every step, through tables of 24 entries a unit.
OTHER_UNITS |= {"gru": 3.5, "lstm": 7.0, "rnn": 6.0}
MOVED = 1e-3  # what only moves elements: float32's own rounding
LIMITED = ("clip", "relun", "relu6")  # a limit is rounded to a unit of the input
PADDED_WITH_ZERO = ("max_pool",)  # not with minus infinity: the same for what is not negative
MOVED_BY_SOLVER = ("quantize",)  # the solver puts such nodes where it wants them; see below
OWN_UNITS = ("bw16", "rgb16")  # formats whose integers are pixels, whatever a record says
CASES = [
    pytest.param(example, id=f"{kind} {number} {example.name}".strip())
    for kind in sorted(set(OPERATORS) - set(MOVED_BY_SOLVER))
    for number, example in enumerate(OPERATORS[kind].examples())
    if example.name not in OWN_UNITS
]


@dataclass(frozen=True, slots=True)
class Alone:
    """An operator's node, quantized with a zero point in its inputs, and inputs for it."""

    graph: Graph
    quantization: NodeQuantization
    integers: list[NDArray[Any] | None]
    constants: dict[int, NDArray[Any]]  # real values of the integers of constant inputs

    def real_inputs(self) -> list[NDArray[Any]]:
        """What the integers of the inputs stand for, in the order of the graph's inputs."""
        inputs = zip(self.integers, self.quantization.inputs, strict=True)
        real = [record.dequantize(x) for x, record in inputs if x is not None and len(x) > 1]
        types = [node.type.dtype for node in self.graph.inputs]
        return [array.astype(dtype) for array, dtype in zip(real, types, strict=True)]


def alone(example: Example, zero_point: int) -> Alone:
    graph = graph_of(example)
    batch = random_inputs(graph, SAMPLES)
    inner = example.op.inner if isinstance(example.op, ChannelsLast) else example.op
    if inner.kind in PADDED_WITH_ZERO:
        batch = [np.abs(array) for array in batch]
    quantize_graph(graph, calibrate_graph(graph, [batch]))
    node = graph["node"]
    assert node.quantization is not None
    values = [_constant(graph, ref.node) for ref in node.inputs]
    moves_all = node.op.keeps_record  # then constants and results have the record of the inputs
    records = [
        _shifted(record, zero_point) if value is None or moves_all else record
        for record, value in zip(node.quantization.inputs, values, strict=True)
    ]
    request = QuantizeRequest(
        "node",
        tuple(records),
        tuple(records[:1] if moves_all else ()) * len(node.outputs) or node.quantization.outputs,
        tuple(graph.input_types(node)),
        tuple(node.outputs),
        tuple(values),
    )
    return _with_integers(graph, node.op.quantize(request), values, batch)


def _constant(graph: Graph, name: str) -> NDArray[Any] | None:
    op = graph[name].op
    return op.value if isinstance(op, Constant) else None


def _shifted(record: QParams, zero_point: int) -> QParams:
    return replace(record, zero_point=zero_point) if record.dtype == "int8" else record


def _with_integers(
    graph: Graph,
    quantization: NodeQuantization,
    values: list[NDArray[Any] | None],
    batch: list[NDArray[Any]],
) -> Alone:
    integers: list[NDArray[Any] | None] = []
    constants: dict[int, NDArray[Any]] = {}
    left = iter(batch)
    for index, (value, record) in enumerate(zip(values, quantization.inputs, strict=True)):
        known = quantization.constants[index] if quantization.constants else None
        if value is None:
            array = next(left)
            pixels = array.dtype.kind in "iu"
            integers.append(array.astype(np.int64) if pixels else record.quantize(array))
        elif known is None:
            integers.append(None)
        else:
            integers.append(np.asarray(known, np.int64)[np.newaxis])
            if record.dtype == "int8":  # biases hold a part of the zero point
                constants[index] = record.dequantize(np.asarray(known)).reshape(value.shape)
    return Alone(graph, quantization, integers, constants)


def ideal(example: Example, case: Alone) -> list[NDArray[np.float64]]:
    """Each result in units of its record, not rounded, saturated."""
    graph = graph_of(example)
    for index, value in case.constants.items():
        graph[graph["node"].inputs[index].node].op = Constant(value)
    real = FloatEngine(graph, threads=1).run(case.real_inputs())
    results = []
    for node, record in zip(graph.outputs, case.quantization.outputs, strict=True):
        units = real[node.name].astype(np.float64) / record.first_scale + record.zero_point
        results.append(np.clip(units, *record.limits))
    return results


@pytest.mark.parametrize("zero_point", [0, -9, 60])
@pytest.mark.parametrize("example", CASES)
def test_a_kernel_computes_its_operator_on_what_its_integers_stand_for(
    example: Example, zero_point: int
) -> None:
    case = alone(example, zero_point)
    computed = example.op.integer_multi(case.quantization, case.integers)  # type: ignore[arg-type]
    allowed = OTHER_UNITS.get(example.op.kind, UNITS)
    if example.op.moves_only(list(example.inputs)):
        allowed = MOVED
    if example.op.kind in LIMITED:
        ratio = case.quantization.input.first_scale / case.quantization.output.first_scale
        allowed += ratio / 2
    for found, expected in zip(computed, ideal(example, case), strict=True):
        assert np.abs(found - expected).max() <= allowed


RECORDS = st.tuples(st.floats(1e-3, 1.0), st.integers(-128, 127))


@given(RECORDS, RECORDS)
def test_quantize_reads_one_record_and_writes_another(
    before: tuple[float, int], after: tuple[float, int]
) -> None:
    records = [QParams(np.array([scale]), zero) for scale, zero in (before, after)]
    kind = TensorType((256,))
    request = QuantizeRequest("q", (records[0],), (records[1],), (kind,), (kind,), (None,))
    integers = np.arange(-128, 128)[np.newaxis]
    op = Quantize()
    computed = op.integer(op.quantize(request), [integers])
    units = records[0].dequantize(integers).astype(np.float64) / after[0] + after[1]
    steps = max(1.0, before[0] / after[0])  # an input's unit in those of the output
    saturated = np.clip(units, -128, 127)
    assert np.abs(computed - saturated).max() <= 1.5 * steps
