"""Windows and feature maps as model files spell them: one or two axes, pads given or automatic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nnshell.ir.graph import Ref
from nnshell.ir.work import Window
from nnshell.reading.registry import Unsupported

if TYPE_CHECKING:
    from nnshell.reading.context import ImportContext

AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
_LARGEST = 1 << 16  # kernel, stride, dilation, pad; a file that asks for more is corrupt
Pads = tuple[int, int, int, int]  # top, left, bottom, right


@dataclass(frozen=True, slots=True)
class SpatialInput:
    """A feature map; one with a single spatial axis is taken as one row."""

    ref: Ref
    channels: int
    size: tuple[int, int]
    one_row: bool


def spatial_input(ctx: ImportContext, index: int) -> SpatialInput:
    """Input ``index`` as channels x height x width."""
    value = ctx.value(index)
    if len(value.shape) not in (3, 4):
        text = "x".join(str(n) for n in value.shape)
        raise Unsupported(
            f"its input has shape {text}", accepted="batch x channels x height x width"
        )
    ref = ctx.front(value)
    shape = ctx.graph.type_of(ref).shape
    if len(shape) == 3:
        return SpatialInput(ref, shape[0], (shape[1], shape[2]), False)
    row = ctx.reshaped(ref, (shape[0], 1, shape[1]), "_reshape_in")
    return SpatialInput(row, shape[0], (1, shape[1]), True)


def produce_spatial(ctx: ImportContext, ref: Ref, given: SpatialInput) -> None:
    """The node's output, with as many axes as its input had."""
    if given.one_row:
        channels, _, width = ctx.graph.type_of(ref).shape
        ref = ctx.reshaped(ref, (channels, width), "_reshape_out")
    ctx.produce(ref)


def read_window(ctx: ImportContext, size: tuple[int, int], kernel: tuple[int, ...]) -> Window:
    """Kernel, strides, dilations and pads of the node over an input of ``size``."""
    axes = len(kernel)
    strides = read_extents(ctx, "strides", axes)
    dilations = read_extents(ctx, "dilations", axes)
    if min(kernel) < 1 or max(kernel) > _LARGEST:
        ctx.refuse("kernel_shape", accepted=f"1 to {_LARGEST}")
    unpadded = Window(_two(kernel, 1), _two(strides, 1), _two(dilations, 1))
    return Window(
        unpadded.kernel, unpadded.strides, unpadded.dilations, _pads(ctx, size, unpadded, axes)
    )


def kernel_shape(ctx: ImportContext, axes: int) -> tuple[int, ...]:
    """The attribute ``kernel_shape``, which must have one or two entries, as its input has."""
    kernel = ctx.integers("kernel_shape")
    if kernel is None or len(kernel) != axes:
        ctx.refuse("kernel_shape", accepted=f"{axes} number{'s' if axes > 1 else ''}")
    return kernel


def rounding_up(window: Window, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns to add at the bottom and right so that the last partial window counts."""
    extra = []
    for axis in (0, 1):
        before, after = window.pads[axis], window.pads[axis + 2]
        extent = window.dilations[axis] * (window.kernel[axis] - 1) + 1
        free = size[axis] + before + after - extent
        count = -(-free // window.strides[axis]) + 1
        if (count - 1) * window.strides[axis] >= size[axis] + before:
            count -= 1  # a window that would start after the input does not count
        extra.append(max((count - 1) * window.strides[axis] - free, 0))
    return extra[0], extra[1]


def pads_inside(window: Window) -> bool:
    """Whether every pad is smaller than the kernel, so that no window sees padding alone."""
    sizes = (*window.kernel, *window.kernel)
    return all(pad < size for pad, size in zip(window.pads, sizes, strict=True))


def padded(window: Window, pads: Pads) -> Window:
    """``window`` with ``pads`` added to its own."""
    top, left, bottom, right = (own + more for own, more in zip(window.pads, pads, strict=True))
    return Window(window.kernel, window.strides, window.dilations, (top, left, bottom, right))


def read_extents(ctx: ImportContext, name: str, axes: int) -> tuple[int, ...]:
    """Strides or dilations: 1 where the node has none."""
    values = ctx.integers(name) or (1,) * axes
    if len(values) != axes or min(values) < 1 or max(values) > _LARGEST:
        ctx.refuse(name, accepted=f"{axes} number{'s' if axes > 1 else ''} of 1 to {_LARGEST}")
    return values


def _two(values: tuple[int, ...], missing: int) -> tuple[int, int]:
    return (values[0], values[1]) if len(values) == 2 else (missing, values[0])


def _pads(ctx: ImportContext, size: tuple[int, int], window: Window, axes: int) -> Pads:
    automatic = ctx.text("auto_pad", "NOTSET", AUTO_PADS)
    if automatic == "VALID":
        return (0, 0, 0, 0)
    if automatic != "NOTSET":
        return _same_pads(size, window, automatic == "SAME_UPPER")
    pads = ctx.integers("pads") or (0,) * (2 * axes)
    if len(pads) != 2 * axes or min(pads) < 0 or max(pads) > _LARGEST:
        ctx.refuse("pads", accepted=f"{2 * axes} numbers of 0 to {_LARGEST}")
    return (pads[0], pads[1], pads[2], pads[3]) if axes == 2 else (0, pads[0], 0, pads[1])


def _same_pads(size: tuple[int, int], window: Window, more_behind: bool) -> Pads:
    """Pads for an output of ceil(input / stride); the odd one goes after or before."""
    before, after = [], []
    for axis in (0, 1):
        stride = window.strides[axis]
        extent = window.dilations[axis] * (window.kernel[axis] - 1) + 1
        total = max((-(-size[axis] // stride) - 1) * stride + extent - size[axis], 0)
        small, large = total // 2, total - total // 2
        before.append(small if more_behind else large)
        after.append(large if more_behind else small)
    return (before[0], before[1], after[0], after[1])
