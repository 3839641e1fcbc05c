"""TFLite operators that only move or relabel numbers, in ONNX spelling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nnshell.importers.tflite.constants import REAL_TYPES
from nnshell.importers.tflite.nodes import Step
from nnshell.importers.tflite.recurrent import holds_steps, name_unread
from nnshell.importers.tflite.slices import slice_of
from nnshell.reading.registry import Unsupported

_MOST_REPEATS = 64


def _reshape(step: Step) -> None:
    step.emit("Reshape", [step.key(0), step.made_constant(_new_shape(step))])


def _new_shape(step: Step) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Input 1, or the option of older files, or what the file says of the output."""
    if step.key(1) in step.context.constants:
        shape = step.integers(1)
    else:
        shape = step.option("NewShape", ()) or step.file_shape(0)
    if 0 in shape:
        raise Unsupported(f"shape = {list(shape)}", accepted="extents of 1 or more, one -1")
    return np.array(shape, np.int64)


def _squeeze(step: Step) -> None:
    axes = step.option("SqueezeDims", ())
    inputs = [step.key(0)]
    if axes:
        inputs.append(step.made_constant(np.array(axes, np.int64)))
    step.emit("Squeeze", inputs)


def _expand_dims(step: Step) -> None:
    axes = step.made_constant(np.array(step.integers(1), np.int64))
    step.emit("Unsqueeze", [step.key(0), axes])


def _transpose(step: Step) -> None:
    step.emit("Transpose", [step.key(0)], {"perm": step.integers(1)})


def _concat(step: Step) -> None:
    parts = step.operands(max(len(step.inputs), 1))
    step.emit_activated("Concat", parts, {"axis": int(step.option("Axis", 0))})


def _pack(step: Step) -> None:
    axis = int(step.option("Axis", 0))
    step.operands(len(step.inputs))
    rank = len(step.shape(0)) + 1
    front = step.axis(axis, rank)
    axes = step.made_constant(np.array([front], np.int64))
    parts = [
        step.emit("Unsqueeze", [key, axes], outputs=[step.fresh()], suffix=f"_reshape{index}")
        for index, key in enumerate(step.inputs)
    ]
    step.emit("Concat", parts, {"axis": front})


def _unpack(step: Step) -> None:
    axis = step.axis(int(step.option("Axis", 0)), len(step.shape(0)))
    axes = step.made_constant(np.array([axis], np.int64))
    if len(step.outputs) == 1:
        step.emit("Squeeze", [step.key(0), axes])
        return
    parts = [step.fresh() for _ in step.outputs]
    steps = holds_steps(step.context.graph, step.value(0).ref)
    step.emit("Split", [step.key(0)], {"axis": axis}, outputs=parts)
    unread = [output for output in step.outputs if not step.context.uses.get(output, 0)]
    if steps:
        named = zip(parts, step.outputs, strict=True)
        refs = [step.context.values[part].ref for part, output in named if output in unread]
        name_unread(step.context.graph, refs)
    for index, (part, output) in enumerate(zip(parts, step.outputs, strict=True)):
        if steps and output in unread:
            continue
        step.emit("Squeeze", [part, axes], outputs=[output], suffix=f"_reshape{index}")


def _split(step: Step) -> None:
    """Input 0 is the axis, input 1 what is split into equal parts."""
    axis = step.axis(step.integers(0)[0], len(step.shape(1)))
    if step.shape(1)[axis] % len(step.outputs):
        raise Unsupported(f"{len(step.outputs)} parts of {step.shape(1)[axis]}")
    step.emit("Split", [step.key(1)], {"axis": axis})


def _split_v(step: Step) -> None:
    rank = len(step.shape(0))
    axis = step.axis(step.integers(2)[0], rank)
    sizes = list(step.integers(1))
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = step.shape(0)[axis] - sum(sizes) - 1
    if len(sizes) != len(step.outputs) or min(sizes) < 1 or sum(sizes) != step.shape(0)[axis]:
        raise Unsupported(f"sizes {sizes} of {step.shape(0)[axis]}")
    step.emit("Split", [step.key(0), step.made_constant(np.array(sizes, np.int64))], {"axis": axis})


def _slice(step: Step) -> None:
    begin, size = step.integers(1), step.integers(2)
    shape = step.shape(0)
    if not len(begin) == len(size) == len(shape):
        raise Unsupported(f"begin {list(begin)} and size {list(size)} of {list(shape)}")
    ends = [
        extent if count == -1 else start + count
        for start, count, extent in zip(begin, size, shape, strict=True)
    ]
    limits = [step.made_constant(np.array(numbers, np.int64)) for numbers in (begin, ends)]
    step.emit("Slice", [step.key(0), *limits])


def _strided_slice(step: Step) -> None:
    begin, end, strides = (step.integers(index) for index in (1, 2, 3))
    cut = slice_of(step.operator.options, begin, end, strides, step.shape(0))
    columns = (cut.starts, cut.ends, range(len(cut.starts)), cut.strides)
    limits = [step.made_constant(np.array(numbers, np.int64)) for numbers in columns]
    sliced = step.fresh() if cut.removed or cut.added else step.outputs[0]
    step.emit("Slice", [step.key(0), *limits], outputs=[sliced])
    if cut.removed:
        axes = step.made_constant(np.array(cut.removed, np.int64))
        squeezed = step.fresh() if cut.added else step.outputs[0]
        sliced = step.emit("Squeeze", [sliced, axes], outputs=[squeezed], suffix="_0")
    if cut.added:
        axes = step.made_constant(np.array(cut.added, np.int64))
        step.emit("Unsqueeze", [sliced, axes], suffix="_1")


def _reverse(step: Step) -> None:
    shape = step.shape(0)
    axes = sorted({step.axis(axis, len(shape)) for axis in step.integers(1)})
    columns = [[shape[a] - 1 for a in axes], [-shape[a] - 1 for a in axes], axes, [-1] * len(axes)]
    limits = [step.made_constant(np.array(numbers, np.int64)) for numbers in columns]
    step.emit("Slice", [step.key(0), *limits])


def _pad(step: Step) -> None:
    pads, rank = step.integers(1), len(step.shape(0))
    if len(pads) != 2 * rank or min(pads, default=0) < 0:
        raise Unsupported(f"pads {list(pads)}", accepted=f"{2 * rank} numbers of 0 or more")
    if not any(pads):
        step.pass_on(step.key(0))
        return
    ordered = step.made_constant(np.array([*pads[::2], *pads[1::2]], np.int64))
    step.emit("Pad", [step.key(0), ordered, step.key(2)])


def _tile(step: Step) -> None:
    """Whole copies, one after the other along an axis."""
    repeats = step.integers(1)
    if len(repeats) != len(step.shape(0)) or min(repeats) < 1 or max(repeats) > _MOST_REPEATS:
        raise Unsupported(
            f"repeats {list(repeats)}", accepted=f"1 to {_MOST_REPEATS} for each axis"
        )
    key = step.key(0)
    repeated = [axis for axis, count in enumerate(repeats) if count > 1]
    if not repeated:
        step.pass_on(key)
    for axis in repeated:
        last = axis == repeated[-1]
        key = step.emit(
            "Concat",
            [key] * repeats[axis],
            {"axis": axis},
            outputs=[step.outputs[0] if last else step.fresh()],
            suffix="" if last else f"_{axis}",
        )


def _gather(step: Step) -> None:
    if step.option("BatchDims", 0):
        step.refuse("BatchDims", accepted="0")
    indices = step.made_constant(np.asarray(step.constant(1)))
    step.emit("Gather", [step.key(0), indices], {"axis": int(step.option("Axis", 0))})


def _same_numbers(step: Step) -> None:
    """Between integers with a scale and real numbers: the network computes in real numbers."""
    step.pass_on(step.key(0))


def _cast(step: Step) -> None:
    result = step.tensors[step.operator.outputs[0]]
    source = step.context.values.get(step.key(0))
    if result.dtype not in REAL_TYPES and (source is None or source.dtype == "float32"):
        raise Unsupported(
            f"it casts to {result.dtype}",
            accepted=", ".join(REAL_TYPES),
            hint="do it in the application",
        )
    step.emit("Cast", [step.key(0)], {"to": 1})


MOVES: dict[str, Callable[[Step], None]] = {
    "CAST": _cast,
    "CONCATENATION": _concat,
    "DEQUANTIZE": _same_numbers,
    "EXPAND_DIMS": _expand_dims,
    "GATHER": _gather,
    "PACK": _pack,
    "PAD": _pad,
    "PADV2": _pad,
    "QUANTIZE": _same_numbers,
    "RESHAPE": _reshape,
    "REVERSE_V2": _reverse,
    "SLICE": _slice,
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "SQUEEZE": _squeeze,
    "STRIDED_SLICE": _strided_slice,
    "TILE": _tile,
    "TRANSPOSE": _transpose,
    "UNPACK": _unpack,
}
