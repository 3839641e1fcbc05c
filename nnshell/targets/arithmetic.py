"""The integer arithmetic of expression kernels as C, bit for bit that of the simulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nnshell.ir.qparams import QParams
from nnshell.numeric.fixed_point import Multiplier
from nnshell.numeric.kernels.leaky import SLOPE_BITS
from nnshell.numeric.qmn import fraction_of
from nnshell.ops.div import QUOTIENT_BITS

# Functions that kernel bodies call. The product wraps around in 32 bits, as the registers do; the
# rounding addition after it does not, so it has 64.
HELPERS = """\
static inline long long RoundShift(long long Value, int Shift)
{
    return Shift > 0 ? (Value + (1LL << (Shift - 1))) >> Shift : Value * (1LL << -Shift);
}

static inline long long Scale(int Value, int Multiplier, int Shift)
{
    return RoundShift((int) ((unsigned int) Value * (unsigned int) Multiplier), Shift);
}

static inline long long FloorDivide(long long Value, int Divisor)
{
    long long Quotient = Value / Divisor;
    return (Value % Divisor != 0 && (Value < 0) != (Divisor < 0)) ? Quotient - 1 : Quotient;
}

static inline int Saturate(long long Value, int Low, int High)
{
    return Value < Low ? Low : Value > High ? High : (int) Value;
}
"""


@dataclass(frozen=True, slots=True)
class Body:
    """What happens to one element: C with ``{In0}`` where the operands' elements go."""

    lines: tuple[str, ...]

    def statements(self, values: Mapping[str, str]) -> list[str]:
        filled = []
        for line in self.lines:
            for name, value in values.items():
                line = line.replace(f"{{{name}}}", value)
            filled.append(line)
        return filled


def _store(value: str, output: QParams) -> str:
    low, high = output.limits
    shifted = f"{value} + {output.zero_point}" if output.zero_point else value
    return f"Arguments->Out[Row * Inner + Place] = Saturate({shifted}, {low}, {high});"


def _centred(name: str, record: QParams) -> str:
    return f"({{{name}}} - {record.zero_point})" if record.zero_point else f"{{{name}}}"


def _scale(value: str, scaling: Multiplier) -> str:
    return f"Scale({value}, {int(scaling.multiplier[0])}, {int(scaling.shift[0])})"


def table() -> Body:
    """The result for each of the 256 integers."""
    return Body(("Arguments->Out[Row * Inner + Place] = Arguments->Table[{In0} + 128];",))


def total(
    scaled: int, sign: int, to_small: Multiplier, to_output: Multiplier, bias: int, output: QParams
) -> Body:
    """Sum or difference; input ``scaled`` is first brought to the other's scale."""
    terms = ["{In0}", "{In1}"]
    terms[scaled] = _scale(terms[scaled], to_small)
    low, high = output.limits
    operator = "+" if sign > 0 else "-"
    added = f" + {bias}" if bias else ""
    return Body(
        (
            f"long long Total = {terms[0]} {operator} {terms[1]};",
            f"Arguments->Out[Row * Inner + Place] = Saturate({_scale('(int) Total', to_output)}"
            f"{added}, {low}, {high});",
        )
    )


def product(scaling: Multiplier, first: QParams, second: QParams, output: QParams) -> Body:
    value = f"{_centred('In0', first)} * {_centred('In1', second)}"
    return Body((_store(_scale(value, scaling), output),))


def fixed_total(first: QParams, second: QParams, sign: int, output: QParams) -> Body:
    """Sum or difference of fixed-point numbers, at the fewer fraction bits of both."""
    fractions = [fraction_of(record) for record in (first, second)]
    common = min(fractions)
    terms = [
        f"RoundShift({{In{index}}}, {fraction - common})"
        for index, fraction in enumerate(fractions)
    ]
    value = f"{terms[0]} {'+' if sign > 0 else '-'} {terms[1]}"
    return Body((_store(f"RoundShift({value}, {common - fraction_of(output)})", output),))


def fixed_product(first: QParams, second: QParams, output: QParams) -> Body:
    """Product of fixed-point numbers, as an int32."""
    shift = fraction_of(first) + fraction_of(second) - fraction_of(output)
    return Body((_store(f"RoundShift({{In0}} * {{In1}}, {shift})", output),))


def quotient(scaling: Multiplier, first: QParams, second: QParams, output: QParams) -> Body:
    """floor(a * mu * 2**8 / b), then shifted; a / 0 saturates to the sign of a."""
    multiplier, shift = int(scaling.multiplier[0]), int(scaling.shift[0]) + QUOTIENT_BITS
    wide = f"Dividend * {multiplier}LL * {1 << QUOTIENT_BITS}"
    far = "(Dividend > 0 ? 1LL << 40 : Dividend < 0 ? -(1LL << 40) : 0)"
    return Body(
        (
            f"int Dividend = {_centred('In0', first)}, Divisor = {_centred('In1', second)};",
            f"long long Value = {far};",
            f"if (Divisor) Value = RoundShift(FloorDivide({wide}, Divisor), {shift});",
            _store("Value", output),
        )
    )


def extremum(comparison: str) -> Body:
    """The first operand where ``comparison`` to the second holds, else the second."""
    result = f"First {comparison} Second ? First : Second"
    return Body(
        (
            "int First = {In0}, Second = {In1};",
            f"Arguments->Out[Row * Inner + Place] = {result};",
        )
    )


def constant_quotient(first: QParams, output: QParams) -> Body:
    """Division by constants: a signed multiplier and a shift for each."""
    scaled = f"Scale({_centred('In0', first)}, {{Factor}}, {{Shift}})"
    return Body((_store(scaled, output),))


def leaky(scaling: Multiplier, given: QParams, output: QParams) -> Body:
    """x, or x * slope where x is negative."""
    return Body(
        (
            f"int Value = {_centred('In0', given)};",
            f"if (Value < 0) Value = (int) RoundShift(Value * {{Slope}}, {SLOPE_BITS});",
            _store(_scale("Value", scaling), output),
        )
    )
