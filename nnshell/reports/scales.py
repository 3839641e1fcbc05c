"""Where the integers of a node come from: formulas, the same with numbers, what the kernel holds.

For filters, with sI the scale of what is read and sO that of what is made:

    sA = sI * sW            unit of the sums of products, one for each output channel
    M  = sA / sO            what a sum is multiplied by: multiplier * 2^-shift
    qb = rnd(b / sA) - zI * sum(qw) + rnd(zO * sO / sA)

sI is the sO of the layer before: the formula runs through the network from its input. Every scale
is shown with the rule that gives it; a rule is named only when its result is the record's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.flat import FlatGraph, Item, flatten
from nnshell.ir.graph import Graph
from nnshell.ir.qparams import FLOAT_BITS, INT8_BITS, NodeQuantization, QParams
from nnshell.ir.requests import POW2
from nnshell.ir.select import select
from nnshell.numeric.fixed_point import (
    Multiplier,
    round_half_up,
    rounding_shift,
    saturate,
    wrap_int32,
)
from nnshell.numeric.kernels.filters import FilterKernel
from nnshell.reports import fixed_point
from nnshell.support.errors import UsageError

_EQUAL = 1e-6  # relative: two scales are the same


def scales_text(graph: Graph, selector: str, channel: int = 0, weight_clip: str = "none") -> str:
    """The scales of the selected nodes; of filters the last line says whether all numbers agree.

    ``weight_clip`` names the clip type of the weights, for the formula of their scale. Raises
    QuantizationError when the graph is not quantized, UsageError when a node has no such channel.
    """
    graph.require_quantized()
    flat = flatten(graph)
    items = list(_items(flat, selector))
    if not items:
        raise UsageError(
            "it computes nothing", where=f"node {selector}", hint="`qshow` shows all records"
        )
    blocks = [_lines(flat, item, channel, weight_clip, alone=len(items) == 1) for item in items]
    return "\n".join(line for block in blocks for line in block)


def _items(flat: FlatGraph, selector: str) -> Iterator[Item]:
    """Items that compute something, of the selected nodes and of the fusions among them."""
    keys = {key for key, _ in select(flat.graph, selector)}
    for item in flat.items:
        outer = item.path.partition("/")[0]
        computes = item.inputs and not item.node.op.boundary
        if computes and (item.path in keys or outer in keys):
            yield item


def _lines(
    flat: FlatGraph, item: Item, channel: int, weight_clip: str, *, alone: bool
) -> list[str]:
    quantization = item.node.quantization
    assert quantization is not None
    if isinstance(quantization.kernel, FilterKernel) and quantization.constants:
        count = len(quantization.kernel.weights)
        if not 0 <= channel < count:
            if alone:
                raise UsageError(
                    f"there is no channel {channel}",
                    where=f"node {item.path}",
                    hint=f"0 to {count - 1}",
                )
            channel = 0
        return _filter_lines(flat, item, quantization, quantization.kernel, channel, weight_clip)
    if quantization.scheme == POW2:
        names = [flat.maker(tensor).path for tensor in item.inputs]
        return fixed_point.scale_lines(item, quantization, names)
    return _other_lines(flat, item, quantization)


# -- records ---------------------------------------------------------------------------------


def record_rule(record: QParams) -> str:
    """How the scale of an activation follows from its range, as a formula with its numbers."""
    if record.bits == FLOAT_BITS:
        return "float, not rounded"
    low, high = record.limits
    minimum, maximum = float(np.ravel(record.minimum)[0]), float(np.ravel(record.maximum)[0])
    scale = record.first_scale
    reach = f"over {minimum:.6g} .. {maximum:.6g}"
    for rule, value in (
        (f"(max - min)/{high - low}", (maximum - minimum) / (high - low)),
        (f"max(|max|/{high}, |min|/{-low})", max(abs(maximum) / high, abs(minimum) / max(-low, 1))),
    ):
        if abs(value - scale) <= _EQUAL * scale:
            return f"{rule} {reach}: {scale:.8g}"
    exponent = np.log2(scale)
    if exponent == round(exponent):
        return f"fixed by a kernel, 2^{int(exponent)}: {scale:.8g}"
    return f"taken over from a node that shares the record: {scale:.8g}"


def _record_text(name: str, what: str, record: QParams) -> str:
    if record.bits == FLOAT_BITS:
        return f"  {name}  {what}: float, not rounded"
    bits = "" if record.bits == INT8_BITS or record.dtype != "int8" else f", {record.bits} bits"
    return (
        f"  {name}  scale of {what}: {record.first_scale:.8g}, "
        f"zero point {record.zero_point}, {record.dtype}{bits}"
    )


def _weight_rule(record: QParams, channel: int, weights: NDArray[Any], clip: str) -> str:
    """How a weight scale follows from the weights of its channel (or of all)."""
    scale = float(np.ravel(record.scale)[channel % record.scale.size])
    values = weights if record.scale.size == 1 else weights[channel]
    low, high = record.limits
    widest = float(np.abs(values).max()) if values.size else 0.0
    of = "all weights" if record.scale.size == 1 else f"channel {channel}"
    plain = max(float(values.max(initial=0)) / high, float(-values.min(initial=0)) / max(-low, 1))
    if abs(plain - scale) <= 1e-5 * scale:
        rule = f"max|w|/{high}" if record.narrow else f"max(max/{high}, -min/{-low})"
        return f"{rule}, max|w| of {of} = {widest:.6g}: {scale:.8g}"
    if scale * high < widest:
        share = f"{100 * scale * high / widest:.1f} % of max|w| = {widest:.6g}"
        cut = f"reach/{high}, weight_clip {clip} keeps {share} of {of}"
        return f"{cut}: {scale:.8g}"
    return f"chosen, not derived from max|w| = {widest:.6g} of {of}: {scale:.8g}"


def _weight_error(
    record: QParams, channel: int, values: NDArray[Any], kernel: FilterKernel
) -> list[str]:
    """How far the integers of a channel's weights are from the weights."""
    integers = kernel.weights[channel].astype(np.float64)
    if integers.size != values.size:
        return []
    scale = float(np.ravel(record.scale)[channel % record.scale.size])
    exact = values.astype(np.float64).ravel()
    error = scale * integers.ravel() - exact
    noise, signal = float(np.square(error).sum()), float(np.square(exact).sum())
    ratio = f", QSNR {10 * np.log10(signal / noise):.1f} dB" if noise > 0 and signal > 0 else ""
    return [
        f"      weights {record.bits} bits: largest error {np.abs(error).max(initial=0.0):.3g}, "
        f"mean {np.abs(error).mean() if error.size else 0.0:.3g}{ratio}"
    ]


# -- filters ---------------------------------------------------------------------------------


def _filter_lines(
    flat: FlatGraph,
    item: Item,
    quantization: NodeQuantization,
    kernel: FilterKernel,
    channel: int,
    weight_clip: str,
) -> list[str]:
    data, weights, output = quantization.inputs[0], quantization.inputs[1], quantization.output
    source = flat.maker(item.inputs[0]).path
    head = [f"{item.path}, channel {channel}", _record_text("sI", source, data)]
    if FLOAT_BITS in (data.bits, weights.bits, output.bits):
        return [*head, *_float_lines(flat, item, quantization, channel, weight_clip)]
    s_in, s_out = data.first_scale, output.first_scale
    s_weights = float(np.ravel(weights.scale)[channel % weights.scale.size])
    s_sum = s_in * s_weights
    place = channel % kernel.multiplier.size
    multiplier, shift = int(kernel.multiplier[place]), int(kernel.shift[place])
    row = kernel.weights[channel].astype(np.int64)
    bias = _bias(flat, item)
    real = 0.0 if bias is None else float(np.ravel(bias)[channel])
    terms = (
        int(round_half_up(np.float64(real / s_sum))),
        -data.zero_point * int(row.sum()),
        int(round_half_up(np.float64(output.zero_point * s_out / s_sum))),
    )
    return [
        *head,
        f"  sW  {_weight_rule(weights, channel, _weights(flat, item, kernel), weight_clip)}",
        *_weight_error(weights, channel, _weights(flat, item, kernel)[channel], kernel),
        f"  sA  = sI * sW = {s_in:.8g} * {s_weights:.8g} = {s_sum:.8g}",
        f"  sO  = {record_rule(output)}, zO = {output.zero_point}",
        f"  M   = sA / sO = {s_sum / s_out:.8g}",
        f"      as integers: {multiplier} * 2^-{shift} = {multiplier * 2.0**-shift:.8g}"
        f" ({100 * (multiplier * 2.0**-shift * s_out / s_sum - 1):+.2f} %)",
        f"  qb  = rnd(b / sA) - zI * sum(qw) + rnd(zO * sO / sA), b = {real:.6g}",
        f"      = {terms[0]} + {terms[1]} + {terms[2]} = {sum(terms)};"
        f" the kernel has {int(kernel.bias[channel])}",
        *_narrow_remark(weights, output),
        _verdict(quantization, kernel, channel, sum(terms), s_sum * s_out**-1),
    ]


def _narrow_remark(weights: QParams, output: QParams) -> list[str]:
    bits = [r.bits for r in (weights, output) if r.dtype == "int8" and r.bits < INT8_BITS]
    if not bits:
        return []
    return ["  simulated: the chip's kernels have 8 bits; these integers use a part of them"]


def _float_lines(
    flat: FlatGraph, item: Item, quantization: NodeQuantization, channel: int, weight_clip: str
) -> list[str]:
    """A filter of which a part stays float in the simulation."""
    weights, output = quantization.inputs[1], quantization.output
    values = _weights(flat, item, quantization.kernel)
    rule = (
        "float, not rounded"
        if weights.bits == FLOAT_BITS
        else _weight_rule(weights, channel, values, weight_clip)
    )
    return [
        f"  sW  {rule}",
        f"  sO  = {record_rule(output)}",
        "  simulated: sums, biases and what is float stay real numbers; no multiplier is used",
    ]


def _weights(flat: FlatGraph, item: Item, kernel: FilterKernel) -> NDArray[Any]:
    value = flat.maker(item.inputs[1]).node.op.known_value
    if value is None:
        value = np.zeros(kernel.weights.shape, np.float32)
    return value.reshape(len(kernel.weights), -1) if value.size == kernel.weights.size else value


def _bias(flat: FlatGraph, item: Item) -> NDArray[Any] | None:
    return flat.maker(item.inputs[2]).node.op.known_value


def _verdict(
    quantization: NodeQuantization, kernel: FilterKernel, channel: int, bias: int, factor: float
) -> str:
    """Sums from -1000 to 1000 steps of the output through the formula and through the kernel."""
    place = channel % kernel.multiplier.size
    sums = np.linspace(-1000 / factor, 1000 / factor, 201).astype(np.int64)
    product = wrap_int32(wrap_int32(sums + bias) * int(kernel.multiplier[place]))
    expected = saturate(
        rounding_shift(product, int(kernel.shift[place])), quantization.output.limits
    )
    products = np.zeros((201, len(kernel.weights)), np.int64)
    products[:, channel] = sums
    integers = kernel.finish(products, quantization.output)[:, channel]
    same = int((integers == expected).sum())
    return f"  check: {same} of 201 sums give the same integer in the engine's kernel"


# -- everything else -------------------------------------------------------------------------


def _other_lines(flat: FlatGraph, item: Item, quantization: NodeQuantization) -> list[str]:
    """Records of what is read and made, and the factors between them."""
    lines = [f"{item.path} ({item.node.kind})"]
    count = len(item.inputs)
    for index, (tensor, record) in enumerate(zip(item.inputs, quantization.inputs, strict=False)):
        name = "sI" if count == 1 else f"s{index}"
        lines.append(_record_text(name, flat.maker(tensor).path, record))
    if quantization.output.bits == FLOAT_BITS:
        return [*lines, "  sO  = float, not rounded: real numbers go through as they are"]
    lines.append(
        f"  sO  = {record_rule(quantization.output)}, zO = {quantization.output.zero_point}"
    )
    factors = list(_factors(quantization.kernel))
    lines += factors
    if item.node.op.keeps_record and not factors:
        lines.append("  sO is sI: integers pass unchanged, only moved, compared or averaged")
    return lines


def _factors(kernel: Any) -> Iterator[str]:
    for name in getattr(kernel, "__dataclass_fields__", {}):
        factor = getattr(kernel, name)
        if isinstance(factor, Multiplier):
            multiplier, shift = int(factor.multiplier[0]), int(factor.shift[0])
            scale = float(factor.scale[0])
            error = 100 * (float(factor.value[0]) / scale - 1) if scale else 0.0
            yield (
                f"  {name}  {scale:.8g} as integers: {multiplier} * 2^-{shift} = "
                f"{float(factor.value[0]):.8g} ({error:+.2f} %)"
            )
