"""Classes of nodes by NNTool's names, for ``G.nodes(node_classes=...)`` and ``isinstance``."""

from __future__ import annotations

from typing import Any

from nnshell.compat.nodes import NNNode

# Names as `show` prints them: kinds of operators, and kinds of fusions.
_CLASSES: dict[str, tuple[str, ...]] = {
    "InputNode": ("input",),
    "OutputNode": ("output",),
    "ConstantInputNode": ("constant",),
    "Conv2DNode": ("conv2d",),
    "LinearNode": ("linear",),
    "MaxPoolNode": ("max_pool",),
    "AveragePoolNode": ("average_pool",),
    "GlobalAveragePoolNode": ("global_average_pool",),
    "GlobalMaxPoolNode": ("global_max_pool",),
    "SoftMaxNode": ("softmax",),
    "ReluNode": ("relu", "relu6", "relun"),
    "LeakyNode": ("leaky",),
    "SigmoidNode": ("sigmoid",),
    "TanHNode": ("tanh",),
    "HSigmoidNode": ("hsigmoid",),
    "HSwishNode": ("hswish",),
    "ConcatNode": ("concat",),
    "SplitNode": ("split",),
    "ReshapeNode": ("reshape",),
    "TransposeNode": ("transpose",),
    "PadNode": ("pad",),
    "StridedSliceNode": ("strided_slice",),
    "MatrixAddNode": ("add",),
    "MatrixSubNode": ("sub",),
    "MatrixMulNode": ("mul",),
    "MatrixDivNode": ("div",),
    "MatMulNode": ("matmul",),
    "QuantizeNode": ("quantize",),
    "CopyNode": ("copy",),
    "ImageFormatNode": ("image_format",),
    "ImageFormatParameters": ("image_format",),
    "ConvFusionNode": ("conv_fusion",),
    "LinearFusionNode": ("linear_fusion",),
    "ActivationFusionNode": ("activation_fusion",),
    # Not made here: programs ask for them, and find none.
    "ExpressionFusionNode": (),
    "RNNNodeBase": ("rnn", "lstm", "gru"),
    "RNNNode": ("rnn",),
    "LSTMNode": ("lstm",),
    "GRUNode": ("gru",),
}


class _NodeClass(type):
    """A class whose instances are the nodes of some operators."""

    operators: tuple[str, ...] = ()

    def __instancecheck__(cls, instance: object) -> bool:
        if not isinstance(instance, NNNode):
            return False
        return any(
            instance.node.kind == name
            or (name.endswith("fusion") and instance.op_name.startswith(name))
            for name in cls.operators
        )


NNNodeBase = NNNode


def __getattr__(name: str) -> Any:
    if name not in _CLASSES:
        known = ", ".join(sorted(_CLASSES))
        raise AttributeError(f"nnshell.compat.types has no '{name}'; it has {known}")
    result = _NodeClass(name, (), {"operators": _CLASSES[name]})
    globals()[name] = result
    return result


def __dir__() -> list[str]:
    return sorted([*_CLASSES, "NNNodeBase"])
