"""Records applied to real numbers."""

from __future__ import annotations

import numpy as np
import pytest

from nnshell.ir import qparams
from nnshell.ir.qparams import QParams


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("shape", [(5, 7, 3), (0, 7), (1, 7), (640, 7, 2)])
def test_blocks_give_what_the_whole_gives(
    axis: int | None, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Element type, channels along any axis and saturation included."""
    monkeypatch.setattr(qparams, "_BLOCK", 64)
    random = np.random.default_rng(3)
    real = random.normal(scale=3, size=shape).astype(np.float32)
    scale = random.uniform(0.01, 0.1, 1 if axis is None else shape[axis]).astype(np.float32)
    for dtype, bits in (("int8", 8), ("int8", 3), ("int16", 8), ("uint8", 8)):
        record = QParams(scale, 0, dtype, axis, bits=bits)
        stored = record.stored(real)
        assert stored.dtype == dtype
        np.testing.assert_array_equal(stored, record.quantize(real))


def test_a_single_number_is_stored() -> None:
    assert QParams(np.array([0.5])).stored(np.float32(2.0)) == 4
