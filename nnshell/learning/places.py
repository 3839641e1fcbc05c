"""Where tensors are rounded when a quantized graph is trained: where the simulated engine does."""

from __future__ import annotations

from nnshell.ir.flat import FlatGraph, Item, Tensor
from nnshell.ir.qparams import FLOAT_BITS
from nnshell.quantization.solving.groups import Group, Grouping


def rounded_group(flat: FlatGraph, grouping: Grouping, item: Item, tensor: Tensor) -> Group | None:
    """The group whose record a tensor is rounded to; None where it needs no rounding."""
    quantization = item.node.quantization
    assert quantization is not None
    record = quantization.outputs[tensor.index]
    if _is_exact(flat, grouping, item, tensor) or record.bits == FLOAT_BITS:
        return None
    return grouping.groups[tensor] if record.dtype == "int8" else None


def _is_exact(flat: FlatGraph, grouping: Grouping, item: Item, tensor: Tensor) -> bool:
    """Wide, on its grid already, or rounded after the rectifier that shares its record."""
    if tensor in grouping.wide or (item.node.op.keeps_record and item.node.op.order_preserving):
        return True
    readers = flat.readers[tensor]
    if len(readers) != 1 or not readers[0].item.node.op.pushes_range:
        return False
    after = readers[0].item.outputs[0]
    return grouping.groups.get(after) is grouping.groups[tensor]
