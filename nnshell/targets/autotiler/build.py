"""From a quantized graph to a plan: one kernel per node, one variable per tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from nnshell.ir.graph import Graph, Node
from nnshell.ir.requests import POW2, SQ8
from nnshell.ir.widths import check_chip_widths
from nnshell.support.errors import GraphError, QuantizationError
from nnshell.support.settings import Settings
from nnshell.targets.autotiler import (
    elementwise,
    filters,
    fixed_point,
    gather,
    matrices,
    moves,
    names,
    pools,
    recurrent,
)
from nnshell.targets.autotiler.context import Context
from nnshell.targets.autotiler.plan import Binding, Call, Kernel, Plan
from nnshell.targets.autotiler.unit import Unit, makes_kernel, unit_of
from nnshell.targets.autotiler.variables import add_variables
from nnshell.targets.autotiler.wiring import CopyOf, wire

Emitter = Callable[[Context, Unit], Kernel | tuple[Kernel, ...]]


def _channels_last(context: Context, unit: Unit) -> Kernel:
    raise GraphError(
        "its channels are last, the kernels take them first",
        where=f"node {unit.node.name}",
        hint="run `adjust`",
    )


EMITTERS: dict[str, Emitter] = {
    "conv2d": filters.convolution,
    "linear": filters.linear,
    "batch_norm": filters.batch_norm,
    "max_pool": pools.pool,
    "average_pool": pools.pool,
    "global_average_pool": pools.global_pool,
    "global_max_pool": pools.global_pool,
    "matmul": matrices.matmul,
    "softmax": matrices.softmax,
    "add": elementwise.add,
    "pad": gather.pad,
    "spread": gather.spread,
    "sub": elementwise.total,
    "mul": elementwise.product,
    "div": elementwise.quotient,
    "maximum": elementwise.extremum,
    "minimum": elementwise.extremum,
    "prelu": elementwise.parametric_rectifier,
    "copy": moves.copy,
    "transpose": moves.transpose,
    "concat": moves.concat,
    "split": moves.split,
    "strided_slice": moves.strided_slice,
    "bilinear_resizer": moves.resize,
    "nearest_neighbor_resizer": moves.resize,
    "image_format": moves.image_format,
    "quantize": moves.convert,
    "rnn": recurrent.recurrent,
    "gru": recurrent.recurrent,
    "lstm": recurrent.recurrent,
    "channels_last": _channels_last,
}
BY_SCHEME: dict[str, Mapping[str, Emitter]] = {SQ8: EMITTERS, POW2: fixed_point.EMITTERS}
_ANY_FUNCTION: dict[str, Emitter] = {SQ8: elementwise.activation, POW2: fixed_point.activation}


def build(graph: Graph, settings: Settings, *, anonymise: bool = False) -> Plan:
    """The plan of a quantized graph; raises one error that names every node without a kernel."""
    if not graph.quantized:
        raise QuantizationError(
            "the graph is not quantized", where=graph.name, hint="type `aquant IMAGES` first"
        )
    check_chip_widths(graph)
    wiring = wire(graph)
    context = Context(wiring, settings, anonymise)
    plan = Plan(names.identifier(settings.graph_name or graph.name))
    plan.kernels = _kernels(context, graph)
    plan.concats, plan.splits = wiring.concats, wiring.splits
    plan.expressions = context.expressions
    plan.schemes = _schemes(graph)
    add_variables(plan, context)
    return plan


def _kernels(context: Context, graph: Graph) -> list[Kernel]:
    kernels: list[Kernel] = []
    refused: list[GraphError] = []
    copies: dict[int, list[CopyOf]] = {}
    for entry in context.wiring.copies:
        copies.setdefault(entry.step, []).append(entry)
    for step, node in enumerate(graph.steps()):
        kernels += [_copy(context, entry) for entry in copies.get(step, [])]
        if not makes_kernel(graph, node):
            continue
        try:
            kernels += _node_kernels(context, graph, node, step)
        except GraphError as error:
            refused.append(error)
    if len(refused) == 1:
        raise refused[0]
    if refused:
        listed = "; ".join(f"{error.where}: {error.message}" for error in refused)
        raise GraphError(
            f"{len(refused)} nodes have no AutoTiler kernel: {listed}", hint=refused[0].hint
        )
    return kernels


def _node_kernels(context: Context, graph: Graph, node: Node, step: int) -> tuple[Kernel, ...]:
    """Usually one; two where no kernel does all that a fusion does."""
    unit = unit_of(graph, node, step)
    scheme = unit.integers.scheme
    emit = emitter(unit.main, scheme)
    if emit is None:
        raise GraphError(
            f"operator '{unit.main.kind}' has no AutoTiler kernel in scheme {scheme}",
            where=f"node {node.name}",
            hint="run `adjust` and `fusions --scale8`, or change the model",
        )
    kernels = emit(context, unit)
    return (kernels,) if isinstance(kernels, Kernel) else kernels


def emitter(main: Node, scheme: str = SQ8) -> Emitter | None:
    """What writes a node's kernel: its row above, or a table for any function of one tensor."""
    function = main.op.role == "activation" and len(main.inputs) == 1
    return BY_SCHEME[scheme].get(main.kind, _ANY_FUNCTION[scheme] if function else None)


def _schemes(graph: Graph) -> tuple[str, ...]:
    """Those that nodes compute in; SQ8 where none computes."""
    used = {
        node.quantization.scheme
        for node in graph
        if node.quantization is not None
        and not node.op.boundary
        and not (node.op.made_by_quantizer or node.op.copies or node.op.role == "constant")
    }
    return tuple(scheme for scheme in BY_SCHEME if scheme in used) or (SQ8,)


def _copy(context: Context, entry: CopyOf) -> Kernel:
    """A copy that the graph has no node for."""
    wiring = context.wiring
    dtype, size = wiring.element_type(entry.ref), wiring.graph.type_of(entry.ref).size
    name = wiring.namer.claim(f"S{entry.step}_Op_{entry.variable}_copy", entry.variable)
    bindings = (Binding(wiring.variable(entry.ref)), Binding(entry.variable, True))
    call = Call("CNN_Copy", (size, np.dtype(dtype).itemsize))
    return Kernel(name, entry.node, call, bindings, "copy")
