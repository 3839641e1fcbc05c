"""Resizing integers against ONNX Runtime on the same numbers: every way to find coordinates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nnshell.execution.float_engine import FloatEngine
from nnshell.ir.examples import graph_of
from nnshell.ir.operator import Example
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.types import Layout, TensorType
from nnshell.ops.resize import (
    COORDINATES,
    ROUNDINGS,
    BilinearResizer,
    NearestNeighborResizer,
    Resizer,
)

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))
RECORD = QParams(np.array([1.0]))


@st.composite
def resizings(
    draw: st.DrawFn,
) -> tuple[tuple[int, int], tuple[int, int], tuple[float, float] | None]:
    """Old size, new size, and factors where they are not new size over old."""
    before = draw(SIZES)
    if draw(st.booleans()):
        return before, draw(SIZES), None
    factors = draw(st.tuples(*[st.sampled_from((0.4, 0.5, 0.75, 1.0, 1.3, 1.6, 2.0, 2.9))] * 2))
    after = tuple(int(np.floor(n * np.float32(f))) for n, f in zip(before, factors, strict=True))
    return before, (max(after[0], 1), max(after[1], 1)), factors if min(after) else None


def both(op: Resizer, before: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The integer kernel's result and ONNX Runtime's, on the same whole numbers."""
    image = TensorType((2, *before), Layout.CHW)
    values = np.random.default_rng(0).integers(-128, 128, (1, *image.shape))
    quantization = NodeQuantization((RECORD,), (RECORD,))
    engine = FloatEngine(graph_of(Example(op, (image,))), threads=1)
    real = engine.run([values.astype(np.float32)])["output_1"]
    return op.integer(quantization, [values]), real


@settings(max_examples=40)
@given(resizings(), st.sampled_from(COORDINATES), st.sampled_from(ROUNDINGS))
def test_the_nearest_element_is_the_one_that_onnx_runtime_takes(
    sizes: tuple[tuple[int, int], tuple[int, int], tuple[float, float] | None],
    coordinates: str,
    rounding: str,
) -> None:
    before, after, factors = sizes
    op = NearestNeighborResizer(after, coordinates, factors, rounding)
    integers, real = both(op, before)
    np.testing.assert_array_equal(integers, real)


@settings(max_examples=40)
@given(resizings(), st.sampled_from(COORDINATES))
def test_a_weighted_mean_is_within_its_rounding_of_onnx_runtime(
    sizes: tuple[tuple[int, int], tuple[int, int], tuple[float, float] | None], coordinates: str
) -> None:
    """Half a unit, and weights in Q8 of differences up to 255 along two axes."""
    before, after, factors = sizes
    integers, real = both(BilinearResizer(after, coordinates, factors), before)
    assert np.abs(integers - real).max() <= 0.5 + 2 * 255 / 512


@pytest.mark.parametrize("kind", [NearestNeighborResizer, BilinearResizer])
def test_symmetric_coordinates_are_centred_where_the_factor_leaves_a_rest(
    kind: type[Resizer],
) -> None:
    """5 columns by 1.3 are 6.5, of which 6 are made: a quarter of a column less on each side."""
    symmetric, plain = (
        kind((1, 6), coordinates, (1.0, 1.3)).positions(TensorType((1, 1, 5)))[1]
        for coordinates in ("half_pixel_symmetric", "half_pixel")
    )
    assert symmetric == pytest.approx(plain + 0.25 / 1.3, abs=1e-5)
    assert symmetric[0] + symmetric[-1] == pytest.approx(4.0, abs=1e-5)
