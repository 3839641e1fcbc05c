"""What convolutions and linear layers share: y = W x + b with constant W (output first) and b."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.facts import Role
from nnshell.ir.integer_graph import CannotLower, IntegerGraph, IntegerTensor
from nnshell.ir.moments import Moments
from nnshell.ir.operator import Constants, IntArray, Operator, Types
from nnshell.ir.types import TensorType
from nnshell.lowering.filters import Sums
from nnshell.support.errors import GraphError


@dataclass(frozen=True)
class Filter(Operator):
    """Inputs are x, weights (output channel first) and bias (one for each output channel)."""

    role: ClassVar[Role] = "filter"
    makes_wide: ClassVar[bool] = True
    parameters: ClassVar[tuple[int, ...]] = (1, 2)
    sums_in_float64: ClassVar[bool] = False  # whether ONNX Runtime has the float node in float64

    def products(self, data: IntArray, weights: NDArray[Any], zero_point: int) -> IntArray:
        """Sums of products (samples, filters, ...), exact below 2**53; padding is zero point."""
        raise GraphError(f"operator '{self.kind}' has no integer kernel")

    def sums_in_int32(self, filters: tuple[int, ...]) -> bool:
        """Whether NNTool adds up in int32 where weights have this shape; others in float64."""
        return True

    def summing(
        self, build: IntegerGraph, x: IntegerTensor, zero_point: int
    ) -> tuple[IntegerTensor, Sums]:
        """What the lowered filter reads, padding included, and how its float node is written."""
        raise CannotLower(f"operator '{self.kind}' has no fast form")

    @abstractmethod
    def shares_inside(self, given: TensorType) -> NDArray[np.float64]:
        """For each tap of a channel the share of its places that read the input, not padding."""

    def channel_moments(
        self, known: Sequence[Moments | None], inputs: Types, constants: Constants
    ) -> Moments | None:
        """W m + b and W^2 v; what taps read is taken as independent."""
        read, (weights, bias) = known[0], constants[1:3]
        if read is None or weights is None or bias is None:
            return None
        groups = self.filter_groups
        grouped = weights.astype(np.float64).reshape(groups, len(weights) // groups, -1)
        taps = grouped.shape[0] * grouped.shape[2]
        shares = self.shares_inside(inputs[0]).reshape(-1)
        if taps % read.channels or (taps // read.channels) % shares.size:
            return None
        spread = read.repeated(taps // read.channels)
        inside = np.tile(shares, taps // shares.size)
        mean = inside * spread.mean
        variance = inside * (spread.variance + spread.mean**2) - mean**2
        means, variances = (values.reshape(groups, -1) for values in (mean, variance))
        return Moments(
            np.einsum("grt,gt->gr", grouped, means).reshape(-1) + bias,
            np.einsum("grt,gt->gr", grouped**2, variances).reshape(-1),
        )
