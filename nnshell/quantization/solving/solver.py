"""Giving every tensor its record: what readers demand, what calibration saw, who wins.

The order of decisions, for each group of tensors that share a record (``groups``):

1. a kernel that leaves no choice (softmax in Q15, raw pixels);
2. what all its readers ask for alike, as the [-8, 8] of a stand-alone sigmoid;
3. the range of its producer, symmetric if a reader or the producer demands it, else asymmetric;
   of several producers, joined by a concat, the one with the largest scale.

Where a reader's demand cannot be met so, a quantize node in front of it makes the other record.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from nnshell.ir.basic_operators import Constant, Input, Output
from nnshell.ir.flat import FlatGraph, Item, Reader, Tensor, flatten
from nnshell.ir.graph import Graph
from nnshell.ir.qparams import INT8_BITS, QParams
from nnshell.ir.requests import Range
from nnshell.numeric.records import asymmetric_record, power_of_two_record, symmetric_record
from nnshell.ops.image_format import ImageFormat
from nnshell.ops.quantize import Quantize
from nnshell.quantization.learned import Learned
from nnshell.quantization.options import QuantizationOptions
from nnshell.quantization.ranges.clipping import clipped_range
from nnshell.quantization.ranges.statistics import Statistics, TensorStatistics
from nnshell.quantization.solving.groups import Candidate, Group, Grouping, group_tensors
from nnshell.support.errors import QuantizationError

_LOG = logging.getLogger(__name__)

# Of a range that a concat may cut off. NNTool has no such limit, so only what would leave next to
# nothing of an input is joined instead; from NOTABLE_LOSS on a warning says what is lost.
LARGEST_LOSS = 0.9
NOTABLE_LOSS = 0.25


class Solution:
    """Records of all tensors of a graph; ``conflicts`` are the inputs that need another one."""

    def __init__(
        self,
        graph: Graph,
        statistics: Statistics,
        options: QuantizationOptions,
        learned: Learned | None = None,
    ) -> None:
        self.flat: FlatGraph = flatten(graph)
        self.statistics = statistics
        self.options = options
        self.learned = learned
        self.grouping: Grouping = group_tensors(self.flat, options.kernel)
        self._records: dict[int, QParams] = {}
        self._kept: dict[tuple[str, str, int], Range] = {}  # clipped ranges
        self.warnings: dict[str, float] = {}  # share of a node's range that a concat cuts off
        self._open: set[int] = set()  # groups whose record is being made
        self._collect_demands()
        self.conflicts: list[Reader] = list(self.grouping.cuts)
        for group in self.grouping.all() if not self.conflicts else ():
            if not self._is_parameter(group):
                self._settle(group)

    # -- what is asked -------------------------------------------------------------------------

    def record(self, tensor: Tensor) -> QParams:
        """The record of a tensor that is not a parameter (weights, bias)."""
        if tensor in self.grouping.wide:
            return self._wide_record(tensor, self.grouping.wide[tensor])
        record = self._group_record(self.grouping.groups[tensor])
        return self._own_range(tensor, record) or record

    def _wide_record(self, tensor: Tensor, activation: Item) -> QParams:
        """int32 inside a fusion; where the kernel fixes the scale, the range says what was seen."""
        wide = activation.node.op.wide_record(self.record(activation.outputs[0]))
        seen = self.observed(self.flat.maker(tensor)) if wide.forced else None
        if seen is None:
            return wide
        low, high = np.array([seen.minimum]), np.array([seen.maximum])
        return replace(wide, minimum=low, maximum=high)

    def _own_range(self, tensor: Tensor, record: QParams) -> QParams | None:
        """A sum in front of its rectifier says what it saw, when that gives the same scale."""
        item = self.flat.maker(tensor)
        readers = self.flat.readers[tensor]
        if not item.node.op.symmetric_output or not any(
            reader.item.node.op.pushes_range for reader in readers
        ):
            return None
        seen = item.node.op.output_range(self.observed(item))
        if seen is None:
            return None
        own = symmetric_record(seen, f"node {item.path}", bits=record.bits)
        return replace(own, forced=record.forced) if own.same_record(record) else None

    def observed(self, item: Item) -> Range | None:
        """What calibration saw of an item, clipped as the options say; a constant's own range."""
        op = item.node.op
        if isinstance(op, Constant):
            value = op.value
            return Range(float(value.min()), float(value.max())) if value.size else Range(0.0, 0.0)
        learned = None if self.learned is None else self.learned.range_of(item.path)
        if learned is not None:
            return learned
        entry = self.statistics.find(item.path)
        if entry is None and isinstance(op, ImageFormat):
            entry = self.statistics.find(item.inputs[0].path)
        if entry is None and item.fusion is not None and item.ends_fusion:
            entry = self.statistics.find(item.fusion.name)
        if entry is None:
            return None
        return self._clipped(item, entry)

    def _clipped(self, item: Item, entry: TensorStatistics) -> Range:
        """Searched once for each node: it takes a while in histograms."""
        options = self.options.for_node(item.path)
        key = (item.path, options.clip_type, self._bits_of(item))
        if key not in self._kept:
            self._kept[key] = clipped_range(entry, options.clip_type, item.path, key[2])
        return self._kept[key]

    # -- widths --------------------------------------------------------------------------------

    def _bits_of(self, item: Item) -> int:
        """Of what an item makes. Graph inputs and what gives the graph's answer keep 8 bits,

        unless an option names just them: nothing is gained by rounding them, and much is lost.
        """
        group = self.grouping.groups.get(item.outputs[0]) if item.outputs else None
        if group is not None and self._is_edge(group, item):
            bits = self.options.for_node(item.path).act_bits
            return bits if self.options.names_bits(item.path) else max(bits, INT8_BITS)
        return self.options.for_node(item.path).act_bits

    def _is_edge(self, group: Group, item: Item) -> bool:
        if isinstance(item.node.op, Input | ImageFormat):
            return True
        return group.power_of_two or any(
            isinstance(reader.item.node.op, Output) and reader.item.graph is self.flat.graph
            for tensor in group.tensors
            for reader in self.flat.readers[tensor]
        )

    def _narrower(self, candidate: Candidate) -> bool:
        """Fewer than 8 bits are simulated, where no kernel asks for zero points of 0."""
        return self._bits_of(candidate.maker) < INT8_BITS

    def _is_parameter(self, group: Group) -> bool:
        """Weights and biases: the operator makes their records."""
        makers = [candidate.maker.node.op for candidate in group.candidates]
        if not all(isinstance(op, Constant) for op in makers):
            return False
        return all(
            reader.index in reader.item.node.op.parameters
            for tensor in group.tensors
            for reader in self.flat.readers[tensor]
        )

    # -- demands -------------------------------------------------------------------------------

    def _collect_demands(self) -> None:
        for tensor, group in self.grouping.groups.items():
            for reader in self.flat.readers[tensor]:
                op, index = reader.item.node.op, reader.index
                if op.demands_symmetric(index):
                    for candidate in group.candidate_of(tensor):
                        candidate.demanded = True
                    group.strict |= not (op.keeps_record and not isinstance(op, Output))
                group.power_of_two |= op.needs_power_of_two(index)

    def _settle(self, group: Group) -> None:
        """Meet the demands of single readers by the group's own record, or note a conflict."""
        readers = list(self._end_readers(group))
        fixed = [(reader, reader.item.node.op.input_record(reader.index)) for reader in readers]
        wishes = [record for _, record in fixed if record is not None]
        if wishes and len(wishes) == len(readers) and self._can_take(group, wishes):
            group.pushed = wishes[0]
            return
        self.conflicts += [r for r, record in fixed if record is not None]
        narrower = any(map(self._narrower, group.candidates))
        needing = [] if narrower else [r for r in readers if self._needs_symmetric(r)]
        if needing and self._group_record(group).zero_point != 0:
            if len(needing) == len(readers) and group.fixed is None:
                group.symmetric = True
                self._records.clear()  # others may follow this one
            else:
                self.conflicts += needing
        if self._group_record(group).dtype != "int8":
            self.conflicts += [r for r in readers if self._wants_int8(r)]

    def _end_readers(self, group: Group) -> Iterable[Reader]:
        """Readers that do not pass the record on, and the graph's outputs."""
        for tensor in group.tensors:
            for reader in self.flat.readers[tensor]:
                item = reader.item
                inside = any(output in group.tensors for output in item.outputs)
                if isinstance(item.node.op, Output) or not inside:
                    yield reader

    def _can_take(self, group: Group, wishes: list[QParams]) -> bool:
        """All wishes are one record, and it is the group's to choose."""
        same = all(wish.same_record(wishes[0]) for wish in wishes)
        return same and group.fixed is None

    def _needs_symmetric(self, reader: Reader) -> bool:
        op = reader.item.node.op
        return op.needs_symmetric(reader.index) or op.demands_symmetric(reader.index)

    def _wants_int8(self, reader: Reader) -> bool:
        return not isinstance(reader.item.node.op, Output | Quantize | ImageFormat)

    # -- records -------------------------------------------------------------------------------

    def _group_record(self, group: Group) -> QParams:
        known = self._records.get(id(group))
        if known is None:
            self._open.add(id(group))
            known = self._records[id(group)] = self._make_record(group)
            self._open.discard(id(group))
        return known

    def _make_record(self, group: Group) -> QParams:
        if group.fixed is not None:
            return group.fixed
        if group.pushed is not None:
            return group.pushed
        record = self._winner(group)
        return power_of_two_record(record) if group.power_of_two else record

    def _winner(self, group: Group) -> QParams:
        ranges = [self._range(candidate, group) for candidate in group.candidates]
        flags = [
            self._symmetric(entry) or (group.symmetric and not self._narrower(entry))
            for entry in group.candidates
        ]
        records = self._make_records(group, ranges, flags)
        best = max(records, key=lambda record: record.first_scale)
        if best.asymmetric and group.strict and best.bits >= INT8_BITS:
            records = self._make_records(group, ranges, [True] * len(ranges))
            best = max(records, key=lambda record: record.first_scale)
        losses = [_loss(best, entry) for entry in ranges] if len(ranges) > 1 else [0.0]
        for candidate, loss in zip(group.candidates, losses, strict=False):
            self.warnings.pop(candidate.source.path, None)  # of an earlier attempt
            if NOTABLE_LOSS < loss <= LARGEST_LOSS:
                self.warnings[candidate.source.path] = loss
        if max(losses) > LARGEST_LOSS:
            everything = [_union(ranges)]
            best = self._make_records(group, everything, [not best.asymmetric])[0]
        return replace(best, forced=group.strict)

    def _make_records(self, group: Group, ranges: list[Range], flags: list[bool]) -> list[QParams]:
        names = [candidate.source.path for candidate in group.candidates]
        bits = [self._bits_of(candidate.maker) for candidate in group.candidates]
        return [
            symmetric_record(entry, f"node {name}", bits=width)
            if symmetric
            else asymmetric_record(entry, f"node {name}", bits=width)
            for entry, symmetric, name, width in zip(ranges, flags, names, bits, strict=False)
        ]

    def _range(self, candidate: Candidate, group: Group) -> Range:
        item = candidate.source
        if isinstance(item.node.op, Quantize):
            found: Range | None = self._range_of_copy(item)
        else:
            observed = self.observed(item)
            found = item.node.op.output_range(observed)
        if found is None:
            raise QuantizationError(
                "there are no calibration statistics for it",
                where=f"node {item.path}",
                hint="calibrate first: aquant IMAGES, or fquant for random inputs",
            )
        return _union([found, *group.borders]) if group.borders else found

    def _range_of_copy(self, item: Item) -> Range:
        """A quantize node has the range of its input; behind a fixed record, what was seen."""
        given, maker = self.record(item.inputs[0]), self.flat.maker(item.inputs[0])
        observed = self.observed(maker)
        if given.dtype != "int8" and observed is not None:
            return observed
        return Range(float(given.minimum[0]), float(given.maximum[0]))

    def _symmetric(self, candidate: Candidate) -> bool:
        """Whether a candidate's own record has zero point 0."""
        item = candidate.maker
        op = item.node.op
        if self._narrower(candidate) and not isinstance(op, Constant):
            return not self.options.for_node(item.path).allow_asymmetric_out
        if candidate.demanded or op.symmetric_output or isinstance(op, Constant):
            return True
        if not self.options.for_node(item.path).allow_asymmetric_out:
            return True
        if isinstance(op, Input | ImageFormat):
            observed = self.observed(item)
            return observed is None or observed.minimum != 0.0
        if op.pushes_range:  # it could not push its range back, so it follows its input
            given = self.grouping.groups[item.inputs[0]]
            return id(given) in self._open or not self._group_record(given).asymmetric
        return False


def _union(ranges: list[Range]) -> Range:
    return Range(min(r.minimum for r in ranges), max(r.maximum for r in ranges))


def _loss(record: QParams, wanted: Range) -> float:
    """The part of a range that a record cuts off."""
    low, high = ((limit - record.zero_point) * record.first_scale for limit in record.limits)
    inside = min(high, wanted.maximum) - max(low, wanted.minimum)
    extent = wanted.maximum - wanted.minimum
    return 1.0 - inside / extent if extent > 0 else 0.0
