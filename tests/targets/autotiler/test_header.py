"""model.h: scales as mantissa and shift, one block for each node that leaves a tensor."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnshell.ir.examples import graph_of
from nnshell.ir.graph import Graph
from nnshell.ops.conv2d import Conv2D
from nnshell.targets.autotiler.fixed_scale import mantissa_and_shift
from nnshell.targets.autotiler.header import write_header


@given(st.floats(1e-12, 1e6))
def test_mantissa_times_power_of_two_is_near_the_scale(scale: float) -> None:
    mantissa, shift = mantissa_and_shift(scale)
    assert 64 <= mantissa <= 127
    assert math.ldexp(mantissa, -shift) == pytest.approx(scale, rel=1 / 128)


@given(st.integers(-40, 20), st.floats(0.99609375, 1, exclude_max=True))
def test_a_mantissa_that_rounds_to_128_is_64_with_a_smaller_shift(
    exponent: int, fraction: float
) -> None:
    mantissa, shift = mantissa_and_shift(math.ldexp(fraction, exponent))
    assert (mantissa, shift) == (64, 6 - exponent)


@pytest.mark.parametrize(
    ("scale", "pair"),
    [
        (1.0, (64, 6)),
        (1 / 128, (64, 13)),
        (2.0**-15, (64, 21)),
        (0.001250342233106494, (82, 16)),
        (0.031201311922448828, (64, 11)),
    ],
)
def test_known_scales(scale: float, pair: tuple[int, int]) -> None:
    assert mantissa_and_shift(scale) == pair


def test_a_block_has_four_macros_separated_by_a_tab(quantized: Callable[..., Graph]) -> None:
    graph = quantized(graph_of(Conv2D.examples()[0]))
    text = write_header(graph, "net")
    macros = re.findall(r"^#define (\w+)\t(\S+)$", text, re.MULTILINE)
    wanted = ["Input_1", "S1_Op_constant_1", "S2_Op_constant_2", "S3_Conv2d_6x4x3x3", "Output_1"]
    parts = ["OUT_SCALE", "OUT_QSCALE", "OUT_QNORM", "OUT_ZERO_POINT"]
    assert [name for name, _ in macros] == [f"net_{n}_{p}" for n in wanted for p in parts]
    assert text.startswith("#ifndef NET_GRAPHINFO_H\n#define NET_GRAPHINFO_H\n")


def test_scales_are_printed_so_that_they_read_back_exactly(
    quantized: Callable[..., Graph],
) -> None:
    graph = quantized(graph_of(Conv2D.examples()[0]))
    found = dict(re.findall(r"#define (\w+_OUT_SCALE)\t(\S+)", write_header(graph, "net")))
    record = graph["constant_1"].quantization
    assert record is not None
    assert float(found["net_S1_Op_constant_1_OUT_SCALE"]) == float(record.outputs[0].scale[0])
    assert isinstance(record.outputs[0].scale[0], np.float32)
