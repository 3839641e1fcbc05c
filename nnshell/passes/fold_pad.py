"""An explicit border of zeros disappears into the window that reads it.

conv with pads p of pad(x, q)  =  conv with pads p + q of x         (q of value 0)
average pool                      the same, padding then counts
max pool                          where the border's value never wins: no input is smaller
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from nnshell.ir.graph import Graph, Node
from nnshell.ir.permutations import permuted
from nnshell.ir.work import Window
from nnshell.ops.average_pool import AveragePool
from nnshell.ops.channels_last import TO_FIRST, ChannelsLast
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.max_pool import MaxPool
from nnshell.ops.pad import Pad
from nnshell.passes.base import Notes, Pass
from nnshell.passes.known_range import known_range
from nnshell.passes.rewriting import live_nodes, readers

Border = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]  # (before, after) by axis


@dataclass(frozen=True)
class FoldPad(Pass):
    """Explicit padding in front of a convolution or pool, into its window."""

    name: ClassVar[str] = "fold-pad"
    nntool_names: ClassVar[tuple[str, ...]] = ("fuse_pad",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for pad in live_nodes(graph):
            if isinstance(pad.op, Pad):
                for reader in readers(graph, pad):
                    _fold(graph, pad, reader, notes)


def _fold(graph: Graph, pad: Node, reader: Node, notes: Notes) -> None:
    op = reader.op.inner if isinstance(reader.op, ChannelsLast) else reader.op
    if not isinstance(op, (Conv2D, MaxPool, AveragePool)):
        if not op.boundary:
            text = f"did not fold {pad.name} into {reader.name}: {reader.kind} has no window"
            notes.did_not(pad.name, text, reader.name)
        return
    border = _border(pad, reader)
    reason = _refusal(graph, pad, border, op)
    if reason:
        text = f"did not fold {pad.name} into {reader.name}: {reason}"
        notes.did_not(pad.name, text, reader.name)
        return
    window = _grown(op.window, border)
    grown = (
        AveragePool(window, count_include_pad=True)
        if isinstance(op, AveragePool)
        else replace(op, window=window)
    )
    outer = reader.op
    reader.op = replace(outer, inner=grown) if isinstance(outer, ChannelsLast) else grown
    reader.inputs[0] = pad.inputs[0]
    notes.touch(reader)
    pads = ", ".join(str(n) for n in window.pads)
    text = f"folded {pad.name} into {reader.name}, which now pads by ({pads}) top, left, ..."
    notes.did(reader.name, text, pad.name)


def _border(pad: Node, reader: Node) -> Border:
    """What the pad adds to channels, rows and columns, whatever order the reader has them in."""
    assert isinstance(pad.op, Pad)
    last = isinstance(reader.op, ChannelsLast)
    channels, rows, columns = permuted(pad.op.pads, TO_FIRST) if last else pad.op.pads
    return channels, rows, columns


def _grown(window: Window, border: Border) -> Window:
    (top, bottom), (left, right) = border[1:]
    sums = zip(window.pads, (top, left, bottom, right), strict=True)
    return replace(window, pads=tuple(a + b for a, b in sums))  # type: ignore[arg-type]


def _refusal(graph: Graph, pad: Node, border: Border, op: Conv2D | MaxPool | AveragePool) -> str:
    assert isinstance(pad.op, Pad)
    if border[0] != (0, 0):
        return "it pads channels, a window pads height and width"
    if isinstance(op, Conv2D):
        return _zero_refusal(pad.op)
    window = _grown(op.window, border)
    if any(n >= window.kernel[axis % 2] for axis, n in enumerate(window.pads)):
        return "a pool's padding has to be smaller than its window"
    if isinstance(op, MaxPool):
        low, _ = known_range(graph, pad.inputs[0])
        wins = pad.op.value > low
        return f"its border of {pad.op.value:g} could be the maximum" if wins else ""
    if op.window.padded and not op.count_include_pad:
        return "the pool leaves its own padding out of the mean, this padding counts"
    return _zero_refusal(pad.op)


def _zero_refusal(pad: Pad) -> str:
    return f"a window pads with 0, not with {pad.value:g}" if pad.value != 0 else ""
