"""The integers of a filter by hand: formulas, the same with numbers, and what the kernel holds.

    sA = sI * sW            unit of the sums of products, one for each output channel
    sO = (max - min) / 255  from the range of the output (of its relu), see docs/quantization.md
    M  = sA / sO            what a sum is multiplied by: multiplier * 2^-shift
    qb = rnd(b / sA) - zI * sum(qw) + rnd(zO * sO / sA)

sI is the sO of the layer before: the formula runs through the network from its input.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.basic_operators import Constant
from nnshell.ir.flat import FlatGraph, Item, flatten
from nnshell.ir.graph import Graph
from nnshell.ir.qparams import NodeQuantization
from nnshell.numeric.fixed_point import round_half_up, rounding_shift, saturate, wrap_int32
from nnshell.numeric.kernels.filters import FilterKernel
from nnshell.support.errors import QuantizationError, UsageError


def scales_text(graph: Graph, name: str, channel: int = 0) -> str:
    """The scales of the filter in node ``name``; the last line says whether all numbers agree."""
    if not graph.quantized:
        raise QuantizationError(
            "the graph is not quantized", where=graph.name, hint="run aquant IMAGES first"
        )
    flat = flatten(graph)
    item = _filter_in(flat, name)
    made = item.node.quantization
    assert made is not None
    if not 0 <= channel < len(made.kernel.weights):
        last = len(made.kernel.weights) - 1
        raise UsageError(
            f"there is no channel {channel}", where=f"node {name}", hint=f"0 to {last}"
        )
    return "\n".join(_lines(flat, item, made, made.kernel, channel))


def _filter_in(flat: FlatGraph, name: str) -> Item:
    for item in flat.items:
        made = item.node.quantization
        inside = item.path == name or item.path.startswith(f"{name}/")
        if inside and made is not None and isinstance(made.kernel, FilterKernel) and made.constants:
            return item
    raise UsageError("it has no weights", where=f"node {name}", hint="name a conv2d or linear node")


def _lines(
    flat: FlatGraph, item: Item, made: NodeQuantization, kernel: FilterKernel, channel: int
) -> list[str]:
    data, weights = made.inputs[:2]
    s_in, s_out = data.first_scale, made.output.first_scale
    s_weights = float(weights.scale[channel % weights.scale.size])
    s_sum = s_in * s_weights
    place = channel % kernel.multiplier.size
    multiplier, shift = int(kernel.multiplier[place]), int(kernel.shift[place])
    low, high = float(made.output.minimum[0]), float(made.output.maximum[0])
    row = kernel.weights[channel].astype(np.int64)
    bias = _bias(flat, item)
    real = 0.0 if bias is None else float(bias[channel])
    terms = (
        int(round_half_up(np.float64(real / s_sum))),
        -data.zero_point * int(row.sum()),
        int(round_half_up(np.float64(made.output.zero_point * s_out / s_sum))),
    )
    rule = "max(|max|/127, |min|/128)" if not made.output.asymmetric else "(max - min)/255"
    source = flat.maker(item.inputs[0]).path
    return [
        f"{item.path}, channel {channel}",
        f"  sI  scale of {source}: {s_in:.8g}, zero point zI = {data.zero_point}",
        f"  sW  max|w|/127: {s_weights:.8g}",
        f"  sA  = sI * sW = {s_in:.8g} * {s_weights:.8g} = {s_sum:.8g}",
        f"  sO  = {rule} over {low:.6g} .. {high:.6g}: {s_out:.8g}, zO = {made.output.zero_point}",
        f"  M   = sA / sO = {s_sum / s_out:.8g}",
        f"      as integers: {multiplier} * 2^-{shift} = {multiplier * 2.0**-shift:.8g}"
        f" ({100 * (multiplier * 2.0**-shift * s_out / s_sum - 1):+.2f} %)",
        f"  qb  = rnd(b / sA) - zI * sum(qw) + rnd(zO * sO / sA), b = {real:.6g}",
        f"      = {terms[0]} + {terms[1]} + {terms[2]} = {sum(terms)};"
        f" the kernel has {int(kernel.bias[channel])}",
        _verdict(made, kernel, channel, sum(terms), s_sum * s_out**-1),
    ]


def _bias(flat: FlatGraph, item: Item) -> NDArray[Any] | None:
    op = flat.maker(item.inputs[2]).node.op
    return op.value if isinstance(op, Constant) else None


def _verdict(
    made: NodeQuantization, kernel: FilterKernel, channel: int, bias: int, factor: float
) -> str:
    """Sums from -1000 to 1000 steps of the output through the formula and through the kernel."""
    place = channel % kernel.multiplier.size
    sums = np.linspace(-1000 / factor, 1000 / factor, 201).astype(np.int64)
    product = wrap_int32(wrap_int32(sums + bias) * int(kernel.multiplier[place]))
    wanted = saturate(rounding_shift(product, int(kernel.shift[place])), made.output.limits)
    given = np.zeros((201, len(kernel.weights)), np.int64)
    given[:, channel] = sums
    found = kernel.finish(given, made.output)[:, channel]
    same = int((found == wanted).sum())
    return f"  check: {same} of 201 sums give the same integer in the engine's kernel"
