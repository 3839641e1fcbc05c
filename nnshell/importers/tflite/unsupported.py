"""What to do about TFLite operators that nnshell does not import."""

from __future__ import annotations

_FLOAT = "train with RELU or HARD_SWISH"
_RECURRENT = "convert with Keras, whose layers become UNIDIRECTIONAL_SEQUENCE_LSTM or _RNN"
_DILATED = "convert with TensorFlow 2.4 or newer, which writes a dilated convolution instead"
_APPLICATION = "leave it out and do it in the application"

ADVICE = {
    "ARG_MAX": "leave it out and take the largest output in the application",
    "BATCH_TO_SPACE_ND": _DILATED,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _RECURRENT,
    "BIDIRECTIONAL_SEQUENCE_RNN": _RECURRENT,
    "CALL_ONCE": "freeze the variables before converting",
    "DEPTH_TO_SPACE": "use RESIZE_NEAREST_NEIGHBOR followed by CONV_2D",
    "ELU": _FLOAT,
    "GELU": _FLOAT,
    "IF": "convert the branch that is taken",
    "L2_NORMALIZATION": "leave it out and scale in the application",
    "LOG_SOFTMAX": "export SOFTMAX, or leave it out: the order of the classes is the same",
    "LSTM": _RECURRENT,
    "MIRROR_PAD": "pad with zeros",
    "NON_MAX_SUPPRESSION_V4": _APPLICATION,
    "NON_MAX_SUPPRESSION_V5": _APPLICATION,
    "RNN": _RECURRENT,
    "SPACE_TO_BATCH_ND": _DILATED,
    "SPACE_TO_DEPTH": "use CONV_2D with a stride",
    "TOPK_V2": "leave it out and sort in the application",
    "TRANSPOSE_CONV": "use RESIZE_NEAREST_NEIGHBOR followed by CONV_2D",
    "VAR_HANDLE": "freeze the variables before converting",
    "WHILE": "unroll it when converting",
}


def advice(operator: str) -> str:
    """What to do about this operator, where there is more to say than the general advice."""
    if operator.startswith("CUSTOM"):
        return "convert without custom operators, and do what they do in the application"
    return ADVICE.get(operator, "")
