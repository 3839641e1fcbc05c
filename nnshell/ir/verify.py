"""The verifier: run after every pass, it raises on the first broken invariant."""

from __future__ import annotations

from nnshell.ir.basic_operators import Fusion, FusionInput, Input, Output
from nnshell.ir.graph import Graph
from nnshell.support.errors import GraphError


def verify(graph: Graph) -> bool:
    """Check names, edges, types and order; raises GraphError naming the node.

    A graph that has not changed since it was last verified is not looked at again: then False.

    Holds for every graph between passes: each edge starts at a node that exists and has that
    output, each node's recorded output types are what its operator infers, every node is reached,
    there is no cycle, and no input or output number is used twice.
    """
    inside = [verify(node.body) for node in graph if node.body is not None]
    version = graph.nodes.current_version()
    if version == graph.nodes.verified_version and not any(inside):
        return False
    _verify_edges(graph)
    for node in graph.steps():
        inferred = node.op.infer(graph.input_types(node), node.body)
        if inferred != node.outputs:
            raise GraphError(
                f"recorded type {_text(node.outputs)} is not the inferred {_text(inferred)}",
                where=f"node {node.name}",
            )
        if (node.body is None) == isinstance(node.op, Fusion):
            raise GraphError("only a fusion has a body", where=f"node {node.name}")
    _verify_ports(graph)
    graph.nodes.verified_version = version
    return True


def _verify_edges(graph: Graph) -> None:
    for name, node in graph.nodes.items():
        if node.name != name:
            raise GraphError(f"node '{node.name}' is filed under '{name}'")
        for ref in node.inputs:
            if ref.node not in graph:
                raise GraphError(f"reads '{ref.node}', which does not exist", where=f"node {name}")
            if not 0 <= ref.index < len(graph[ref.node].outputs):
                raise GraphError(f"reads {ref.node}[{ref.index}]", where=f"node {name}")


def _verify_ports(graph: Graph) -> None:
    for kind in (Input, FusionInput, Output):
        numbers = [node.op.index for node in graph if type(node.op) is kind]
        if len(set(numbers)) != len(numbers):
            raise GraphError(f"two {kind.kind} nodes have the same number", where=graph.name)


def _text(types: tuple[object, ...]) -> str:
    return ", ".join(str(entry) for entry in types) or "nothing"
