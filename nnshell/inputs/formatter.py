"""Whether an image formatter does the work of a norm function, or of -D and -O.

A formatter makes real numbers of raw pixels by itself, so scaling options do not apply beside it.
They are not wrong when both ends agree: what 0 and what 255 become.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nnshell.inputs.layout import InputSpec
from nnshell.inputs.norm_parser import parse_norm
from nnshell.inputs.options import InputOptions
from nnshell.inputs.reading import Caution

WHITE = 255
_TOLERANCE = 0.02  # of the range between the ends
# What the norms of formatters make of 0 and 255 when nothing was calibrated before.
_ENDS = {"offset_int8": (-1.0, 127 / 128), "shift_int8": (0.0, 255 / 256)}


def remark_on_formatter(spec: InputSpec, options: InputOptions, words: str) -> str:
    """A note that the formatter does what ``words`` name, or a caution that it does not."""
    plain = f"{spec.name} takes raw pixels: its formatter does the work of {words}"
    scaled = options.norm_func or options.divisor is not None or options.offset is not None
    if spec.pixel is None or not scaled:
        return plain
    ends = _ends(spec, options)
    scale, offset = spec.pixel
    if _equal(ends, (offset, WHITE * scale + offset)):
        return plain
    what = "the norm function" if options.norm_func else "-D and -O"
    low, high = (f"{offset:.3g}", f"{WHITE * scale + offset:.3g}")
    expected = f"{ends[0].min():.3g} to {ends[1].max():.3g}"
    return Caution(
        f"{spec.name} takes raw pixels, of which its formatter makes {low} to {high} and "
        f"{what} would make {expected}: {_advice(spec, ends)}"
    )


def _ends(spec: InputSpec, options: InputOptions) -> NDArray[np.float64]:
    """What 0 and 255 become, for each channel: shape (2, channels)."""
    channels = spec.shape[-1]
    values = np.zeros((2, channels, 2, 2))
    values[1] = WHITE
    if options.norm_func:
        result = np.asarray(parse_norm(options.norm_func).apply_batch(values), np.float64)
    else:
        result = values / (options.divisor or 1.0) + (options.offset or 0.0)
    ends: NDArray[np.float64] = result.reshape(2, channels, -1).mean(axis=2)
    return ends


def _equal(ends: NDArray[np.float64], others: Sequence[float]) -> bool:
    extent = abs(others[1] - others[0])
    return bool((np.abs(ends - np.array(others)[:, np.newaxis]) <= _TOLERANCE * extent).all())


def _advice(spec: InputSpec, ends: NDArray[np.float64]) -> str:
    fitting = [norm for norm, others in _ENDS.items() if _equal(ends, others)]
    if fitting:
        return f"`imageformat {spec.name} FORMAT {fitting[0]}` does"
    extent = float(np.abs(ends[1] - ends[0]).max())
    if (np.ptp(ends, axis=1) > _TOLERANCE * extent).any():
        return "no formatter does, as channels differ; leave it to the application"
    return "run aquant with it before imageformat, whose offset_int8 then has its range"
