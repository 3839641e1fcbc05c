"""What an operator is asked to make integers from: ranges, options, records, float constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.types import TensorType
from nnshell.support.errors import QuantizationError

SQ8 = "SQ8"  # NNTool's scaled scheme: 8-bit integers, a scale and a zero point
POW2 = "POW2"  # fixed point: 8 or 16 bits, scales are powers of two


@dataclass(frozen=True, slots=True)
class Range:
    """A closed interval of real values."""

    minimum: float
    maximum: float

    def including_zero(self) -> Range:
        """Widened, if need be, to hold 0."""
        return Range(min(self.minimum, 0.0), max(self.maximum, 0.0))


@dataclass(frozen=True, slots=True)
class KernelOptions:
    """What the user chose that changes the integers of a kernel."""

    per_channel: bool = True  # one weight scale for each output channel
    narrow_weights: bool = True  # weights limited to +-127
    softmax_8_bits: bool = False  # softmax results in Q7 instead of Q15
    weight_bits: int = 8
    weight_clip: str = "none"  # which extremes of the weights are cut off
    fixed_bits: int = 16  # of weights and activations in the scheme POW2
    bias_bits: int = 0  # of biases there; 0 for as many
    unit_lstm_output: bool = False  # an LSTM's output stands for -1 to 1, whatever was seen
    fit_scales: bool = False  # raise weight scales that an accumulator of 32 bits cannot carry


@dataclass(frozen=True, slots=True, eq=False)
class ChosenFilter:
    """Values of a filter that take the place of its weights' nearest integers and its bias.

    ``scale`` (float32, one for each output channel or one) and ``integers`` come together.
    """

    bits: int  # of the weights that they were chosen for
    scale: NDArray[np.float32] | None = None
    integers: NDArray[np.int8] | None = None  # output channel first
    bias: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class QuantizeRequest:
    """What an operator makes its kernel from: records, shapes, float constants by input.

    ``inputs`` holds None where the operator makes the record itself (its ``parameters``).
    """

    name: str
    inputs: tuple[QParams | None, ...]
    outputs: tuple[QParams, ...]
    input_types: tuple[TensorType, ...]
    output_types: tuple[TensorType, ...]
    constants: tuple[NDArray[Any] | None, ...]  # float value of each constant input, else None
    options: KernelOptions = KernelOptions()
    chosen: ChosenFilter | None = None

    def record(self, index: int) -> QParams:
        """Record of input ``index``, which is not one of the operator's parameters."""
        record = self.inputs[index]
        assert record is not None, f"{self.name} has no record for input {index}"
        return record

    def constant(self, index: int) -> NDArray[Any]:
        """Float value of input ``index``, which must be a constant."""
        value = self.constants[index]
        if value is None:
            raise QuantizationError(
                f"input {index} must be a constant to be quantized",
                where=f"node {self.name}",
                hint="open a model in which it is an initializer",
            )
        return value

    @property
    def output(self) -> QParams:
        """Record of output 0."""
        return self.outputs[0]


def plain_quantization(request: QuantizeRequest, kernel: Any = None) -> NodeQuantization:
    """The records as requested; constant inputs quantized by them."""
    inputs = tuple(request.record(index) for index in range(len(request.inputs)))
    constants = tuple(
        None if value is None else record.stored(value)
        for value, record in zip(request.constants, inputs, strict=True)
    )
    return NodeQuantization(inputs, request.outputs, kernel, constants=constants)
