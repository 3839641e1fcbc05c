"""Which C variable each tensor of the graph is, and the copies that this needs.

Hidden nodes (reshapes) are joined through. A concat or split along the outermost axis makes no
kernel: its tensors are stacked, that is, they are names for parts of one memory. A stacked tensor
can only be written by a kernel of its own, so a part that is a graph input, a constant, a graph
output or part of another stack is copied first.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nnshell.ir.graph import Graph, Node, Ref
from nnshell.targets.autotiler import names
from nnshell.targets.autotiler.plan import Stack
from nnshell.targets.autotiler.unit import hidden, makes_kernel, slot_of

FIXED = ("input", "constant")  # roles whose memory is given


@dataclass(frozen=True, slots=True)
class CopyOf:
    """A copy that the graph does not have as a node: ``ref`` into ``variable``."""

    step: int  # of the node it is needed for
    node: str
    ref: Ref
    variable: str
    output: bool = False  # the variable is a graph output


@dataclass(slots=True)
class Wiring:
    """Variables by reference; ``copies`` are to be made once their source is."""

    graph: Graph
    numbers: dict[str, int]
    variables: dict[Ref, str] = field(default_factory=dict)
    outputs: dict[str, Ref] = field(default_factory=dict)  # output node: what it shows
    output_names: dict[str, str] = field(default_factory=dict)  # output node: its variable
    copies: list[CopyOf] = field(default_factory=list)
    concats: list[Stack] = field(default_factory=list)
    splits: list[Stack] = field(default_factory=list)
    stacked: set[str] = field(default_factory=set)  # variables that are parts of a stack
    namer: names.Namer = field(default_factory=names.Namer)

    def source(self, ref: Ref) -> Ref:
        """The tensor that a reference names, through the nodes that make no code."""
        while hidden(self.graph, self.graph[ref.node]):
            ref = self.graph[ref.node].inputs[0]
        return ref

    def is_hidden(self, node: Node) -> bool:
        """Whether a node makes no code."""
        return hidden(self.graph, node)

    def variable(self, ref: Ref) -> str:
        return self.variables[self.source(ref)]

    def element_type(self, ref: Ref) -> str:
        """Element type of a tensor in memory."""
        quantization = self.graph[ref.node].quantization
        assert quantization is not None, f"{ref.node} is not quantized"
        return quantization.outputs[ref.index].dtype


def wire(graph: Graph) -> Wiring:
    """Name every tensor of the graph."""
    order = graph.steps()
    wiring = Wiring(graph, {node.name: number for number, node in enumerate(order)})
    _name_outputs(wiring)
    for node in order:
        if node.op.role == "unused":
            named = names.cap(names.identifier(node.name))
            wiring.variables[node.inputs[0]] = wiring.namer.claim(named, node.name)
    for node in order:
        if not hidden(graph, node) and node.op.role != "unused":
            _name_tensors(wiring, node)
    for node in order:
        if node.op.joined_axis is not None and _stacks(graph, node):
            _stack_inputs(wiring, node)
    for node in order:
        if node.op.cut_axis is not None and _stacks(graph, node):
            _stack_outputs(wiring, node)
    return wiring


def _stacks(graph: Graph, node: Node) -> bool:
    return not hidden(graph, node) and not makes_kernel(graph, node)


def _name_outputs(wiring: Wiring) -> None:
    """A kernel writes the graph output it feeds; further outputs of the same tensor are copies."""
    for node in wiring.graph.outputs:
        ref = wiring.source(node.inputs[0])
        name = wiring.namer.claim(names.cap(names.identifier(node.name)), node.name)
        wiring.outputs[node.name] = ref
        wiring.output_names[node.name] = name
        if ref not in wiring.variables and _can_be_output(wiring, ref):
            wiring.variables[ref] = name
        else:
            step = wiring.numbers[node.name]
            wiring.copies.append(CopyOf(step, node.name, ref, name, output=True))


def _can_be_output(wiring: Wiring, ref: Ref) -> bool:
    """Inputs and constants have their own memory, the parts of a split lie in another tensor."""
    node = wiring.graph[ref.node]
    if node.op.role in FIXED:
        return False
    return not (node.op.cut_axis is not None and _stacks(wiring.graph, node))


def _name_tensors(wiring: Wiring, node: Node) -> None:
    if node.op.role in FIXED:
        slot = slot_of(wiring.graph, node) if node.op.role == "constant" else ""
        short = f"S{wiring.numbers[node.name]}_{names.cap(slot)}"
        expected = short if slot else names.cap(names.identifier(node.name))
        wiring.variables[Ref(node.name)] = wiring.namer.claim(expected, node.name)
        return
    for index in range(len(node.outputs)):
        ref = Ref(node.name, index)
        number = f"_{index}" if len(node.outputs) > 1 else ""
        name = f"S{wiring.numbers[node.name]}_Output{number}"
        wiring.variables.setdefault(ref, wiring.namer.claim(name, f"{node.name}:{index}"))


def _stack_inputs(wiring: Wiring, node: Node) -> None:
    parts = []
    for ref in node.inputs:
        source = wiring.source(ref)
        part = wiring.variables[source]
        if _occupied(wiring, source) or part in parts:
            part = _copy(wiring, node, source)
        parts.append(part)
        wiring.stacked.add(part)
    wiring.concats.append(Stack(wiring.variables[Ref(node.name)], tuple(parts)))


def _occupied(wiring: Wiring, ref: Ref) -> bool:
    """Whether a tensor's memory is given already, so that it cannot be part of a stack."""
    node = wiring.graph[ref.node]
    variable = wiring.variables[ref]
    fixed = node.op.role in FIXED or ref in wiring.outputs.values()
    return fixed or variable in wiring.stacked or _stacks(wiring.graph, node)


def _stack_outputs(wiring: Wiring, node: Node) -> None:
    whole = wiring.source(node.inputs[0])
    name = wiring.variables[whole]
    fixed = wiring.graph[whole.node].op.role in FIXED
    wholes = {stack.whole for stack in (*wiring.concats, *wiring.splits)}
    if fixed or name in wiring.stacked or name in wholes:
        name = _copy(wiring, node, whole)
    readers = (entry for entry in wiring.graph if entry.op.role != "unused")
    used = {wiring.source(ref) for entry in readers for ref in entry.inputs}
    parts = [(Ref(node.name, index), tensor) for index, tensor in enumerate(node.outputs)]
    unused = [(wiring.variables[ref], t.size) for ref, t in parts if ref not in used]
    stack = Stack(name, tuple(wiring.variables[ref] for ref, _ in parts), tuple(unused))
    wiring.stacked.update(stack.parts)
    wiring.splits.append(stack)


def _copy(wiring: Wiring, node: Node, ref: Ref) -> str:
    step = wiring.numbers[node.name]
    name = wiring.namer.claim(f"S{step}_Copy_{len(wiring.copies)}", f"copy {len(wiring.copies)}")
    wiring.copies.append(CopyOf(step, node.name, ref, name))
    return name
