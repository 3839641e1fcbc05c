"""Which options of which operators are read, by the names of the schema's tables and fields."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OptionFields:
    """A table of the schema's union of options, and what is read of it."""

    table: str
    numbers: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()


_FUSED = "FusedActivationFunction"
_POOL = ("Padding", "StrideW", "StrideH", "FilterWidth", "FilterHeight", _FUSED)
_FILTER = ("Padding", "StrideW", "StrideH", "DilationWFactor", "DilationHFactor", _FUSED)
_MASKS = ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask")
_RESIZE = ("AlignCorners", "HalfPixelCenters")

OPTIONS: dict[str, OptionFields] = {
    "ADD": OptionFields("AddOptions", (_FUSED,)),
    "AVERAGE_POOL_2D": OptionFields("Pool2DOptions", _POOL),
    "BATCH_MATMUL": OptionFields("BatchMatMulOptions", ("AdjX", "AdjY")),
    "CONCATENATION": OptionFields("ConcatenationOptions", ("Axis", _FUSED)),
    "CONV_2D": OptionFields("Conv2DOptions", _FILTER),
    "DEPTHWISE_CONV_2D": OptionFields("DepthwiseConv2DOptions", (*_FILTER, "DepthMultiplier")),
    "DIV": OptionFields("DivOptions", (_FUSED,)),
    "FULLY_CONNECTED": OptionFields(
        "FullyConnectedOptions", ("WeightsFormat", "KeepNumDims", _FUSED)
    ),
    "GATHER": OptionFields("GatherOptions", ("Axis", "BatchDims")),
    "LEAKY_RELU": OptionFields("LeakyReluOptions", ("Alpha",)),
    "MAX_POOL_2D": OptionFields("Pool2DOptions", _POOL),
    "MEAN": OptionFields("ReducerOptions", ("KeepDims",)),
    "MUL": OptionFields("MulOptions", (_FUSED,)),
    "PACK": OptionFields("PackOptions", ("Axis",)),
    "REDUCE_MAX": OptionFields("ReducerOptions", ("KeepDims",)),
    "RESHAPE": OptionFields("ReshapeOptions", (), ("NewShape",)),
    "RESIZE_BILINEAR": OptionFields("ResizeBilinearOptions", _RESIZE),
    "RESIZE_NEAREST_NEIGHBOR": OptionFields("ResizeNearestNeighborOptions", _RESIZE),
    "SOFTMAX": OptionFields("SoftmaxOptions", ("Beta",)),
    "SPLIT": OptionFields("SplitOptions", ("NumSplits",)),
    "SPLIT_V": OptionFields("SplitVOptions", ("NumSplits",)),
    "SQUEEZE": OptionFields("SqueezeOptions", (), ("SqueezeDims",)),
    "STRIDED_SLICE": OptionFields("StridedSliceOptions", _MASKS),
    "SUB": OptionFields("SubOptions", (_FUSED,)),
    "SUM": OptionFields("ReducerOptions", ("KeepDims",)),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": OptionFields(
        "UnidirectionalSequenceLSTMOptions", (_FUSED, "CellClip", "ProjClip", "TimeMajor")
    ),
    "UNIDIRECTIONAL_SEQUENCE_RNN": OptionFields("SequenceRNNOptions", (_FUSED, "TimeMajor")),
    "UNPACK": OptionFields("UnpackOptions", ("Num", "Axis")),
}
