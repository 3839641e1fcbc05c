"""An explicit border of zeros disappears into the window that reads it.

conv with pads p of pad(x, q)  =  conv with pads p + q of x         (q of value 0)
average pool                      the same, padding then counts
max pool                          where the border's value never wins: no input is smaller
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nnshell.ir.facts import Border
from nnshell.ir.graph import Graph, Node
from nnshell.passes.base import Notes, Pass
from nnshell.passes.known_range import known_range
from nnshell.passes.rewriting import live_nodes, readers


@dataclass(frozen=True)
class FoldPad(Pass):
    """Explicit padding before a convolution or pool, into its window."""

    name: ClassVar[str] = "fold-pad"
    nntool_names: ClassVar[tuple[str, ...]] = ("fuse_pad",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for pad in live_nodes(graph):
            border = pad.op.border()
            if border is not None:
                for reader in readers(graph, pad):
                    _fold(graph, pad, border, reader, notes)


def _fold(graph: Graph, pad: Node, border: Border, reader: Node, notes: Notes) -> None:
    if reader.op.boundary:
        return
    padding = reader.op.with_border(border, known_range(graph, pad.inputs[0]))
    if isinstance(padding, str):
        text = f"did not fold {pad.name} into {reader.name}: {padding}"
        notes.did_not(pad.name, text, reader.name)
        return
    reader.op = padding
    reader.inputs[0] = pad.inputs[0]
    notes.touch(reader)
    window = padding.sliding_window()
    pads = f" by {window.pads} top, left, ..." if window is not None else ""
    text = f"folded {pad.name} into {reader.name}, which now pads{pads}"
    notes.did(reader.name, text, pad.name)
