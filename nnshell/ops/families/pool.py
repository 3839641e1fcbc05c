"""What max and average pooling over a sliding window share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from nnshell.ir.operator import Operator, Types
from nnshell.ir.types import TensorType
from nnshell.ir.work import Window, Work
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

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        channels, height, width = feature_map(inputs[0], self.kind)
        return (windowed_map(self.window, channels, height, width, self.kind),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"T {self.pool_kind} {describe_window(self.window)}"

    def work(self, inputs: Types, outputs: Types, body: Graph | None = None) -> Work:
        shape = outputs[0].chw
        return Work(
            "pool",
            (inputs[0].chw,),
            shape,
            shape,
            self.window,
            input_bytes=(inputs[0].size,),
            output_bytes=outputs[0].size,
            constant_bytes=INFOS_BYTES,
            pool_kind=self.pool_kind,
        )

    def demands_symmetric(self, index: int) -> bool:
        return self.window.padded
