"""From the pixels of a camera to the feature map that the network takes.

Pixels are integers, height x width x samples; the result is channels x height x width. Its real
value is ``pixel * scale + offset``; which scale and offset a norm stands for is quantization's
business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nnshell.ir.facts import Role
from nnshell.ir.foreign import ForeignGraph
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import Example, IntArray, Operator, Types, register
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.records import ACTIVATIONS, ALL_PINS, Answer, RecordQuestion, RecordRule
from nnshell.ir.requests import KernelOptions
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import ONE_BYTE, ElementBytes, Work
from nnshell.numeric.records import fixed_record
from nnshell.ops.families.record_rules import fresh_inputs, plain
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph

# format: (samples per pixel in memory, channels of the result, element type in memory)
FORMATS: dict[str, tuple[int, int, str]] = {
    "rgb888": (3, 3, "uint8"),
    "rgb565_rgb888": (1, 3, "uint16"),
    "bw8": (1, 1, "uint8"),
    "bw16": (1, 1, "uint16"),
    "rgb16": (3, 3, "uint16"),
    "none": (0, 0, "uint8"),  # any number of samples, as they are
}
WIDE_SHIFT = 7  # from an 8-bit pixel to int16
NORMS = ("shift_int8", "offset_int8", "out_int16", "none")


@register
@dataclass(frozen=True)
class ImageFormat(Operator):
    """Pixels (h, w, samples) to a feature map (channels, h, w) of pixel * scale + offset."""

    kind: ClassVar[str] = "image_format"
    role: ClassVar[Role] = "format"
    format: str = "rgb888"
    norm: str = "none"
    scale: float = 1.0
    offset: float = 0.0

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        if self.format not in FORMATS or self.norm not in NORMS:
            raise GraphError(
                f"no image format {self.format} {self.norm}",
                hint=f"formats: {', '.join(FORMATS)}; norms: {', '.join(NORMS)}",
            )
        source = inputs[0]
        if len(source.shape) != 3:
            raise GraphError(f"image_format needs height x width x channels, not {source}")
        height, width, samples = source.shape
        expected, channels, _ = FORMATS[self.format]
        if expected not in (0, samples):
            raise GraphError(
                f"image format {self.format} has {expected} values per pixel, not {samples}"
            )
        return (TensorType((channels or samples, height, width), Layout.CHW),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"Format {self.format} Norm {self.norm}"

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        shape = outputs[0].chw
        height, width, samples = inputs[0].shape
        return Work(
            "format",
            ((samples, height, width),),
            shape,
            shape,
            input_bytes=stored.of_inputs(inputs[:1]),
            output_bytes=stored.of_outputs(outputs),
        )

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        pixels = build.node("Cast", inputs[:1], {"to": 1})
        if self.format == "rgb565_rgb888":
            pixels = _unpack_565(build, pixels)
        planes = build.node("Transpose", [pixels], {"perm": [0, 3, 1, 2]}, hint=self.kind)
        if self.scale != 1.0:
            scale = build.constant(np.float32(self.scale), "scale")
            planes = build.node("Mul", [planes, scale], hint=self.kind)
        if self.offset != 0.0:
            offset = build.constant(np.float32(self.offset), "offset")
            planes = build.node("Add", [planes, offset], hint=self.kind)
        return (planes,)

    def output_record(self, options: KernelOptions) -> QParams | None:
        """What the formatter's integers are, whatever calibration saw: it has no multiplier.

        The integers are pixel - 128, pixel >> 1, pixel << 7 or the pixel itself.
        """
        dtype = "int8"
        scale, zero = self.scale, -self.offset / self.scale
        if self.norm == "offset_int8":
            zero -= 128
        elif self.norm == "shift_int8":
            scale, zero = 2 * scale, zero / 2
        elif self.norm == "out_int16":
            dtype, scale = "int16", scale / (1 << WIDE_SHIFT)
            zero *= 1 << WIDE_SHIFT
        else:
            dtype = FORMATS[self.format][2].replace("uint16", "int16")
        record = fixed_record(scale, dtype, None, round(zero))
        return replace(record, asymmetric=record.zero_point != 0)

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return (RecordRule(self._decide, ACTIVATIONS, ACTIVATIONS),)

    def _decide(self, question: RecordQuestion) -> Answer | None:
        """The output is what it is: who wants another record gets a quantize node."""
        record = self.output_record(question.options.kernel)
        if question.wish is not None or record is None:
            return None
        return Answer(fresh_inputs(question), (plain(replace(record, forced=False), *ALL_PINS),))

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        """Bits of the pixel only: whether they mean what the record says is the user's choice.

        16-bit grey or colour values are first reduced to 8 bits, except for the 16-bit result;
        that, and all formats but rgb888 and bw8, were not compared with NNTool.
        """
        pixels, wide = inputs[0], FORMATS[self.format][2] == "uint16"
        if self.format == "rgb565_rgb888":
            pixels = np.concatenate(
                [(pixels >> 11) << 3, ((pixels >> 5) & 63) << 2, (pixels & 31) << 3], axis=-1
            )
            wide = False
        if wide:
            pixels = pixels >> (1 if self.norm == "out_int16" else 8)
        elif self.norm == "out_int16":
            pixels = pixels << WIDE_SHIFT
        return self._normalized(pixels).transpose(0, 3, 1, 2)

    def _normalized(self, pixels: IntArray) -> IntArray:
        if self.norm == "offset_int8":
            return pixels - 128
        return pixels >> 1 if self.norm == "shift_int8" else pixels

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        x, wide = inputs[0], FORMATS[self.format][2] == "uint16"
        if self.format == "rgb565_rgb888":
            shape = (*x.shape[:2], 3)
            x, wide = IntegerTensor(_unpack_565(build, x.name), shape, 0, 252), False
        elif wide:
            x = _divided(build, x, 1 if self.norm == "out_int16" else 8)
        if self.norm == "out_int16" and not wide:
            factor = build.integers(np.full((1, 1, 1, 1), 1 << WIDE_SHIFT))
            x = build.multiply(x, factor)
        elif self.norm == "offset_int8":
            x = build.shifted(x, -128)
        elif self.norm == "shift_int8":
            x = _divided(build, x, 1)
        name = build.node("Transpose", [x.name], {"perm": [0, 3, 1, 2]}, hint=self.kind)
        return (IntegerTensor(name, outputs[0].shape, x.low, x.high, x.wide),)

    @classmethod
    def examples(cls) -> list[Example]:
        results = []
        for name, (samples, _, dtype) in FORMATS.items():
            pixels = TensorType((4, 5, samples or 2), Layout.HWC, dtype)
            results.append(Example(cls(name, "offset_int8", 1 / 128, -1.0), (pixels,), (), name))
        return results


def _divided(build: IntegerGraph, x: IntegerTensor, bits: int) -> IntegerTensor:
    """x >> bits"""
    name = build.floor_of(x, np.array(np.ldexp(1.0, -bits)), np.array(0.0))
    return IntegerTensor(name, x.shape, x.low >> bits, x.high >> bits, x.wide)


def _unpack_565(build: ForeignGraph, words: str) -> str:
    """Red, green and blue (0 to 248 or 252) of 16-bit words, as float arithmetic (exact)."""
    channels = []
    for divisor, levels, factor in ((2048.0, 32.0, 8.0), (32.0, 64.0, 4.0), (1.0, 32.0, 8.0)):
        by, modulo, times = (
            build.constant(np.float32(n), "bits") for n in (divisor, levels, factor)
        )
        shifted = build.node("Floor", [build.node("Div", [words, by])])
        masked = build.node("Mod", [shifted, modulo], {"fmod": 1})
        channels.append(build.node("Mul", [masked, times]))
    return build.node("Concat", channels, {"axis": 3})
