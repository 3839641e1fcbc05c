"""One output value by hand: from the integers that are read to the integer that is written.

Every line stands for a step of the kernel, with the real number that its integer means beside it.
A fused node is worked through from its filter to its end; where a pool takes the largest of a
window, the value that wins is followed. The last line says whether the integer engine agrees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.float_engine import FloatEngine
from nnshell.execution.integer_engine import IntegerEngine, quantize_input
from nnshell.ir.arithmetic import integers_of
from nnshell.ir.flat import Item, Tensor, flatten
from nnshell.ir.graph import Graph, Ref
from nnshell.ir.qparams import QParams
from nnshell.ir.requests import POW2
from nnshell.numeric.fixed_point import Multiplier, round_half_up, rounding_shift, wrap_int32
from nnshell.numeric.kernels.filters import FilterKernel
from nnshell.numeric.kernels.fixed import FixedFilterKernel
from nnshell.numeric.kernels.sums import SumKernel
from nnshell.ops.families.recurrent import Recurrent
from nnshell.reports import fixed_point
from nnshell.reports.recurrent import step_lines
from nnshell.support.errors import UsageError

Place = tuple[int, ...]
IntArray = NDArray[np.int64]

_LISTED = 12  # products of a filter that are written out
_SMALL = 32  # values of a vector that are written out
_GLOBAL_POOLS = ("global_max", "global_mean")
_POOLS = ("max_pool", "mean_pool", *_GLOBAL_POOLS)


@dataclass(slots=True)
class Worked:
    """One output value: lines to read, and the numbers for programs."""

    node: str
    place: Place
    lines: list[str] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)
    products_sum: int | None = None
    bias: int | None = None
    accumulator: int | None = None
    multiplier: int | None = None
    shift: int | None = None
    integer: int = 0
    real: float = 0.0
    floating: float = 0.0
    computed: dict[str, int] = field(default_factory=dict)  # by hand, by path; for checks

    def to_json(self) -> dict[str, Any]:
        """All numbers, by name."""
        return {
            "node": self.node,
            "at": list(self.place),
            "inputs": self.inputs,
            "weights": self.weights,
            "products_sum": self.products_sum,
            "bias": self.bias,
            "accumulator": self.accumulator,
            "multiplier": self.multiplier,
            "shift": self.shift,
            "integer": self.integer,
            "real": self.real,
            "float": self.floating,
        }


def work_through(
    graph: Graph, key: str, sample: Sequence[NDArray[Any]], place: Place | None = None
) -> Worked:
    """The value of node ``key`` at ``place`` (the middle by default) for one sample.

    ``sample`` has an array without a batch axis for each graph input. Raises QuantizationError
    when the graph is not quantized, UsageError for a node that computes nothing or a place outside
    of its output.
    """
    return _Worker(graph, sample).work(key, place)


def random_sample(graph: Graph, seed: int = 0) -> list[NDArray[Any]]:
    """A sample within the ranges of the graph's inputs, for want of a real one."""
    engine, generator = IntegerEngine(graph), np.random.default_rng(seed)
    sample: list[NDArray[Any]] = []
    for node in graph.inputs:
        record = engine.record(node.name)
        ends = np.array([record.minimum[0], record.maximum[0]])
        low, high = record.quantize(ends) if record.fixed_point else record.limits
        integers = np.asarray(generator.integers(low, high + 1, node.type.shape))
        raw = record.dtype in ("uint8", "uint16")
        array = integers.astype(record.dtype) if raw else record.dequantize(integers)
        sample.append(array.reshape(node.type.shape))
    return sample


class _Worker:
    """Integers of every tensor for one sample, and the rules that explain one of them."""

    def __init__(self, graph: Graph, sample: Sequence[NDArray[Any]]) -> None:
        self._engine = IntegerEngine(graph)
        self._graph, self._flat = graph, flatten(graph)
        self._batch = [np.asarray(array)[np.newaxis] for array in sample]
        self._integers = {
            key: values[0].astype(np.int64) for key, values in self._engine.run(self._batch).items()
        }
        for (name, _), array in zip(self._engine.inputs, self._batch, strict=True):
            self._integers[name] = quantize_input(array, self._engine.record(name))[0]

    def work(self, key: str, place: Place | None) -> Worked:
        """One element of a node's output by hand; by default the one in the middle."""
        item = self._end_of(key)
        shape = item.node.outputs[0].shape
        place = tuple(extent // 2 for extent in shape) if place is None else place
        if len(place) != len(shape) or any(
            not 0 <= at < extent for at, extent in zip(place, shape, strict=True)
        ):
            raise UsageError(
                f"{_spelled(place)} lies outside of its output",
                where=f"node {key}",
                hint=f"its shape is {_spelled(shape)}: --at takes {len(shape)} numbers from 0",
            )
        worked = Worked(key, place)
        steps = self._steps(item, place)
        for step_item, step_place in steps:
            worked.lines.append(
                f"{step_item.path} ({step_item.node.kind}) at {_spelled(step_place)}"
            )
            _rule(step_item)(self, step_item, step_place, worked)
        tensor, record = item.outputs[0], self._record(item)
        worked.integer = int(self.value(tensor)[place])
        worked.real = _real(record, worked.integer)
        floats = FloatEngine(self._graph, [tensor.path]).run(self._batch)[tensor.path]
        worked.floating = float(floats[0][place])
        worked.lines.append(
            f"result: {worked.integer} stands for {worked.real:.6g}; the float graph has "
            f"{worked.floating:.6g}, {abs(worked.real - worked.floating):.3g} away "
            f"({abs(worked.real - worked.floating) / record.first_scale:.2f} steps)"
        )
        return worked

    # -- the way through a fusion --------------------------------------------------------------

    def _end_of(self, key: str) -> Item:
        """The item that makes what the node gives."""
        if key in self._flat.by_path:
            item = self._flat.by_path[key]
        elif key in self._graph and self._graph[key].body is not None:
            item = self._flat.maker(self._flat.resolve(Ref(key)))
        else:
            raise UsageError("it computes nothing", where=f"node {key}")
        if item.node.op.role == "constant" or not item.inputs:
            raise UsageError(
                "it computes nothing: it is there from the start",
                where=f"node {key}",
                hint=f"`weights {key} --values` prints a constant",
            )
        return item

    def _steps(self, item: Item, place: Place) -> list[tuple[Item, Place]]:
        """Items of the same fusion from its beginning to ``item``, each at its own place."""
        steps = [(item, place)]
        while True:
            before = self._flat.maker(item.inputs[0])
            if item.fusion is None or before.fusion is not item.fusion:
                return steps[::-1]
            place = self._source(item, place)
            item = before
            steps.append((item, place))

    def _source(self, item: Item, place: Place) -> Place:
        """The element of input 0 that an element of the output comes from."""
        op = item.node.op
        if op.role in _POOLS:
            places, values = self.window(item, place)
            return places[int(np.argmax(values))]
        shape = item.graph.input_types(item.node)[0].shape
        return place if len(shape) == len(place) else (0,) * len(shape)

    # -- what rules ask ------------------------------------------------------------------------

    def value(self, tensor: Tensor) -> IntArray:
        """Integers of a tensor; of a constant, those its node was quantized to."""
        if tensor.key in self._integers:
            integers: IntArray = self._integers[tensor.key]
            return integers
        quantization = self._flat.maker(tensor).node.quantization
        assert quantization is not None and quantization.kernel is not None
        values: IntArray = np.asarray(quantization.kernel.values, np.int64)
        return values

    def _record(self, item: Item) -> QParams:
        assert item.node.quantization is not None
        return item.node.quantization.output

    def window(self, item: Item, place: Place) -> tuple[list[Place], IntArray]:
        """Places and integers that a pool sees, those in the padding left out."""
        x = self.value(item.inputs[0])
        types = item.graph.input_types(item.node)
        window = item.node.op.work(types, item.node.outputs).window
        channel, row, column = place[0], *(place[1:3] if len(place) == 3 else (0, 0))
        if item.node.op.role in _GLOBAL_POOLS or window is None:
            places: list[Place] = [
                (channel, r, c) for r in range(x.shape[1]) for c in range(x.shape[2])
            ]
        else:
            rows = _seen(row, window.kernel[0], window.strides[0], window.dilations[0])
            columns = _seen(column, window.kernel[1], window.strides[1], window.dilations[1])
            top, left = window.pads[:2]
            places = [
                (channel, r - top, c - left)
                for r in rows
                for c in columns
                if 0 <= r - top < x.shape[1] and 0 <= c - left < x.shape[2]
            ]
        return places, np.array([x[p] for p in places], np.int64)

    def name(self, tensor: Tensor) -> str:
        """The node's name and, after #, which of its outputs."""
        return tensor.path if not tensor.index else f"{tensor.path}#{tensor.index}"


def _seen(at: int, kernel: int, stride: int, dilation: int) -> list[int]:
    return [at * stride + tap * dilation for tap in range(kernel)]


def _spelled(place: Sequence[int]) -> str:
    return ",".join(map(str, place)) or "()"


def _real(record: QParams, integer: int) -> float:
    return float((integer - record.zero_point) * record.first_scale)


# -- one rule for each role ------------------------------------------------------------------


def _filter(worker: _Worker, item: Item, place: Place, worked: Worked) -> None:
    """sum(w x) + b, times the multiplier, shifted, clipped."""
    quantization = item.node.quantization
    assert quantization is not None
    kernel: FilterKernel = quantization.kernel
    channel = place[0] if len(place) in (1, 3) else place[-1]
    x, weights = _taps(worker, item, place, channel)
    data, output = quantization.input, quantization.output
    unit = float(
        np.ravel(quantization.inputs[2].scale)[channel % quantization.inputs[2].scale.size]
    )
    step = float(
        np.ravel(quantization.inputs[1].scale)[channel % quantization.inputs[1].scale.size]
    )
    total, bias = int((x * weights).sum()), int(kernel.bias[channel])
    place_of = channel % kernel.multiplier.size
    multiplier, shift = int(kernel.multiplier[place_of]), int(kernel.shift[place_of])
    accumulator = int(wrap_int32(total + bias))
    scaled = int(rounding_shift(wrap_int32(accumulator * multiplier), shift))
    low, high = output.limits
    result = min(max(scaled, low), high)
    listed = " + ".join(f"{w}*{q}" for w, q in zip(weights[:_LISTED], x, strict=False))
    more = f" + ... ({x.size} products)" if x.size > _LISTED else ""
    real = _bias_of(worker, item, channel)
    parts = _bias_parts(quantization, kernel, channel, real, unit)
    worked.inputs, worked.weights = [int(q) for q in x], [int(w) for w in weights]
    worked.computed[item.path] = result
    worked.products_sum, worked.bias, worked.accumulator = total, bias, accumulator
    worked.multiplier, worked.shift = multiplier, shift
    worked.lines += [
        f"  x    integers of {worker.name(item.inputs[0])}: real = {data.first_scale:.8g} * "
        f"(x - {data.zero_point})",
        f"  w    integers of channel {channel}: real = {step:.8g} * w",
        f"  sum  {listed}{more} = {total:,}",
        f"  b    {bias:,} = {parts}",
        f"  acc  {total:,} + {bias:,} = {accumulator:,}   (int32, unit {unit:.6g})",
        f"  M    acc * {multiplier} >> {shift} = {accumulator * multiplier / 2.0**shift:.3f}, "
        f"rounded half up: {scaled}   ({multiplier} / 2^{shift} = "
        f"{multiplier * 2.0**-shift:.6g} for {unit / output.first_scale:.6g})",
        f"  y    clipped to {low}..{high}: {result}   = {_real(output, result):.6g}",
    ]


def _taps(worker: _Worker, item: Item, place: Place, channel: int) -> tuple[IntArray, IntArray]:
    """Integers that a filter multiplies for one output value: inputs and weights, aligned."""
    quantization = item.node.quantization
    assert quantization is not None
    x, weights = worker.value(item.inputs[0]), quantization.kernel.weights.astype(np.int64)
    types = item.graph.input_types(item.node)
    work = item.node.op.work(types, item.node.outputs)
    if item.node.op.role == "normalization":
        return x[place].reshape(-1), weights[channel].reshape(-1)
    if work.window is None or x.ndim != 3 or item.node.op.reads_flat:
        return x.reshape(-1), weights[channel].reshape(-1)
    window, row, column = work.window, place[1], place[2]
    top, left, bottom, right = window.pads
    padded = np.pad(
        x,
        ((0, 0), (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))),
        constant_values=quantization.input.zero_point,
    )
    rows = _seen(row, window.kernel[0], window.strides[0], window.dilations[0])
    columns = _seen(column, window.kernel[1], window.strides[1], window.dilations[1])
    groups = max(work.groups, 1)
    inputs, filters = x.shape[0] // groups, len(weights) // groups
    first = (channel // filters) * inputs
    seen = padded[first : first + inputs][:, rows][:, :, columns]
    return seen.reshape(-1), weights[channel].reshape(-1)


def _bias_of(worker: _Worker, item: Item, channel: int) -> float:
    op = worker._flat.maker(item.inputs[2]).node.op if len(item.inputs) > 2 else None
    value = None if op is None else op.known_value
    return 0.0 if value is None else float(np.ravel(value)[channel])


def _bias_parts(result: Any, kernel: FilterKernel, channel: int, real: float, unit: float) -> str:
    """rnd(b / sA) - zI * sum(w) + rnd(zO * sO / sA), or what was learned instead."""
    own = int(round_half_up(np.float64(real / unit)))
    moved = -result.input.zero_point * int(kernel.weights[channel].astype(np.int64).sum())
    target = int(
        round_half_up(np.float64(result.output.zero_point * result.output.first_scale / unit))
    )
    if own + moved + target != int(kernel.bias[channel]):
        return "chosen for this channel (a learned bias, or one at its limit)"
    return (
        f"rnd(b / unit) {own:,} (b = {real:.6g}) - zero point of x * sum(w) {-moved:,} + zero "
        f"point of y in these units {target:,}"
    )


def _activation(worker: _Worker, item: Item, place: Place, worked: Worked) -> None:
    """f of one value."""
    quantization = item.node.quantization
    assert quantization is not None
    before = int(worker.value(item.inputs[0])[place])
    after = int(worker.value(item.outputs[0])[place])
    low, high = quantization.output.limits
    worked.lines += [
        f"  x    {before} = {_real(quantization.input, before):.6g}",
        *_multipliers(quantization.kernel),
        f"  y    {item.node.kind}: {after} = {_real(quantization.output, after):.6g}   "
        f"(record {quantization.output.first_scale:.8g} * (y - {quantization.output.zero_point}), "
        f"clipped to {low}..{high})",
    ]


def _multipliers(kernel: Any) -> list[str]:
    """The factors that a kernel holds as integers."""
    names = getattr(kernel, "__dataclass_fields__", {})
    factors = {name: getattr(kernel, name) for name in names}
    return [
        f"  M    {name}: {int(f.multiplier[0])} / 2^{int(f.shift[0])} = {float(f.value[0]):.6g} "
        f"for {float(f.scale[0]):.6g}"
        for name, f in factors.items()
        if isinstance(f, Multiplier)
    ]


def _pool(worker: _Worker, item: Item, place: Place, worked: Worked) -> None:
    """The largest, or the mean, of what the window sees."""
    quantization = item.node.quantization
    assert quantization is not None
    _, values = worker.window(item, place)
    after = int(worker.value(item.outputs[0])[place])
    listed = ", ".join(map(str, values[:_SMALL])) + (", ..." if values.size > _SMALL else "")
    worked.inputs = worked.inputs or [int(q) for q in values]
    worked.lines += [
        f"  x    {values.size} values of the window: {listed}",
        f"       largest {values.max()}, sum {values.sum():,}, mean {values.mean():.4f}",
        *_multipliers(quantization.kernel),
        f"  y    {item.node.kind}: {after} = {_real(quantization.output, after):.6g}",
    ]


def _sum(worker: _Worker, item: Item, place: Place, worked: Worked) -> None:
    """Both terms in units of the smaller scale, their sum, the output's scale."""
    quantization = item.node.quantization
    assert quantization is not None
    kernel: SumKernel = quantization.kernel
    terms = [_operand(worker, tensor, place) for tensor in item.inputs[:2]]
    big, sign = kernel.scaled_input, "+" if kernel.sign > 0 else "-"
    scaled = list(terms)
    scaled[big] = int(kernel.input_scaling.apply(terms[big]))
    total = scaled[0] + kernel.sign * scaled[1]
    result = int(kernel.scaling.apply(total)) + kernel.bias
    first, second = kernel.input_scaling, kernel.scaling
    worked.inputs, worked.accumulator = list(terms), total
    worked.multiplier, worked.shift = int(second.multiplier[0]), int(second.shift[0])
    low, high = quantization.output.limits
    worked.computed[item.path] = min(max(result, low), high)
    worked.lines += [
        *(
            f"  x{n}   {term} = {_real(record, term):.6g}   ({worker.name(tensor)}, "
            f"scale {record.first_scale:.8g}, zero point {record.zero_point})"
            for n, (term, record, tensor) in enumerate(
                zip(terms, quantization.inputs, item.inputs, strict=False)
            )
        ),
        f"  M1   x{big} has the larger scale: {terms[big]} * {int(first.multiplier[0])} >> "
        f"{int(first.shift[0])} = {scaled[big]}",
        f"  sum  {scaled[0]} {sign} {scaled[1]} = {total}",
        f"  M2   {total} * {worked.multiplier} >> {worked.shift} + {kernel.bias} = {result}",
        f"  y    clipped to {low}..{high}: {min(max(result, low), high)} = "
        f"{_real(quantization.output, min(max(result, low), high)):.6g}",
    ]


def _operand(worker: _Worker, tensor: Tensor, place: Place) -> int:
    """The element of an operand that numpy broadcasting puts at ``place``."""
    values = worker.value(tensor)
    at = place[len(place) - values.ndim :] if values.ndim else ()
    return int(values[tuple(0 if n == 1 else p for p, n in zip(at, values.shape, strict=True))])


def _product(worker: _Worker, item: Item, place: Place, worked: Worked) -> None:
    """One operand times or divided by the other, in the output's scale."""
    quantization = item.node.quantization
    assert quantization is not None
    terms = [_operand(worker, tensor, place) for tensor in item.inputs[:2]]
    after = int(worker.value(item.outputs[0])[place])
    worked.inputs = list(terms)
    worked.lines += [
        *(
            f"  x{n}   {term} = {_real(record, term):.6g}   (zero point {record.zero_point})"
            for n, (term, record) in enumerate(zip(terms, quantization.inputs, strict=False))
        ),
        *_multipliers(quantization.kernel),
        f"  y    {item.node.kind}: {after} = {_real(quantization.output, after):.6g}",
    ]


def _moved(worker: _Worker, item: Item, place: Place, worked: Worked) -> None:
    """Where the element came from; found by moving the places themselves."""
    places: list[IntArray] = []
    count = 1
    for tensor in item.inputs:
        values = worker.value(tensor)
        places.append(np.arange(count, count + values.size, dtype=np.int64).reshape(values.shape))
        count += values.size
    after = int(worker.value(item.outputs[0])[place])
    source = _followed(item, places, place)
    quantization = item.node.quantization
    assert quantization is not None
    if source is None:
        worked.lines.append(f"  y    {after}: part of the border, or several values went into it")
        return
    index, at = source
    worked.inputs = [int(worker.value(item.inputs[index])[at])]
    worked.lines.append(
        f"  y    {after} = {_real(quantization.output, after):.6g}: element {_spelled(at)} of "
        f"{worker.name(item.inputs[index])}, the integer unchanged"
    )


def _followed(item: Item, places: Sequence[IntArray], place: Place) -> tuple[int, Place] | None:
    """Input and place that the operator takes an element from; None when it computes."""
    quantization = item.node.quantization
    assert quantization is not None
    if not item.node.op.keeps_record:
        return None
    numbers_there = integers_of(item.node.op, quantization, [p[np.newaxis] for p in places])
    mark = int(numbers_there[0][0][place])
    for index, numbers in enumerate(places):
        result = np.argwhere(numbers == mark)
        if len(result) == 1:
            return index, tuple(int(n) for n in result[0])
    return None


def _vector(worker: _Worker, item: Item, place: Place, worked: Worked) -> None:
    """Operators that see all of a vector, as softmax does."""
    quantization = item.node.quantization
    assert quantization is not None
    axis = item.node.op.works_along
    x = worker.value(item.inputs[0])
    if axis is None:
        vector = x.reshape(-1)
    else:
        vector = x[tuple(slice(None) if a == axis else p for a, p in enumerate(place))]
    after = int(worker.value(item.outputs[0])[place])
    listed = ", ".join(map(str, vector[:_SMALL])) + (", ..." if vector.size > _SMALL else "")
    worked.inputs = [int(q) for q in vector]
    worked.lines += [
        f"  x    {vector.size} values: {listed}   (scale {quantization.input.first_scale:.6g})",
        f"  y    {item.node.kind}: {after} = {_real(quantization.output, after):.6g}   "
        f"({quantization.output.dtype}, scale {quantization.output.first_scale:.6g})",
    ]


def _matrix_product(worker: _Worker, item: Item, place: Place, worked: Worked) -> None:
    """A row times a column."""
    quantization = item.node.quantization
    assert quantization is not None
    left, right = (worker.value(tensor) for tensor in item.inputs[:2])
    row = left[..., place[-2], :].reshape(-1, left.shape[-1])[0] if left.ndim > 1 else left
    if right.shape[-2:-1] == row.shape:
        column = right[..., :, place[-1]].reshape(-1, right.shape[-2])[0]
    else:
        column = right[..., place[-1], :].reshape(-1, right.shape[-1])[0]
    after = int(worker.value(item.outputs[0])[place])
    worked.inputs, worked.weights = [int(q) for q in row], [int(q) for q in column]
    if row.shape == column.shape:
        worked.products_sum = int((row * column).sum())
    worked.lines += [
        f"  row  {', '.join(map(str, row[:_SMALL]))}",
        f"  col  {', '.join(map(str, column[:_SMALL]))}",
        *([] if worked.products_sum is None else [f"  sum  {worked.products_sum:,}"]),
        *_multipliers(quantization.kernel),
        f"  y    {after} = {_real(quantization.output, after):.6g}",
    ]


def _any(worker: _Worker, item: Item, place: Place, worked: Worked) -> None:
    """Where the element came from if it was moved; else what is read and what comes out."""
    quantization = item.node.quantization
    assert quantization is not None
    if item.node.op.keeps_record:
        _moved(worker, item, place, worked)
        return
    after = int(worker.value(item.outputs[0])[place])
    if isinstance(item.node.op, Recurrent):
        given, made = (worker.value(tensor) for tensor in (item.inputs[0], item.outputs[0]))
        results = made.reshape(made.shape[-2:])
        worked.lines += step_lines(item.node.op, quantization, given, results, place)
        worked.lines.append(f"  y    {after} = {_real(quantization.output, after):.6g}")
        return
    shapes = ", ".join(
        f"{worker.name(tensor)} ({'x'.join(map(str, worker.value(tensor).shape))})"
        for tensor in item.inputs
        if math.prod(worker.value(tensor).shape)
    )
    worked.lines += [
        f"  x    {shapes}",
        *_multipliers(quantization.kernel),
        f"  y    {item.node.kind}: {after} = {_real(quantization.output, after):.6g}",
    ]


def _fixed_filter(worker: _Worker, item: Item, place: Place, worked: Worked) -> None:
    """The same in fixed point: a shift instead of a multiplier."""
    quantization = item.node.quantization
    assert quantization is not None
    channel = place[0] if len(place) in (1, 3) else place[-1]
    x, weights = _taps(worker, item, place, channel)
    name = worker.name(item.inputs[0])
    lines, total, result = fixed_point.filter_lines(quantization, x, weights, channel, name)
    kernel: FixedFilterKernel = quantization.kernel
    worked.inputs, worked.weights = [int(q) for q in x], [int(w) for w in weights]
    worked.products_sum, worked.bias = total, int(kernel.aligned_bias[channel])
    worked.accumulator = total + worked.bias
    worked.shift = (kernel.accumulator.fraction_bits or 0) - (
        quantization.output.fraction_bits or 0
    )
    worked.computed[item.path] = result
    worked.lines += lines


def _fixed_sum(worker: _Worker, item: Item, place: Place, worked: Worked) -> None:
    """Both terms at the fewer fraction bits, their sum, a shift."""
    quantization = item.node.quantization
    assert quantization is not None
    terms = [_operand(worker, tensor, place) for tensor in item.inputs[:2]]
    names = [worker.name(tensor) for tensor in item.inputs[:2]]
    sign = 1 if item.node.op.role == "sum" else -1
    lines, total, result = fixed_point.sum_lines(quantization, terms, sign, names)
    worked.inputs, worked.accumulator = list(terms), total
    worked.computed[item.path] = result
    worked.lines += lines


def _rule(item: Item) -> _Rule:
    """What explains a node: by its role, in the scheme that it was quantized in."""
    assert item.node.quantization is not None
    rules = _FIXED_RULES if item.node.quantization.scheme == POW2 else _RULES
    return rules.get(item.node.op.role, _any)


_Rule = Callable[[_Worker, Item, Place, Worked], None]
_RULES: Mapping[str, _Rule] = {
    "filter": _filter,
    "normalization": _filter,
    "activation": _activation,
    "max_pool": _pool,
    "mean_pool": _pool,
    "global_max": _pool,
    "global_mean": _pool,
    "sum": _sum,
    "difference": _sum,
    "product": _product,
    "quotient": _product,
    "matrix_product": _matrix_product,
    "softmax": _vector,
}
_FIXED_RULES: Mapping[str, _Rule] = {
    **_RULES,
    "filter": _fixed_filter,
    "sum": _fixed_sum,
    "difference": _fixed_sum,
}
