"""What surrounds a node when it is asked for its records: observed ranges, options, widths.

An observed range is what calibration saw, clipped as the options say, or what was learned in its
place. It is looked up at the node that really makes a tensor, whatever fusion that is in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from nnshell.ir.basic_operators import Constant, Input, Output
from nnshell.ir.facts import union
from nnshell.ir.flat import FlatGraph, Item, Tensor
from nnshell.ir.qparams import INT8_BITS
from nnshell.ir.records import Record, RecordOptions, RecordQuestion
from nnshell.ir.requests import Range
from nnshell.ops.image_format import ImageFormat
from nnshell.quantization.learned import Learned
from nnshell.quantization.options import QuantizationOptions
from nnshell.quantization.ranges.clipping import clipped_range
from nnshell.quantization.ranges.statistics import Statistics, TensorStatistics
from nnshell.quantization.solving.network import Unit
from nnshell.support.errors import QuantizationError


@dataclass(slots=True, eq=False)
class Surroundings:
    """Everything about a graph that does not change while its records are searched."""

    flat: FlatGraph
    statistics: Statistics
    options: QuantizationOptions
    learned: Learned | None = None
    _clipped: dict[tuple[str, int, int], Range] = field(default_factory=dict)
    _options: dict[str, RecordOptions] = field(default_factory=dict)
    _facts: dict[str, tuple[bool, bool]] = field(default_factory=dict)
    _constants: dict[str, tuple[NDArray[Any] | None, ...]] = field(default_factory=dict)

    def question(
        self,
        unit: Unit,
        inputs: tuple[Record | None, ...],
        arriving: tuple[Record, ...],
        wishes: tuple[Record | None, ...],
        upwards: bool,
    ) -> RecordQuestion:
        assert unit.item is not None
        item = unit.item
        wide, late = self._facts_of(item)
        return RecordQuestion(
            item.path,
            inputs,
            arriving,
            wishes,
            upwards,
            _Seen(self, item, unit),
            item.node.outputs,
            self._constants_of(item),
            self._options_of(item),
            wide,
            late,
            item.fusion is not None,
            unit.memo,
            unit.records,
        )

    def scheme_of(self, unit: Unit) -> str:
        """The scheme that a unit computes in, or a constant is quantized in."""
        return self.options.for_node(unit.path).scheme

    # -- ranges ----------------------------------------------------------------------------

    def observed(self, item: Item, output: int = 0) -> Range | None:
        """What calibration saw of an item's output; a constant's own range; None without any."""
        op = item.node.op
        if isinstance(op, Constant):
            value = op.value
            return Range(float(value.min()), float(value.max())) if value.size else Range(0.0, 0.0)
        learned = None if self.learned is None else self.learned.range_of(item.path)
        if learned is not None:
            return learned
        entry = self.entry(item)
        if entry is None or (len(item.outputs) > 1 and not entry.outputs):
            return None  # outputs that were not told apart
        return self._clip(item, entry, output)

    def known(self, item: Item, output: int = 0) -> Range | None:
        """What was seen of an item's output or follows from its operator.

        Files of ranges often hold no more than what decided records once: of what only moves or
        joins values, the range of those counts, of a filter that of its activation.
        """
        seen = self.observed(item, output)
        if seen is None:
            seen = item.node.op.output_range(None)
        if seen is None and item.node.op.keeps_record and item.inputs:
            return self._joined(item)
        return self._of_reader(item, output) if seen is None else seen

    def _of_reader(self, item: Item, output: int) -> Range | None:
        """What the only reader makes of an item's output, perhaps after nodes that move it."""
        readers = self.flat.readers[Tensor(item.path, output)]
        if len(readers) != 1 or readers[0].item.node.op.boundary:
            return None
        reader = readers[0].item
        op = reader.node.op
        if not (op.keeps_record or op.pushes_range or op.needs_wide_input):
            return None
        seen = op.output_range(self.observed(reader))
        return self._of_reader(reader, 0) if seen is None else seen

    def _joined(self, item: Item) -> Range | None:
        """What arrives at a node that only moves or joins it."""
        parts = [self.known(self.flat.maker(tensor), tensor.index) for tensor in item.inputs]
        ranges = [part for part in parts if part is not None]
        if len(ranges) < len(parts):
            return None
        return union(ranges)

    def entry(self, item: Item) -> TensorStatistics | None:
        """What calibration kept of an item, or of the fusion that it ends."""
        entry = self.statistics.find(item.path)
        if entry is None and isinstance(item.node.op, ImageFormat):
            entry = self.statistics.find(item.inputs[0].path)
        if entry is None and item.fusion is not None and item.ends_fusion:
            entry = self.statistics.find(item.fusion.name)
        return entry

    def _clip(self, item: Item, entry: TensorStatistics, output: int) -> Range:
        """Searched once for each tensor: it takes a while in histograms."""
        bits = self._options_of(item).bits
        key = (item.path, output, bits)
        if key not in self._clipped:
            clip_type = self.options.for_node(item.path).clip_type
            part = entry.of_output(output)
            self._clipped[key] = clipped_range(part, clip_type, item.path, bits)
        return self._clipped[key]

    # -- options and facts -----------------------------------------------------------------

    def _options_of(self, item: Item) -> RecordOptions:
        if item.path not in self._options:
            options = self.options.for_node(item.path)
            bits = options.weight_bits
            chosen = None if self.learned is None else self.learned.filter_of(item.path, bits)
            self._options[item.path] = RecordOptions(
                options.kernel,
                options.allow_asymmetric_out,
                self._bits(item),
                chosen,
                options.scheme,
            )
        return self._options[item.path]

    def _bits(self, item: Item) -> int:
        """Of what an item makes. Graph inputs, what gives the graph's answer and what a softmax
        reads keep 8 bits, unless an option names just them: little is gained, much is lost."""
        bits = self.options.for_node(item.path).act_bits
        if bits >= INT8_BITS or self.options.names_bits(item.path):
            return bits
        if isinstance(item.node.op, Constant | Input | ImageFormat) or self._leads_to_end(item):
            return INT8_BITS
        return bits

    def _leads_to_end(self, item: Item) -> bool:
        """Whether a reader that needs 8 bits reads the item, perhaps after nodes that move."""
        waiting, seen = list(item.outputs), set(item.outputs)
        while waiting:
            for reader in self.flat.readers[waiting.pop()]:
                op = reader.item.node.op
                if op.reads_8_bits:
                    return True
                if op.keeps_record or op.pushes_range:
                    fresh = [tensor for tensor in reader.item.outputs if tensor not in seen]
                    waiting += fresh
                    seen.update(fresh)
        return False

    def _facts_of(self, item: Item) -> tuple[bool, bool]:
        """Whether a filter leaves int32 to the item, and whether an average stands before it."""
        if item.path not in self._facts:
            self._facts[item.path] = (reads_wide(self.flat, item), _clips_late(self.flat, item))
        return self._facts[item.path]

    def _constants_of(self, item: Item) -> tuple[NDArray[Any] | None, ...]:
        if item.path not in self._constants:
            makers = [self.flat.maker(tensor).node.op for tensor in item.inputs]
            self._constants[item.path] = tuple(
                op.value if isinstance(op, Constant) else None for op in makers
            )
        return self._constants[item.path]


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """Ranges around one item, read when they are needed."""

    surroundings: Surroundings
    item: Item
    unit: Unit

    def input(self, index: int) -> Range:
        tensor = self.item.inputs[index]
        maker = self.surroundings.flat.maker(tensor)
        seen = self.surroundings.known(maker, tensor.index)
        if seen is None:
            raise _missing(maker)
        return seen

    def output(self, index: int) -> Range:
        seen = self.find_output(index)
        if seen is None:
            raise _missing(self.item)
        return seen

    def accumulator(self) -> Range | None:
        entry = self.surroundings.statistics.find(self.item.path)
        return None if entry is None else entry.accumulator

    def activated(self) -> Range | None:
        readers = self.surroundings.flat.readers[self.item.outputs[0]]
        if self.item.fusion is None or len(readers) != 1:
            return None
        reader = readers[0].item
        if reader.fusion is not self.item.fusion or reader.node.op.role != "activation":
            return None
        return _Seen(self.surroundings, reader, self.unit).output(0)

    def inside(self, name: str) -> Range:
        entry = self.surroundings.entry(self.item)
        if entry is None or name not in entry.inside:
            raise _missing(self.item, f"'{name}'")
        return entry.inside[name]

    def find_output(self, index: int) -> Range | None:
        seen = self.surroundings.known(self.item, index)
        if seen is None and self.unit.accepted is not None:
            return self.unit.accepted.outputs[index].nominal
        return seen


def _missing(item: Item, what: str = "it") -> QuantizationError:
    return QuantizationError(
        f"there are no calibration statistics for {what}",
        where=f"node {item.path}",
        hint="calibrate first: aquant IMAGES, or fquant for random inputs",
    )


def reads_wide(flat: FlatGraph, item: Item) -> bool:
    """Whether a filter in the same fusion leaves int32 to the item, perhaps through pools."""
    if item.fusion is None or not item.node.op.needs_wide_input:
        return False
    maker = flat.maker(item.inputs[0])
    while maker.fusion is item.fusion and maker.node.op.keeps_record:
        maker = flat.maker(maker.inputs[0])
    return maker.fusion is item.fusion and maker.node.op.makes_wide


def _clips_late(flat: FlatGraph, item: Item) -> bool:
    """Whether values are averaged between the node that makes them and this one."""
    if not item.node.op.pushes_range:
        return False
    maker = flat.maker(item.inputs[0])
    while maker.node.op.keeps_record and maker.inputs and not isinstance(maker.node.op, Output):
        if not maker.node.op.order_preserving:
            return True
        maker = flat.maker(maker.inputs[0])
    return False
