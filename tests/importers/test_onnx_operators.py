"""Operators that compute, with all their attributes, against ONNX Runtime on the same file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from nnshell.importers.onnx.importer import import_onnx
from nnshell.ir.graph import Graph

from .parts import IMAGE, VECTOR, Cases, Parts, ints, node, numbers

CASES = Cases()
case = CASES.add

# -- convolutions --------------------------------------------------------------------------

for label, attributes in {
    "plain": {},
    "pads": {"pads": [1, 1, 1, 1]},
    "uneven pads": {"pads": [0, 2, 1, 3]},
    "strides": {"strides": [2, 3], "pads": [1, 1, 1, 1]},
    "dilations": {"dilations": [2, 3], "pads": [2, 3, 2, 3]},
    "kernel_shape": {"kernel_shape": [3, 3]},
    "SAME_UPPER": {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    "SAME_LOWER": {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
    "SAME_UPPER stride 3": {"auto_pad": "SAME_UPPER", "strides": [3, 3]},
    "VALID": {"auto_pad": "VALID"},
    "NOTSET": {"auto_pad": "NOTSET", "pads": [1, 0, 1, 0]},
}.items():
    case(
        f"Conv {label}",
        node("Conv", "x", "w", "b", **attributes),
        w=numbers(5, 4, 3, 3),
        b=numbers(5),
    )
case("Conv without bias", node("Conv", "x", "w"), w=numbers(5, 4, 3, 3))
case(
    "Conv even kernel, SAME_LOWER",
    node("Conv", "x", "w", auto_pad="SAME_LOWER"),
    w=numbers(2, 4, 2, 4),
)
case("Conv depthwise", node("Conv", "x", "w", group=4), w=numbers(4, 1, 3, 3))
case("Conv depthwise with multiplier", node("Conv", "x", "w", group=4), w=numbers(8, 1, 3, 3))
case("Conv grouped", node("Conv", "x", "w", group=2), w=numbers(6, 2, 3, 1))
case(
    "Conv one axis",
    node("Conv", "x", "w", "b", pads=[1, 2], strides=[2]),
    x=["N", 4, 17],
    w=numbers(3, 4, 3),
    b=numbers(3),
)
case(
    "Conv one axis, SAME",
    node("Conv", "x", "w", auto_pad="SAME_UPPER", strides=[2]),
    x=["N", 4, 16],
    w=numbers(3, 4, 5),
)
case("Conv opset 7", node("Conv", "x", "w", pads=[1, 1, 1, 1]), w=numbers(5, 4, 3, 3), opset=7)
case("Conv opset 26", node("Conv", "x", "w", pads=[1, 1, 1, 1]), w=numbers(5, 4, 3, 3), opset=26)
case(
    "Pad into Conv",
    node("Pad", "x", "p", outputs=("t",)),
    node("Conv", "t", "w", pads=[0, 1, 0, 1], strides=[2, 2]),
    p=ints(0, 0, 1, 2, 0, 0, 0, 1),
    w=numbers(5, 4, 3, 3),
)
case(
    "Pad into Conv with SAME",
    node("Pad", "x", "p", outputs=("t",)),
    node("Conv", "t", "w", auto_pad="SAME_UPPER", strides=[2, 2]),
    p=ints(0, 0, 1, 2, 0, 0, 0, 1),
    w=numbers(5, 4, 3, 3),
)
case(
    "Pad of another value before Conv",
    node("Pad", "x", "p", "v", outputs=("t",)),
    node("Conv", "t", "w"),
    p=ints(0, 0, 1, 1, 0, 0, 1, 1),
    v=np.array(0.5, np.float32),
    w=numbers(5, 4, 3, 3),
)

# -- matrix products -----------------------------------------------------------------------

case("Gemm", node("Gemm", "x", "w", "b"), x=VECTOR, w=numbers(12, 5), b=numbers(5))
case("Gemm without bias", node("Gemm", "x", "w"), x=VECTOR, w=numbers(12, 5))
case(
    "Gemm transB",
    node("Gemm", "x", "w", "b", transB=1),
    x=VECTOR,
    w=numbers(5, 12),
    b=numbers(1, 5),
)
case(
    "Gemm alpha beta",
    node("Gemm", "x", "w", "b", alpha=0.5, beta=2.0),
    x=VECTOR,
    w=numbers(12, 5),
    b=numbers(5),
)
case(
    "Gemm scalar bias",
    node("Gemm", "x", "w", "b"),
    x=VECTOR,
    w=numbers(12, 5),
    b=np.array(0.3, np.float32),
)
case(
    "Gemm transA",
    node("Gemm", "x", "w", "b", transA=1, transB=1),
    x=[12, 1],
    w=numbers(5, 12),
    b=numbers(5),
)
case(
    "Gemm opset 7",
    node("Gemm", "x", "w", "b", transB=1),
    x=VECTOR,
    w=numbers(5, 12),
    b=numbers(5),
    opset=7,
)
case("Gemm opset 9", node("Gemm", "x", "w", "b"), x=VECTOR, w=numbers(12, 5), b=numbers(5), opset=9)
case(
    "Gemm plus activation",
    node("Gemm", "x", "w", outputs=("t",)),
    node("Gemm", "x", "w", "t", beta=0.5),
    x=VECTOR,
    w=numbers(12, 5),
)
case("MatMul vector", node("MatMul", "x", "w"), x=VECTOR, w=numbers(12, 5))
case("MatMul matrix", node("MatMul", "x", "w"), x=["N", 6, 12], w=numbers(12, 5))
case("MatMul one row", node("MatMul", "x", "w"), x=["N", 1, 12], w=numbers(12, 5))
case("MatMul feature map", node("MatMul", "x", "w"), w=numbers(11, 5))
case("MatMul with a stack", node("MatMul", "x", "w"), x=["N", 3, 4, 6], w=numbers(1, 3, 6, 5))
case("MatMul with vector", node("MatMul", "x", "w"), x=["N", 6, 12], w=numbers(12))
case("MatMul vector with vector", node("MatMul", "x", "w"), x=VECTOR, w=numbers(12))
case("MatMul constant first", node("MatMul", "w", "x"), x=["N", 12, 3], w=numbers(5, 12))
case(
    "MatMul of activations",
    node("Transpose", "x", outputs=("t",), perm=[0, 2, 1]),
    node("MatMul", "x", "t"),
    x=["N", 3, 5],
)
case(
    "MatMul samples as columns",
    node("Transpose", "x", outputs=("t",), perm=[1, 0]),
    node("MatMul", "w", "t", outputs=("u",)),
    node("Transpose", "u", perm=[1, 0]),
    x=VECTOR,
    w=numbers(5, 12),
)

# -- arithmetic ----------------------------------------------------------------------------

for op in ("Add", "Sub", "Mul", "Div"):
    case(
        f"{op} activations",
        node("Relu", "x", outputs=("t",)),
        node("Add", "t", "one", outputs=("u",)),
        node(op, "x", "u"),
        one=np.array(1, np.float32),
    )
    case(f"{op} constant per channel", node(op, "x", "c"), c=numbers(1, 4, 1, 1))
    case(f"{op} constant without batch axis", node(op, "x", "c"), c=numbers(4, 1, 1))
    case(f"{op} constant along the width", node(op, "x", "c"), c=numbers(11))
    case(f"{op} scalar", node(op, "x", "c"), c=np.array(2.5, np.float32))
    case(f"{op} scalar with axis", node(op, "x", "c"), c=np.array([2.5], np.float32))
    case(f"{op} vector", node(op, "x", "c"), x=VECTOR, c=numbers(1, 12))
    case(
        f"{op} constant first, opset 7",
        node("Abs", "c", outputs=("d",)),
        node(op, "d", "x"),
        c=numbers(4, 1, 1),
        opset=7,
    )
case("Add raises the rank", node("Add", "x", "c"), x=[1, 12], c=numbers(3, 1, 12))
case(
    "Mul gate per channel, expanded",
    node("GlobalAveragePool", "x", outputs=("g",)),
    node("Shape", "x", outputs=("s",)),
    node("Expand", "g", "s", outputs=("e",)),
    node("Mul", "x", "e"),
)
case(
    "Expand of what is pooled, twice",
    node("GlobalAveragePool", "x", outputs=("g",)),
    node("GlobalMaxPool", "x", outputs=("h",)),
    node("Shape", "x", outputs=("s",)),
    node("Expand", "g", "s", outputs=("e",)),
    node("Expand", "h", "s", outputs=("f",)),
    node("Add", "e", "f"),
)
case("Mul gate per channel", node("GlobalAveragePool", "x", outputs=("g",)), node("Mul", "x", "g"))
case("Mul with itself", node("Mul", "x", "x"))
case("Sum", node("Relu", "x", outputs=("t",)), node("Sum", "x", "t", "c"), c=numbers(4, 1, 1))

case("LayerNormalization", node("LayerNormalization", "x", "s", "b", axis=-1),
     s=numbers(IMAGE[3]), b=numbers(IMAGE[3]), opset=17)  # fmt: skip
case("LayerNormalization no bias", node("LayerNormalization", "x", "s", axis=1, epsilon=0.1),
     s=numbers(*IMAGE[1:]), opset=17)  # fmt: skip
case("LayerNormalization of rows", node("LayerNormalization", "x", "s"), x=(2, 5, 6),
     s=numbers(6), opset=17)  # fmt: skip
case("RMSNormalization", node("RMSNormalization", "x", "s", axis=-1), s=numbers(IMAGE[3]), opset=23)
case("InstanceNormalization", node("InstanceNormalization", "x", "s", "b"),
     s=numbers(4), b=numbers(4))  # fmt: skip
case("GroupNormalization", node("GroupNormalization", "x", "s", "b", num_groups=2),
     s=numbers(4), b=numbers(4), opset=21)  # fmt: skip
for op in ("ReduceSum", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare"):
    for axes in ([2, 3], [1], [-1], [1, 2, 3], [2]):
        for keep in (0, 1):
            case(f"{op} over {axes} {keep}", node(op, "x", "axes", keepdims=keep),
                 axes=ints(*axes), opset=18)  # fmt: skip
case("ReduceLogSum", node("Exp", "x", outputs=("t",)), node("ReduceLogSum", "t", "axes"),
     axes=ints(2, 3), opset=18)  # fmt: skip
case("ReduceL2 of numbers", node("ReduceL2", "x", "axes", noop_with_empty_axes=1),
     axes=np.zeros(0, np.int64), opset=18)  # fmt: skip
W = numbers(4, 3, 3, 3)  # input channels, output channels, kernel
B = numbers(3)
case("ConvTranspose", node("ConvTranspose", "x", "w", "b"), w=W, b=B)
case("ConvTranspose no bias", node("ConvTranspose", "x", "w"), w=W)
for name, attributes in {
    "strides": {"strides": [2, 2]},
    "strides pads": {"strides": [2, 3], "pads": [1, 0, 1, 2]},
    "torch": {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
    "dilations": {"strides": [2, 1], "dilations": [2, 3], "pads": [1, 0, 2, 1]},
    "pads beyond the kernel": {"strides": [3, 3], "pads": [3, 0, 1, 4]},
    "upper": {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "lower": {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
    "valid": {"strides": [2, 2], "auto_pad": "VALID"},
}.items():
    case(f"ConvTranspose {name}", node("ConvTranspose", "x", "w", "b", **attributes), w=W, b=B)
case("ConvTranspose groups", node("ConvTranspose", "x", "w", strides=[2, 2], group=2), w=W)
case("ConvTranspose depthwise", node("ConvTranspose", "x", "w", strides=[2, 2], group=4),
     w=numbers(4, 1, 2, 2))  # fmt: skip
case("ConvTranspose one axis", node("ConvTranspose", "x", "w", strides=[2], pads=[1, 0]),
     x=(1, 4, 9), w=numbers(4, 3, 3))  # fmt: skip

# -- activations ---------------------------------------------------------------------------

case("Relu", node("Relu", "x"))
case("Relu opset 7", node("Relu", "x"), opset=7)
case("LeakyRelu", node("LeakyRelu", "x", alpha=0.1))
case("LeakyRelu default", node("LeakyRelu", "x"))
case("Sigmoid", node("Sigmoid", "x"))
case("Tanh", node("Tanh", "x"), x=VECTOR)
case("Exp", node("Exp", "x"), x=VECTOR)
for op in (
    *("Neg", "Abs", "Sign", "Floor", "Ceil", "Round", "Erf", "Sin", "Cos", "Atan", "Sinh", "Cosh"),
    *("Asinh", "Softplus", "Softsign", "Mish", "Gelu", "Elu", "Selu", "Celu", "Shrink"),
):
    case(op, node(op, "x"), opset=20)
for op, before in (
    *(("Sqrt", "Abs"), ("Log", "Softplus"), ("Reciprocal", "Exp"), ("Tan", "Sigmoid")),
    *(("Asin", "Sin"), ("Acos", "Tanh"), ("Acosh", "Cosh"), ("Atanh", "HardSigmoid")),
):
    case(op, node(before, "x", outputs=("t",)), node(op, "t"))
case("Gelu tanh", node("Gelu", "x", approximate="tanh"), opset=20)
case("Elu alpha", node("Elu", "x", alpha=0.3))
case("Selu alpha gamma", node("Selu", "x", alpha=1.2, gamma=0.9))
case("Celu alpha", node("Celu", "x", alpha=2.0))
case("Shrink lambd bias", node("Shrink", "x", lambd=0.3, bias=0.2))
for exponent in (2.0, 3.0, -2.0, 1.0):
    value = np.array(exponent, np.float32)
    case(f"Pow {exponent}", node("Exp", "x", outputs=("t",)), node("Pow", "t", "c"), c=value)
case("Pow of a root", node("Abs", "x", outputs=("t",)), node("Pow", "t", "c"),
     c=np.array([0.5], np.float32))  # fmt: skip
case("HardSigmoid", node("HardSigmoid", "x"))
case("HardSigmoid alpha beta", node("HardSigmoid", "x", alpha=1 / 6, beta=0.4))
case("HardSwish", node("HardSwish", "x"), opset=14)
case("PRelu one slope", node("PRelu", "x", "s"), s=np.array([0.2], np.float32))
case("PRelu equal slopes", node("PRelu", "x", "s"), s=np.full((4, 1, 1), 0.3, np.float32))
case("PRelu per channel", node("PRelu", "x", "s"), s=numbers(4, 1, 1))
case("PRelu per channel, opset 7", node("PRelu", "x", "s"), s=numbers(4, 1, 1), opset=7)
case("PRelu with batch axis", node("PRelu", "x", "s"), s=numbers(1, 4, 1, 1))
for low, high in ((0.0, 6.0), (0.0, 4.0), (-1.0, 1.0), (0.0, None), (None, 2.0), (None, None)):
    bounds = {
        name: np.array(value, np.float32)
        for name, value in (("low", low), ("high", high))
        if value is not None
    }
    names = ["low" if "low" in bounds else "", "high" if "high" in bounds else ""]
    case(f"Clip {low} {high}", node("Clip", "x", *names), **bounds)
case("Clip attributes", node("Clip", "x", min=0.0, max=6.0), opset=7)
case("Clip one attribute", node("Clip", "x", min=-0.5), opset=10)
case(
    "Clip opset 11",
    node("Clip", "x", "low", "high"),
    opset=11,
    low=np.array(0, np.float32),
    high=np.array(6, np.float32),
)
case(
    "Clip computed bounds",
    node("Add", "a", "a", outputs=("high",)),
    node("Clip", "x", "", "high"),
    a=np.array(0.75, np.float32),
)
case("Softmax", node("Softmax", "x"), x=VECTOR)
case("Softmax channels", node("Softmax", "x", axis=1))
case("Softmax negative axis", node("Softmax", "x", axis=-2))
case("Softmax opset 11 default axis", node("Softmax", "x"), opset=11)
case("Softmax opset 9 last axis", node("Softmax", "x", axis=3), opset=9)
case("Softmax opset 7 vector", node("Softmax", "x"), x=VECTOR, opset=7)
case("Softmax opset 12 negative axis", node("Softmax", "x", axis=-1), x=["N", 6, 2], opset=12)

# -- pools ---------------------------------------------------------------------------------

WINDOWS: dict[str, Parts] = {
    "halving": {"kernel_shape": [2, 2], "strides": [2, 2]},
    "stride 1": {"kernel_shape": [3, 2]},
    "pads": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    "uneven pads": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 1, 2, 0]},
    "SAME_UPPER": {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "SAME_LOWER": {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    "ceil_mode": {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
    "ceil_mode 3": {"kernel_shape": [3, 3], "strides": [2, 3], "ceil_mode": 1},
    "ceil_mode and pads": {
        "kernel_shape": [3, 3],
        "strides": [3, 3],
        "pads": [1, 1, 1, 1],
        "ceil_mode": 1,
    },
    "ceil_mode, window after the input": {
        "kernel_shape": [1, 1],
        "strides": [4, 4],
        "pads": [0, 0, 0, 0],
        "ceil_mode": 1,
    },
    "dilations": {"kernel_shape": [2, 2], "dilations": [2, 3], "pads": [1, 1, 1, 1]},
}
for label, attributes in WINDOWS.items():
    case(f"MaxPool {label}", node("MaxPool", "x", **attributes))
    case(f"AveragePool {label}", node("AveragePool", "x", **attributes))
    counted = {**attributes, "count_include_pad": 1}
    case(f"AveragePool count_include_pad {label}", node("AveragePool", "x", **counted))
case("MaxPool opset 7", node("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2]), opset=7)
case(
    "MaxPool one axis",
    node("MaxPool", "x", kernel_shape=[3], strides=[2], pads=[1, 0]),
    x=["N", 4, 16],
)
COUNTED = {"kernel_shape": [2, 2], "count_include_pad": 1, "pads": [1, 1, 1, 1]}
case("AveragePool opset 7", node("AveragePool", "x", **COUNTED), opset=7)
BORDER = ints(0, 0, 1, 1, 0, 0, 1, 1)
case(
    "Pad into AveragePool",
    node("Pad", "x", "p", outputs=("t",)),
    node("AveragePool", "t", kernel_shape=[3, 3], strides=[2, 2]),
    p=BORDER,
)
case(
    "Pad before padded AveragePool",
    node("Pad", "x", "p", outputs=("t",)),
    node("AveragePool", "t", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    p=BORDER,
)
case(
    "Pad into MaxPool of Relu",
    node("Relu", "x", outputs=("r",)),
    node("Pad", "r", "p", outputs=("t",)),
    node("MaxPool", "t", kernel_shape=[3, 3], strides=[2, 2]),
    p=BORDER,
)
case(
    "Pad before MaxPool of anything",
    node("Pad", "x", "p", outputs=("t",)),
    node("MaxPool", "t", kernel_shape=[3, 3], strides=[2, 2]),
    p=BORDER,
)
for op in ("MaxPool", "AveragePool"):
    case(
        f"Pad wider than the kernel before {op}",
        node("Pad", "x", "p", outputs=("t",)),
        node(op, "t", kernel_shape=[2, 2]),
        p=ints(0, 0, 3, 3, 0, 0, 3, 3),
    )
case(
    "MaxPool ceil_mode reaches after by more than the kernel",
    node("MaxPool", "x", kernel_shape=[2, 2], dilations=[4, 5], strides=[3, 4], ceil_mode=1),
)
case("GlobalAveragePool", node("GlobalAveragePool", "x"))
case("GlobalMaxPool", node("GlobalMaxPool", "x"))
case("GlobalAveragePool one axis", node("GlobalAveragePool", "x"), x=["N", 4, 16])
for op in ("ReduceMean", "ReduceMax"):
    case(f"{op} space", node(op, "x", axes=[2, 3]), opset=11)
    case(f"{op} space without axes", node(op, "x", axes=[-2, -1], keepdims=0), opset=13)
    case(f"{op} axes as input", node(op, "x", "a"), a=ints(2, 3), opset=18)
    case(f"{op} width", node(op, "x", "a", keepdims=0), a=ints(3), opset=18)
    case(f"{op} channels", node(op, "x", "a"), a=ints(1), opset=18)
    case(
        f"{op} height and width of HWC",
        node("Transpose", "x", outputs=("t",), perm=[0, 2, 3, 1]),
        node(op, "t", "a", keepdims=0),
        a=ints(1, 2),
        opset=18,
    )
    case(f"{op} everything", node(op, "x", "a", keepdims=0), a=ints(1, 2, 3), opset=18)

# -- batch normalization -------------------------------------------------------------------

NORM = {
    "scale": numbers(5, seed=1),
    "shift": numbers(5, seed=2),
    "mean": numbers(5, seed=3),
    "var": np.abs(numbers(5, seed=4)) + 0.1,
}
for opset in (7, 9, 14, 15, 21):
    case(
        f"BatchNormalization after Conv, opset {opset}",
        node("Conv", "x", "w", outputs=("t",)),
        node("BatchNormalization", "t", *NORM),
        w=numbers(5, 4, 3, 3),
        opset=opset,
        **NORM,
    )
case(
    "BatchNormalization after Conv with bias",
    node("Conv", "x", "w", "b", outputs=("t",)),
    node("BatchNormalization", "t", *NORM, epsilon=1e-3),
    w=numbers(5, 4, 3, 3),
    b=numbers(5),
    **NORM,
)
case(
    "BatchNormalization after Conv along one axis",
    node("Conv", "x", "w", outputs=("t",)),
    node("BatchNormalization", "t", *NORM),
    x=["N", 4, 16],
    w=numbers(5, 4, 3),
    **NORM,
)
case(
    "BatchNormalization after Gemm",
    node("Gemm", "x", "w", "b", outputs=("t",)),
    node("BatchNormalization", "t", *NORM),
    x=VECTOR,
    w=numbers(12, 5),
    b=numbers(5),
    **NORM,
)
case(
    "BatchNormalization of a Conv that is read twice",
    node("Conv", "x", "w", outputs=("t",)),
    node("BatchNormalization", "t", *NORM, outputs=("u",)),
    node("Add", "t", "u"),
    w=numbers(5, 4, 3, 3),
    **NORM,
)
case(
    "BatchNormalization after an identity of a Conv that is read twice",
    node("Conv", "x", "w", outputs=("t",)),
    node("Identity", "t", outputs=("i",)),
    node("BatchNormalization", "i", *NORM, outputs=("u",)),
    node("Add", "t", "u"),
    w=numbers(5, 4, 3, 3),
    **NORM,
)
case("BatchNormalization alone", node("BatchNormalization", "x", *NORM), x=["N", 5, 6, 7], **NORM)
case("BatchNormalization of vectors", node("BatchNormalization", "x", *NORM), x=["N", 5], **NORM)


# -- what moves elements -------------------------------------------------------------------

for mode in ("DCR", "CRD"):
    case(
        f"DepthToSpace {mode}", node("DepthToSpace", "x", blocksize=2, mode=mode), x=["N", 12, 2, 3]
    )
case("DepthToSpace opset 9", node("DepthToSpace", "x", blocksize=3), x=["N", 18, 2, 3], opset=9)
case("SpaceToDepth", node("SpaceToDepth", "x", blocksize=2), x=["N", 3, 4, 6])
case("Tile", node("Tile", "x", "r"), x=["N", 2, 3], r=ints(1, 3, 2))
case("Tile once", node("Tile", "x", "r"), x=["N", 2, 3], r=ints(1, 1, 1))
case("Expand along an axis of 1", node("Expand", "x", "s"), x=["N", 3, 1, 4], s=ints(1, 1, 5, 1))
case("Expand, fewer axes", node("Expand", "x", "s"), x=["N", 3, 1, 4], s=ints(5, 4))
case("CastLike", node("CastLike", "x", "c"), c=numbers(1))
for mode in ("reflect", "edge"):
    case(f"Pad {mode}", node("Pad", "x", "p", mode=mode), p=ints(0, 0, 1, 2, 0, 0, 3, 0))
    case(
        f"Pad {mode} of a row",
        node("Pad", "x", "p", mode=mode),
        x=["N", 3, 4],
        p=ints(0, 0, 3, 0, 0, 3),
    )
    case(
        f"Pad {mode} opset 10", node("Pad", "x", mode=mode, pads=[0, 0, 1, 1, 0, 0, 1, 1]), opset=10
    )
case("Pad edge, channels", node("Pad", "x", "p", mode="edge"), p=ints(0, 2, 0, 0, 0, 5, 0, 0))

# -- several of the above ------------------------------------------------------------------

for axis in (1, -1, 2):
    case(f"LogSoftmax {axis}", node("LogSoftmax", "x", axis=axis))
case("LogSoftmax of vectors", node("LogSoftmax", "x"), x=VECTOR)
case("LogSoftmax opset 11", node("LogSoftmax", "x"), x=VECTOR, opset=11)
case("LogSoftmax opset 11, map", node("LogSoftmax", "x", axis=1), opset=11)
case("Mean", node("Relu", "x", outputs=("a",)), node("Mean", "x", "a", "c"), c=numbers(4, 1, 1))
for op in ("Max", "Min"):
    relu = node("Relu", "x", outputs=("a",))
    case(
        f"{op} of two maps",
        node("Conv", "x", "w", outputs=("a",)),
        node(op, "x", "a"),
        w=numbers(4, 4, 1, 1),
    )
    case(f"{op} of three", relu, node(op, "x", "a", "c"), c=numbers(4, 1, 1))
    case(f"{op} with zero", node(op, "x", "c"), c=np.float32(0))
    case(f"{op} of a number, first", node(op, "c", "x"), c=numbers(1) + 1)
    case(f"{op} of one", node(op, "x"))
    case(f"{op} opset 8", node(op, "x", "c"), c=numbers(4, 1, 1), opset=8)
case("Mean of one", node("Mean", "x"))


@pytest.mark.parametrize("name", CASES)
def test_imported_model_computes_what_the_file_says(
    name: str, compare: Callable[..., Graph]
) -> None:
    compare(**CASES[name])


def test_constant_node_kinds(compare: Callable[..., Graph]) -> None:
    floats = node("Constant", outputs=("c",), value_floats=[float(n) for n in range(12)])
    compare(nodes=[floats, node("Add", "x", "c")], inputs={"x": VECTOR})
    scalar = node("Constant", outputs=("c",), value_float=2.5)
    compare(nodes=[scalar, node("Mul", "x", "c")], inputs={"x": VECTOR})
    target = node("Constant", outputs=("c",), value_ints=[0, 3, 4])
    compare(nodes=[target, node("Reshape", "x", "c")], inputs={"x": VECTOR})


def test_several_inputs_and_outputs(compare: Callable[..., Graph]) -> None:
    nodes = [node("Add", "a", "b", outputs=("y",)), node("Relu", "b", outputs=("z",))]
    compare(nodes=nodes, inputs={"a": IMAGE, "b": IMAGE}, outputs=("y", "z", "y"))


@pytest.mark.parametrize("element_type", [onnx.TensorProto.UINT8, onnx.TensorProto.INT32])
def test_integer_inputs_that_the_model_casts(
    element_type: int, compare: Callable[..., Graph]
) -> None:
    nodes = [
        node("Transpose", "x", outputs=("t",), perm=[0, 3, 1, 2]),
        node("Cast", "t", outputs=("r",), to=1),
        node("Div", "r", "c"),
    ]
    constants = {"c": np.array(255, np.float32)}
    compare(nodes=nodes, inputs={"x": ["N", 5, 6, 3]}, constants=constants, input_type=element_type)


def test_double_precision_is_computed_in_float32(compare: Callable[..., Graph]) -> None:
    double = onnx.TensorProto.DOUBLE
    constants = {"w": numbers(12, 5).astype(np.float64)}
    compare(
        nodes=[node("MatMul", "x", "w")],
        inputs={"x": VECTOR},
        constants=constants,
        input_type=double,
        output_type=double,
    )


def test_inputs_without_batch_axis(compare: Callable[..., Graph]) -> None:
    nodes = [
        node("Unsqueeze", "x", "zero", outputs=("t",)),
        node("Conv", "t", "w", outputs=("u",)),
        node("Squeeze", "u", "zero"),
    ]
    constants = {"zero": ints(0), "w": numbers(5, 3, 3, 3)}
    compare(nodes=nodes, inputs={"x": [3, 7, 8]}, constants=constants)


@pytest.mark.parametrize("opset", range(7, 27))
def test_every_opset_means_the_same(opset: int, compare: Callable[..., Graph]) -> None:
    """A network of operators whose spelling did not change since opset 7."""
    nodes = [
        node("Conv", "x", "w", "b", outputs=("c",), auto_pad="SAME_UPPER", strides=[2, 2]),
        node("BatchNormalization", "c", *NORM, outputs=("n",)),
        node("LeakyRelu", "n", outputs=("r",), alpha=0.1),
        node("MaxPool", "r", outputs=("p",), kernel_shape=[2, 2], strides=[2, 2]),
        node("GlobalAveragePool", "p", outputs=("g",)),
        node("Mul", "p", "g", outputs=("m",)),
        node("Concat", "m", "p", outputs=("j",), axis=1),
        node("Flatten", "j", outputs=("f",)),
        node("Gemm", "f", "k", "l", outputs=("z",), transB=1),
        node("Softmax", "z"),
    ]
    constants = {"w": numbers(5, 4, 3, 3), "b": numbers(5), "k": numbers(7, 60), "l": numbers(7)}
    compare(nodes=nodes, inputs={"x": IMAGE}, constants={**constants, **NORM}, opset=opset)


def test_an_expanded_gate_is_a_gate(save: Callable[..., Path]) -> None:
    nodes = [
        node("GlobalAveragePool", "x", outputs=("g",)),
        node("Shape", "x", outputs=("s",)),
        node("Expand", "g", "s", outputs=("e",)),
        node("Mul", "x", "e"),
    ]
    graph = import_onnx(save(nodes=nodes, inputs={"x": ["N", 3, 5, 6]})).graph
    assert [n.kind for n in graph.steps()] == ["input", "global_average_pool", "mul", "output"]
