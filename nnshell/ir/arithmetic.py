"""What an operator is in integers, by (operator, scheme): records, kernel, meaning, lowered form.

SQ8 is what operators say of themselves: every operator is its own entry. Another scheme is another
table of its own, filled by ``arithmetic``, and no branch anywhere: the quantizer, the engines, the
lowering and the tiled run ask ``arithmetic_of`` with the scheme that a node was quantized in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.operator import IntArray, Operator, Types
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import RecordRule
from nnshell.ir.requests import SQ8, QuantizeRequest
from nnshell.support.errors import QuantizationError


class Arithmetic(Protocol):
    """An operator in one scheme's integers; ``Operator`` says what each method gives."""

    @property
    def parameters(self) -> tuple[int, ...]: ...

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]: ...

    def quantize(self, request: QuantizeRequest) -> NodeQuantization: ...

    def caution(self, quantization: NodeQuantization, inputs: Types) -> str: ...

    def integer_multi(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray]
    ) -> tuple[IntArray, ...]: ...

    def integer_on_chip(
        self, quantization: NodeQuantization, inputs: Sequence[IntArray]
    ) -> tuple[IntArray, ...]: ...

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]: ...


Maker = Callable[[Any], Arithmetic]  # of an operator
SomeMaker = TypeVar("SomeMaker", bound=Maker)


def _itself(op: Operator) -> Arithmetic:
    return op


_SCHEMES: dict[str, dict[type, Maker]] = {SQ8: {Operator: _itself}}


def arithmetic(scheme: str, *classes: type[Any]) -> Callable[[SomeMaker], SomeMaker]:
    """Decorator: what gives operators of these classes their arithmetic in ``scheme``.

    A class of such objects serves as well, as its constructor takes the operator.
    """

    def enter(maker: SomeMaker) -> SomeMaker:
        table = _SCHEMES.setdefault(scheme, {})
        for cls in classes:
            if cls in table:
                raise AssertionError(f"two arithmetics of {cls.__name__} in {scheme}")
            table[cls] = maker
        return maker

    return enter


def schemes() -> list[str]:
    """Names of the schemes that have any arithmetic."""
    return list(_SCHEMES)


def arithmetic_of(op: Operator, scheme: str = SQ8) -> Arithmetic:
    """The arithmetic of an operator in a scheme, that of its nearest class that has one.

    Raises QuantizationError where there is none.
    """
    table = _SCHEMES.get(scheme, {})
    maker = next((table[cls] for cls in type(op).__mro__ if cls in table), None)
    if maker is None:
        raise QuantizationError(
            f"operator '{op.kind}' has no arithmetic in scheme {scheme}",
            hint="aquant -s SQ8, then qtune --step STEP scheme=pow2 for the others"
            if scheme in _SCHEMES
            else f"schemes: {', '.join(schemes())}",
        )
    return maker(op)


def integers_of(
    op: Operator, quantization: NodeQuantization, inputs: Sequence[IntArray], *, chip: bool = False
) -> tuple[IntArray, ...]:
    """The integers of all outputs, in the scheme that the node was quantized in.

    With ``chip`` they are those of the generated kernel, where the simulation differs from it.
    """
    meaning = arithmetic_of(op, quantization.scheme)
    return (meaning.integer_on_chip if chip else meaning.integer_multi)(quantization, inputs)
