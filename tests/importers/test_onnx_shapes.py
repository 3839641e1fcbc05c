"""Operators that move and reshape, and shape arithmetic, against ONNX Runtime on the file."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nnshell.ir.graph import Graph

from .parts import VECTOR, Cases, ints, node, numbers

CASES = Cases()
case = CASES.add

# -- shapes --------------------------------------------------------------------------------

case("Flatten", node("Flatten", "x"))
case("Flatten axis 1 negative", node("Flatten", "x", axis=-3))
case("Reshape", node("Reshape", "x", "s"), s=ints(-1, 4 * 9 * 11))
case("Reshape 0 and -1", node("Reshape", "x", "s"), s=ints(0, 4, -1))
case("Reshape fixed batch of 1", node("Reshape", "x", "s"), x=[1, 4, 6], s=ints(1, 24))
case("Reshape fixed batch of 10", node("Reshape", "x", "s"), x=[10, 4, 6], s=ints(10, -1))
case("Reshape drops the batch of 1", node("Reshape", "x", "s"), x=[1, 4, 6], s=ints(4, 6))
case(
    "Reshape drops the batch, and back",
    node("Reshape", "x", "s", outputs=("t",)),
    node("Reshape", "t", "u", outputs=("v",)),
    node("Gemm", "v", "w"),
    x=[1, 4, 6],
    s=ints(24),
    u=ints(1, 24),
    w=numbers(24, 3),
)
case("Reshape opset 7", node("Reshape", "x", "s"), s=ints(0, -1), opset=7)
case("Reshape to more axes", node("Reshape", "x", "s"), s=ints(0, 2, 2, 9, 11))
case("Squeeze axes", node("Squeeze", "x", axes=[2, 3]), x=["N", 4, 1, 1], opset=11)
case("Squeeze axes input", node("Squeeze", "x", "a"), x=["N", 4, 1, 1], a=ints(-1, -2))
case("Squeeze all", node("Squeeze", "x"), x=[1, 4, 1, 1])
case("Squeeze all with open batch", node("Squeeze", "x"), x=["N", 4, 1, 1])
case("Unsqueeze axes", node("Unsqueeze", "x", axes=[2, 3]), x=VECTOR, opset=11)
case("Unsqueeze axes input", node("Unsqueeze", "x", "a"), x=VECTOR, a=ints(-1, 1))
case("Unsqueeze before", node("Unsqueeze", "x", "a"), x=[1, 12], a=ints(0))
case("Transpose to HWC", node("Transpose", "x", perm=[0, 2, 3, 1]))
case(
    "Transpose from HWC",
    node("Transpose", "x", outputs=("t",), perm=[0, 3, 1, 2]),
    node("Conv", "t", "w"),
    x=["N", 9, 11, 4],
    w=numbers(5, 4, 3, 3),
)
case("Transpose matrix", node("Transpose", "x", perm=[0, 2, 1]), x=["N", 3, 5])
case("Concat channels", node("Relu", "x", outputs=("t",)), node("Concat", "x", "t", axis=1))
case(
    "Concat negative axis",
    node("Relu", "x", outputs=("t",)),
    node("Concat", "x", "t", "x", axis=-1),
)
case("Concat constant", node("Concat", "x", "c", axis=1), x=[1, 4, 5], c=numbers(1, 2, 5))
case("Concat one", node("Concat", "x", axis=1))
case(
    "Concat along a batch of 1",
    node("Relu", "x", outputs=("t",)),
    node("Concat", "x", "t", axis=0),
    x=[1, 4, 5],
)
for opset in (7, 11):
    case(
        f"Split equal, opset {opset}",
        node("Split", "x", outputs=("a", "b"), axis=1),
        node("Sub", "b", "a"),
        opset=opset,
    )
case(
    "Split sizes attribute",
    node("Split", "x", outputs=("a", "b"), axis=1, split=[1, 3]),
    node("Add", "b", "a"),
    opset=11,
)
case(
    "Split sizes input",
    node("Split", "x", "s", outputs=("a", "b"), axis=-3),
    node("Add", "b", "a"),
    s=ints(3, 1),
    opset=13,
)
case(
    "Split num_outputs",
    node("Split", "x", outputs=("a", "b", "c"), axis=3, num_outputs=3),
    node("Add", "a", "b"),
    opset=18,
)
case("Slice attributes", node("Slice", "x", starts=[0, 1], ends=[3, -1], axes=[1, 3]), opset=9)
case(
    "Slice inputs",
    node("Slice", "x", "s", "e", "a", "t"),
    s=ints(1, -3),
    e=ints(9, 1000),
    a=ints(2, -1),
    t=ints(3, 1),
)
case(
    "Slice backwards",
    node("Slice", "x", "s", "e", "a", "t"),
    s=ints(-1, 5),
    e=ints(-(1 << 62), 0),
    a=ints(2, 3),
    t=ints(-2, -1),
)
case(
    "Slice without axes",
    node("Slice", "x", "s", "e"),
    x=[1, 5, 6],
    s=ints(0, 1, 2),
    e=ints(1, 4, 6),
)
case(
    "Slice of everything", node("Slice", "x", "s", "e", "a"), s=ints(0), e=ints(1 << 40), a=ints(2)
)
case("Gather one channel", node("Gather", "x", "i", axis=1), i=np.array(2, np.int64))
case("Gather last", node("Gather", "x", "i", axis=1), x=VECTOR, i=np.array(-1, np.int64))
case("Gather list", node("Gather", "x", "i", axis=1), i=ints(0, 2, 3))
case("Gather matrix of indices", node("Gather", "x", "i", axis=3), i=np.array([[4, 3], [0, 10]]))
case("Gather run backwards", node("Gather", "x", "i", axis=2), i=ints(8, 6, 4, 2))
case("Gather the only sample", node("Gather", "x", "i"), x=[1, 4, 5], i=np.array(0, np.int64))
case(
    "Pad", node("Pad", "x", "p", "v"), p=ints(0, 1, 2, 3, 0, 0, 1, 0), v=np.array(-1.5, np.float32)
)
case("Pad attributes", node("Pad", "x", pads=[0, 0, 1, 2, 0, 0, 3, 4], value=0.5), opset=10)
case("Pad axes", node("Pad", "x", "p", "", "a"), p=ints(1, 2, 3, 4), a=ints(1, -1), opset=18)
case("Pad crops", node("Pad", "x", "p"), p=ints(0, 0, -1, 2, 0, 0, 0, -3))
case("Dropout", node("Dropout", "x", ratio=0.3), opset=7)
case("Dropout inputs", node("Dropout", "x", "r"), r=np.array(0.5, np.float32))
case("Identity", node("Identity", "x", outputs=("t",)), node("Relu", "t"))
case("Cast to the same", node("Cast", "x", to=1))
case("Expand to the same", node("Expand", "x", "s"), x=[1, 4, 5], s=ints(1, 4, 5))

# -- resizing ------------------------------------------------------------------------------

COORDINATES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
for mode in ("nearest", "linear"):
    for coordinates in COORDINATES:
        for scale in (2.0, 1.5, 0.6):
            case(
                f"Resize {mode} {coordinates} scales {scale}",
                node("Resize", "x", "", "s", mode=mode, coordinate_transformation_mode=coordinates),
                s=np.array([1, 1, scale, scale], np.float32),
                opset=13,
            )
        case(
            f"Resize {mode} {coordinates} sizes",
            node("Resize", "x", "", "", "s", mode=mode, coordinate_transformation_mode=coordinates),
            x=[1, 4, 9, 11],
            s=ints(1, 4, 13, 6),
            opset=13,
        )
for nearest_mode in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
    case(
        f"Resize {nearest_mode}",
        node("Resize", "x", "", "s", mode="nearest", nearest_mode=nearest_mode),
        s=np.array([1, 1, 1.5, 2.5], np.float32),
    )
case("Resize opset 10", node("Resize", "x", "s"), s=np.array([1, 1, 2, 3], np.float32), opset=10)
case(
    "Resize opset 10 linear",
    node("Resize", "x", "s", mode="linear"),
    s=np.array([1, 1, 2, 3], np.float32),
    opset=10,
)
case(
    "Resize opset 11",
    node("Resize", "x", "r", "s", mode="linear"),
    r=np.array([], np.float32),
    s=np.array([1, 1, 2, 3], np.float32),
    opset=11,
)
case("Resize axes", node("Resize", "x", "", "s", axes=[2, 3]), s=np.array([2, 3], np.float32))
case(
    "Resize one axis",
    node("Resize", "x", "", "s", mode="linear"),
    x=["N", 4, 16],
    s=np.array([1, 1, 2.5], np.float32),
)
case("Upsample opset 7", node("Upsample", "x", scales=[1.0, 1.0, 2.0, 2.0]), opset=7)
case("Upsample opset 9", node("Upsample", "x", "s"), s=np.array([1, 1, 2, 3], np.float32), opset=9)
case(
    "Upsample opset 9 linear",
    node("Upsample", "x", "s", mode="linear"),
    s=np.array([1, 1, 2, 3], np.float32),
    opset=9,
)
for opset, op in ((9, "Upsample"), (10, "Resize")):
    case(
        f"{op} opset {opset} linear, inside the network",
        node("Relu", "x", outputs=("r",)),
        node(op, "r", "s", outputs=("u",), mode="linear"),
        node("Relu", "u"),
        s=np.array([1, 1, 1.5, 2.5], np.float32),
        opset=opset,
    )

# -- shape arithmetic ----------------------------------------------------------------------

case(
    "view of torch",
    node("Shape", "x", outputs=("s",)),
    node("Gather", "s", "zero", outputs=("n",), axis=0),
    node("Unsqueeze", "n", "axis", outputs=("n1",)),
    node("Concat", "n1", "rest", outputs=("target",), axis=0),
    node("Reshape", "x", "target"),
    zero=np.array(0, np.int64),
    axis=ints(0),
    rest=ints(-1),
)
case(
    "interpolate of torch",
    node("Shape", "x", outputs=("s",)),
    node("Slice", "s", "two", "four", "zero", outputs=("hw",)),
    node("Cast", "hw", outputs=("real",), to=1),
    node("Mul", "real", "factor", outputs=("wanted",)),
    node("Floor", "wanted", outputs=("floor",)),
    node("Cast", "floor", outputs=("int",), to=7),
    node("Slice", "s", "zero", "two", "zero", outputs=("nc",)),
    node("Concat", "nc", "int", outputs=("sizes",), axis=0),
    node(
        "Resize",
        "x",
        "",
        "",
        "sizes",
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    ),
    x=[1, 4, 9, 11],
    two=ints(2),
    four=ints(4),
    zero=ints(0),
    factor=np.array([2, 2], np.float32),
)
case(
    "ConstantOfShape, Range and Where",
    node("ConstantOfShape", "n", outputs=("zeros",)),
    node("Range", "start", "end", "step", outputs=("range",)),
    node("Cast", "range", outputs=("reals",), to=1),
    node("Equal", "range", "start", outputs=("first",)),
    node("Where", "first", "zeros", "reals", outputs=("c",)),
    node("Add", "x", "c"),
    x=VECTOR,
    n=ints(12),
    start=np.array(0, np.int64),
    end=np.array(12, np.int64),
    step=np.array(1, np.int64),
)
case(
    "Shape with start and end",
    node("Shape", "x", outputs=("s",), start=0, end=1),
    node("Concat", "s", "rest", outputs=("t",), axis=0),
    node("Reshape", "x", "t"),
    rest=ints(-1),
)
case(
    "weights through Transpose and Reshape",
    node("Transpose", "w", outputs=("t",), perm=[1, 0]),
    node("Reshape", "t", "s", outputs=("u",)),
    node("Gemm", "x", "u"),
    x=VECTOR,
    w=numbers(5, 12),
    s=ints(12, 5),
)
case(
    "dequantized weights",
    node("DequantizeLinear", "q", "s", outputs=("w",), axis=0),
    node("Conv", "x", "w"),
    q=np.random.default_rng(0).integers(-9, 9, (5, 4, 3, 3), np.int8),
    s=np.array([0.1, 0.2, 0.3, 0.4, 0.5], np.float32),
)


@pytest.mark.parametrize("name", CASES)
def test_imported_model_computes_what_the_file_says(
    name: str, compare: Callable[..., Graph]
) -> None:
    compare(**CASES[name])
