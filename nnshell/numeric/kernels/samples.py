"""Integer arrays of several inputs, each with a leading axis of samples."""

from __future__ import annotations

from collections.abc import Sequence

from nnshell.ir.operator import IntArray


def align_samples(inputs: Sequence[IntArray]) -> list[IntArray]:
    """Give all arrays the same rank: missing axes go after the samples, as numpy would put them.

    Constants have one sample, so they broadcast over all of them.
    """
    rank = max(array.ndim for array in inputs)
    return [
        array.reshape(array.shape[0], *([1] * (rank - array.ndim)), *array.shape[1:])
        for array in inputs
    ]
