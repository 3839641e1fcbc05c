"""Generator calls of pools and of activations that stand alone; how windows are written."""

from __future__ import annotations

from collections.abc import Iterable

from nnshell.ir.graph import Node
from nnshell.ir.work import Window
from nnshell.numeric.fixed_point import Multiplier, derive_multiplier
from nnshell.support.errors import GraphError
from nnshell.targets.autotiler.context import Context
from nnshell.targets.autotiler.infos import ACT_SCALE, IN_SCALE, Record, put_activation
from nnshell.targets.autotiler.operators import (
    NONE,
    activation_operator,
    balanced_factors,
    pool_operator,
    three_axes,
)
from nnshell.targets.autotiler.padding import DEFAULT, choose, pad_types
from nnshell.targets.autotiler.plan import Call, Kernel
from nnshell.targets.autotiler.unit import Unit

NO_POOL: tuple[int | str, ...] = (NONE, 0, 0, 0, 0, 0, 0, 0)


def pool(context: Context, unit: Unit) -> Kernel:
    """Maximum or average over a window, with the activation of its fusion."""
    window = unit.main.op.sliding_window()
    assert window is not None
    channels, height, width = unit.work.inputs[0]
    controls = context.controls(unit.node)
    set_pad_type(controls, unit, [(window, height, width)])
    kind = activation_operator(unit, context.settings)
    arguments = (channels, width, height, *pool_arguments(unit.main), kind)
    call = Call("CNN_PoolAct_SQ8", arguments, controls=tuple(controls.items()))
    record = Record.empty()
    if unit.activation is None:
        record.put_scaling(ACT_SCALE, _ratio(unit))
    return _kernel(context, unit, call, record)


def activation(context: Context, unit: Unit) -> Kernel:
    """An activation that stands alone: the pool generator without a pool."""
    channels, height, width = three_axes(unit.node.type.shape)
    kind = activation_operator(unit, context.settings)
    arguments = (channels, width, height, *NO_POOL, kind)
    controls = tuple(context.controls(unit.node).items())
    call = Call("CNN_PoolAct_SQ8", arguments, controls=controls)
    return _kernel(context, unit, call, Record.empty())


def global_pool(context: Context, unit: Unit) -> Kernel:
    """Average or maximum over all of height and width; only their product matters."""
    channels, height, width = unit.work.inputs[0]
    maximum = unit.main.op.role == "global_max"
    operator = "KOP_GLOBAL_MAXPOOL" if maximum else "KOP_GLOBAL_AVGPOOL"
    kind = activation_operator(unit, context.settings)
    arguments = (channels, *balanced_factors(height * width), operator, kind)
    controls = tuple(context.controls(unit.node).items())
    record = Record.empty()
    if not maximum:
        record.put_scaling(IN_SCALE, unit.integers.kernel.scaling)
    elif unit.activation is None:
        # Without the average's 2**7: a maximum has no fraction to shift out.
        record.put_scaling(ACT_SCALE, _ratio(unit))
    return _kernel(
        context, unit, Call("CNN_GlobalPoolAct_SQ8", arguments, controls=controls), record
    )


def _ratio(unit: Unit) -> Multiplier:
    """Input scale over output scale of the main node."""
    return derive_multiplier(unit.integers.input.first_scale / unit.integers.output.first_scale)


def _kernel(context: Context, unit: Unit, call: Call, record: Record) -> Kernel:
    """In, out, infos."""
    if unit.activation is not None:
        put_activation(record, unit.activation)
    bindings = (*context.reads(unit, 0), *context.writes(unit))
    infos = context.made(unit, "Infos", record.array(), "int8")
    return context.kernel(unit, call, (*bindings, infos))


def window_arguments(window: Window) -> tuple[int, ...]:
    """Kernel, dilations, strides, width before height, and whether to pad."""
    pairs = (window.kernel, window.dilations, window.strides)
    return (*(extent for pair in pairs for extent in reversed(pair)), int(window.padded))


def pool_arguments(node: Node | None) -> tuple[int | str, ...]:
    """Operation and window of a pool; zeros without one."""
    if node is None:
        return NO_POOL
    window = node.op.sliding_window()
    assert window is not None
    if node.op.role == "mean_pool" and window.padded and not node.op.padding_counts:
        raise GraphError(
            "the average pool's kernel counts padding as zeros, and this pool does not",
            where=f"node {node.name}",
            hint="export the model with count_include_pad=1, or without padding",
        )
    return (pool_operator(node), *window_arguments(window))


def set_pad_type(
    controls: dict[str, int], unit: Unit, windows: Iterable[tuple[Window, int, int]]
) -> None:
    """Set PADTYPE where the default would pad on other sides; refuse what no type can make."""
    allowed = frozenset(range(4))
    for window, height, width in windows:
        allowed &= pad_types(window, height, width)
        if not allowed:
            raise GraphError(
                f"padding {window.pads} (top, left, bottom, right) of a"
                f" {window.kernel[0]}x{window.kernel[1]} window over {height}x{width} cannot be"
                " made by the AutoTiler, which pads until the output is input / stride",
                where=f"node {unit.node.name}",
                hint="train the model with 'same' padding in both axes, or with none",
            )
    kind = choose(allowed)
    if kind != DEFAULT:
        controls.setdefault("PADTYPE", kind)
