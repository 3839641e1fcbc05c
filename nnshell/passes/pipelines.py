"""The pipelines: which passes run, in which order, and why. Order is written, not computed."""

from __future__ import annotations

from nnshell.ir.graph import Graph
from nnshell.passes.base import Pass
from nnshell.passes.channels_first import ChannelsFirst, has_channels_last
from nnshell.passes.concats import (
    CombineConcats,
    RemoveConcatSplit,
    RemoveSplitConcat,
    SliceInsteadOfConcat,
    SplitToSlice,
)
from nnshell.passes.crop_filters import CropFilters
from nnshell.passes.fold_batch_norm import BatchNormToConv, FoldBatchNorm, SplitBatchNorm
from nnshell.passes.fold_constants import FoldBias, FoldScale
from nnshell.passes.fold_pad import FoldPad
from nnshell.passes.fuse_activation import (
    FuseLinearActivation,
    FuseOperatorActivation,
    FusePoolActivation,
)
from nnshell.passes.fuse_conv import FuseConvPoolActivation
from nnshell.passes.fuse_padded_add import FusePaddedAdd
from nnshell.passes.hard_sigmoid import MatchCloseHardSigmoid, MatchFarHardSigmoid
from nnshell.passes.memory import DuplicateConstants, InsertCopies
from nnshell.passes.move_activations import MoveActivationBeforeSplit, MoveActivationsUp
from nnshell.passes.move_pooling import MovePoolingUp
from nnshell.passes.parallel import MergeEqualOperations, MergeParallelConvolutions
from nnshell.passes.recurrent import FuseReverse
from nnshell.passes.remove_noops import RemoveCopies, RemoveNoOps
from nnshell.passes.remove_relus import RemoveRelus
from nnshell.passes.reshapes import RemoveReshapes, RemoveReshapesBeforeLinear
from nnshell.passes.slices_to_split import SlicesToSplit
from nnshell.passes.transposes import EliminateTransposes, InsertTransposes

OPENING: tuple[Pass, ...] = (
    FoldPad(),  # of TFLite models: converters write pads of their own before filters
)

ADJUST: tuple[Pass, ...] = (
    InsertTransposes(),  # where a kernel works along another axis
    RemoveReshapes(),  # two reshapes in a row hide what is after them
    RemoveReshapesBeforeLinear(),  # a linear layer after a transpose sorts its weights instead
    EliminateTransposes(),  # most cancel
    RemoveReshapes(),  # a transpose of size-1 axes became a reshape
    RemoveReshapesBeforeLinear(),  # and may stand before a linear layer
)

SCALE8: tuple[Pass, ...] = (
    RemoveCopies(),  # Identity and Dropout hide what follows a filter
    SliceInsteadOfConcat(),  # what is joined and cut again never needs to be joined
    FuseReverse(),  # sequences turned around for a layer that can run backwards itself
    SlicesToSplit(),  # several slices are one split
    MoveActivationBeforeSplit(),  # one activation instead of one for each part
    RemoveConcatSplit(),
    RemoveSplitConcat(),
    CombineConcats(),
    SplitToSlice(),  # a split of which one part is read
    RemoveNoOps(),  # what the above have left, and what the model file holds
    FoldPad(),  # a filter's window pads for nothing
    FoldBias(),  # MatMul + Add is a linear layer with bias: before its batch norm
    FoldBatchNorm(),
    FoldScale(),  # what batch norms as products left behind
    FoldBias(),  # conv, batch norm, add
    BatchNormToConv(),  # feature maps without a filter before
    SplitBatchNorm(),  # vectors
    MatchCloseHardSigmoid(),  # before activations are fused
    MatchFarHardSigmoid(),
    RemoveRelus(),
    CropFilters(),
    RemoveReshapes(),
    RemoveReshapesBeforeLinear(),
    MergeEqualOperations(),  # before activations are fused
    MoveActivationsUp(),  # next to the filter that runs them
    RemoveReshapes(),  # those that an activation stood between
    MovePoolingUp(),  # conv, relu, pool becomes conv, pool, relu
    DuplicateConstants(),  # each reader quantizes its own
    FuseConvPoolActivation(),
    MergeParallelConvolutions(),  # those that nothing was fused with
    RemoveSplitConcat(),  # of which all parts are joined again
    FuseLinearActivation(),
    FusePoolActivation(),
    FusePaddedAdd(),  # before the sum is fused with its activation alone
    FuseOperatorActivation(),
    EliminateTransposes(),  # what fusing has brought together
    InsertCopies(),  # last: memory is shared as the final graph says
)

# The same for POW2 kernels: no tanh, no hard sigmoid patterns, pools stay after activations.
POW2: tuple[Pass, ...] = (
    RemoveCopies(),
    SliceInsteadOfConcat(),
    SlicesToSplit(),
    MoveActivationBeforeSplit(),
    RemoveConcatSplit(),
    RemoveSplitConcat(),
    CombineConcats(),
    SplitToSlice(),
    RemoveNoOps(),
    FoldPad(),
    FoldBias(),
    FoldBatchNorm(),
    FoldScale(),
    FoldBias(),
    BatchNormToConv(),
    SplitBatchNorm(),
    RemoveRelus(),
    CropFilters(),
    RemoveReshapes(),
    RemoveReshapesBeforeLinear(),
    MergeEqualOperations(),
    MoveActivationsUp("pow2"),
    RemoveReshapes(),
    DuplicateConstants(),
    FuseConvPoolActivation("pow2"),
    MergeParallelConvolutions(),
    RemoveSplitConcat(),
    FuseLinearActivation("pow2"),
    FusePoolActivation("pow2"),
    FuseOperatorActivation("pow2"),
    EliminateTransposes(),
    InsertCopies(),
)

GROUPS: dict[str, tuple[Pass, ...]] = {
    "scaled_match_group": SCALE8,
    "pow2_match_group": POW2,
    "float_match_group": SCALE8,  # NNTool's has the same content
}
GROUP_ALIASES = {
    "scale8": "scaled_match_group",
    "pow2": "pow2_match_group",
    "float": "float_match_group",
}


def opening_passes(graph: Graph) -> tuple[Pass, ...]:
    """The passes of `open`: none but on graphs whose channels are last."""
    return OPENING if has_channels_last(graph) else ()


def adjust_passes(
    graph: Graph, *, postprocess: bool = True, steps: int | None = None
) -> tuple[Pass, ...]:
    """The passes of `adjust`: without ``postprocess`` transposes are only put in, with ``steps``
    at most so many are eliminated.

    A graph whose channels are last is brought to channels first as NNTool does it; every other one
    has only the transposes of its file and a few more.
    """
    if has_channels_last(graph):
        return (ChannelsFirst(postprocess, steps if steps is None else max(steps, 0)),)
    if not postprocess:
        return (InsertTransposes(),)
    if steps is None:
        return ADJUST
    limited = EliminateTransposes(max_steps=max(steps, 0))
    return tuple(limited if isinstance(step, EliminateTransposes) else step for step in ADJUST)


def preparation(graph: Graph) -> tuple[Pass, ...]:
    """What `fusions` needs first: fusions are of kernels, and those take channels first."""
    return (ChannelsFirst(),) if has_channels_last(graph) else ()
