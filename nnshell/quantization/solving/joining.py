"""What a common record loses: inputs of a concat whose range the largest scale cuts off."""

from __future__ import annotations

from nnshell.ir.flat import FlatGraph, Item, Tensor, flatten
from nnshell.ir.graph import Graph
from nnshell.ir.requests import Range
from nnshell.numeric.records import LARGEST_LOSS, NOTABLE_LOSS, loss
from nnshell.quantization.solving.seen import Surroundings


def cut_off(graph: Graph, surroundings: Surroundings) -> dict[str, float]:
    """The share of its observed range that each input of a concat loses, where it is notable."""
    flat = flatten(graph)
    losses: dict[str, float] = {}
    for item in flat.items:
        if len(item.inputs) < 2 or not item.node.op.keeps_record or item.node.quantization is None:
            continue
        for index, tensor in enumerate(item.inputs):
            maker = _maker(flat, tensor)
            seen = _range(surroundings, maker)
            if seen is None:
                continue
            share = loss(item.node.quantization.inputs[index], seen)
            if NOTABLE_LOSS < share <= LARGEST_LOSS:
                losses[maker.path] = share
    return losses


def _maker(flat: FlatGraph, tensor: Tensor) -> Item:
    """The node that computes what arrives, after nodes that move or requantize it."""
    maker = flat.maker(tensor)
    while len(maker.inputs) == 1 and (
        maker.node.op.keeps_record or maker.node.op.made_by_quantizer
    ):
        maker = flat.maker(maker.inputs[0])
    return maker


def _range(surroundings: Surroundings, maker: Item) -> Range | None:
    return maker.node.op.output_range(surroundings.observed(maker))
