"""Activations with a table, and gates, on all int8 values: near the function."""

from __future__ import annotations

import numpy as np
import pytest

from nnshell.ops.exp import Exp
from nnshell.ops.hard_sigmoid import HardSigmoid
from nnshell.ops.hard_swish import HardSwish
from nnshell.ops.sigmoid import Sigmoid
from nnshell.ops.softmax import Softmax
from nnshell.ops.tanh import Tanh

from .parts import image, quantized, record

ALL = np.arange(-128, 128)[np.newaxis]
REAL = np.arange(-128, 128) / 16.0
FUNCTIONS = {
    Sigmoid(): (1 / (1 + np.exp(-REAL)), 1 / 127),
    Tanh(): (np.tanh(REAL), 1 / 127),
    HardSigmoid(1 / 6, 0.5): (np.clip(REAL / 6 + 0.5, 0, 1), 1 / 127),
    HardSwish(): (REAL * np.clip(REAL / 6 + 0.5, 0, 1), 8 / 127),
}


@pytest.mark.parametrize("zero", [0, -20, 40])
@pytest.mark.parametrize("op", FUNCTIONS, ids=lambda op: op.kind)
def test_every_value_is_near_that_of_the_function(op: Sigmoid, zero: int) -> None:
    """Tables have 24 entries a unit and are not interpolated: half an entry of the steepest."""
    real, scale = FUNCTIONS[op]
    output = record(scale, zero)
    kind = image(256)
    # tables read Q12 arguments, so that their input has the scale 2^-4 for which a shift is enough
    given_record = op.input_record(0) or record(1 / 16)
    x = ALL if given_record.first_scale == 1 / 16 else given_record.quantize(REAL)[np.newaxis]
    made = op.integer(quantized(op, [given_record], output, [kind]), [x])
    ideal = np.clip(real / scale + zero, -128, 127)
    assert np.abs(made[0] - ideal).max() <= 1.5


@pytest.mark.parametrize("scale", [0.01, 0.03])
def test_exp_is_the_function(scale: float) -> None:
    op, output = Exp(), record(np.exp(127 * scale) / 255, -128)
    made = op.integer(quantized(op, [record(scale)], output, [image(256)]), [ALL])
    ideal = np.clip(np.exp(ALL * scale) / output.first_scale - 128, -128, 127)
    assert np.abs(made - ideal).max() <= 0.75


@pytest.mark.parametrize("shape", [(7,), (3, 5)])
def test_softmax_adds_up_to_one_and_keeps_the_order(shape: tuple[int, ...]) -> None:
    op = Softmax(len(shape) - 1)
    x = np.random.default_rng(0).integers(-128, 128, (4, *shape))
    output = record(2.0**-15, 0, dtype="int16")
    made = op.integer(quantized(op, [record(0.25)], output, [image(*shape)]), [x])
    real = np.exp(x * 0.25) / np.exp(x * 0.25).sum(axis=-1, keepdims=True)
    assert np.abs(made / 32768 - real).max() <= 3e-4
    assert np.array_equal(made.argmax(axis=-1), x.argmax(axis=-1))
