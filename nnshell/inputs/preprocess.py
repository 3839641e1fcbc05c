"""From decoded samples to what the graph takes: float32, in its shape.

The order, after decoding, mode and size: number type, slices, zero padding, RGB565, bit shift;
transpose; float; norm function, or else value / divisor + offset. The last step is computed in
float64 and rounded to float32 once, which is what NNTool's numbers are.
Whole blocks are worked on at once, in pieces that stay in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nnshell.inputs.formatter import remark_on_formatter
from nnshell.inputs.layout import Arrangement, InputSpec, Sample, arrange, show
from nnshell.inputs.norm import NormFunction
from nnshell.inputs.norm_parser import parse_norm
from nnshell.inputs.options import MAX_IMAGE_PIXELS, InputOptions
from nnshell.inputs.reading import remark
from nnshell.inputs.samples import Block
from nnshell.support.errors import InputError

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]

MAX_VALUES = 4 * MAX_IMAGE_PIXELS  # of the samples that are read at once
_CHUNK_ELEMENTS = 1 << 18  # 2 MB of float64, about a core's cache


@dataclass
class Preprocessor:
    """Preprocessing for one graph input; how a shape is laid out is found out once."""

    spec: InputSpec
    options: InputOptions
    norm: NormFunction | None
    notes: list[str]
    _arrangements: dict[tuple[tuple[int, ...], bool], Arrangement] = field(default_factory=dict)

    @classmethod
    def create(cls, spec: InputSpec, options: InputOptions, notes: list[str]) -> Preprocessor:
        """Parse the norm function and note the options that do not apply."""
        if spec.raw:
            options = _raw_options(spec, options, notes)
        norm = parse_norm(options.norm_func) if options.norm_func else None
        if norm is not None and (options.divisor is not None or options.offset is not None):
            remark(notes, f"the norm function {norm.text!r} takes the place of -D and -O")
        return cls(spec, options, norm, notes)

    def __call__(self, block: Block) -> Float32Array:
        """The samples of a block as float32 of shape (n, *spec.shape)."""
        block = self._pixels(block)
        if self.spec.raw and block.array.dtype.kind not in "iu":
            raise InputError(
                f"{self.spec.name} takes raw pixels, not {block.array.dtype}",
                where=block.names[0],
                hint="remove the formatter with 'imageformat NAME none none', or give images",
            )
        return self._scale(self._lay_out(block), block.names)

    def _pixels(self, block: Block) -> Block:
        """The options that work on the values as stored."""
        options = self.options
        if options.nptype is not None and block.is_image:
            block = replace(block, array=_cast(block, np.dtype(options.nptype)))
        if options.slices:
            block = replace(block, array=_slice(block, options.slices))
        if options.zero_pad:
            block = replace(block, array=_pad(block, options.zero_pad))
        if options.rgb888_rgb565:
            block = replace(block, array=_rgb565(block))
        if options.bit_shift:
            block = replace(block, array=_shift(block, options.bit_shift))
        return block

    def _lay_out(self, block: Block) -> Array:
        key = (block.shape, block.is_image)
        if key not in self._arrangements:
            sample = Sample(block.shape, block.is_image, block.names[0])
            self._arrangements[key] = arrange(sample, self.spec, self.options, self.norm)
            if self._arrangements[key].note:
                remark(self.notes, self._arrangements[key].note)
        arrangement = self._arrangements[key]
        array = block.array
        if arrangement.axes is not None:
            array = array.transpose(0, *(axis + 1 for axis in arrangement.axes))
        return array.reshape(len(array), *arrangement.shape)

    def _scale(self, array: Array, names: Sequence[str]) -> Float32Array:
        result = np.empty((len(array), *self.spec.shape), np.float32)
        step = max(1, _CHUNK_ELEMENTS // math.prod(self.spec.shape))
        for start in range(0, len(array), step):
            part = result[start : start + step]
            with np.errstate(over="ignore", invalid="ignore"):
                part[...] = self._scaled(array[start : start + step]).reshape(part.shape)
            if not np.isfinite(part).all():
                raise self._not_finite(array[start : start + step], part, names[start:])
        return result

    def _scaled(self, array: Array) -> Array:
        divisor, offset = self.options.divisor, self.options.offset
        if self.norm is None and divisor is None and offset is None:
            return array
        values = array.astype(np.float64, order="C")
        if self.norm is not None:
            return self.norm.apply_batch(values)
        if divisor is not None:
            values /= divisor
        if offset is not None:
            values += offset
        return values

    def _not_finite(self, array: Array, result: Float32Array, names: Sequence[str]) -> InputError:
        row = int(np.argmin(np.isfinite(result).reshape(len(result), -1).all(axis=1)))
        if not np.isfinite(array[row]).all():
            return InputError("NaN or infinite values", where=names[row])
        maker = f"norm function {self.norm.text!r}" if self.norm else "value / divisor + offset"
        return InputError(f"{maker} gives NaN or infinite values", where=names[row])


def _raw_options(spec: InputSpec, options: InputOptions, notes: list[str]) -> InputOptions:
    ignored = {
        "norm_func": "the norm function",
        "divisor": "-D",
        "offset": "-O",
        "transpose": "-T",
        "bit_shift": "-B",
    }
    values = [word for name, word in ignored.items() if getattr(options, name)]
    if values:
        remark(notes, remark_on_formatter(spec, options, ", ".join(values)))
    return replace(
        options, norm_func=None, divisor=None, offset=None, transpose=None, bit_shift=None
    )


def _cast(block: Block, dtype: np.dtype[Any]) -> Array:
    """Another number type; integers of the same width keep their bits, as NNTool's do."""
    array = block.array
    integers = array.dtype.kind in "iu" and dtype.kind in "iu"
    if dtype.kind == "f" or (integers and array.dtype.itemsize == dtype.itemsize):
        return array.astype(dtype)
    limits = np.iinfo(dtype)
    rows = array.reshape(len(array), -1)
    wrong = (rows.min(axis=1) < limits.min) | (rows.max(axis=1) > limits.max)
    if wrong.any():
        raise InputError(
            f"{array.dtype} values do not fit -F {dtype}", where=block.names[int(wrong.argmax())]
        )
    return array.astype(dtype)


def _slice(block: Block, flat: tuple[int | None, ...]) -> Array:
    slices = [slice(*flat[at : at + 3]) for at in range(0, len(flat), 3)]
    _check_rank(block, len(slices), "slices")
    array = block.array[(slice(None), *slices)]
    if not array.size:
        raise InputError(f"slices leave nothing of {show(block.shape)}", where=block.names[0])
    return array


def _pad(block: Block, flat: tuple[int, ...]) -> Array:
    pads = list(zip(flat[::2], flat[1::2], strict=True))
    _check_rank(block, len(pads), "zero_pad")
    pads += [(0, 0)] * (len(block.shape) - len(pads))
    size = math.prod(n + sum(pad) for n, pad in zip(block.shape, pads, strict=True))
    if size > min(MAX_IMAGE_PIXELS, MAX_VALUES // len(block.array)):
        raise InputError(
            f"zero_pad makes {size:,} values of each of {len(block.array)} samples",
            where=block.names[0],
            hint=f"at most {MAX_IMAGE_PIXELS:,}, and {MAX_VALUES:,} at once",
        )
    return np.pad(block.array, [(0, 0), *pads])


def _check_rank(block: Block, rank: int, option: str) -> None:
    if rank > len(block.shape):
        raise InputError(
            f"{option} names {rank} axes, the sample is {show(block.shape)}", where=block.names[0]
        )


def _rgb565(block: Block) -> Array:
    """Pixels of 5 bits red, 6 green, 5 blue in one uint16, as cameras send them."""
    if block.array.dtype != np.uint8 or block.shape[2:] != (3,):
        raise InputError(
            f"--rgb888_rgb565 takes 8-bit RGB images, not {block.array.dtype} {show(block.shape)}",
            where=block.names[0],
            hint="-M RGB",
        )
    red, green, blue = np.moveaxis(block.array.astype(np.uint16), -1, 0)
    packed: Array = (red >> 3) << 11 | (green >> 2) << 5 | blue >> 3
    return packed


def _shift(block: Block, bits: int) -> Array:
    if block.array.dtype.kind not in "iu":
        raise InputError(f"-B shifts whole numbers, not {block.array.dtype}", where=block.names[0])
    values = block.array.astype(np.int64)
    shifted: Array = values << bits if bits > 0 else values >> -bits
    return shifted
