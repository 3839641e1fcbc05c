"""Generator calls of convolutions and linear layers, with all that their fusions hold."""

from __future__ import annotations

import logging

from nnshell.ir.work import Window, Work
from nnshell.targets.autotiler.context import Context
from nnshell.targets.autotiler.infos import Record, put_activation
from nnshell.targets.autotiler.operators import activation_operator, channels_first
from nnshell.targets.autotiler.plan import Binding, Call, Kernel
from nnshell.targets.autotiler.pools import pool_arguments, set_pad_type, window_arguments
from nnshell.targets.autotiler.unit import Unit

BIAS_BYTES, SCALE_BYTES = 4, 1

_LOG = logging.getLogger(__name__)


def convolution(context: Context, unit: Unit) -> Kernel:
    """Convolution, depthwise or grouped, with the pool and activation of its fusion."""
    work = unit.work
    channels, height, width = work.inputs[0]
    groups = groups_of(work)
    if work.kind == "depthwise" and unit.activation is not None and unit.activation.kind == "leaky":
        _LOG.warning(
            "%s: some versions of the AutoTiler have no depthwise kernel with LeakyRelu",
            unit.node.name,
        )
    arguments = (
        *groups,
        BIAS_BYTES,
        SCALE_BYTES,
        channels,
        work.filter_output[0],
        width,
        height,
        "KOP_CONV_DW" if is_depthwise(work) else "KOP_CONV",
        *window_arguments(work.window),
        *pool_arguments(unit.pool),
        activation_operator(unit, context.settings),
    )
    function = f"CNN_{'Grouped' if groups else ''}ConvolutionPoolAct_SQ8"
    call = Call(function, arguments, controls=tuple(_controls(context, unit, work).items()))
    return context.kernel(unit, call, _bindings(context, unit))


def linear(context: Context, unit: Unit) -> Kernel:
    """Fully connected layer with the activation of its fusion."""
    outputs, inputs = unit.graph.input_types(unit.node)[1].shape
    kind = activation_operator(unit, context.settings)
    arguments = (BIAS_BYTES, SCALE_BYTES, inputs, outputs, "KOP_LINEAR", kind)
    return context.kernel(unit, Call("CNN_LinearAct_SQ8", arguments), _bindings(context, unit))


def batch_norm(context: Context, unit: Unit) -> Kernel:
    """A normalization that no filter took in: a depthwise convolution of one weight per channel."""
    channels, height, width = channels_first(unit.node.type.shape)
    arguments = (
        BIAS_BYTES,
        SCALE_BYTES,
        channels,
        channels,
        width,
        height,
        "KOP_CONV_DW",
        *window_arguments(Window()),
        *pool_arguments(None),
        activation_operator(unit, context.settings),
    )
    kernel = unit.integers.kernel
    constants = (
        context.made(unit, "Weights", kernel.weights, "int8"),
        context.made(unit, "Biases", kernel.bias, "int32"),
    )
    call = Call("CNN_ConvolutionPoolAct_SQ8", arguments)
    bindings = (*context.reads(unit, 0), *constants, *context.writes(unit))
    return context.kernel(unit, call, (*bindings, *_scaling(context, unit)))


def groups_of(work: Work) -> tuple[int, ...]:
    """Channels and filters of a group, first arguments of a grouped convolution."""
    channels, filters = work.inputs[0][0], work.filter_output[0]
    if work.kind != "grouped":
        return ()
    return channels // work.groups, filters // work.groups


def is_depthwise(work: Work) -> bool:
    """Whether each channel has one filter; NNTool counts one channel to one filter among them."""
    channels, filters = work.inputs[0][0], work.filter_output[0]
    one_to_one = work.kind == "conv" and channels == filters == 1
    return work.kind == "depthwise" or one_to_one


def _controls(context: Context, unit: Unit, work: Work) -> dict[str, int]:
    """Node options first, then what follows from the shapes."""
    _, height, width = work.inputs[0]
    _, rows, columns = work.filter_output
    controls = context.controls(unit.node)
    if work.window.kernel == (1, 1) and not controls.get("HWC"):
        controls.setdefault("ENABLEIM2COL", 1)
    windows = [(work.window, height, width)]
    if work.pool is not None:
        windows.append((work.pool, rows, columns))
    set_pad_type(controls, unit, windows)
    return controls


def _bindings(context: Context, unit: Unit) -> tuple[Binding, ...]:
    """In, weights, bias, out, multipliers, shifts, infos."""
    return (
        *context.reads(unit, 0, 1, 2),
        *context.writes(unit),
        *_scaling(context, unit),
    )


def _scaling(context: Context, unit: Unit) -> tuple[Binding, ...]:
    """Multipliers, shifts and infos of a filter."""
    scaling = unit.integers.kernel.scaling
    record = Record.empty()
    if unit.activation is not None:
        put_activation(record, unit.activation)
    return (
        context.made(unit, "Mul_scale", scaling.multiplier, "uint8"),
        context.made(unit, "Mul_shift", scaling.shift, "int8"),
        context.made(unit, "Infos", record.array(), "int8"),
    )
