"""Convolutions and linear layers of any geometry against sums over their taps."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nnshell.ir.work import Window
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.linear import Linear

from .parts import image, integers, quantized, record

SMALL = st.integers(1, 3)
PAIRS = st.tuples(SMALL, SMALL)


@settings(max_examples=60)
@given(
    PAIRS,
    PAIRS,
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.tuples(*[st.integers(0, 2)] * 4),
    st.sampled_from([(1, 3, 4), (3, 3, 3), (2, 4, 6), (3, 3, 6)]),
    st.integers(-40, 40),
)
def test_a_convolution_is_the_sum_of_its_taps_requantized(
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pads: tuple[int, int, int, int],
    sizes: tuple[int, int, int],
    zero: int,
) -> None:
    groups, channels, filters = sizes
    op = Conv2D(Window(kernel, strides, dilations, pads), groups)
    kind, random = image(channels, 6, 7), np.random.default_rng(1)
    extents = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    assume(extents[0] <= 6 and extents[1] <= 7)
    weights = random.normal(size=(filters, channels // groups, *kernel)).astype(np.float32)
    bias = random.normal(size=filters).astype(np.float32)
    types = [kind, image(*weights.shape), image(filters)]
    output = record(0.2, 3)
    made = quantized(op, [record(0.05, zero), None, None], output, types, [None, weights, bias])
    x = integers(1, channels, 6, 7)
    result = op.integer(made, [x, None, None])[0]  # type: ignore[list-item]
    units = made.inputs[1].quantize(weights)
    top, left, bottom, right = pads
    padded = np.pad(x[0] - zero, ((0, 0), (top, bottom), (left, right)))
    share, depth = filters // groups, channels // groups
    for place in np.ndindex(*result.shape):
        number, row, column = place
        first = number // share * depth
        rows = row * strides[0] + dilations[0] * np.arange(kernel[0])
        columns = column * strides[1] + dilations[1] * np.arange(kernel[1])
        under = padded[first : first + depth][:, rows][:, :, columns]
        real = (under * units[number]).sum() * 0.05 * made.inputs[1].scale.reshape(-1)[number]
        ideal = np.clip((real + bias[number]) / 0.2 + 3, -128, 127)
        assert abs(result[place] - ideal) <= 1.1, place


@given(st.integers(1, 40), st.integers(1, 9), st.integers(-128, 127))
def test_a_linear_layer_is_the_sum_of_its_products_requantized(
    inputs: int, outputs: int, zero: int
) -> None:
    op, random = Linear(), np.random.default_rng(2)
    weights = random.normal(size=(outputs, inputs)).astype(np.float32)
    bias = random.normal(size=outputs).astype(np.float32)
    types = [image(inputs), image(outputs, inputs), image(outputs)]
    output = record(0.3, -7)
    made = quantized(op, [record(0.02, zero), None, None], output, types, [None, weights, bias])
    x = integers(3, inputs)
    result = op.integer(made, [x, None, None])  # type: ignore[list-item]
    units, scales = made.inputs[1].quantize(weights), made.inputs[1].scale.reshape(-1)
    real = ((x - zero) @ units.T) * 0.02 * scales + bias
    assert np.abs(result - np.clip(real / 0.3 - 7, -128, 127)).max() <= 1.1
