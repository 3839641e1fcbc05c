"""Another height and width by interpolation between neighbouring elements.

An output position p reads the input at a coordinate that ``coordinates`` gives (s is output size
over input size, or the factor in ``scales``; n_in and n_out are the extents):

    half_pixel            (p + 0.5) / s - 0.5
    pytorch_half_pixel    the same, and 0 where n_out is 1
    half_pixel_symmetric  the same, centred when n_in * s is not a whole number
    asymmetric            p / s
    align_corners         p * (n_in - 1) / (n_out - 1)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.facts import Role
from nnshell.ir.foreign import AttributeValue, ForeignGraph
from nnshell.ir.integer_graph import IntegerGraph, IntegerTensor
from nnshell.ir.moments import Moments
from nnshell.ir.operator import Constants, Example, IntArray, Operator, Types, register
from nnshell.ir.qparams import NodeQuantization
from nnshell.ir.requests import Range
from nnshell.ir.types import Layout, TensorType
from nnshell.ir.work import ONE_BYTE, ElementBytes, Work
from nnshell.lowering.moves import lower_pick
from nnshell.lowering.products import lower_weighted
from nnshell.lowering.requantize import Accumulator, divided, requantize_by
from nnshell.numeric.fixed_point import rounding_shift
from nnshell.ops.families.shapes import feature_map
from nnshell.reading.registry import Unsupported, imports
from nnshell.reading.spatial import SpatialInput, produce_spatial, spatial_input
from nnshell.support.errors import GraphError

if TYPE_CHECKING:
    from nnshell.ir.graph import Graph
    from nnshell.reading.context import ImportContext

COORDINATES = (
    "half_pixel",
    "pytorch_half_pixel",
    "half_pixel_symmetric",
    "asymmetric",
    "align_corners",
)
WEIGHT_BITS = 8  # of an interpolation weight
Number = TypeVar("Number", int, float)

ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@dataclass(frozen=True)
class Resizer(Operator):
    """Resizes each channel of a CHW feature map to ``size`` (height, width)."""

    role: ClassVar[Role] = "resize"
    keeps_record: ClassVar[bool] = True
    mode: ClassVar[str] = ""
    size: tuple[int, int] = (1, 1)
    coordinates: str = "half_pixel"
    scales: tuple[float, float] | None = None  # set where it is not size / input size

    def infer(self, inputs: Types, body: Graph | None = None) -> tuple[TensorType, ...]:
        channels, *size = feature_map(inputs[0], self.kind)
        if self.scales is not None and resized(size, self.scales) != self.size:
            raise GraphError(f"{self.kind} of {inputs[0]} by {self.scales} is not {self.size}")
        if self.coordinates not in COORDINATES:
            accepted = ", ".join(COORDINATES)
            raise GraphError(f"no coordinates '{self.coordinates}'", hint=f"one of {accepted}")
        if min(self.size) < 1:
            raise GraphError(f"{self.kind} to {self.size[0]}x{self.size[1]}")
        return (TensorType((channels, *self.size), Layout.CHW),)

    def describe(self, inputs: Types, outputs: Types, body: Graph | None = None) -> str:
        return f"{inputs[0]} -> {outputs[0]} {self.coordinates}"

    def work(
        self,
        inputs: Types,
        outputs: Types,
        body: Graph | None = None,
        stored: ElementBytes = ONE_BYTE,
    ) -> Work:
        shape = outputs[0].chw
        return Work(
            "resize",
            (feature_map(inputs[0], self.kind),),
            shape,
            shape,
            input_bytes=stored.of_inputs(inputs[:1]),
            output_bytes=stored.of_outputs(outputs),
        )

    def to_onnx(
        self, build: ForeignGraph, inputs: Sequence[str], types: Types, outputs: Types
    ) -> tuple[str, ...]:
        factors = self.scales or _exact_factors(types[0].shape, self.size)
        if factors is None:
            sizes = build.constant(np.array(self.size, np.int64), "sizes")
            operands = [inputs[0], "", "", sizes]
            attributes = {**self._attributes(), "axes": [2, 3]}
        else:
            scales = build.constant(np.array((1, 1, *factors), np.float32), "scales")
            operands, attributes = [inputs[0], "", scales], self._attributes()
        return (build.node("Resize", operands, attributes, hint=self.kind),)

    def _attributes(self) -> dict[str, AttributeValue]:
        return {
            "mode": self.mode,
            "coordinate_transformation_mode": self.coordinates,
        }

    def identity_reason(self, inputs: Types, constants: Constants) -> str:
        same = inputs[0].shape[1:] == self.size and self.scales is None
        return "the size stays" if same else ""

    @property
    def keeps_zero(self) -> bool:
        return True

    def scales_along(self, axis: int) -> bool:
        return axis == 0

    def bounds(self, inputs: Sequence[Range]) -> Range:
        return inputs[0]

    def channel_moments(
        self, known: Sequence[Moments | None], inputs: Types, constants: Constants
    ) -> Moments | None:
        """The means; neighbouring values are taken as alike, so the variances stay."""
        return known[0]

    def read_positions(self, given: TensorType) -> tuple[NDArray[Any], NDArray[Any]]:
        """The rows and columns of the input that each row and column of the result reads."""
        return self.positions(given)

    def positions(self, given: TensorType) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Coordinates in the input of every output row and column, in float32."""
        _, height, width = given.shape
        scales = self.scales or (self.size[0] / height, self.size[1] / width)
        return (
            axis_positions(self.coordinates, height, self.size[0], scales[0]),
            axis_positions(self.coordinates, width, self.size[1], scales[1]),
        )


def _exact_factors(shape: Sequence[int], size: tuple[int, int]) -> tuple[float, float] | None:
    """Factors of height and width where float32 has them without error, else None.

    They are written without ``axes``, which optimizers of transposes in ONNX Runtime mishandle.
    """
    factors = tuple(
        float(np.float32(m) / np.float32(n)) for m, n in zip(size, shape[1:], strict=True)
    )
    exact = all(f * n == m for f, n, m in zip(factors, shape[1:], size, strict=True))
    return (factors[0], factors[1]) if exact else None


def resized(size: Sequence[int], scales: Sequence[float]) -> tuple[int, ...]:
    """The size that factors give, rounded down, in float32 as ONNX says."""
    return tuple(int(np.float32(n) * np.float32(f)) for n, f in zip(size, scales, strict=True))


def axis_positions(coordinates: str, extent: int, size: int, scale: float) -> NDArray[np.float32]:
    """One axis: the coordinate that each of ``size`` outputs reads; ONNX Runtime's float32."""
    index = np.arange(size, dtype=np.float32)
    ratio, half = np.float32(scale), np.float32(0.5)
    if coordinates == "align_corners":
        return index * np.float32(extent - 1) / np.float32(max(size - 1, 1))
    if coordinates == "asymmetric":
        return index / ratio
    if coordinates == "pytorch_half_pixel" and size == 1:
        return np.zeros(1, np.float32)
    centred = (index + half) / ratio - half
    if coordinates == "half_pixel_symmetric":
        adjustment = np.float32(size) / (ratio * np.float32(extent))
        centred = centred + np.float32(extent) / 2 * (1 - adjustment)
    return centred.astype(np.float32)


@register
@dataclass(frozen=True)
class BilinearResizer(Resizer):
    """Weighted mean of the four nearest elements."""

    kind: ClassVar[str] = "bilinear_resizer"
    order_preserving: ClassVar[bool] = False
    mode: ClassVar[str] = "linear"

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        """nnshell's own rule: weights in Q8 along each axis, RS(weighted sum, 16)."""
        rows, columns = self.positions(TensorType(inputs[0].shape[1:]))
        across = _blend(inputs[0], rows, 2)
        blended: IntArray = rounding_shift(_blend(across, columns, 3), 2 * WEIGHT_BITS)
        return blended

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        x = replace(inputs[0], source=None)
        for axis, positions in enumerate(self.positions(TensorType(x.shape)), 1):
            identity = np.eye(x.shape[axis], dtype=np.int64)
            x = lower_weighted(build, x, _blend(identity, positions, 0), axis + 1)
        mean = Accumulator.of(x)
        return (requantize_by(build, mean, divided(quantization.output, 2 * WEIGHT_BITS)),)

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((3, 4, 6), Layout.CHW)
        sizes = ((8, 12), (7, 5), (2, 3))
        return [
            Example(cls(size, coordinates), (image,), (), f"{coordinates} {size}")
            for coordinates in COORDINATES
            for size in sizes
        ]


def nearest_index(rounding: str, positions: NDArray[np.float32], extent: int) -> IntArray:
    """The element of ``extent`` that each coordinate is rounded to."""
    half = np.float32(0.5)
    rounded: NDArray[np.float32] = {
        "floor": np.floor(positions),
        "ceil": np.ceil(positions),
        "round_prefer_floor": np.ceil(positions - half),
        "round_prefer_ceil": np.floor(positions + half),
    }[rounding]
    return np.clip(rounded.astype(np.int64), 0, extent - 1)


@register
@dataclass(frozen=True)
class NearestNeighborResizer(Resizer):
    """The element at the coordinate rounded as ``rounding`` says."""

    kind: ClassVar[str] = "nearest_neighbor_resizer"
    mode: ClassVar[str] = "nearest"
    rounding: str = "round_prefer_floor"

    def moves_only(self, inputs: Types) -> bool:
        return True

    def _attributes(self) -> dict[str, AttributeValue]:
        return {**super()._attributes(), "nearest_mode": self.rounding}

    def integer(self, quantization: NodeQuantization, inputs: Sequence[IntArray]) -> IntArray:
        rows, columns = self.indices(inputs[0].shape[1:])
        picked: IntArray = inputs[0][:, :, rows][:, :, :, columns]
        return picked

    def read_positions(self, given: TensorType) -> tuple[NDArray[Any], NDArray[Any]]:
        return self.indices(given.shape)

    def indices(self, shape: tuple[int, ...]) -> tuple[IntArray, IntArray]:
        """Which row and column of a CHW ``shape`` each row and column of the result is."""
        rows, columns = (
            nearest_index(self.rounding, position, extent)
            for position, extent in zip(self.positions(TensorType(shape)), shape[1:], strict=True)
        )
        return rows, columns

    def lower(
        self,
        quantization: NodeQuantization,
        build: IntegerGraph,
        inputs: Sequence[IntegerTensor],
        outputs: Types,
    ) -> tuple[IntegerTensor, ...]:
        """Rows and columns picked by index, as the reference does."""
        rows, columns = self.indices(inputs[0].shape)
        x = lower_pick(build, inputs[0], rows, 2)
        return (lower_pick(build, x, columns, 3),)

    @classmethod
    def examples(cls) -> list[Example]:
        image = TensorType((3, 4, 6), Layout.CHW)
        results = [
            Example(cls((8, 12), "asymmetric", None, rounding), (image,), (), rounding)
            for rounding in ROUNDINGS
        ]
        results.append(Example(cls((5, 9), "half_pixel"), (image,), (), "half pixel"))
        results.append(Example(cls((6, 9), "asymmetric", (1.6, 1.5), "floor"), (image,), (), "1.6"))
        return results


def neighbours(positions: NDArray[np.float32], extent: int) -> tuple[IntArray, IntArray, IntArray]:
    """(element before, element after, weight of the latter in Q8) for each position on an axis."""
    inside = np.clip(positions, 0, extent - 1)
    before = np.floor(inside).astype(np.int64)
    weight = np.floor((inside - before) * (1 << WEIGHT_BITS) + 0.5).astype(np.int64)
    return before, np.minimum(before + 1, extent - 1), weight


def _blend(x: IntArray, positions: NDArray[np.float32], axis: int) -> IntArray:
    """Neighbours along one axis, weighted in Q8; the result has 8 fraction bits more."""
    before, after, weight = neighbours(positions, x.shape[axis])
    shape = [1] * x.ndim
    shape[axis] = -1
    weight = weight.reshape(shape)
    blended: IntArray = (
        x.take(before, axis) * ((1 << WEIGHT_BITS) - weight) + x.take(after, axis) * weight
    )
    return blended


@imports("Resize")
def import_resize(ctx: ImportContext) -> None:
    """Height and width only; nearest and linear."""
    value = spatial_input(ctx, 0)
    mode = ctx.text("mode", "nearest", ("nearest", "linear"))
    coordinates = ctx.text("coordinate_transformation_mode", "half_pixel", COORDINATES)
    if ctx.integer("antialias", 0):
        ctx.refuse("antialias", accepted="0")
    ctx.text("keep_aspect_ratio_policy", "stretch", ("stretch",))
    size, scales = _target(ctx, value)
    if size == value.size and scales is None:
        produce_spatial(ctx, value.ref, value)
        return
    resizer: Resizer = BilinearResizer(size, coordinates, scales)
    if mode == "nearest":
        rounding = ctx.text("nearest_mode", "round_prefer_floor", ROUNDINGS)
        resizer = NearestNeighborResizer(size, coordinates, scales, rounding)
    produce_spatial(ctx, ctx.add(resizer, [value.ref]), value)


def _target(
    ctx: ImportContext, source: SpatialInput
) -> tuple[tuple[int, int], tuple[float, float] | None]:
    """The new size, and the factors where they are not new size over old."""
    rank = 3 if source.one_row else 4
    axes = [ctx.axis(axis, rank) for axis in ctx.integers("axes") or range(rank)]
    whole = (ctx.batch_size, source.channels, *source.size[-(rank - 2) :])
    sizes, scales = ctx.integers_in(3), ctx.tensor(2)
    if sizes:
        new = _over_axes(whole, axes, sizes, whole)
        if new[:2] != whole[:2]:
            raise Unsupported(f"sizes = {list(sizes)}", accepted="changes of height and width")
        return _height_width(source, new), None
    if scales is None or not scales.size:
        raise Unsupported("neither scales nor sizes are given")
    factors = _over_axes(whole, axes, tuple(float(s) for s in scales.reshape(-1)), (1.0,) * rank)
    usable = all(np.isfinite(f) and 0 < f <= 1 << 16 for f in factors)
    if not usable or factors[:2] != (1.0, 1.0):
        raise Unsupported(f"scales = {factors}", accepted="positive factors of height and width")
    new = resized(whole, factors)
    exact = all(
        np.float32(m) / np.float32(n) == np.float32(f)
        for m, n, f in zip(new, whole, factors, strict=True)
    )
    pair = (1.0 if source.one_row else factors[2], factors[-1])
    return _height_width(source, new), None if exact else pair


def _over_axes(
    whole: Sequence[int], axes: Sequence[int], values: Sequence[Number], default: Sequence[Number]
) -> tuple[Number, ...]:
    """``values``, given for ``axes``, with the default for all other axes."""
    if len(values) != len(axes):
        raise Unsupported(f"{len(values)} sizes or scales", accepted=f"{len(axes)}")
    filled = list(default)
    for axis, value in zip(axes, values, strict=True):
        filled[axis] = value
    return tuple(filled)


def _height_width(value: SpatialInput, whole: Sequence[int]) -> tuple[int, int]:
    return (1, whole[2]) if value.one_row else (whole[2], whole[3])
