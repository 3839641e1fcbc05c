"""Functions of one number that NNTool has no kernel for: a table of 256 results each.

    y_q = table[x_q + 128],  table[q + 128] = sat8(rnd(f(s_in * (q - zp_in)) / s_out) + zp_out)

One rounding, to the nearest: the error is half a unit of the output, wherever f is defined. Where
it is not, f of the nearest argument where it is counts (a root of what is below 0 is 0); where it
is infinite, the end of the range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.foreign import AttributeValue, ForeignGraph
from nnshell.ir.operator import Example, IntArray, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.records import RecordRule
from nnshell.ir.requests import QuantizeRequest, Range
from nnshell.ir.types import Layout, TensorType
from nnshell.numeric.kernels.tables import TableKernel, quantize_table
from nnshell.ops.families.activation import Activation
from nnshell.ops.families.functions import FUNCTIONS, POSITIVE, Form
from nnshell.ops.families.record_rules import ANY_RECORD
from nnshell.reading.registry import Unsupported, imports

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph
    from nnshell.reading.context import ImportContext


@register
@dataclass(frozen=True)
class Function(Activation):
    """y = f(x); ``settings`` are f's attributes in the order of its form."""

    kind: ClassVar[str] = "function"
    order_preserving: ClassVar[bool] = False
    name: str = "abs"
    settings: tuple[float, ...] = ()

    @property
    def label(self) -> str:
        return self.name

    @property
    def form(self) -> Form:
        return FUNCTIONS[self.name]

    @property
    def named(self) -> dict[str, float]:
        """The function's parameters by their names in ONNX."""
        return dict(zip(self.form.attributes, self.settings, strict=True))

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        values = "".join(f" {name} {value:g}" for name, value in self.named.items())
        return f"Function {self.name}{values}"

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        at = self.named
        if self.name == "pow":
            exponent = build.constant(np.float32(at["exponent"]), "exponent")
            return (build.node("Pow", [inputs[0], exponent], hint=self.name),)
        if self.name == "swish":  # an operator of its own only from opset 24 on
            argument = inputs[0]
            if at["alpha"] != 1:
                alpha = build.constant(np.float32(at["alpha"]), "alpha")
                argument = build.node("Mul", [argument, alpha], hint=self.name)
            gate = build.node("Sigmoid", [argument], hint=self.name)
            return (build.node("Mul", [inputs[0], gate], hint=self.name),)
        if self.name == "inverse_root":
            epsilon = build.constant(np.float32(at["epsilon"]), "epsilon")
            moved = build.node("Add", [inputs[0], epsilon], hint=self.name)
            root = build.node("Sqrt", [moved], hint=self.name)
            return (build.node("Reciprocal", [root], hint=self.name),)
        attributes: dict[str, AttributeValue] = {**at, **self.form.fixed}
        return (build.node(self.form.onnx, inputs, attributes, hint=self.name),)

    def bounds(self, inputs: Sequence[Range]) -> Range:
        if self.name == "pow" and self.named["exponent"] % 2 == 0:
            return POSITIVE
        return self.form.values

    @property
    def domain(self) -> Range:
        if self.name == "pow" and self.named["exponent"] < 0:
            return Range(0.1, POSITIVE.maximum)
        return self._defined if self.name == "pow" else self.form.tame

    @property
    def _defined(self) -> Range:
        exponent = self.named.get("exponent", 0.0)
        return self.form.defined if exponent == int(exponent) else POSITIVE

    @property
    def keeps_zero(self) -> bool:
        inside = self._defined.minimum <= 0 <= self._defined.maximum
        return inside and bool(self.apply(np.zeros(1))[0] == 0)

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return (ANY_RECORD,)

    def apply(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """f of real numbers, or of the nearest where it is defined, in float32 as in the model."""
        defined = self._defined
        argument = np.clip(x.astype(np.float32), defined.minimum, defined.maximum)
        with np.errstate(all="ignore"):
            return np.asarray(self.form.apply(argument, self.named), np.float64)

    def quantize(self, request: QuantizeRequest) -> NodeQuantization:
        return quantize_table(request, self.apply)

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        kernel: TableKernel = quantization.kernel
        return kernel.look_up(inputs[0])

    @classmethod
    def examples(cls) -> list[Example]:
        image = (TensorType((3, 4, 5), Layout.CHW),)
        plain = [cls(name, tuple(form.attributes.values())) for name, form in FUNCTIONS.items()]
        others = [
            *(cls("elu", (0.5,)), cls("celu", (2.0,)), cls("swish", (0.7,))),
            *(
                cls("shrink", (0.3, 0.2)),
                cls("pow", (3.0,)),
                cls("pow", (0.5,)),
                cls("pow", (-1.5,)),
            ),
        ]
        return [Example(op, image, name=op.name) for op in (*plain, *others)]


_BY_ONNX = {form.onnx: name for name, form in FUNCTIONS.items() if form.onnx and not form.fixed}


@imports(*sorted(set(_BY_ONNX) - {"Pow"}))
def import_function(ctx: ImportContext) -> None:
    name = _BY_ONNX[ctx.node.op]
    if name == "gelu" and ctx.text("approximate", "none", ("none", "tanh")) == "tanh":
        name = "gelu_tanh"
    value = ctx.value(0)
    parameters = tuple(
        ctx.real(key, default) for key, default in FUNCTIONS[name].attributes.items()
    )
    ctx.produce(ctx.add(Function(name, parameters), [value.ref]), value.batch)


@imports("Pow")
def import_pow(ctx: ImportContext) -> None:
    exponent = ctx.tensor(1)
    if exponent is None or exponent.size != 1:
        raise Unsupported("an exponent that is computed", accepted="one constant number")
    value = ctx.value(0)
    op = Function("pow", (float(exponent.reshape(-1)[0]),))
    ctx.produce(ctx.add(op, [value.ref]), value.batch)
