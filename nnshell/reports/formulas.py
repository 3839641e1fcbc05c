"""The arithmetic of a quantized graph in symbols: a node's formula, the chain of scales, dataflow.

Symbols: Iq, Wq, Oq integers; sI, sW, sO scales; zI, zO zero points; RS(v, n) = (v + 2^(n-1)) >> n,
a shift that rounds half up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nnshell.ir.flat import FlatGraph, Item, Tensor, flatten
from nnshell.ir.graph import Graph
from nnshell.ir.qparams import FLOAT_BITS
from nnshell.ir.requests import POW2
from nnshell.ir.select import select
from nnshell.numeric.kernels.filters import FilterKernel
from nnshell.numeric.kernels.fixed import FixedFilterKernel
from nnshell.reports import fixed_point, recurrent
from nnshell.support.errors import UsageError

_FILTER = (
    "Oq = clip(RS((sum(Wq * Iq) + Bq) * m, n), {low}, {high})        for each output value",
    "m / 2^n ~ M = sI * sW / sO                                     one for each channel",
    "Bq = rnd(b / (sI * sW)) - zI * sum(Wq) + rnd(zO * sO / (sI * sW))",
    "real: I = sI * (Iq - zI), W = sW * Wq, O = sO * (Oq - zO)",
)
_FORMULAS: dict[str, tuple[str, ...]] = {
    "filter": _FILTER,
    "normalization": _FILTER,
    "sum": (
        "X' = RS(Xbig * m1, n1)              m1 / 2^n1 ~ s_big / s_small",
        "Oq = clip(RS((Xsmall + X') * m2, n2) + zO, {low}, {high})   m2 / 2^n2 ~ s_small / sO",
    ),
    "difference": (
        "X' = RS(Xbig * m1, n1)              m1 / 2^n1 ~ s_big / s_small",
        "Oq = clip(RS((Xsmall - X') * m2, n2) + zO, {low}, {high})   signs as the operands are",
    ),
    "product": (
        "Oq = clip(RS((X0 - z0) * (X1 - z1) * m, n) + zO, {low}, {high})   m / 2^n ~ s0 * s1 / sO",
    ),
    "quotient": ("Oq = clip(rnd((X0 - z0) * s0 / ((X1 - z1) * s1 * sO)) + zO, {low}, {high})",),
    "matrix_product": (
        "Oq = clip(RS(sum((X0 - z0) * (X1 - z1)) * m, n) + zO, {low}, {high})   "
        "m / 2^n ~ s0 * s1 / sO",
    ),
    "max_pool": ("Oq = max of the window's Iq                sO = sI, zO = zI",),
    "global_max": ("Oq = max of all Iq of the channel          sO = sI, zO = zI",),
    "mean_pool": ("Oq = clip(RS(sum of the window's (Iq - zI) * m, n) + zO, {low}, {high})",),
    "global_mean": ("Oq = clip(RS(sum of the channel's (Iq - zI) * m, n) + zO, {low}, {high})",),
    "softmax": (
        "E = exp(sI * (Iq - max Iq)) as fixed-point numbers",
        "Oq = E / sum(E), in steps of sO",
    ),
    "activation": ("Oq = clip(rnd(f(sI * (Iq - zI)) / sO) + zO, {low}, {high})",),
    "convert": ("Oq = clip(RS((Iq - zI) * m, n) + zO, {low}, {high})   m / 2^n ~ sI / sO",),
    "resize": ("Oq = weighted mean of neighbouring Iq, weights as fixed-point numbers; sO = sI",),
    "format": ("Oq = the pixel, shifted or with 128 taken away; sO is what a step of it means",),
}
_MOVED = ("Oq = Iq, only moved                        sO = sI, zO = zI",)
_CLIPPED = "Oq = min(max(Iq, q(lower)), q(upper))      q(v) = v in steps of sI, sO = sI"


@dataclass(frozen=True, slots=True)
class Layer:
    """A filter in the chain of scales."""

    item: Item
    source: Item | None  # the filter whose record it reads; None for a graph input or another node
    source_name: str
    input_scale: float
    weight_scale: float  # of channel 0
    output_scale: float

    @property
    def factor(self) -> float:
        """s_in s_w / s_out: what an accumulator is multiplied by."""
        return self.input_scale * self.weight_scale / self.output_scale


def formula_text(graph: Graph, selector: str | None = None) -> str:
    """Formulas of the selected nodes; without a selector, the chain of the network's filters."""
    graph.require_quantized()
    flat = flatten(graph)
    if selector is None:
        return "\n".join(_chain_lines(flat, _layers(flat)))
    items = _selected(flat, selector)
    return "\n".join(line for item in items for line in _formula_lines(item))


def _selected(flat: FlatGraph, selector: str) -> list[Item]:
    keys = {key for key, _ in select(flat.graph, selector)}
    items = [
        item
        for item in flat.items
        if (item.path in keys or item.path.partition("/")[0] in keys)
        and item.inputs
        and item.node.op.role != "constant"
        and not item.node.op.boundary
    ]
    if not items:
        raise UsageError("it computes nothing", where=f"node {selector}")
    return items


def _formula_lines(item: Item) -> list[str]:
    quantization = item.node.quantization
    assert quantization is not None
    if FLOAT_BITS in (quantization.output.bits, *(record.bits for record in quantization.inputs)):
        return [f"{item.path} ({item.node.kind})", "  float in the simulation: no integers"]
    low, high = quantization.output.limits
    if quantization.scheme == POW2:
        moved = fixed_point.MOVED
        lines = fixed_point.FORMULAS.get(item.node.op.role, moved)
        return _filled(item, lines, low, high)
    lines = _FORMULAS.get(item.node.op.role, _MOVED if item.node.op.keeps_record else ())
    if item.node.op.sequence_axis is not None:
        lines = recurrent.FORMULAS.get(item.node.kind, lines)
    if item.node.op.role == "activation" and item.node.op.clips_to is not None:
        lines = (_CLIPPED,) if quantization.input.same_record(quantization.output) else lines
    if not lines:
        lines = (f"Oq = clip(rnd({item.node.kind}(sI * (Iq - zI)) / sO) + zO, {low}, {high})",)
    return _filled(item, lines, low, high)


def _filled(item: Item, lines: Sequence[str], low: int, high: int) -> list[str]:
    return [
        f"{item.path} ({item.node.kind})",
        *(f"  {line.format(low=low, high=high)}" for line in lines),
    ]


# -- the chain -------------------------------------------------------------------------------


def _layers(flat: FlatGraph) -> list[Layer]:
    layers = []
    for item in flat.items:
        quantization = item.node.quantization
        if (
            quantization is None
            or not isinstance(quantization.kernel, FilterKernel | FixedFilterKernel)
            or not quantization.constants
        ):
            continue
        source = _maker(flat, item.inputs[0])
        layers.append(
            Layer(
                item,
                source if source.node.op.makes_wide else None,
                source.path,
                quantization.input.first_scale,
                float(np.ravel(quantization.inputs[1].scale)[0]),
                quantization.output.first_scale,
            )
        )
    return layers


def _maker(flat: FlatGraph, tensor: Tensor) -> Item:
    """What computed a tensor's record, past what only moves, compares or bounds its integers."""
    item = flat.maker(tensor)
    while item.inputs and not item.node.op.makes_wide:
        quantization = item.node.quantization
        same = (
            quantization is not None
            and quantization.inputs
            and quantization.input.same_record(quantization.output)
        )
        if not same:
            break
        item = flat.maker(item.inputs[0])
    return item


def _chain_lines(flat: FlatGraph, layers: Sequence[Layer]) -> list[str]:
    if not layers:
        raise UsageError("the graph has no filters", hint="explain formula NODE")
    number = {layer.item.path: place for place, layer in enumerate(layers, 1)}
    lines = [
        "layer i:  Oiq = clip(RS((sum(Wiq * Iiq) + Biq) * mi, ni)),  mi / 2^ni ~ sIi * sWi / sOi",
        "          Iiq is the Oq of the layer before it, so sIi is that layer's sO (channel 0):",
    ]
    for place, layer in enumerate(layers, 1):
        origin = f"sO{number[layer.source.path]}" if layer.source is not None else layer.source_name
        lines.append(
            f"  {place:>3}  {layer.item.path}: sI = {layer.input_scale:.6g} ({origin}), "
            f"sW = {layer.weight_scale:.6g}, sO = {layer.output_scale:.6g}, "
            f"M = {layer.factor:.6g}"
        )
    lines += _product_lines(layers, number)
    return lines


def _product_lines(layers: Sequence[Layer], number: dict[str, int]) -> list[str]:
    """The scale of the last layer of an unbroken chain, as a product of all before it."""
    chain: list[Layer] = []
    for layer in layers:
        if chain and (layer.source is None or layer.source.path != chain[-1].item.path):
            break
        chain.append(layer)
    if len(chain) < 2:
        return []
    product = chain[0].input_scale
    for layer in chain:
        product *= layer.weight_scale / layer.factor
    last = len(chain)
    return [
        f"as one product: sO{last} = sI1 * (sW1 / M1) * ... * (sW{last} / M{last}) "
        f"= {product:.8g}; the record says {chain[-1].output_scale:.8g}",
    ]


# -- dataflow --------------------------------------------------------------------------------


def dataflow_text(graph: Graph, selector: str, story: Sequence[str] = ()) -> str:
    """What happens to the numbers of a node, with the width at each step.

    ``story`` are lines about what was folded or fused, shown first.
    """
    items = _selected(flatten(graph), selector)
    lines = [*(f"  {line}" for line in story)]
    for item in items:
        lines += _flow_lines(item)
    return "\n".join(lines)


def _flow_lines(item: Item) -> list[str]:
    quantization = item.node.quantization
    head = f"{item.path} ({item.node.kind})"
    if quantization is None:
        return [head, "  float32 -> float32"]
    if FLOAT_BITS in (quantization.output.bits, *(record.bits for record in quantization.inputs)):
        return [head, "  float32 in the simulation"]
    source, target = (
        _width(record.dtype, record.bits) for record in (quantization.input, quantization.output)
    )
    if isinstance(quantization.kernel, FixedFilterKernel):
        return [head, *fixed_point.flow_lines(quantization)]
    if isinstance(quantization.kernel, FilterKernel) and quantization.constants:
        weights = _width(quantization.inputs[1].dtype, quantization.inputs[1].bits)
        taps = quantization.kernel.weights[0].size
        low, high = quantization.output.limits
        return [
            head,
            f"  x {source} * w {weights} -> int16 products, {taps} of them added -> int32",
            "  + bias int32 (zero points inside) -> int32",
            f"  * multiplier uint8 -> int32, >> shift with rounding -> int32"
            f" (together about {float(quantization.kernel.scaling.value[0]):.4g} in channel 0)",
            f"  clip to {low}..{high} -> {target}",
        ]
    return [head, f"  {source} -> {target}"]


def _width(dtype: str, bits: int) -> str:
    return f"int{bits}" if dtype == "int8" else dtype
