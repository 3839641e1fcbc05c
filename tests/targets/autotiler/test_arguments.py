"""What the generators of the AutoTiler are told: sizes of the layer, by kind of generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import nnshell.ops  # noqa: F401 - fills the registry
from nnshell.ir.examples import graph_of
from nnshell.ir.graph import Graph, Node
from nnshell.ir.operator import OPERATORS, Example
from nnshell.support.errors import GraphError
from nnshell.support.settings import Settings
from nnshell.targets.autotiler.build import build
from nnshell.targets.autotiler.infos import Record, put_activation

Quantizer = Callable[..., Graph]
KINDS = ("conv2d", "linear", "batch_norm", "max_pool", "average_pool", "global_max_pool")
KINDS += ("global_average_pool", "softmax", "add", "relu", "copy", "bilinear_resizer")
CASES = [
    pytest.param(example, id=f"{kind} {number}")
    for kind in KINDS
    for number, example in enumerate(OPERATORS[kind].examples())
]


def _image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height, width."""
    return shape if len(shape) == 3 else (math.prod(shape), 1, 1)  # type: ignore[return-value]


def _expected(function: str, given: tuple[int, ...], made: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes that a generator takes first; width comes before height."""
    channels, height, width = _image(given)
    bias_and_scale = (4, 1)
    if function == "CNN_LinearAct_SQ8":
        return (*bias_and_scale, math.prod(given), math.prod(made))
    if function == "CNN_ConvolutionPoolAct_SQ8":
        return (*bias_and_scale, channels, _image(made)[0], width, height)
    if function == "CNN_GroupedConvolutionPoolAct_SQ8":
        return ()  # its group comes first: test_model.py
    if function == "CNN_PoolAct_SQ8":
        return (channels, width, height) if len(given) == 3 else (1, math.prod(given), 1)
    if function == "CNN_MatAddAct_SQ8":
        return given if len(given) == 3 else (1, *(1,) * (2 - len(given)), *given)
    if function == "GenerateResizeMultiChannel":
        return (width, height, made[2], made[1], channels)
    if function == "CNN_Copy":
        return (math.prod(given), 1)
    return {"CNN_SoftMax_SQ8": (math.prod(given),), "CNN_SoftMax2D_SQ8": given}.get(function, ())


@pytest.mark.parametrize("example", CASES)
def test_a_generator_gets_the_sizes_of_its_layer(example: Example, quantized: Quantizer) -> None:
    graph = quantized(graph_of(example))
    try:
        (kernel,) = build(graph, Settings()).kernels
    except GraphError:
        pytest.skip("the AutoTiler has no generator for it")
    node = graph["node"]
    shapes = [kind.shape for kind in graph.input_types(node)]
    given = max(shapes, key=math.prod) if node.kind == "add" else shapes[0]
    expected = _expected(kernel.call.function, given, node.type.shape)
    assert kernel.call.arguments[: len(expected)] == expected
    if kernel.call.function == "CNN_GlobalPoolAct_SQ8":
        channels, first, second, *_ = kernel.call.arguments
        assert (channels, int(first) * int(second)) == (given[0], given[1] * given[2])


# Which byte of the Infos record holds the zero point of an activation's result.
ZERO_POINT_AT = {"leaky": 4, "hsigmoid": 6, "hswish": 6, "sigmoid": 2, "tanh": 2}


@pytest.mark.parametrize("kind", ZERO_POINT_AT)
@pytest.mark.parametrize("zero_point", [-128, 0, 5])
def test_the_zero_point_of_an_activation_is_where_its_kernel_reads_it(
    kind: str, zero_point: int, quantized: Quantizer
) -> None:
    node: Node = quantized(graph_of(OPERATORS[kind].examples()[0]))["node"]
    quantization = node.quantization
    assert quantization is not None
    output = replace(quantization.output, zero_point=zero_point)
    node.quantization = replace(quantization, outputs=(output,))
    record = Record.empty()
    put_activation(record, node)
    assert record.array()[ZERO_POINT_AT[kind]] == zero_point
    scaling = quantization.kernel.scaling
    assert record.array()[0].astype(np.uint8) == scaling.multiplier[0]
    assert record.array()[1] == scaling.shift[0]
