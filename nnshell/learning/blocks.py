"""A graph cut into blocks that are learned one after the other.

A block ends where one tensor holds all that later nodes read, so that a residual branch and its
shortcut are one block (Y. Li et al., "BRECQ: pushing the limit of post-training quantization by
block reconstruction", 2021). What would be longer than ``LONGEST`` filters is cut after every
filter instead, with the activation that follows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nnshell.ir.basic_operators import Constant
from nnshell.ir.flat import FlatGraph, Item, Tensor
from nnshell.numeric.kernels.filters import FilterKernel

LONGEST = 6  # filters in a block


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Items in order, the tensors they read from before, and the one they are judged by."""

    items: tuple[Item, ...]
    inputs: tuple[Tensor, ...]
    output: Tensor

    @property
    def filters(self) -> list[Item]:
        """Its filters, in step order."""
        return [item for item in self.items if is_filter(item)]


def is_filter(item: Item) -> bool:
    """Whether the item is quantized as a filter with constant weights."""
    quantization = item.node.quantization
    plain = item.node.op.role == "filter"
    return plain and quantization is not None and isinstance(quantization.kernel, FilterKernel)


def blocks_of(flat: FlatGraph) -> list[Block]:
    """Blocks with filters, in order; what is computed before and between them is in none."""
    results: list[Block] = []
    for items in _segments(flat):
        filters = sum(map(is_filter, items))
        if filters > LONGEST:
            results += [block for item in items if is_filter(item) for block in [_unit(flat, item)]]
        elif filters:
            results.append(_block(flat, items))
    return results


def all_blocks(flat: FlatGraph, blocks: Sequence[Block]) -> Block:
    """From the first block to the last, and what is computed between them."""
    first, last = (flat.items.index(i) for i in (blocks[0].items[0], blocks[-1].items[-1]))
    return _block(flat, _computing(flat.items[first : last + 1]))


def _computing(items: Sequence[Item]) -> list[Item]:
    return [i for i in items if i.node.op.role != "constant" and not i.node.op.boundary]


def _segments(flat: FlatGraph) -> list[list[Item]]:
    items = _computing(flat.items)
    cuts = _cuts(flat, items)
    segments: list[list[Item]] = [[]]
    for position, item in enumerate(items):
        segments[-1].append(item)
        following = items[position + 1] if position + 1 < len(items) else None
        done = any(map(is_filter, segments[-1]))
        if position in cuts and done and following is not None and not _belongs(item, following):
            segments.append([])
    return segments


def _cuts(flat: FlatGraph, items: Sequence[Item]) -> set[int]:
    """Positions after which one tensor alone, the item's own, is read later."""
    last: dict[Tensor, int] = {}
    for position, item in enumerate(items):
        last.update(dict.fromkeys(item.inputs, position))
    live: set[Tensor] = {t for t in last if _is_given(flat, t)}
    cuts = set()
    for position, item in enumerate(items):
        live |= {tensor for tensor in item.outputs if tensor in last}
        live -= {tensor for tensor in item.inputs if last[tensor] <= position}
        if live <= {item.outputs[0]}:
            cuts.add(position)
    return cuts


def _is_given(flat: FlatGraph, tensor: Tensor) -> bool:
    """Whether a tensor is a graph input."""
    op = flat.maker(tensor).node.op
    return op.boundary and op.role != "constant"


def _belongs(item: Item, following: Item) -> bool:
    """Whether an item finishes what the one before it computes: activation, pool of a fusion."""
    if item.fusion is not None and item.fusion is following.fusion:
        return True
    return following.node.op.pushes_range


def _unit(flat: FlatGraph, item: Item) -> Block:
    """A filter and what finishes it."""
    items = [item]
    while True:
        readers = flat.readers[items[-1].outputs[0]]
        if len(readers) != 1 or not _belongs(items[-1], readers[0].item):
            return _block(flat, items)
        following = readers[0].item
        if is_filter(following) or len(_activations(flat, following)) != 1:
            return _block(flat, items)
        items.append(following)


def _activations(flat: FlatGraph, item: Item) -> list[Tensor]:
    return [t for t in item.inputs if not isinstance(flat.maker(t).node.op, Constant)]


def _block(flat: FlatGraph, items: Sequence[Item]) -> Block:
    results = {tensor for item in items for tensor in item.outputs}
    values = [t for item in items for t in _activations(flat, item) if t not in results]
    return Block(tuple(items), tuple(dict.fromkeys(values)), items[-1].outputs[0])
