"""What to do about operators that nnshell does not import."""

from __future__ import annotations

_DYNAMIC = (
    "its ranges are found when it runs, the chip's are fixed: export the float model and calibrate"
)

_SEQUENCE = "use Split and Concat: sequences are lists that the chip does not have"

ADVICE = {
    "If": "export the branch that is taken, or with fixed shapes, so that the condition is known",
    "SequenceAt": _SEQUENCE,
    "ConcatFromSequence": _SEQUENCE,
    "SequenceConstruct": _SEQUENCE,
    "SplitToSequence": _SEQUENCE,
    "Loop": "unroll it when exporting",
    "Scan": "unroll it when exporting",
    "ArgMax": "leave it out and take the largest output in the application",
    "TopK": "leave it out and sort in the application",
    "NonMaxSuppression": "leave it out and suppress boxes in the application",
    "LRN": "train with batch normalization",
    "QLinearConv": "quantize the model with constant scales, or export the float model",
    "QLinearMatMul": "quantize the model with constant scales, or export the float model",
    "ConvInteger": _DYNAMIC,
    "DynamicQuantizeLinear": _DYNAMIC,
    "MatMulInteger": _DYNAMIC,
}

# Operators of com.microsoft.
_MICROSOFT = {"DynamicQuantizeMatMul": _DYNAMIC, "MatMulIntegerToFloat": _DYNAMIC}


def advice(operator: str) -> str:
    """What to do about this operator, where there is more to say than the general advice."""
    return ADVICE.get(operator) or _MICROSOFT.get(operator, "")
