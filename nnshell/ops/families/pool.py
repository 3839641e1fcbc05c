"""What max and average pooling over a sliding window share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from nnshell.ir.facts import Border
from nnshell.ir.operator import Constants, Operator, Types
from nnshell.ir.records import RecordRule
from nnshell.ir.requests import Range
from nnshell.ir.types import TensorType
from nnshell.ir.work import ONE_BYTE, ElementBytes, Window, Work
from nnshell.ops.families.pool_rules import pool_rules
from nnshell.ops.families.shapes import INFOS_BYTES, describe_window, feature_map, windowed_map

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph


_HALVING = Window((2, 2), (2, 2))


@dataclass(frozen=True)
class Pool(Operator):
    """y[c, i, j] = f of x[c] under the window."""

    keeps_record: ClassVar[bool] = True
    pool_kind: ClassVar[Literal["max", "average"]]
    window: Window = _HALVING

    def sliding_window(self) -> Window:
        return self.window

    def with_window(self, window: Window) -> Pool:
        return replace(self, window=window)

    def identity_reason(self, inputs: Types, constants: Constants) -> str:
        still = self.window.kernel == self.window.strides == (1, 1)
        return "its window is one element" if still and not self.window.padded else ""

    @property
    def keeps_zero(self) -> bool:
        return True

    def scales_along(self, axis: int) -> bool:
        return axis == 0

    def with_border(self, border: Border, given: Range) -> Operator | str:
        pads = border.spatial
        if pads is None:
            return "it pads channels, a window pads height and width"
        window = self.window.grown(pads)
        if any(n >= window.kernel[axis % 2] for axis, n in enumerate(window.pads)):
            return "a pool's padding has to be smaller than its window"
        return self._padded_by(border.value, window, given)

    @abstractmethod
    def _padded_by(self, value: float, window: Window, given: Range) -> Operator | str:
        """With ``window``, whose padding is to do what a border of ``value`` does."""

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        channels, height, width = feature_map(inputs[0], self.kind)
        return (windowed_map(self.window, channels, height, width, self.kind),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"T {self.pool_kind} {describe_window(self.window)}"

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        shape = outputs[0].chw
        return Work(
            "pool",
            (feature_map(inputs[0], self.kind),),
            shape,
            shape,
            self.window,
            input_bytes=stored.of_inputs(inputs[:1]),
            output_bytes=stored.of_outputs(outputs),
            constant_bytes=INFOS_BYTES,
            pool_kind=self.pool_kind,
        )

    def record_rules(self, scheme: str) -> tuple[RecordRule, ...]:
        return pool_rules(padded=self.window.padded)
