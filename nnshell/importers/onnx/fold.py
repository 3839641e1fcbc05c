"""Evaluation of ONNX nodes whose inputs are all constants: shape arithmetic and folded weights."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from nnshell.importers.onnx.file import ONNX_ERRORS, first_line
from nnshell.importers.onnx.native import Native
from nnshell.reading.context import MAX_ELEMENTS
from nnshell.reading.registry import Unsupported

LOGGER = logging.getLogger(__name__)

# Operators that are evaluated on constants: shape arithmetic, and what exporters do to weights.
_FOLDABLE_NAMES = """
    Abs Add And ArgMax ArgMin BatchNormalization Cast CastLike Ceil Clip Concat
    ConstantOfShape CumSum DequantizeLinear Div Equal Erf Exp Expand EyeLike Flatten Floor
    Gather GatherElements GatherND Gemm Greater GreaterOrEqual Identity IsInf IsNaN
    LeakyRelu Less LessOrEqual Log MatMul Max Mean Min Mod Mul Neg NonZero Not OneHot Or Pad
    Pow QuantizeLinear Range Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum Relu Reshape Round ScatterElements ScatterND Shape Sigmoid Sign Size Slice
    Softmax Split Sqrt Squeeze Sub Sum Tanh Tile Transpose Trilu Unsqueeze Where Xor
"""
FOLDABLE = frozenset(_FOLDABLE_NAMES.split())
_GROWING = {"ConstantOfShape", "Expand", "EyeLike", "OneHot", "Pad", "Range", "Tile"}
_SMALL = 1024  # elements of a tensor whose values may decide a shape


class Folder:
    """Evaluates nodes one at a time, of an opset, within a budget of elements."""

    def __init__(self, opset: int, native: Native) -> None:
        self._opset = opset
        self._native = native
        self._budget = MAX_ELEMENTS

    def evaluate(
        self, node: onnx.NodeProto, inputs: Sequence[NDArray[Any] | None]
    ) -> list[NDArray[Any]]:
        """Outputs of a node; raises Unsupported when they cannot be computed."""
        feeds = {
            name: value for name, value in zip(node.input, inputs, strict=True) if value is not None
        }
        self._spend(node, feeds)
        from onnx.reference import ReferenceEvaluator  # slow to load, and seldom needed

        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                results = ReferenceEvaluator(self._model(node, feeds, 0)).run(None, feeds)
        except Exception as error:  # the evaluator raises whatever its Python code runs into
            LOGGER.debug("evaluating %s", node.op_type, exc_info=True)
            shapes = ", ".join(_shape(value) for value in inputs if value is not None)
            raise Unsupported(f"it cannot be evaluated on constants of {shapes}") from error
        return [np.asarray(result) for result in results]

    def _spend(self, node: onnx.NodeProto, feeds: dict[str, NDArray[Any]]) -> None:
        """Refuse outputs that are too large before they are made."""
        try:
            inferred = self._native.infer(self._model(node, feeds, _SMALL))
        except ONNX_ERRORS as error:
            raise Unsupported(f"its inputs do not fit: {first_line(error)}") from error
        known = {
            value.name: value for value in (*inferred.graph.value_info, *inferred.graph.output)
        }
        expected = 0
        for name in node.output:
            shape = known[name].type.tensor_type.shape if name in known else None
            dims = [d.dim_value for d in shape.dim] if shape is not None else []
            open_dims = shape is None or any(not d.HasField("dim_value") for d in shape.dim)
            if open_dims and node.op_type in _GROWING:
                raise Unsupported("the size of its output is not known")
            expected += math.prod(dims) if not open_dims else 0
        if expected > self._budget:
            raise Unsupported(
                f"its output has {expected} elements", accepted=f"{self._budget} in all"
            )
        self._budget -= expected

    def _model(
        self, node: onnx.NodeProto, feeds: dict[str, NDArray[Any]], largest: int
    ) -> onnx.ModelProto:
        """A model of the node; inputs of up to ``largest`` elements become initializers."""
        inputs = []
        for name, value in feeds.items():
            number = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
            inputs.append(onnx.helper.make_tensor_value_info(name, number, value.shape))
        initializers = [
            onnx.numpy_helper.from_array(value, name)
            for name, value in feeds.items()
            if 0 < value.size <= largest
        ]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = onnx.helper.make_graph([node], "fold", inputs, outputs, initializers)
        opset = onnx.helper.make_opsetid("", self._opset)
        return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)


def _shape(value: NDArray[Any]) -> str:
    return f"{value.dtype} {list(value.shape)}"


def constant_of(node: onnx.NodeProto) -> NDArray[Any]:
    """The value of a ``Constant`` node."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    for name, dtype in (
        ("value_float", np.float32),
        ("value_floats", np.float32),
        ("value_int", np.int64),
        ("value_ints", np.int64),
    ):
        if name in attributes:
            return np.asarray(onnx.helper.get_attribute_value(attributes[name]), dtype)
    if "value" not in attributes:
        raise Unsupported(f"attributes {', '.join(attributes)}", accepted="a tensor of numbers")
    return array_inside(attributes["value"].t)


def array_inside(tensor: onnx.TensorProto) -> NDArray[Any]:
    """The numbers of a tensor in the model; raises Unsupported when it is malformed."""
    with malformed(tensor.name):
        return np.asarray(onnx.numpy_helper.to_array(tensor))


@contextmanager
def malformed(name: str) -> Iterator[None]:
    """What reading a tensor raises, as Unsupported."""
    try:
        yield
    except ONNX_ERRORS as error:
        raise Unsupported(f"'{name}' cannot be read: {first_line(error)}") from error
