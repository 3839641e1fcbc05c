"""Along which axis the chip's kernels work.

Feature maps are channels x height x width. A concat or split is free when its parts lie one after
the other in memory (every axis before has size 1), and a kernel joins up to four tensors along
the last axis. Softmax runs along the last axis.
"""

from __future__ import annotations

from collections.abc import Sequence

from nnshell.ir.facts import Role

MOST_PARTS = 4  # inputs of the kernel that joins along the last axis


def axis_fits(role: Role, shape: Sequence[int], axis: int, parts: int) -> bool:
    """Whether an operator that works along ``axis`` of ``shape`` has a kernel there, or needs none.

    ``parts`` are its tensors, where it joins or cuts.
    """
    if role == "softmax":
        return softmax_axis_fits(shape, axis)
    return concat_axis_fits(shape, axis, parts) if role in ("join", "cut") else True


def concat_axis_fits(shape: Sequence[int], axis: int, parts: int) -> bool:
    """Whether a concat or split into ``parts`` along ``axis`` is free or has a kernel."""
    if all(extent == 1 for extent in shape[:axis]):
        return True
    return all(extent == 1 for extent in shape[axis + 1 :]) and parts <= MOST_PARTS


def softmax_axis_fits(shape: Sequence[int], axis: int) -> bool:
    """Whether softmax along ``axis`` has a kernel: no real axis after it."""
    return all(extent == 1 for extent in shape[axis + 1 :])
