"""Generator calls of nodes that move or convert bytes: copy, transpose, concat, formatter ..."""

from __future__ import annotations

import logging
from math import prod

import numpy as np

from nnshell.ir.qparams import QParams
from nnshell.ir.types import TensorType
from nnshell.numeric.fixed_point import derive_multiplier, round_half_up
from nnshell.ops.image_format import ImageFormat
from nnshell.ops.quantize import CONVERT_BITS
from nnshell.ops.resize import Resizer
from nnshell.support.errors import GraphError
from nnshell.targets.autotiler import gather
from nnshell.targets.autotiler.context import Context
from nnshell.targets.autotiler.infos import CONVERT_BYTES, Record
from nnshell.targets.autotiler.plan import Binding, Call, Kernel
from nnshell.targets.autotiler.unit import Unit

_EXACT = 1e-5  # of an input position
MAX_PARTS = 4  # of the generators that join and split along the last axis

_LOG = logging.getLogger(__name__)

_FORMATTERS = {
    ("rgb888", "shift_int8"): ("KOP_NORM_RGB888", 0),
    ("rgb888", "offset_int8"): ("KOP_NORM_RGB888", 1),
    ("rgb565_rgb888", "shift_int8"): ("KOP_NORM_RGB565", 0),
    ("rgb565_rgb888", "offset_int8"): ("KOP_NORM_RGB565", 1),
    ("rgb16", "out_int16"): ("KOP_NORM_RGB16", 0),
    ("bw8", "shift_int8"): ("KOP_NORM_BW", 0),
    ("bw8", "offset_int8"): ("KOP_NORM_BW", 1),
    ("bw16", "out_int16"): ("KOP_NORM_BW16", 0),
}


def item_bytes(record: QParams) -> int:
    """Bytes of an element, negative when it is unsigned: the generators' convention."""
    size = np.dtype(record.dtype).itemsize
    return -size if record.dtype.startswith("u") else size


def _moved(context: Context, unit: Unit, call: Call) -> Kernel:
    inputs = context.reads(unit, *range(len(unit.node.inputs)))
    return context.kernel(unit, call, (*inputs, *context.writes(unit)))


def copy(context: Context, unit: Unit) -> Kernel:
    size = unit.node.type.size
    return _moved(context, unit, Call("CNN_Copy", (size, abs(item_bytes(unit.output_record())))))


def strided_slice(context: Context, unit: Unit) -> Kernel:
    """What lies at the beginning of the memory is copied; all else has a kernel of its own."""
    slices = unit.node.op.taken()
    assert slices is not None
    value = unit.graph.input_types(unit.node)[0].shape
    cut = [axis for axis, extent in enumerate(value) if unit.node.type.shape[axis] != extent]
    leading = cut and prod(value[: cut[0]]) == 1 and len(cut) == 1
    if not leading or slices[cut[0]].start != 0 or any(entry.step != 1 for entry in slices):
        return gather.strided_slice(context, unit)
    return copy(context, unit)


def transpose(context: Context, unit: Unit) -> Kernel:
    """Axes of one element are dropped and neighbours that stay together are merged."""
    order = unit.node.op.permutation
    assert order is not None
    shape, perm = merged_axes(unit.graph.input_types(unit.node)[0].shape, order)
    size = item_bytes(unit.output_record())
    if len(shape) == 2:
        height, width = shape
        call = Call("CNN_MatTranspose", (size, 1, width, height, "KOP_MATTRANSP"))
    elif len(shape) == 3:
        channels, height, width = shape
        letters = "".join("CHW"[axis] for axis in perm)
        operator = f"KOP_MATPERM_CHW2{letters}"
        call = Call("CNN_3DTensorPermute", (size, channels, width, height, operator))
    else:
        return gather.transpose(context, unit)
    return _moved(context, unit, call)


def merged_axes(
    shape: tuple[int, ...], perm: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The same move of elements with as few axes as possible."""
    groups: list[list[int]] = []
    for axis in (axis for axis in perm if shape[axis] != 1):
        before = groups[-1][-1] if groups else None
        between = () if before is None else shape[before + 1 : axis]
        if before is not None and before < axis and all(extent == 1 for extent in between):
            groups[-1].append(axis)
        else:
            groups.append([axis])
    ordered = sorted(groups)
    sizes = tuple(prod(shape[axis] for axis in group) for group in ordered)
    return sizes, tuple(ordered.index(group) for group in groups)


def concat(context: Context, unit: Unit) -> Kernel:
    """Parts that lie interleaved: rows of each input, one after the other."""
    axis = unit.node.op.joined_axis
    assert axis is not None
    widths = [prod(t.shape[axis:]) for t in unit.graph.input_types(unit.node)]
    height = prod(unit.node.type.shape[:axis])
    call = _joining(unit, "CNN_ConcatLastAxis_Generator", height, widths, "KOP_CONCAT")
    return _moved(context, unit, call)


def split(context: Context, unit: Unit) -> Kernel:
    axis = unit.node.op.cut_axis
    assert axis is not None
    widths = [prod(t.shape[axis:]) for t in unit.node.outputs]
    height = prod(unit.node.type.shape[:axis])
    call = _joining(unit, "CNN_SplitLastAxis_Generator", height, widths, "KOP_SPLIT")
    return _moved(context, unit, call)


def _joining(unit: Unit, function: str, height: int, widths: list[int], operator: str) -> Call:
    if len(widths) > MAX_PARTS:
        raise GraphError(
            f"{unit.node.kind} of {len(widths)} tensors: its kernel takes {MAX_PARTS} at most",
            where=f"node {unit.node.name}",
            hint="join or split along the channels, which needs no kernel, or in two steps",
        )
    filled = (*widths, *(0,) * (MAX_PARTS - len(widths)))
    return Call(function, (item_bytes(unit.output_record()), height, *filled, operator))


def read_elsewhere(op: Resizer, given: TensorType) -> tuple[int, int]:
    """Output positions, of so many, where the AutoTiler's kernel reads other input positions."""
    own = op.read_positions(given)
    same = 1
    for positions, size, extent in zip(own, op.size, given.shape[-2:], strict=True):
        last = extent - 1
        steps = size if op.mode == "linear" else max(size - 1, 1)
        kernel = np.arange(size) * last / steps
        read = kernel if op.mode == "linear" else np.floor(kernel)
        same *= int((np.abs(np.clip(positions, 0, last) - read) < _EXACT).sum())
    return op.size[0] * op.size[1] - same, op.size[0] * op.size[1]


def resize(context: Context, unit: Unit) -> Kernel:
    op = unit.node.op
    assert isinstance(op, Resizer)
    channels, height, width = unit.work.inputs[0]
    record = unit.output_record()
    if record.dtype not in ("int8", "uint8"):
        raise GraphError(f"no resize of {record.dtype}", where=f"node {unit.node.name}")
    sign = "UNSIGNED_INOUT" if record.dtype == "uint8" else "SIGNED_INOUT"
    linear = op.mode == "linear"
    operator = "KOP_BILINEAR_RESIZE" if linear else "KOP_NEAREST_NEIGHBOR_RESIZE"
    different, positions = read_elsewhere(op, unit.graph.input_types(unit.node)[0])
    if different:
        _LOG.warning(
            "%s: the AutoTiler's resize reads at p * (n_in - 1) / %s, the model at '%s' positions;"
            " results on the chip differ from the simulation at %d of %d positions",
            unit.node.name,
            "n_out" if linear else "(n_out - 1)",
            op.coordinates,
            different,
            positions,
        )
    sizes = (width, height, op.size[1], op.size[0], channels)
    call = Call("GenerateResizeMultiChannel", (*sizes, sign, operator), takes_control=False)
    return _moved(context, unit, call)


def image_format(context: Context, unit: Unit) -> Kernel:
    op = unit.node.op
    assert isinstance(op, ImageFormat)
    if (op.format, op.norm) not in _FORMATTERS:
        known = ", ".join(" ".join(pair) for pair in _FORMATTERS)
        raise GraphError(
            f"no kernel formats {op.format} with {op.norm}",
            where=f"node {unit.node.name}",
            hint=f"give `imageformat` one of: {known}",
        )
    operator, offset = _FORMATTERS[op.format, op.norm]
    height, width = unit.graph.input_types(unit.node)[0].shape[:2]
    arguments = (width, height, offset, operator)
    return _moved(context, unit, Call("CNN_Norm", arguments, takes_control=False))


def convert(context: Context, unit: Unit) -> Kernel:
    """From one scale, zero point or width to another."""
    source, result = unit.input_record(), unit.output_record()
    operator = "KOP_CONVERT_FP_FP" + _conversion(source, result)
    arguments = (item_bytes(source), item_bytes(result), unit.node.type.size, operator)
    infos: tuple[Binding, ...] = ()
    if operator != "KOP_CONVERT_FP_FP":
        infos = (context.made(unit, "Infos", convert_record(source, result).array(), "int8"),)
    bindings = (*context.reads(unit, 0), *context.writes(unit), *infos)
    return context.kernel(unit, Call("CNN_Convert", arguments, takes_control=False), bindings)


def _conversion(source_record: QParams, record: QParams) -> str:
    if source_record.first_scale != record.first_scale:
        return "_SCALE"
    return "_ZEROPOINT" if source_record.zero_point != record.zero_point else ""


def convert_record(given: QParams, made: QParams) -> Record:
    """Bytes 0-3 offset (int32), 4-5 multiplier, 6 shift; or the difference of zero points."""
    record = Record.empty(CONVERT_BYTES)
    if given.first_scale == made.first_scale:
        difference = given.zero_point - made.zero_point
        if given.dtype.startswith("u"):
            difference = -difference
        width = min(abs(item_bytes(given)), 2)
        record.content[:width] = (difference % (1 << 8 * width)).to_bytes(width, "little")
        return record
    ratio = given.first_scale / made.first_scale
    if abs(item_bytes(made)) > abs(item_bytes(given)):
        offset = _rounded(-given.zero_point * ratio) + made.zero_point
    else:
        offset = _rounded(made.zero_point / ratio) - given.zero_point
    scaling = derive_multiplier(ratio, CONVERT_BITS)
    record.content[0:4] = offset.to_bytes(4, "little", signed=True)
    record.content[4:6] = int(scaling.multiplier[0]).to_bytes(2, "little")
    record.content[6] = int(scaling.shift[0]) & 0xFF
    return record


def _rounded(value: float) -> int:
    return int(round_half_up(value))
