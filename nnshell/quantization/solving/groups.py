"""Tensors of a quantized graph that share one record, and what each group of them is made from.

Nodes that keep their record pass it on; a rectifier shares that of the node before it where that
requantizes straight into its range. Who looks for better ranges changes a group's as one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nnshell.ir.basic_operators import Constant, Input
from nnshell.ir.flat import FlatGraph, Item, Reader, Tensor
from nnshell.ir.qparams import QParams
from nnshell.ir.requests import KernelOptions

_ANY = KernelOptions()


@dataclass(slots=True, eq=False)
class Candidate:
    """One producer in a group: where its range comes from."""

    maker: Item  # computes the integers
    source: Item  # whose statistics give the range: the maker, or the rectifier after it


@dataclass(slots=True, eq=False)
class Group:
    """Tensors with one record; ``free`` where no kernel fixes it and calibration chose it."""

    record: QParams
    tensors: set[Tensor] = field(default_factory=set)
    candidates: list[Candidate] = field(default_factory=list)
    free: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """Groups by tensor. Wide tensors (int32 inside a fusion) are in none of them."""

    flat: FlatGraph
    groups: dict[Tensor, Group]
    wide: frozenset[Tensor]

    def all(self) -> list[Group]:
        return list({id(group): group for group in self.groups.values()}.values())


def group_tensors(flat: FlatGraph) -> Grouping:
    """Sort the tensors of a quantized graph, its parameters excepted, into groups."""
    builder = _Builder(flat)
    for item in flat.items:
        builder.add(item)
    builder.mark_fixed()
    return Grouping(flat, builder.groups, frozenset(builder.wide))


class _Builder:
    def __init__(self, flat: FlatGraph) -> None:
        self.flat = flat
        self.groups: dict[Tensor, Group] = {}
        self.wide: set[Tensor] = set()

    def add(self, item: Item) -> None:
        quantization = item.node.quantization
        if quantization is None or _is_parameter(self.flat, item):
            return
        op = item.node.op
        for tensor, record in zip(item.outputs, quantization.outputs, strict=True):
            if record.dtype == "int32":
                self.wide.add(tensor)
                continue
            shared = [self.groups[t] for t in self._shared_inputs(item, record)]
            group = self._join(shared) if shared else Group(record)
            group.tensors.add(tensor)
            self.groups[tensor] = group
            if not shared:
                group.candidates.append(Candidate(item, item))
            elif op.pushes_range:
                for candidate in group.candidates:
                    if self._feeds(candidate, item):
                        candidate.source = item

    def _shared_inputs(self, item: Item, record: QParams) -> list[Tensor]:
        """Inputs whose record the output has because the node keeps it, or pushed it there."""
        result, op = item.node.quantization, item.node.op
        assert result is not None
        if not op.keeps_record and not (op.pushes_range and self._alone(item)):
            return []
        return [
            tensor
            for tensor, source in zip(item.inputs, result.inputs, strict=True)
            if tensor in self.groups and source.same_record(record)
        ]

    def _alone(self, item: Item) -> bool:
        """Whether nothing else reads what lies between the maker and the rectifier."""
        tensor = item.inputs[0]
        while True:
            maker = self.flat.maker(tensor)
            if len(self.flat.readers[tensor]) != 1 or isinstance(maker.node.op, Input):
                return False
            if not maker.node.op.keeps_record:
                return True
            if len(maker.inputs) != 1 or not maker.node.op.order_preserving:
                return False
            tensor = maker.inputs[0]

    def _feeds(self, candidate: Candidate, item: Item) -> bool:
        maker = self.flat.maker(item.inputs[0])
        while maker is not candidate.maker and maker.node.op.keeps_record and maker.inputs:
            maker = self.flat.maker(maker.inputs[0])
        return maker is candidate.maker or maker is candidate.source

    def _join(self, groups: list[Group]) -> Group:
        first = groups[0]
        for other in groups[1:]:
            if other is first:
                continue
            first.tensors |= other.tensors
            first.candidates += [c for c in other.candidates if c not in first.candidates]
            self.groups.update(dict.fromkeys(other.tensors, first))
        return first

    def mark_fixed(self) -> None:
        """Records that some kernel fixes are not free."""
        for group in {id(g): g for g in self.groups.values()}.values():
            makers = [candidate.maker for candidate in group.candidates]
            readers = [r for tensor in group.tensors for r in self.flat.readers[tensor]]
            group.free = not any(map(_is_fixed, makers)) and not any(
                self._asks_for_one(group, reader) for reader in readers
            )

    def _asks_for_one(self, group: Group, reader: Reader) -> bool:
        """Whether the reader's kernel assumes just this record, or a kind of scale."""
        op, result = reader.item.node.op, reader.item.node.quantization
        if result is None or reader.index >= len(result.inputs):
            return False
        asked = op.input_record(reader.index)
        same = asked is not None and asked.same_record(result.inputs[reader.index])
        softmax = op.reads_8_bits and not op.boundary
        return same or softmax


def _is_fixed(maker: Item) -> bool:
    op = maker.node.op
    known = not op.pushes_range and op.output_range(None) is not None and not op.keeps_record
    return known or isinstance(op, Constant) or op.output_record(_ANY) is not None


def _is_parameter(flat: FlatGraph, item: Item) -> bool:
    """Weights and biases: the operator that reads them makes their records."""
    if not isinstance(item.node.op, Constant):
        return False
    readers = flat.readers[item.outputs[0]]
    return all(reader.index in reader.item.node.op.parameters for reader in readers)
