"""What the emitters of kernels share: names, variables, settings, and the constants they make."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.graph import Node, Ref
from nnshell.support.errors import GraphError, UsageError
from nnshell.support.settings import Settings
from nnshell.targets.autotiler import names
from nnshell.targets.autotiler.options import location, node_integer
from nnshell.targets.autotiler.plan import Binding, Call, Expression, Kernel, Variable
from nnshell.targets.autotiler.unit import Unit, constant_operand
from nnshell.targets.autotiler.wiring import Wiring

# Node options that go to a generator's control block; values are whole numbers.
CONTROLS = frozenset(
    {
        "ENABLEIM2COL",
        "EXPLICIT_PAD_CONV",
        "EXPLICIT_PAD_POOL",
        "FLOAT_DUMP",
        "FORCEDPCONV",
        "GATE_PRENORM",
        "HWC",
        "INPUT_DATASIZE",
        "MULBIASSCALAR",
        "OUTPUT_DATASIZE",
        "PADTYPE",
        "PARALLELFEATURES",
        "RELUN",
        "RELUNNONORM",
        "RNN_SAME_INOUT_SCALE",
        "RNN_USE_HARDACT",
        "TILEORIENTATION",
        "USEHWCE",
    }
)


@dataclass(slots=True)
class Context:
    """Emitters ask it for names; the constants they make are collected in ``constants``."""

    wiring: Wiring
    settings: Settings
    anonymise: bool = False
    constants: dict[int, list[Variable]] = field(default_factory=dict)  # by step
    expressions: list[Expression] = field(default_factory=list)
    locals: list[Variable] = field(default_factory=list)  # between two kernels of one node
    contents: dict[str, NDArray[Any]] = field(default_factory=dict)  # of constants, by node
    states: list[Variable] = field(default_factory=list)  # of recurrent layers
    shown_states: dict[Ref, str] = field(default_factory=dict)  # outputs that lie in a state

    def kernel(
        self, unit: Unit, call: Call, bindings: tuple[Binding, ...], remark: str = ""
    ) -> Kernel:
        """The kernel of a node, under its name."""
        label = unit.label(self.anonymise)
        name = self.wiring.namer.insist(label, unit.node.name)
        trace = unit.node.options.get("VCD_TRACE_ON")
        return Kernel(
            name,
            unit.node.name,
            call,
            bindings,
            remark,
            None if trace is None else node_integer(unit.node.name, "VCD_TRACE_ON", trace),
        )

    def reads(self, unit: Unit, *indexes: int) -> tuple[Binding, ...]:
        """Inputs of the node, by number."""
        return tuple(Binding(self.wiring.variable(unit.node.inputs[i])) for i in indexes)

    def operands(self, unit: Unit, *indexes: int) -> tuple[Binding, ...]:
        """As ``reads``; a smaller constant is repeated to the size of the node's output."""
        return tuple(self._operand(unit, index) for index in indexes)

    def _operand(self, unit: Unit, index: int) -> Binding:
        shape = unit.node.type.shape
        source = unit.graph.input_types(unit.node)[index]
        if source.size == unit.node.type.size:
            return self.reads(unit, index)[0]
        value = constant_operand(unit, index)
        if value is None:
            raise GraphError(
                f"{unit.main.kind} repeats its input {index} ({source}) to {unit.node.type},"
                " which its kernel does not",
                where=f"node {unit.node.name}",
                hint="export the model with both operands at full size",
            )
        repeated = np.broadcast_to(value.reshape(source.shape), shape)
        return self.made(unit, f"Operand_{index}", repeated, "int8")

    def writes(self, unit: Unit) -> tuple[Binding, ...]:
        """All outputs of the node."""
        name = unit.node.name
        refs = (Ref(name, index) for index in range(len(unit.node.outputs)))
        return tuple(Binding(self.wiring.variables[ref], True) for ref in refs)

    def made(self, unit: Unit, part: str, data: NDArray[Any], dtype: str) -> Binding:
        """A constant that belongs to the kernel: ``S3_Mul_scale``, ``S3_Infos`` ..."""
        suffix = names.anonymised(part) if self.anonymise else part
        owner = f"{unit.node.name}:{part}"
        name = self.wiring.namer.claim(f"S{unit.step}_{suffix}", owner)
        variable = Variable(name, dtype, "constant", unit.node.name, data)
        self.constants.setdefault(unit.step, []).append(variable)
        return Binding(name)

    def controls(self, node: Node) -> dict[str, int]:
        """The node's options that its generator takes, in the order in which they were set."""
        results = {}
        for option, text in node.options.items():
            if option.upper() in CONTROLS:
                results[option.upper()] = node_integer(node.name, option, text)
        return results


def placed(variable: Variable, node: Node) -> tuple[str, str]:
    """Home and execution memory that a node's options ask for; "" leaves it to the settings."""
    results = []
    for option in ("OUT_HOME_MEM_LOC", "OUT_EXEC_MEM_LOC"):
        text = node.options.get(option, "")
        what = f"node option {option} of {node.name}"
        results.append(location(text, what) if text else "")
    if variable.role == "local" and "AT_MEM_L1" in results:
        raise UsageError("a tensor cannot be kept in L1", where=f"node {node.name}")
    return results[0], results[1]
