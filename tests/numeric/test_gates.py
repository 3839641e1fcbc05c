"""Bounds of hard sigmoids beyond what networks have."""

from __future__ import annotations

import numpy as np
import pytest

from nnshell.ir.qparams import QParams
from nnshell.ir.requests import QuantizeRequest
from nnshell.ir.types import TensorType
from nnshell.numeric.kernels.gates import quantize_gate


@pytest.mark.parametrize(("scale", "beta"), [(1e-320, 0.5), (1e-320, -0.5), (0.1, 1e300)])
@pytest.mark.filterwarnings("error")
def test_bounds_end_where_int32_ends(scale: float, beta: float) -> None:
    vector = TensorType((4,))
    request = QuantizeRequest(
        "gate",
        inputs=(QParams(np.array([scale])),),
        outputs=(QParams(np.array([1 / 127])),),
        input_types=(vector,),
        output_types=(vector,),
        constants=(None,),
    )
    kernel = quantize_gate(request, 0.2, beta, times_input=False).kernel
    assert abs(kernel.offset) in (2**31 - 1, 2**31)
    assert 0 < kernel.upper <= 2**31 - 1
