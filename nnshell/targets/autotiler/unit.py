"""What one generated kernel does: a node, or the filter, pool and activation of a fusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from nnshell.ir.facts import POOLS, Role
from nnshell.ir.graph import Graph, Node
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.work import Work
from nnshell.ops.families.recurrent import Recurrent
from nnshell.targets.autotiler import names


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """A node with its step number and, for a fusion, the inner nodes by what they do."""

    graph: Graph
    node: Node
    step: int
    main: Node  # the node itself, or the first inner node that computes
    pool: Node | None  # after the main node
    activation: Node | None  # the last inner node, or the main node itself
    padding: Node | None = None  # before the main node

    @property
    def fused(self) -> bool:
        return self.node.body is not None

    @property
    def work(self) -> Work:
        node = self.node
        return node.op.work(self.graph.input_types(node), node.outputs, node.body)

    @property
    def quantization(self) -> NodeQuantization:
        return quantization_of(self.node)

    @property
    def integers(self) -> NodeQuantization:
        """Records and kernel of the main node."""
        return quantization_of(self.main)

    def input_record(self, index: int = 0) -> QParams:
        return self.quantization.inputs[index]

    def output_record(self, index: int = 0) -> QParams:
        return self.quantization.outputs[index]

    def label(self, settings_anonymise: bool) -> str:
        """The kernel's name: a node option's, or S<step>_ and what the node is."""
        chosen = self.node.options.get("NODE_CNAME", "")
        if chosen:
            return chosen
        kind = kind_part(self)
        return f"S{self.step}_{names.anonymised(kind) if settings_anonymise else kind}"


def unit_of(graph: Graph, node: Node, step: int) -> Unit:
    if node.body is None:
        activation = node if node.op.role == "activation" else None
        return Unit(graph, node, step, node, None, activation)
    inner = [entry for entry in node.body.steps() if not entry.op.boundary]
    inner = [entry for entry in inner if entry.op.role != "constant"]
    padding = inner[0] if inner[0].op.border() is not None else None
    main, *rest = inner[1:] if padding is not None else inner
    pool = next((entry for entry in rest if entry.op.role in POOLS), None)
    activation = next((entry for entry in rest if entry.op.role == "activation"), None)
    return Unit(graph, node, step, main, pool, activation, padding)


def slot_of(graph: Graph, node: Node) -> str:
    """The slot of a recurrent layer that a constant is called after: ``f_b`` of ``f_b_LSTM``."""
    for reader, position in graph.consumers(node.name):
        op = reader.op
        if isinstance(op, Recurrent) and position:
            slot = op.slots[position - 1]
            return slot if node.name == f"{slot}_{reader.name}" else ""
    return ""


def quantization_of(node: Node) -> NodeQuantization:
    assert node.quantization is not None, f"{node.name} is not quantized"
    return node.quantization


def constant_operand(unit: Unit, index: int) -> NDArray[Any] | None:
    """The integers of a constant input of the unit's main node; None for an activation."""
    for constants in (unit.integers.constants, unit.quantization.constants):
        if index < len(constants) and constants[index] is not None:
            return constants[index]
    return None


def kind_part(unit: Unit) -> str:
    """What stands after S<step>_ in a kernel's name."""
    node, main = unit.node, unit.main
    if main.op.role == "filter" and main.op.sliding_window() is not None:
        return "Conv2d_" + names.joined(unit.graph.input_types(node)[1].shape) + _behind(unit)
    if main.op.role == "filter" and not unit.fused:
        return "Linear_" + names.joined(unit.graph.input_types(node)[1].shape)
    if main.op.role in POOLS:
        return pool_part(main) + _activation_part(unit)
    if main.op.role in _GLOBAL and unit.fused:
        return f"{_GLOBAL[main.op.role]}_{node.type}" + _activation_part(unit)
    if main.op.role in _MATRICES and unit.padding is None:
        return f"{_MATRICES[main.op.role]}_{node.type}" + _activation_part(unit)
    if unit.activation is node:
        return f"Act_{node.kind.capitalize()}"
    return _PLAIN.get(node.kind, f"Op_{names.identifier_part(node.name)}")


_GLOBAL: dict[Role, str] = {"global_mean": "AveragePool", "global_max": "MaxPool"}
_MATRICES: dict[Role, str] = {"sum": "MatAdd", "product": "MatMul"}
_PLAIN = {"softmax": "SoftMax", "concat": "Concat"}


def pool_part(pool: Node) -> str:
    """``MaxPool_2x2``."""
    window = pool.op.sliding_window()
    assert window is not None
    word = "Max" if pool.op.role == "max_pool" else "Average"
    return f"{word}Pool_{names.joined(window.kernel)}"


def _behind(unit: Unit) -> str:
    pool = f"_{pool_part(unit.pool)}" if unit.pool is not None else ""
    return pool + _activation_part(unit)


def _activation_part(unit: Unit) -> str:
    return f"_{unit.activation.kind.capitalize()}" if unit.activation is not None else ""


def hidden(graph: Graph, node: Node) -> bool:
    """A node that makes no code: its output is its input's memory."""
    return node.op.keeps_memory(graph.input_types(node), node.outputs)


def is_free(shape: tuple[int, ...], axis: int) -> bool:
    """A concat or split whose parts lie one after the other in memory needs no kernel."""
    return all(extent == 1 for extent in shape[:axis])


def makes_kernel(graph: Graph, node: Node) -> bool:
    """Whether a node becomes a node of the AutoTiler's graph."""
    if node.op.role in ("input", "output", "constant", "unused") or hidden(graph, node):
        return False
    axis = node.op.cut_axis if node.op.joined_axis is None else node.op.joined_axis
    return axis is None or not is_free(graph.input_types(node)[0].shape, axis)
