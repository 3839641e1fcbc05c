"""A camera formatter's integers mean what its record says, whatever calibration saw."""

from __future__ import annotations

import numpy as np
import pytest

from nnshell.execution.float_engine import FloatEngine
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.ir.graph import Ref
from nnshell.ir.types import Layout, TensorType
from nnshell.ops.image_format import FORMATS, NORMS, ImageFormat

from .nets import Net, quantized, ranges

NONE = (0, 0, 0, 0)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "format", [name for name in FORMATS if FORMATS[name][0] and FORMATS[name][2] == "uint8"]
)
@pytest.mark.parametrize("meaning", [(1 / 128, -1.0), (1 / 256, 0.0), (1 / 255, 0.0), (0.02, -2.1)])
@pytest.mark.parametrize("padded", [False, True])
def test_a_formatters_integers_are_within_a_step_of_its_real_values(
    format: str, norm: str, meaning: tuple[float, float], padded: bool
) -> None:
    samples, channels, dtype = FORMATS[format]
    net = Net(channels, 6, 5)
    pixels = TensorType((6, 5, samples), Layout.HWC, dtype)
    node = net.graph["input_1"]
    node.op, node.outputs = type(node.op)(pixels, 0), (pixels,)
    x = net.node("format", ImageFormat(format, norm, *meaning), Ref("input_1"))
    y = net.conv("conv", x) if padded else net.conv("conv", x, kernel=1, pads=NONE)
    graph = net.output(y)
    made = quantized(graph, ranges(input_1=(0, 255), format=(-0.3, 0.4), conv=(-2, 3)))
    record = made["format"].output
    batch = [np.random.default_rng(3).integers(0, 256, (4, 6, 5, samples)).astype(np.float32)]
    integers = IntegerEngine(graph, "simulation").run(batch, ["format"])["format"]
    real = FloatEngine(graph, ["format"], threads=1).run(batch)["format"]
    assert np.abs(record.dequantize(integers) - real).max() <= 1.01 * record.first_scale
    assert made["conv"].inputs[0].zero_point == 0 or not padded
