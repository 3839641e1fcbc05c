"""The arithmetic of the scheme POW2 in words: formulas, dataflow, records, and values by hand.

Symbols: Iq, Wq, Oq integers; nI, nW, nO their fraction bits (real = integer / 2^n); RS(v, n) =
(v + 2^(n-1)) >> n, a shift that rounds half up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nnshell.ir.flat import Item
from nnshell.ir.qparams import NodeQuantization, QParams
from nnshell.ir.requests import Range
from nnshell.numeric.fixed_point import IntArray, rounding_shift, saturate
from nnshell.numeric.kernels.fixed import FixedFilterKernel, reduced
from nnshell.numeric.qmn import fraction_of, integer_bits, representable
from nnshell.quantization.rows import fixed_point_text

FORMULAS: dict[str, tuple[str, ...]] = {
    "filter": (
        "A  = sum(Wq * Iq) + (Bq << (nA - nB))     nA = nI + nW, 31 bits of an int32",
        "Oq = clip(RS(A, nA - nO), {low}, {high})        for each output value",
        "real: I = Iq / 2^nI, W = Wq / 2^nW, O = Oq / 2^nO",
    ),
    "sum": (
        "k  = min(n0, n1)",
        "Oq = clip(RS(RS(X0, n0 - k) + RS(X1, n1 - k), k - nO), {low}, {high})",
    ),
    "difference": (
        "k  = min(n0, n1)",
        "Oq = clip(RS(RS(X0, n0 - k) - RS(X1, n1 - k), k - nO), {low}, {high})",
    ),
    "product": ("Oq = clip(RS(X0 * X1, n0 + n1 - nO), {low}, {high})",),
    "matrix_product": ("Oq = clip(RS(sum(X0 * X1), n0 + n1 - nO), {low}, {high})",),
    "max_pool": ("Oq = max of the window's Iq                nO = nI",),
    "mean_pool": (
        "Oq = clip(RS(sum of the window's Iq * floor(65536 / N), 16), {low}, {high})   nO = nI",
    ),
    "global_max": ("Oq = clip(RS(max of all Iq of the channel, nI - nO), {low}, {high})",),
    "global_mean": (
        "S  = sum of the channel's Iq, m its bits, N its count",
        "Oq = clip(RS(RS(floor(2^m / N) * S, m), nI - nO), {low}, {high})",
    ),
    "softmax": ("Oq = clip(rnd(32768 * exp(I) / sum(exp(I))), {low}, {high})   real numbers",),
    "activation": ("Oq = clip(RS(f(Iq), nI - nO), {low}, {high})        f in units of 2^-nI",),
    "convert": ("Oq = clip(RS(Iq, nI - nO), {low}, {high})",),
    "resize": ("Oq = the nearest Iq, or four of them weighted in 128ths; nO = nI",),
}
MOVED = ("Oq = Iq, only moved                        nO = nI",)
_LISTED = 12


def format_of(record: QParams) -> str:
    """Qm.n of a record."""
    return fixed_point_text(record.width, fraction_of(record))


def record_rule(record: QParams) -> str:
    """How the fraction bits of a record follow from its range, or that a reader chose them."""
    text, bits = format_of(record), record.width
    low, high = float(record.minimum[0]), float(record.maximum[0])
    able = representable(record)
    if (able.minimum, able.maximum) == (low, high):
        return f"{text}: real numbers from {low:g} to {high:g}"
    needed = integer_bits(Range(low, high))
    reach = f"{low:.6g} .. {high:.6g} needs {needed} integer bits with the sign"
    if bits - needed == fraction_of(record):
        return f"{text}: {reach}, {bits} - {needed} are left for the fraction"
    return f"{text}: {reach}; fewer fraction bits, so that sums of products stay below 31 bits"


def scale_lines(item: Item, quantization: NodeQuantization, names: Sequence[str]) -> list[str]:
    """Records of what a node reads and makes, and the shift between them."""
    kernel, output = quantization.kernel, quantization.output
    lines = [f"{item.path} ({item.node.kind})"]
    count = len(names)
    for index, (name, record) in enumerate(zip(names, quantization.inputs, strict=False)):
        symbol = "nI" if count == 1 else f"n{index}"
        lines.append(f"  {symbol}  {name}: {record_rule(record)}")
    if isinstance(kernel, FixedFilterKernel):
        total = fraction_of(kernel.accumulator)
        lines += [
            f"  nA  = n0 + n1 = {total}: sums are {format_of(kernel.accumulator)}",
            f"  bias << {kernel.bias_shift}, from its own fraction bits to those of the sums",
        ]
    else:
        total = fraction_of(quantization.input)
    lines.append(f"  nO  = {record_rule(output)}")
    if isinstance(kernel, FixedFilterKernel) or not item.node.op.keeps_record:
        lines.append(f"  shift to the right: {total} - {fraction_of(output)}")
    return lines


def flow_lines(quantization: NodeQuantization) -> Iterator[str]:
    """The width of numbers at each step of a filter."""
    kernel, low_high = quantization.kernel, quantization.output.limits
    x, weights, bias = (record.dtype for record in quantization.inputs)
    taps = kernel.weights[0].size
    shift = fraction_of(kernel.accumulator) - fraction_of(quantization.output)
    yield f"  x {x} * w {weights} -> int32 products, {taps} of them added -> int32"
    yield f"  + bias {bias} << {kernel.bias_shift} -> int32"
    yield f"  >> {shift} with rounding"
    yield f"  clip to {low_high[0]}..{low_high[1]} -> {quantization.output.dtype}"


def filter_lines(
    quantization: NodeQuantization, x: IntArray, weights: IntArray, channel: int, name: str
) -> tuple[list[str], int, int]:
    """One value of a filter by hand: lines, the sum of products, the result."""
    kernel: FixedFilterKernel = quantization.kernel
    data, filters, bias_q = quantization.inputs
    output, fraction = quantization.output, fraction_of(kernel.accumulator)
    total, bias = int((x * weights).sum()), int(kernel.bias[channel])
    aligned = int(kernel.aligned_bias[channel])
    shift = fraction - fraction_of(output)
    result = int(reduced(x[:0].sum() + total + aligned, fraction, output))
    listed = " + ".join(f"{w}*{q}" for w, q in zip(weights[:_LISTED], x, strict=False))
    more = f" + ... ({x.size} products)" if x.size > _LISTED else ""
    low, high = output.limits
    lines = [
        f"  x    integers of {name}: real = x / 2^{fraction_of(data)} ({format_of(data)})",
        f"  w    integers of channel {channel}: real = w / 2^{fraction_of(filters)} "
        f"({format_of(filters)})",
        f"  sum  {listed}{more} = {total:,}",
        f"  b    {bias:,} ({format_of(bias_q)}) << {kernel.bias_shift} = {aligned:,}",
        f"  acc  {total:,} + {aligned:,} = {total + aligned:,}   "
        f"({format_of(kernel.accumulator)}, = {(total + aligned) / 2.0**fraction:.6g})",
        f"  y    acc >> {shift} = {(total + aligned) / 2.0**shift:.3f}, rounded half up, clipped "
        f"to {low}..{high}: {result}   = {result * output.first_scale:.6g}",
    ]
    return lines, total, result


def sum_lines(
    quantization: NodeQuantization, terms: Sequence[int], sign: int, names: Sequence[str]
) -> tuple[list[str], int, int]:
    """One value of a sum or difference by hand: lines, the sum, the result."""
    fractions = [fraction_of(record) for record in quantization.inputs]
    common, output = min(fractions), quantization.output
    aligned = [
        int(rounding_shift(term, n - common)) for term, n in zip(terms, fractions, strict=True)
    ]
    total, shift = aligned[0] + sign * aligned[1], common - fraction_of(output)
    result = int(saturate(rounding_shift(total, shift), output.limits))
    lines = [
        f"  x{n}   {term} = {term * record.first_scale:.6g}   ({name}, {format_of(record)}) "
        f">> {fraction - common} = {value}"
        for n, (term, record, name, fraction, value) in enumerate(
            zip(terms, quantization.inputs, names, fractions, aligned, strict=True)
        )
    ]
    low, high = output.limits
    lines += [
        f"  sum  {aligned[0]} {'+' if sign > 0 else '-'} {aligned[1]} = {total}",
        f"  y    >> {shift}, clipped to {low}..{high}: {result}   "
        f"= {result * output.first_scale:.6g}",
    ]
    return lines, total, result
