"""The work of a fusion: its filter's, with the fused pool and activation added."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nnshell.ir.work import ElementBytes, Work

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph, Node


def combined_work(body: Graph, stored: ElementBytes) -> Work:
    """Work of the filter of ``body``, extended by what runs after it.

    The filter is the first node that computes; a pad before a sum moves bytes only. ``stored`` are
    the fusion's inputs and outputs: nothing between its nodes is stored.
    """
    works = [
        (
            node,
            node.op.work(
                body.input_types(node), node.outputs, node.body, _inner(body, node, stored)
            ),
        )
        for node in body.steps()
        if not node.op.boundary
    ]
    first = next((n for n, (_, work) in enumerate(works) if work.kind != "move"), 0)
    filter_node, total = works[first]
    for node, work in works[first + 1 :]:
        if work.kind in ("pool", "global_pool"):
            total = replace(total, pool=work.window, pool_kind=work.pool_kind)
        elif work.kind == "activation":
            total = replace(total, activation=work.activation or node.kind)
        total = replace(
            total,
            output=work.output,
            output_bytes=work.output_bytes,
            macs=total.macs + work.macs,
        )
    return replace(total, filter_output=filter_node.type.chw)


def _inner(body: Graph, node: Node, stored: ElementBytes) -> ElementBytes:
    ports = [body[ref.node].op.port for ref in node.inputs]
    widths = stored.inputs
    inputs = (widths[p] if p is not None and p < len(widths) else 1 for p in ports)
    return ElementBytes(tuple(inputs), stored.outputs)
