"""Maximum over a sliding window; padding never wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from nnshell.ir.facts import EVERYTHING, Role
from nnshell.ir.foreign import AttributeValue, ForeignGraph
from nnshell.ir.graph import Ref
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.moments import Moments, blended
from nnshell.ir.operator import Constants, Example, IntArray, Operator, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import Range
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import Window
from nnshell.lowering.windows import lower_max_pool
from nnshell.numeric.kernels.windows import pad_map, taps
from nnshell.ops.families.pool import Pool
from nnshell.ops.pad import NO_BORDER, absorbed, note_border
from nnshell.reading.registry import imports
from nnshell.reading.spatial import (
    kernel_shape,
    padded,
    pads_inside,
    produce_spatial,
    read_window,
    rounding_up,
    spatial_input,
)

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext


@register
@dataclass(frozen=True)
class MaxPool(Pool):
    """y[c, i, j] = max of x[c] under the window; rounding up is written as bottom, right pads."""

    kind: ClassVar[str] = "max_pool"
    role: ClassVar[Role] = "max_pool"
    pool_kind: ClassVar[Literal["max", "average"]] = "max"

    def _padded_by(self, value: float, window: Window, argument: Range) -> Operator | str:
        """Padding is minus infinity in float and 0 in integers: neither may be the maximum."""
        if value > argument.minimum or argument.minimum < 0:
            return f"its border of {value:g} could be the maximum"
        return self.with_window(window)

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return inputs[0]

    def channel_moments(
        self, known: Sequence[Moments | None], inputs: Types, constants: Constants
    ) -> Moments | None:
        if known[0] is None:
            return None
        counts = self.window.counts_inside(*inputs[0].shape[1:])
        return blended([(share, known[0].largest(max(n, 1))) for n, share in counts.items()])

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        value, window = inputs[0], self.window
        pads = window.pads
        if not pads_inside(window):  # ONNX Runtime takes no such pads; a border does the same
            value, pads = _with_border(build, value, window), (0, 0, 0, 0)
        attributes: dict[str, AttributeValue] = {
            "kernel_shape": window.kernel,
            "strides": window.strides,
            "pads": pads,
        }
        if window.dilations != (1, 1):  # the default is not written: other tools stop at it
            attributes["dilations"] = window.dilations
        return (build.node("MaxPool", [value], attributes, hint=self.kind),)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        """Padding is real 0 (the zero point), as in NNTool, and not minus infinity."""
        padded = pad_map(inputs[0], self.window, quantization.input.zero_point)
        views = [seen for _, _, seen in taps(padded, self.window)]
        largest: IntArray = np.maximum.reduce(views)
        return largest

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        return (
            lower_max_pool(
                build, inputs[0], self.window, quantization.input.zero_point, outputs[0].shape
            ),
        )

    @classmethod
    def examples(cls) -> list[Example]:
        windows = [
            ("halving", Window((2, 2), (2, 2))),
            ("overlapping and padded", Window((3, 3), (2, 2), (1, 1), (1, 1, 1, 1))),
            ("uneven", Window((2, 3), (1, 2), (1, 1), (0, 1, 1, 2))),
            ("dilated", Window((2, 2), (1, 1), (2, 3))),
        ]
        image = TensorType((3, 7, 9), Layout.CHW)
        return [Example(cls(window), (image,), (), name) for name, window in windows]


def _with_border(build: ForeignGraph, value: str, window: Window) -> str:
    """``given`` with the window's pads around it, of the smallest number there is."""
    top, left, bottom, right = window.pads
    pads = build.constant(np.array([0, 0, top, left, 0, 0, bottom, right], np.int64), "pads")
    lowest = build.constant(np.finfo(np.float32).min, "lowest")
    return build.node("Pad", [value, pads, lowest])


@imports("MaxPool")
def import_max_pool(ctx: ImportContext) -> None:
    ctx.needs_only(0)
    value = spatial_input(ctx, 0)
    window = read_window(ctx, value.size, kernel_shape(ctx, 1 if value.one_row else 2))
    if not pads_inside(window):
        ctx.refuse("pads", accepted="pads smaller than the kernel")
    if ctx.integer("ceil_mode", 0):
        window = padded(window, (0, 0, *rounding_up(window, value.size)))
    source, border = absorbed(ctx, value.ref)
    wider = padded(window, border)
    if not _border_never_wins(ctx, source, wider):
        source, wider, border = value.ref, window, NO_BORDER
    pool = ctx.add(MaxPool(wider), [source])
    note_border(ctx, pool, value.ref, border)
    produce_spatial(ctx, pool, value)


def _border_never_wins(ctx: ImportContext, source: Ref, window: Window) -> bool:
    """Whether zeros around ``source`` can be left out of the maximum."""
    node = ctx.graph[source.node]
    known = node.op.bounds((EVERYTHING,) * len(node.inputs))
    return pads_inside(window) and known.minimum >= 0
