"""All losses that a quantized graph shows by itself, without running it."""

from __future__ import annotations

from collections.abc import Iterator

from nnshell.ir.flat import FlatGraph, Item, flatten
from nnshell.ir.graph import Graph
from nnshell.ir.requests import Range
from nnshell.ir.widths import has_chip_widths
from nnshell.quantization.learned import Learned
from nnshell.quantization.losses.filters import filter_losses
from nnshell.quantization.losses.loss import Loss
from nnshell.quantization.losses.maps import (
    channel_spread,
    cut_ranges,
    joined_ranges,
    pool_padding,
    table_steps,
)
from nnshell.quantization.options import QuantizationOptions
from nnshell.quantization.ranges.statistics import Statistics
from nnshell.quantization.solving.seen import Surroundings

FEWEST_SAMPLES = 8


def find_losses(
    graph: Graph,
    statistics: Statistics,
    options: QuantizationOptions | None = None,
    learned: Learned | None = None,
) -> list[Loss]:
    """Losses of a quantized graph, in the order of its nodes.

    ``statistics``, ``options`` and ``learned`` are what it was quantized from. Raises
    QuantizationError when the graph is not quantized. Widths that no chip has are simulated and
    lose what they lose: nothing is said of them.
    """
    graph.require_quantized()
    if not has_chip_widths(graph):
        return []
    flat = flatten(graph)
    around = Surroundings(flat, statistics, options or QuantizationOptions(), learned)
    losses = list(_samples(statistics, graph.name))
    for item in flat.items:
        made = item.node.quantization
        idle = item.node.op.role in ("constant", "input") or item.node.op.boundary
        if not idle and made is not None and made.scheme == "SQ8":
            losses += _of_item(flat, item, around)
    return [*losses, *cut_ranges(around)]


def _of_item(flat: FlatGraph, item: Item, around: Surroundings) -> Iterator[Loss]:
    seen = around.known(item) if item.outputs else None
    yield from filter_losses(flat, item, seen)
    yield from channel_spread(flat, item)
    yield from pool_padding(flat, item, seen)
    yield from table_steps(flat, item, _read(flat, item, around))
    yield from joined_ranges(flat, item, around)


def _read(flat: FlatGraph, item: Item, around: Surroundings) -> Range | None:
    """What arrives at input 0, as far as it was seen."""
    if not item.inputs:
        return None
    tensor = item.inputs[0]
    return around.known(flat.maker(tensor), tensor.index)


def _samples(statistics: Statistics, name: str) -> Iterator[Loss]:
    if 0 < statistics.samples < FEWEST_SAMPLES:
        count = statistics.samples
        noun = "sample" if count == 1 else "samples"
        text = f"calibrated on {count} {noun}: ranges of other inputs may be wider"
        advice = f"give `aquant` {FEWEST_SAMPLES} or more"
        yield Loss("few_samples", name, 1 / count, "1 / samples", text, advice=advice)
