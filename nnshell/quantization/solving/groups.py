"""Which tensors share one record, and what each group of them is made from.

A tensor and what only moves it (reshape, split, pool, concat ...) share a record. A relu shares
that of the node before it, which then requantizes straight into the relu's range, when nothing
else reads what is between. A concat joins its inputs: the record with the largest scale wins.

A group is found from the graph alone; ``solver`` gives it its record.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nnshell.ir.basic_operators import Input
from nnshell.ir.flat import FlatGraph, Item, Reader, Tensor
from nnshell.ir.qparams import QParams
from nnshell.ir.requests import KernelOptions, Range
from nnshell.numeric.records import fixed_record
from nnshell.ops.concat import Concat
from nnshell.ops.image_format import ImageFormat
from nnshell.ops.max_pool import MaxPool


@dataclass(slots=True, eq=False)
class Candidate:
    """One producer in a group: where its range comes from and what its readers ask of it."""

    maker: Item  # computes the integers
    source: Item  # whose statistics give the range: the maker, or the relu behind it
    tensors: set[Tensor]
    demanded: bool = False  # a reader that it alone serves needs zero point 0


@dataclass(slots=True, eq=False)
class Group:
    """Tensors with one record."""

    tensors: set[Tensor]
    candidates: list[Candidate]
    fixed: QParams | None = None  # the kernel leaves no choice
    borders: list[Range] = field(default_factory=list)  # values that pads add
    power_of_two: bool = False
    strict: bool = False  # a reader cannot do without zero point 0, whichever candidate wins
    pushed: QParams | None = None  # what all readers ask for
    symmetric: bool = False  # what all readers ask for

    def candidate_of(self, tensor: Tensor) -> list[Candidate]:
        """The candidates that a demand on ``tensor`` concerns: its own, or all behind a concat."""
        own = [entry for entry in self.candidates if tensor in entry.tensors]
        return own or self.candidates


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """Groups by tensor. Wide tensors (int32 inside a fusion) are in none of them."""

    flat: FlatGraph
    groups: dict[Tensor, Group]
    wide: dict[Tensor, Item]  # int32 tensor -> the activation that reads it
    cuts: tuple[Reader, ...]  # concat inputs whose fixed record does not fit the others

    def all(self) -> list[Group]:
        return list({id(group): group for group in self.groups.values()}.values())


def group_tensors(flat: FlatGraph, options: KernelOptions) -> Grouping:
    """Sort all tensors of the graph into groups."""
    builder = _Builder(flat, options)
    for item in flat.items:
        builder.add(item)
    return Grouping(flat, builder.groups, builder.wide, tuple(builder.cuts))


class _Builder:
    def __init__(self, flat: FlatGraph, options: KernelOptions) -> None:
        self.flat = flat
        self.options = options
        self.wide = _wide_tensors(flat)
        self.groups: dict[Tensor, Group] = {}
        self.cuts: list[Reader] = []

    def add(self, item: Item) -> None:
        if item.outputs and item.outputs[0] in self.wide:
            return
        op = item.node.op
        if isinstance(op, Concat):
            self._join(item)
        elif op.keeps_record:
            self._follow(item)
        elif op.pushes_range and self._pushes(item):
            self._follow(item, source=item)
        else:
            self._start(item)

    def _start(self, item: Item) -> None:
        tensors = set(item.outputs)
        group = Group(tensors, [Candidate(item, item, set(tensors))], self._fixed(item))
        self.groups.update(dict.fromkeys(tensors, group))

    def _fixed(self, item: Item) -> QParams | None:
        """The record that only the kernel decides about."""
        op = item.node.op
        if isinstance(op, Input):
            dtype = op.type.dtype
            return fixed_record(1.0, dtype) if dtype in ("uint8", "uint16") else None
        return op.output_record(self.options)

    def _follow(self, item: Item, source: Item | None = None) -> None:
        """The record of input 0 is that of the outputs."""
        given, outputs = item.inputs[0], item.outputs
        group = self.groups[given]
        group.tensors.update(outputs)
        self.groups.update(dict.fromkeys(outputs, group))
        for candidate in group.candidates:
            if given in candidate.tensors:
                candidate.tensors.update(outputs)
                candidate.source = source or self._pooled(item) or candidate.source
        border = item.node.op.output_range(None)
        if source is None and border is not None:
            group.borders.append(border)

    def _pooled(self, item: Item) -> Item | None:
        """A max pool fused behind a filter: the filter's range is what the pool lets through."""
        maker = self.flat.maker(item.inputs[0])
        behind_filter = maker.fusion is not None and maker.fusion is item.fusion
        if isinstance(item.node.op, MaxPool) and behind_filter and maker.node.op.makes_wide:
            return item
        return None

    def _join(self, item: Item) -> None:
        """Concat: one group of all inputs, except those whose record is fixed differently."""
        groups = [self.groups[tensor] for tensor in item.inputs]
        fixed = [group.fixed for group in groups]
        first = fixed[0]
        same = first is not None and all(
            record is not None and record.same_record(first) for record in fixed
        )
        joined: Group | None = None
        for index, group in enumerate(groups):
            if group.fixed is not None and not same:
                self.cuts.append(Reader(item, index))
            else:
                joined = group if joined is None else self._merge(joined, group)
        if joined is None:  # every input is cut and comes back through a quantize node
            self._start(item)
            return
        joined.tensors.update(item.outputs)
        self.groups.update(dict.fromkeys(item.outputs, joined))

    def _merge(self, one: Group, other: Group) -> Group:
        if one is other:
            return one
        one.tensors |= other.tensors
        one.candidates += other.candidates
        one.borders += other.borders
        self.groups.update(dict.fromkeys(other.tensors, one))
        return one

    def _pushes(self, item: Item) -> bool:
        """Whether the chain from the producer to ``item`` has no other reader.

        An average pool ends it: clipping before the mean is not clipping behind it.
        """
        tensor = item.inputs[0]
        while True:
            maker = self.flat.maker(tensor)
            op = maker.node.op
            if len(self.flat.readers[tensor]) != 1 or tensor not in self.groups:
                return False
            if not op.keeps_record:
                return not isinstance(op, Input | ImageFormat) and self._free(tensor)
            if len(maker.inputs) != 1 or len(maker.outputs) != 1 or not op.order_preserving:
                return False
            tensor = maker.inputs[0]

    def _free(self, tensor: Tensor) -> bool:
        return self.groups[tensor].fixed is None


def _wide_tensors(flat: FlatGraph) -> dict[Tensor, Item]:
    """Filter results that stay int32 because a fused activation reads them, pools included."""
    wide: dict[Tensor, Item] = {}
    for item in flat.items:
        if item.fusion is None or not item.node.op.needs_wide_input:
            continue
        chain = [item.inputs[0]]
        maker = flat.maker(chain[0])
        while maker.fusion is item.fusion and maker.node.op.keeps_record:
            chain.append(maker.inputs[0])
            maker = flat.maker(chain[-1])
        if maker.fusion is item.fusion and maker.node.op.makes_wide:
            wide.update(dict.fromkeys(chain, item))
    return wide
