"""From the graph to the simulator's network: which nodes are kernels, and what they pass on.

Nodes that make no code (reshapes) and concats or splits along the channels, whose parts lie one
after the other in memory, hand their tensors through. A fusion is one layer, named after its
filter as the model file spells it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nnshell.chips.model.network import Layer, Network
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.ir.requests import POW2, SQ8, KernelOptions
from nnshell.ir.work import ElementBytes, Work

SQ8_TABLE, POW2_TABLE = "autotiler-sq8", "autotiler-pow2"


def network_from_graph(graph: Graph) -> Network:
    """The layers of a graph in execution order; float and quantized graphs cost the same."""
    stem = graph.source.path.stem if graph.source is not None else graph.name
    parts: dict[str, tuple[str, ...]] = {}
    inputs: list[str] = []
    outputs: list[str] = []
    layers: list[Layer] = []
    taken: set[str] = set()
    widths = element_bytes(graph)
    for step, node in enumerate(graph.steps()):
        if node.op.role == "constant":
            continue
        if node.op.role == "input":
            inputs.append(node.name)
            parts[node.name] = (node.name,)
            continue
        value = _activations(graph, node, parts)
        if node.op.role == "output":
            outputs.extend(name for name in value if name not in inputs)
            continue
        work = _work(graph, node, widths)
        if _hands_through(graph, node, work):
            parts[node.name] = value
            continue
        name = _layer_name(node, taken)
        taken.add(name)
        parts[node.name] = (node.name,)
        layers.append(Layer(name, _filter(node).kind, work, value, node.name, step))
    sizes = tuple(graph[name].type.size * widths[Ref(name)] for name in inputs)
    return Network(stem, tuple(layers), tuple(inputs), tuple(dict.fromkeys(outputs)), sizes)


def library_for(graph: Graph, chosen: str) -> str:
    """The kernel table for a graph: ``chosen``, or that of POW2 where most MACs are in POW2.

    Only the AutoTiler's table gives way: it is the one for a scheme.
    """
    macs = schemes_of(graph)
    fixed = macs.get(POW2, 0) > macs.get(SQ8, 0)
    return POW2_TABLE if fixed and chosen == SQ8_TABLE else chosen


def schemes_of(graph: Graph) -> dict[str, int]:
    """MACs and outputs of the nodes that compute, by the scheme that they were quantized in."""
    work: dict[str, int] = {}
    for node in graph:
        quantization = node.quantization
        if quantization is None or not _computes(node):
            continue
        macs = node.op.macs(graph.input_types(node), node.outputs, node.body)
        work[quantization.scheme] = work.get(quantization.scheme, 0) + macs + node.type.size
    return work


def _computes(node: Node) -> bool:
    between = node.op.made_by_quantizer or node.op.copies
    return not (between or node.op.boundary or node.op.role == "constant")


def _activations(graph: Graph, node: Node, parts: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Tensors a node reads, constants left out and joined tensors as their parts."""
    names: list[str] = []
    for ref in node.inputs:
        if graph[ref.node].op.role != "constant":
            names.extend(parts[ref.node])
    return tuple(names)


def element_bytes(graph: Graph) -> dict[Ref, int]:
    """Bytes of an element of every tensor: of its record, or of the one it will have in SQ8."""
    widths: dict[Ref, int] = {}
    for node in graph.steps():
        for index in range(len(node.outputs)):
            widths[Ref(node.name, index)] = _element_bytes(node, index, widths)
    return widths


def _fixed_constants(graph: Graph, node: Node, work: Work) -> int:
    """Bytes of a POW2 kernel's constants beside its weights: the bias, if it has one."""
    if not work.weight_bytes or len(node.inputs) < 3:
        return 0
    bias = graph[node.inputs[2].node]
    assert bias.quantization is not None
    return int(bias.type.size * np.dtype(bias.quantization.output.dtype).itemsize)


def _element_bytes(node: Node, index: int, widths: dict[Ref, int]) -> int:
    if node.quantization is not None:
        return np.dtype(node.quantization.outputs[index].dtype).itemsize
    if node.op.role == "input" and node.type.dtype.startswith("u"):  # pixels
        return np.dtype(node.type.dtype).itemsize
    if node.op.keeps_record and node.inputs:
        return widths[node.inputs[0]]
    record = node.op.output_record(KernelOptions())
    return 1 if record is None else np.dtype(record.dtype).itemsize


def _work(graph: Graph, node: Node, widths: dict[Ref, int]) -> Work:
    """The node's work with constant operands counted as weights."""
    stored = ElementBytes(
        tuple(widths[ref] for ref in node.inputs),
        tuple(widths[Ref(node.name, index)] for index in range(len(node.outputs))),
    )
    work = node.op.work(graph.input_types(node), node.outputs, node.body, stored)
    if node.quantization is not None and node.quantization.scheme == POW2:
        work = replace(work, constant_bytes=_fixed_constants(graph, node, work))
    constant = [graph[ref.node].op.role == "constant" for ref in node.inputs]
    if work.kind not in ("elementwise", "matmul", "move") or not any(constant):
        return work
    if len(work.input_bytes) != len(constant):
        return work
    kept = [index for index, fixed in enumerate(constant) if not fixed]
    moved = sum(size for size, fixed in zip(work.input_bytes, constant, strict=True) if fixed)
    return replace(
        work,
        inputs=tuple(work.inputs[index] for index in kept),
        input_bytes=tuple(work.input_bytes[index] for index in kept),
        weight_bytes=work.weight_bytes + moved,
    )


def _hands_through(graph: Graph, node: Node, work: Work) -> bool:
    if work.kind == "none":
        return True
    if node.op.role not in ("join", "cut") or work.weight_bytes:
        return False
    shape = graph.type_of(node.inputs[0]).shape
    axis = node.op.cut_axis if node.op.joined_axis is None else node.op.joined_axis
    if len(shape) == 2 and axis == 0:  # rows of a matrix lie one after the other
        return True
    planes = {shape[1:] for shape in work.inputs} | {kind.chw[1:] for kind in node.outputs}
    return len(planes) == 1


def _filter(node: Node) -> Node:
    """The node that names a layer: a fusion's first computing node, not a pad before it."""
    if node.body is None:
        return node
    beside = ("input", "output", "constant", "move")
    inner = (n for n in node.body.steps() if n.op.role not in beside)
    return next(inner, node)


def _layer_name(node: Node, taken: set[str]) -> str:
    """The name in the model file where that is unique, else the node's own."""
    expected = _filter(node).origin.foreign_name or node.name
    name = expected if expected not in taken else node.name
    number = 1
    while name in taken:
        number += 1
        name = f"{node.name}_{number}"
    return name
