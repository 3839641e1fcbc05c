"""Filters larger than their feature map.

Tap k of a window (dilation d, pad p before, stride s) reads element o*s + k*d - p for output o.
A first or last tap that reads only padding for every o contributes nothing to a convolution and
never wins a maximum, so it can go: without the first tap p becomes p - d, without the last one
the pad after shrinks by d. The kernels refuse windows larger than what they read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from nnshell.ir.graph import Graph, Node
from nnshell.ir.work import Window
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.max_pool import MaxPool
from nnshell.passes.base import Notes, Pass
from nnshell.passes.rewriting import live_nodes, set_constant


@dataclass(frozen=True)
class CropFilters(Pass):
    """Convolution or max pool with a window larger than its input, without the outer taps."""

    name: ClassVar[str] = "crop-filters"
    nntool_names: ClassVar[tuple[str, ...]] = ("filter_bigger_than_input",)

    def rewrite(self, graph: Graph, notes: Notes) -> None:
        for node in live_nodes(graph):
            before = node.op.sliding_window()
            if before is not None and isinstance(node.op, (Conv2D, MaxPool)):
                self._crop(graph, node, before, notes)

    def _crop(self, graph: Graph, node: Node, before: Window, notes: Notes) -> None:
        extents = graph.type_of(node.inputs[0]).shape[1:]
        keep = [_live_taps(before, axis, extents[axis]) for axis in (0, 1)]
        if [len(taps) for taps in keep] == list(before.kernel):
            return
        window = _cropped(before, keep)
        if node.op.role == "filter":
            weights = graph.constant(node.inputs[1])
            if weights is None:
                return
            rows, columns = (slice(taps.start, taps.stop) for taps in keep)
            set_constant(graph, node, 1, weights[:, :, rows, columns])
        node.op = node.op.with_window(window)
        notes.touch(node)
        old, new = ("x".join(map(str, w.kernel)) for w in (before, window))
        text = f"cropped the {old} window of {node.name} to {new}: the rest sees only padding"
        notes.did(node.name, text)


def _live_taps(window: Window, axis: int, extent: int) -> range:
    """The taps to keep along an axis; all of them unless the window is larger than the input."""
    count, dilation = window.kernel[axis], window.dilations[axis]
    if dilation * (count - 1) + 1 <= extent:
        return range(count)
    before, after = window.pads[axis], window.pads[axis + 2]
    stride = window.strides[axis]
    outputs = (extent + before + after - dilation * (count - 1) - 1) // stride + 1
    alive = [
        tap
        for tap in range(count)
        if any(0 <= o * stride + tap * dilation - before < extent for o in range(outputs))
    ]
    if not alive:
        return range(count)
    first = min(alive[0], before // dilation)  # the pads that remain cannot be negative
    last = max(alive[-1], count - 1 - after // dilation)
    return range(first, last + 1)


def _cropped(window: Window, keep: list[range]) -> Window:
    pads = list(window.pads)
    for axis, taps in enumerate(keep):
        pads[axis] -= taps.start * window.dilations[axis]
        pads[axis + 2] -= (window.kernel[axis] - taps.stop) * window.dilations[axis]
    top, left, bottom, right = pads
    kernel = (len(keep[0]), len(keep[1]))
    return replace(window, kernel=kernel, pads=(top, left, bottom, right))
