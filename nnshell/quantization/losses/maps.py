"""Losses of feature maps: what padding, tables and joins do to the ranges that were seen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nnshell.ir.flat import FlatGraph, Item, Tensor
from nnshell.ir.requests import Range
from nnshell.quantization.losses.loss import SYMMETRIC, Lever, Loss, channels_text
from nnshell.quantization.solving.joining import cut_off
from nnshell.quantization.solving.seen import Surroundings

_FEWEST_STEPS = 10  # of a table's input
_FEWEST_JOINED = 16  # steps that an output gets in a concat
_NOISY = 4.0  # output steps that rounding one channel's input makes
_UNEVEN = 16.0  # times what it makes in the median channel
_COARSE = 4.0  # integers of a channel's largest weight
_TYPICAL = 40.0  # of 128, what activations are in the root mean square
_SLIGHT = 0.02  # of a range

EQUALIZE = Lever(command="weight_equalization INPUTS")


def pool_padding(flat: FlatGraph, item: Item, seen: Range | None) -> Iterator[Loss]:
    """A padded max pool with negative results, unless a rectifier after it makes them 0 anyway."""
    window = item.node.op.sliding_window()
    if item.node.op.role != "max_pool" or window is None or not window.padded or seen is None:
        return
    quantization = item.node.quantization
    assert quantization is not None
    step = quantization.output.first_scale
    if -seen.minimum <= max(2 * step, _SLIGHT * seen.maximum) or _rectified(flat, item.outputs[0]):
        return
    text = (
        f"padding is 0 and can win over negative values, down to {seen.minimum:.4g} "
        f"({-seen.minimum / step:.0f} steps)"
    )
    lever = Lever(command="fusions -a expand_pool_padding")
    yield Loss("pool_padding", item.path, -seen.minimum / step, "steps", text, levers=(lever,))


def _rectified(flat: FlatGraph, tensor: Tensor) -> bool:
    """Whether all that reads a tensor, perhaps after moving it, makes negative values 0."""
    readers = [reader.item for reader in flat.readers[tensor]]
    for reader in readers:
        clips, op = reader.node.op.clips_to, reader.node.op
        if clips is not None and clips.minimum >= 0:
            continue
        passes = op.moves_only(reader.graph.input_types(reader.node)) or op.made_by_quantizer
        if op.boundary or not passes or not _rectified(flat, reader.outputs[0]):
            return False
    return bool(readers)


def table_steps(flat: FlatGraph, item: Item, seen: Range | None) -> Iterator[Loss]:
    """A function whose kernel fixes the steps of its input; ``seen`` is what it reads."""
    quantization = item.node.quantization
    assert quantization is not None
    fixed = item.node.op.input_record(0) if item.inputs else None
    if fixed is None or quantization.input.dtype != "int8" or seen is None:
        return
    step = quantization.input.first_scale
    steps = (seen.maximum - seen.minimum) / step
    if steps >= _FEWEST_STEPS or seen.maximum == seen.minimum:
        return
    text = (
        f"its inputs are {seen.minimum:.3g} to {seen.maximum:.3g}, "
        f"its kernel's steps are {step:.3g}: {steps:.1f} of them"
    )
    advice = "no kernel has finer ones: scale its input up in the model, or leave the node out"
    yield Loss("table_steps", item.path, 1 / steps, "1 / steps", text, advice=advice)


def joined_ranges(flat: FlatGraph, item: Item, around: Surroundings) -> Iterator[Loss]:
    """Outputs of the graph that a concat joins: a small range gets few of the common steps."""
    if item.node.op.role != "join" or not _is_result(flat, item.outputs[0]):
        return
    quantization = item.node.quantization
    assert quantization is not None
    spans = {}
    for tensor in item.inputs:
        maker = flat.maker(tensor)
        seen = None if maker.node.op.role == "constant" else around.known(maker, tensor.index)
        if seen is not None and seen.maximum > seen.minimum:
            spans[tensor.key] = (seen.maximum - seen.minimum) / quantization.output.first_scale
    small = {key: steps for key, steps in spans.items() if steps < _FEWEST_JOINED}
    if not small or len(small) == len(spans):
        return
    name, steps = min(small.items(), key=lambda entry: entry[1])
    text = f"joins outputs of different ranges: {name} gets {steps:.1f} of 256 steps"
    advice = (
        f"give them out apart: end the graph before {item.path} "
        "(`help remove`), and join them where they are read"
    )
    yield Loss("joined_ranges", item.path, 1 / steps, "1 / steps", text, advice=advice)


def _is_result(flat: FlatGraph, tensor: Tensor) -> bool:
    """Whether a tensor is an output of the graph, perhaps after nodes that move it."""
    readers = [reader.item for reader in flat.readers[tensor]]
    return bool(readers) and all(
        reader.node.op.role == "output"
        or (
            (reader.node.op.keeps_record or reader.node.op.made_by_quantizer)
            and len(reader.inputs) == 1
            and _is_result(flat, reader.outputs[0])
        )
        for reader in readers
    )


def cut_ranges(around: Surroundings) -> Iterator[Loss]:
    """Inputs of concats that the largest scale cuts off."""
    for name, share in cut_off(around.flat.graph, around).items():
        text = f"{share:.0%} of its range is cut off, as what it is joined with has larger steps"
        yield Loss("cut_off", name, share, "share", text, levers=(SYMMETRIC,))


def channel_spread(flat: FlatGraph, item: Item) -> Iterator[Loss]:
    """A depthwise layer whose one scale of its input, or of its weights, is coarse for a channel.

    Rounding of the input, s / sqrt(12) an element, comes out of channel c as s |w_c| / sqrt(12):
    more than some steps of the output, and more than other channels have, means that its input
    is small and its weights make up for that. Weights that share a scale are a few integers in
    a channel where they are small.
    """
    op, quantization = item.node.op, item.node.quantization
    assert quantization is not None
    weights = flat.maker(item.inputs[1]).node.op.known_value if op.role == "filter" else None
    source = item.graph.input_types(item.node)[0] if weights is not None else None
    if weights is None or source is None or not 1 < op.filter_groups == source.shape[0]:
        return
    data, record, output = quantization.input, quantization.inputs[1], quantization.output
    if output.dtype != "int8":
        return
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    noise = data.first_scale * np.sqrt(np.square(rows).sum(axis=1)) / output.first_scale
    live = noise > 0
    if not live.any():
        return
    uneven = live & (noise > _NOISY) & (noise > _UNEVEN * np.median(noise[live]))
    if record.axis is None:
        step = record.first_scale
        error = step * np.sqrt(rows.shape[1] / 12) * _TYPICAL * data.first_scale
        coarse = live & (np.abs(rows).max(axis=1) < _COARSE * step)
        uneven |= coarse & (error / output.first_scale > 2.0)
        noise = np.maximum(noise, np.where(coarse, error / output.first_scale, 0))
    if not uneven.any():
        return
    numbers = tuple(int(n) for n in np.flatnonzero(uneven))
    size = float(noise[uneven].max())
    text = (
        f"{channels_text(numbers, len(rows))} are too small for the scale that all channels "
        f"share: rounding alone makes noise of {size:.0f} steps"
    )
    yield Loss("channel_spread", item.path, size, "steps", text, numbers, len(rows), (EQUALIZE,))
