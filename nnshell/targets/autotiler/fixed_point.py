"""Generator calls of the POW2 kernels: sizes in bytes and fraction bits instead of scales.

They hold no multipliers, shifts or infos. Sums that are followed by an activation, and pools over
everything, have no kernel that runs it: the activation gets one of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf, prod

from nnshell.ir.qparams import QParams
from nnshell.numeric.qmn import fraction_of
from nnshell.ops.matmul import MatMul
from nnshell.ops.resize import Resizer
from nnshell.support.errors import GraphError
from nnshell.targets import arithmetic
from nnshell.targets.autotiler import gather, moves
from nnshell.targets.autotiler.context import Context
from nnshell.targets.autotiler.expressions import expression
from nnshell.targets.autotiler.filters import groups_of, is_depthwise
from nnshell.targets.autotiler.operators import (
    NONE,
    balanced_factors,
    has_operator,
    rectifies,
    three_axes,
)
from nnshell.targets.autotiler.operators import activation_name as plain_name
from nnshell.targets.autotiler.plan import Binding, Call, Kernel, Variable
from nnshell.targets.autotiler.pools import (
    NO_POOL,
    pool_arguments,
    set_pad_type,
    window_arguments,
)
from nnshell.targets.autotiler.unit import Unit, quantization_of

_LOG = logging.getLogger(__name__)

Kernels = tuple[Kernel, ...]
Emitter = Callable[[Context, Unit], Kernel | Kernels]

_NOT_IN_LEVEL_3 = (1, 1, 1, 1)
_UNIT_SLOPE = 1 / 6  # of the kernels' hard sigmoid
# Enumerators that the generators take and for which the public kernels have no function.
_WITHOUT_KERNEL = ("leaky", "sigmoid", "tanh")


def convolution(context: Context, unit: Unit) -> Kernel:
    """Convolution, depthwise or grouped, with the pool and activation of its fusion."""
    work = unit.work
    channels, height, width = work.inputs[0]
    _, rows, columns = work.filter_output
    groups = groups_of(work)
    controls = context.controls(unit.node)
    windows = [(work.window, height, width)]
    if work.pool is not None:
        windows.append((work.pool, rows, columns))
    set_pad_type(controls, unit, windows)
    operator = activation_operator(unit, controls)
    arguments: tuple[int | str, ...] = (
        *groups,
        *_formats(*unit.integers.inputs, unit.output_record()),
        channels,
        work.filter_output[0],
        width,
        height,
        "KOP_CONV_DWDP" if is_depthwise(work) else "KOP_CONV_DP",
        *window_arguments(work.window),
        *pool_arguments(unit.pool),
        operator,
    )
    function = f"CNN_{'Grouped' if groups else ''}ConvolutionPoolReLU"
    call = Call(function, arguments, controls=tuple(controls.items()))
    return _filter(context, unit, call)


def linear(context: Context, unit: Unit) -> Kernel:
    """Fully connected layer with the activation of its fusion."""
    outputs, inputs = unit.graph.input_types(unit.node)[1].shape
    controls = context.controls(unit.node)
    operator = activation_operator(unit, controls)
    formats = _formats(*unit.integers.inputs, unit.output_record())
    arguments: tuple[int | str, ...] = (*formats, inputs, outputs, "KOP_LINEAR", operator)
    call = Call("CNN_LinearReLU", arguments, controls=tuple(controls.items()))
    return _filter(context, unit, call)


def _filter(context: Context, unit: Unit, call: Call) -> Kernel:
    """In, weights, bias, out."""
    inputs, output = unit.integers.inputs, unit.output_record()
    words = zip(("in", "weights", "out", "biases"), (*inputs[:2], output, inputs[2]), strict=True)
    remark = " ".join(f"{word}q {fraction_of(record)}" for word, record in words)
    bindings = (*context.reads(unit, 0, 1, 2), *context.writes(unit))
    return context.kernel(unit, call, bindings, f"node {unit.node.name} {remark}")


def pool(context: Context, unit: Unit) -> Kernel:
    """Maximum or average over a window, with the activation of its fusion."""
    window = unit.main.op.sliding_window()
    assert window is not None
    channels, height, width = unit.work.inputs[0]
    controls = context.controls(unit.node)
    set_pad_type(controls, unit, [(window, height, width)])
    operator = activation_operator(unit, controls)
    shape = (channels, channels, width, height)
    return _pool(context, unit, (*shape, *pool_arguments(unit.main), operator), controls)


def activation(context: Context, unit: Unit) -> Kernel:
    """An activation that stands alone: the pool generator without a pool."""
    channels, height, width = three_axes(unit.node.type.shape)
    controls = context.controls(unit.node)
    operator = activation_operator(unit, controls)
    shape = (channels, channels, width, height)
    return _pool(context, unit, (*shape, *NO_POOL, operator), controls)


def _pool(
    context: Context, unit: Unit, arguments: tuple[int | str, ...], controls: Mapping[str, int]
) -> Kernel:
    formats = _formats(unit.input_record(), unit.output_record())
    call = Call("CNN_PoolReLU", (*formats, *arguments), controls=tuple(controls.items()))
    return context.kernel(unit, call, (*context.reads(unit, 0), *context.writes(unit)))


def global_pool(context: Context, unit: Unit) -> Kernel | Kernels:
    """Average or maximum over all of height and width."""
    if unit.activation is not None:
        return _in_two(context, unit, global_pool)
    channels, height, width = unit.work.inputs[0]
    word = "MAX" if unit.main.op.role == "global_max" else "AVG"
    columns, rows = balanced_factors(height * width)
    formats = _formats(unit.input_record(), unit.output_record())
    arguments: tuple[int | str, ...] = (
        *formats,
        channels,
        channels,
        columns,
        rows,
        f"KOP_GLOBAL_{word}POOL",
    )
    controls = tuple(context.controls(unit.node).items())
    call = Call("CNN_GlobalPool", arguments, controls=controls)
    return context.kernel(unit, call, (*context.reads(unit, 0), *context.writes(unit)))


def total(context: Context, unit: Unit) -> Kernel | Kernels:
    """Sum of two tensors of one shape; differences and repeated operands are written for it."""
    if unit.padding is not None:
        raise GraphError(
            "a sum with a padded operand has no POW2 kernel",
            where=f"node {unit.node.name}",
            hint="open the model again and fuse it with `fusions --pow2`",
        )
    if unit.activation is not None:
        return _in_two(context, unit, total)
    types = unit.graph.input_types(unit.node)[:2]
    if unit.main.op.role != "sum" or any(t.shape != unit.node.type.shape for t in types):
        first, second = unit.integers.inputs
        sign = 1 if unit.main.op.role == "sum" else -1
        body = arithmetic.fixed_total(first, second, sign, unit.integers.output)
        return expression(context, unit, body, (0, 1))
    channels, *rest = three_axes(unit.node.type.shape)
    records = (*unit.integers.inputs, unit.integers.output)
    equal = len({fraction_of(record) for record in records}) == 1
    suffix = "" if equal else "DynAdjust"
    operator = "KOP_MATADD" if equal else "KOP_MATADD_DYNADJUST"
    call = Call(f"CNN_MatAdd{suffix}", (*_formats(*records), channels, channels, *rest, operator))
    return context.kernel(unit, call, (*context.reads(unit, 0, 1), *context.writes(unit)))


def product(context: Context, unit: Unit) -> Kernel:
    """Element by element, by a kernel that is written for it."""
    first, second = unit.integers.inputs
    body = arithmetic.fixed_product(first, second, unit.integers.output)
    return expression(context, unit, body, (0, 1))


def _in_two(context: Context, unit: Unit, emit: Callable[[Context, Unit], object]) -> Kernels:
    """The main node into a tensor of its own, then the activation."""
    assert unit.activation is not None
    record = quantization_of(unit.activation).input
    name = context.wiring.namer.claim(f"S{unit.step}_Inner", f"{unit.node.name}:inner")
    context.locals.append(Variable(name, record.dtype, "local", unit.node.name))
    main = _alone(context, unit, emit, name, record)
    channels, height, width = three_axes(unit.node.type.shape)
    controls = context.controls(unit.node)
    operator = activation_operator(unit, controls)
    arguments: tuple[int | str, ...] = (channels, channels, width, height, *NO_POOL, operator)
    formats = _formats(record, unit.output_record())
    call = Call("CNN_PoolReLU", (*formats, *arguments), controls=tuple(controls.items()))
    return main, context.kernel(unit, call, (Binding(name), *context.writes(unit)))


def _alone(
    context: Context,
    unit: Unit,
    emit: Callable[[Context, Unit], object],
    output: str,
    record: QParams,
) -> Kernel:
    """The kernel of a fusion's main node, under another name and into another tensor."""
    node = unit.node.copy()
    node.quantization = replace(quantization_of(unit.node), outputs=(record,))
    node.options = {key: text for key, text in node.options.items() if key != "NODE_CNAME"}
    kernel = emit(context, replace(unit, node=node, activation=None))
    assert isinstance(kernel, Kernel)
    bindings = tuple(Binding(output, True) if b.out else b for b in kernel.bindings)
    return replace(kernel, bindings=bindings)


def matmul(context: Context, unit: Unit) -> Kernel:
    """Product of two matrices; the second one is bound first. Its lines were not compared."""
    assert isinstance(unit.main.op, MatMul)
    first, second = (t.shape for t in unit.graph.input_types(unit.node)[:2])
    if prod(first[:-2]) != 1 or prod(second[:-2]) != 1:
        raise GraphError(
            "a stack of matrix products has no POW2 kernel",
            where=f"node {unit.node.name}",
            hint="qtune --step STEP scheme=SQ8 computes it in the other scheme",
        )
    operator = "KOP_MATMUL_NOBIAS" + ("_TRANSPOSED" if unit.main.op.transpose_b else "")
    one, two = unit.integers.inputs
    output = unit.output_record()
    sizes = (_bytes(one), _bytes(two), 0, _bytes(output))
    fractions = (fraction_of(one), fraction_of(two), 0, fraction_of(output))
    extents = (first[-1], first[-2], second[-1], second[-2], 0, 0, 1, 1)
    controls = context.controls(unit.node)
    kind = activation_operator(unit, controls)
    upper = 6 << fraction_of(output) if kind == "KOP_RELUN" else 0
    arguments: tuple[int | str, ...] = (
        *sizes,
        *fractions,
        *_NOT_IN_LEVEL_3,
        *extents,
        0,
        upper,
        operator,
        kind,
    )
    call = Call("CNN_MatMul", arguments, controls=tuple(controls.items()))
    return context.kernel(unit, call, (*context.reads(unit, 1, 0), *context.writes(unit)))


def softmax(context: Context, unit: Unit) -> Kernel:
    """Softmax of one vector, to Q15."""
    size = unit.node.type.size
    axis = unit.main.op.works_along
    assert axis is not None
    if unit.node.type.shape[axis] != size:
        raise GraphError(
            "softmax of several rows has no POW2 kernel",
            where=f"node {unit.node.name}",
            hint="qtune --step STEP scheme=SQ8 computes it in the other scheme",
        )
    arguments: tuple[int | str, ...] = (
        *_formats(unit.input_record(), unit.output_record()),
        size,
        "KOP_SOFTMAX",
    )
    call = Call("CNN_SoftMax", arguments)
    return context.kernel(unit, call, (*context.reads(unit, 0), *context.writes(unit)))


def resize(context: Context, unit: Unit) -> Kernel:
    """To the nearest element or between four, at the kernels' own positions."""
    op = unit.node.op
    assert isinstance(op, Resizer)
    channels, height, width = unit.work.inputs[0]
    linear = op.mode == "linear"
    operator = "KOP_BILINEAR_RESIZE" if linear else "KOP_NEAREST_NEIGHBOR_RESIZE"
    function = "GenerateResizeMultiChannel" + ("Q16" if _bytes(unit.output_record()) == 2 else "")
    arguments: tuple[int | str, ...] = (
        width,
        height,
        op.size[1],
        op.size[0],
        channels,
        "SIGNED_INOUT",
        operator,
    )
    call = Call(function, arguments, takes_control=False)
    return context.kernel(unit, call, (*context.reads(unit, 0), *context.writes(unit)))


def activation_operator(unit: Unit, controls: dict[str, int]) -> str:
    """The activation's enumerator; an upper limit other than 6 goes to ``controls``."""
    node = unit.activation
    if node is None:
        return NONE
    if node.kind in _WITHOUT_KERNEL:
        _LOG.warning(
            "%s: the public POW2 kernels have no %s; the generator takes its name all the same",
            unit.node.name,
            node.kind,
        )
    slope = getattr(node.op, "alpha", _UNIT_SLOPE)
    if not has_operator(node) or (node.kind == "hsigmoid" and abs(slope - _UNIT_SLOPE) > 1e-6):
        raise GraphError(
            f"no POW2 kernel applies this '{node.kind}'",
            where=f"node {node.name}",
            hint="qtune --step STEP scheme=SQ8 computes it in the other scheme",
        )
    limits = node.op.clips_to
    if limits is None or not rectifies(node):
        return plain_name(node)
    if limits.maximum == inf:
        return "KOP_RELU"
    if limits.maximum != int(limits.maximum):
        raise GraphError(
            f"the POW2 kernels cut off at whole numbers, not at {limits.maximum:g}",
            where=f"node {node.name}",
            hint="qtune --step STEP scheme=SQ8 computes it in the other scheme",
        )
    if limits.maximum != 6:
        controls.setdefault("RELUN", int(limits.maximum))
    return "KOP_RELUN"


def _formats(*records: QParams) -> tuple[int, ...]:
    """Bytes of each tensor, fraction bits of each, and that none lies in L3."""
    sizes = (_bytes(record) for record in records)
    fractions = (fraction_of(record) for record in records)
    return (*sizes, *fractions, *(1 for _ in records))


def _bytes(record: QParams) -> int:
    return abs(moves.item_bytes(record))


EMITTERS: dict[str, Emitter] = {
    "conv2d": convolution,
    "linear": linear,
    "max_pool": pool,
    "average_pool": pool,
    "global_average_pool": global_pool,
    "global_max_pool": global_pool,
    "matmul": matmul,
    "softmax": softmax,
    "add": total,
    "sub": total,
    "mul": product,
    "pad": gather.pad,
    "copy": moves.copy,
    "transpose": moves.transpose,
    "concat": moves.concat,
    "split": moves.split,
    "strided_slice": moves.strided_slice,
    "bilinear_resizer": resize,
    "nearest_neighbor_resizer": resize,
    "image_format": moves.image_format,
    "quantize": moves.convert,
}
