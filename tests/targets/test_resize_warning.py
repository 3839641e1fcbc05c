"""`gen` says where the chip's resize reads other positions, and only then."""

from __future__ import annotations

import pytest

from nnshell.ir.types import TensorType
from nnshell.ops.resize import BilinearResizer, NearestNeighborResizer, Resizer
from nnshell.targets.autotiler.moves import read_elsewhere


@pytest.mark.parametrize(
    ("op", "shape", "different"),
    [
        (NearestNeighborResizer((8, 8), "asymmetric"), (4, 1, 1), 0),
        (NearestNeighborResizer((15, 15), "align_corners", rounding="floor"), (4, 8, 8), 0),
        (BilinearResizer((8, 8), "half_pixel"), (4, 1, 1), 0),
        (
            NearestNeighborResizer((4, 4), "asymmetric", rounding="floor"),
            (1, 2, 2),
            7,
        ),  # rows 0 0 1 1, and 0 0 0 1
    ],
)
def test_positions_are_compared(op: Resizer, shape: tuple[int, ...], different: int) -> None:
    assert read_elsewhere(op, TensorType(shape)) == (different, op.size[0] * op.size[1])
