"""The arguments of the AutoTiler's graph: inputs, constants, outputs, intermediate tensors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.qparams import NodeQuantization
from nnshell.support.errors import GraphError
from nnshell.targets.autotiler.context import Context, placed
from nnshell.targets.autotiler.plan import Plan, Role, Variable
from nnshell.targets.autotiler.unit import hidden, quantization_of
from nnshell.targets.autotiler.wiring import Wiring

_OFF = ("0", "false", "off", "no", "none")


def add_variables(plan: Plan, context: Context) -> None:
    """Fill in the variables that the plan's kernels use."""
    wiring = context.wiring
    graph = wiring.graph
    bindings = (binding for kernel in plan.kernels for binding in kernel.bindings)
    bound = {binding.variable for binding in bindings if binding.form == "tensor"}
    plan.states = context.states
    for node in sorted(graph.inputs, key=lambda entry: entry.name):
        ref = Ref(node.name)
        plan.inputs.append(_port(wiring, node, ref, wiring.variables[ref], "input"))
    for step, node in enumerate(graph.steps()):
        if node.op.role == "constant" and wiring.variables[Ref(node.name)] in bound:
            plan.constants.append(_constant(wiring, node, context.contents.get(node.name)))
        plan.constants += context.constants.get(step, [])
    for node in sorted(graph.outputs, key=lambda entry: entry.name):
        ref = wiring.outputs[node.name]
        if ref in context.shown_states:
            continue
        plan.outputs.append(_port(wiring, node, ref, wiring.output_names[node.name], "output"))
    plan.locals = [*_locals(plan, wiring), *context.locals]
    shown = {wiring.variables[ref] for ref in context.shown_states}
    plan.locals = [variable for variable in plan.locals if variable.name not in shown]


def _port(wiring: Wiring, node: Node, ref: Ref, name: str, role: Role) -> Variable:
    """A graph input or output; for an output, its producer's options hold where it has none."""
    variable = Variable(
        name,
        wiring.element_type(ref),
        role,
        node.name,
        allocated=_on(node, "ALLOCATE"),
        external=_on(node, f"EXTERN_{role.upper()}_POINTER"),
    )
    return _placed(variable, wiring.graph[ref.node], node)


def _on(node: Node, option: str) -> bool:
    """Whether an option is set; one without a value is."""
    return option in node.options and node.options[option].strip().lower() not in _OFF


def _placed(variable: Variable, *nodes: Node) -> Variable:
    """The variable in the memories that node options ask for, the last node's options first."""
    for node in nodes:
        home, execute = placed(variable, node)
        variable = replace(
            variable, home=home or variable.home, execute=execute or variable.execute
        )
    return variable


def _locals(plan: Plan, wiring: Wiring) -> list[Variable]:
    """Tensors between kernels, but for those that are part of another one."""
    parts = {part for stack in (*plan.concats, *plan.splits) for part in stack.parts}
    known = {variable.name for variable in (*plan.inputs, *plan.constants, *plan.outputs)} | parts
    results = {}
    for number, node in enumerate(wiring.graph.steps()):
        for copy in (entry for entry in wiring.copies if entry.step == number):
            results[copy.variable] = Variable(
                copy.variable, wiring.element_type(copy.ref), "local", copy.node
            )
        if hidden(wiring.graph, node) or node.op.role == "constant" or node.op.boundary:
            continue
        for index in range(len(node.outputs)):
            ref = Ref(node.name, index)
            variable = Variable(wiring.variables[ref], wiring.element_type(ref), "local", node.name)
            results[variable.name] = _placed(variable, node)
    return [variable for name, variable in results.items() if name not in known]


# -- constants -----------------------------------------------------------------------------


def _constant(wiring: Wiring, node: Node, content: NDArray[Any] | None) -> Variable:
    """A constant of the graph, in the integers that its consumers take, or other content."""
    graph = wiring.graph
    if content is not None:
        name = wiring.variables[Ref(node.name)]
        variable = Variable(name, str(content.dtype), "constant", node.name, content)
        return _placed(variable, node)
    targets = list(_consumed(graph, node.name))
    first = targets[0] if targets else _by_record(node)
    if any(not np.array_equal(first, other) for other in targets[1:]):
        raise GraphError(
            "two nodes take this constant with different integers",
            where=f"node {node.name}",
            hint="run `fusions --scale8`, which gives each its own",
        )
    name = wiring.variables[Ref(node.name)]
    record = quantization_of(node).output
    fraction = record.fraction_bits or 0
    variable = Variable(
        name, str(first.dtype), "constant", node.name, first, fraction_bits=fraction
    )
    return _placed(variable, node)


def _by_record(node: Node) -> NDArray[Any]:
    value = node.op.known_value
    assert value is not None and node.quantization is not None
    record = node.quantization.outputs[0]
    return record.stored(value)


def _consumed(graph: Graph, name: str) -> list[NDArray[Any]]:
    """The integers of a constant in each node that takes it, through nodes that make no code."""
    results: list[NDArray[Any]] = []
    for node, position in graph.consumers(name):
        if hidden(graph, node):
            results += _consumed(graph, node.name)
            continue
        for quantization, index in _takers(node, position):
            if index < len(quantization.constants):
                value = quantization.constants[index]
                results += [] if value is None else [value]
    return results


def _takers(node: Node, position: int) -> list[tuple[NodeQuantization, int]]:
    """The quantization of a node and, for a fusion, of the inner nodes that take its input."""
    if node.quantization is None:
        return []
    if node.body is None:
        return [(node.quantization, position)]
    port = next(entry for entry in node.body.inputs if entry.op.port == position)
    inner = node.body.consumers(port.name)
    return [(taker.quantization, index) for taker, index in inner if taker.quantization is not None]
