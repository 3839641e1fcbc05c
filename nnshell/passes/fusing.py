"""Making a fusion node: a chain of nodes that one kernel runs becomes a node with a body.

The body has one fusion input per input of the chain (``<fusion>_in_0`` ...), the nodes under
their own names, and a fusion output ``<fusion>_out_0``. The fusion is called ``<first>_fusion``.
"""

from __future__ import annotations

from collections.abc import Sequence

from nnshell.ir.basic_operators import Fusion, FusionInput, FusionOutput
from nnshell.ir.graph import Graph, Node, Ref
from nnshell.passes.base import Notes


def fuse_chain(
    graph: Graph, chain: Sequence[Node], kind: str, notes: Notes, filter_node: Node | None = None
) -> Node:
    """Replace ``chain`` (each node reads the one before) by a fusion called after its filter.

    ``filter_node`` is the first node unless given. Only the last node's output is visible outside.
    """
    owner = filter_node or chain[0]
    name = graph.unique_name(f"{owner.name}_fusion")
    notes.touch(*chain)
    body, inputs = _body(graph, chain, name)
    fusion = Node(name, Fusion(kind), inputs, chain[-1].outputs, owner.origin, body)
    for node in chain:
        fusion.options.update(node.options)
    graph.redirect(Ref(chain[-1].name), Ref(name))
    graph.replace_node(owner.name, fusion)
    for node in chain:
        graph.nodes.pop(node.name, None)
    names = [node.name for node in chain]
    notes.did(name, f"fused {', '.join(names)} into {name}", *names)
    return fusion


def _body(graph: Graph, chain: Sequence[Node], name: str) -> tuple[Graph, list[Ref]]:
    inside = {node.name for node in chain}
    outer = [ref for node in chain for ref in node.inputs if ref.node not in inside]
    body = Graph(name, graph.source)
    for index, ref in enumerate(outer):
        value = graph.type_of(ref)
        body.add(Node(f"{name}_in_{index}", FusionInput(value, index), [], (value,)))
    count = 0
    for node in chain:
        inner = node.copy()
        for position, ref in enumerate(node.inputs):
            if ref.node not in inside:
                inner.inputs[position] = Ref(f"{name}_in_{count}")
                count += 1
        body.add(inner)
    last = chain[-1]
    body.add(Node(f"{name}_out_0", FusionOutput(0), [Ref(last.name)], last.outputs))
    return body, outer
