"""How a decoded sample is laid out for a graph's input: which axes move, what is refused and why.

A sample fits when its shape is the graph's, not counting axes of size 1 (a grey HxW image fits
1xHxW). A height x width x channel image that fits only transposed is transposed by itself. A norm
function may change the shape (``x.transpose(2,0,1)/255``), so the fit is judged after it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from nnshell.inputs.norm import NormFunction
from nnshell.inputs.options import InputOptions
from nnshell.inputs.reading import Caution, Standing
from nnshell.ir.types import Layout
from nnshell.support.errors import InputError

Shape = tuple[int, ...]
Axes = tuple[int, ...]

_TO_CHW = (2, 0, 1)
_TO_HWC = (1, 2, 0)
_SWAP = (1, 0)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a graph input takes. ``shape`` has no batch axis.

    ``aliases`` are other names people may know it by (the model file's). ``raw``: an image
    formatter stands after it, so it takes the pixels themselves. ``order``: axis i is the model
    file's axis ``order[i]``, empty where nothing was moved.
    """

    name: str
    shape: Shape
    layout: Layout = Layout.NONE
    aliases: tuple[str, ...] = ()
    raw: bool = False
    order: Axes = ()
    optional: bool = False  # zeros where no samples are given for it
    pixel: tuple[float, float] | None = None  # scale, offset that a formatter gives 8-bit pixels

    @property
    def turns_unseen(self) -> bool:
        """Whether shapes cannot tell the file's order of axes from the graph's: they are equal."""
        moved = self.order and self.order != tuple(range(len(self.order)))
        return bool(moved) and _permuted(self.shape, self.order) == self.shape

    @property
    def names(self) -> tuple[str, ...]:
        """The names by which a user may call the input: its own, then that in the model file."""
        return (self.name, *self.aliases)

    @property
    def image_size(self) -> tuple[int, int, int] | None:
        """(channels, height, width) when the input can be an image, else None."""
        if len(self.shape) == 2:
            height, width = self.shape
            return 1, height, width
        if len(self.shape) != 3:
            return None
        if self.layout is Layout.HWC or (
            self.layout is Layout.NONE and self.shape[0] > 4 >= self.shape[2]
        ):
            height, width, channels = self.shape
            return channels, height, width
        channels, height, width = self.shape
        return channels, height, width


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known of a decoded sample before it is laid out."""

    shape: Shape
    is_image: bool  # pixels, in the order height, width (, channels)
    name: str


@dataclass(frozen=True, slots=True)
class Arrangement:
    """``axes``: permutation of the sample's axes, None for none. ``shape``: what the norm function
    then sees. ``note`` says what was done without being asked for."""

    axes: Axes | None
    shape: Shape
    note: str = ""


def show(shape: Shape) -> str:
    """A shape as messages print it, such as 3x32x32."""
    return "x".join(map(str, shape)) or "one number"


def fits(shape: Shape, wanted: Shape) -> bool:
    """Whether the shapes are equal but for axes of size 1."""
    return [n for n in shape if n != 1] == [n for n in wanted if n != 1]


def arrange(
    sample: Sample, spec: InputSpec, options: InputOptions, norm: NormFunction | None
) -> Arrangement:
    """The first way to lay a sample out that fits; InputError says why none does."""
    transpose = bool(options.transpose)
    for axes in _candidates(sample, spec, transpose):
        shape = _permuted(sample.shape, axes)
        entry = _entry_shape(shape, spec.shape, norm)
        if entry is not None:
            return Arrangement(axes, entry, _note(sample, spec, axes, transpose))
    raise _refusal(sample, spec, transpose, norm)


def _candidates(sample: Sample, spec: InputSpec, transpose: bool) -> Iterator[Axes | None]:
    """Permutations worth trying, the one asked for first. A grey image is never turned unasked.

    A sample that fits either way is one for the model file.
    """
    rank = len(sample.shape)
    if not transpose and spec.turns_unseen and rank == len(spec.order):
        yield spec.order
    if transpose and rank == 2:
        yield _SWAP
        return
    if transpose and rank == 3:
        yield _TO_CHW
    yield None
    if not transpose and rank == 3:
        yield _TO_CHW
    if rank == 3 and not sample.is_image:
        yield _TO_HWC


def _permuted(shape: Shape, axes: Axes | None) -> Shape:
    return shape if axes is None else tuple(shape[axis] for axis in axes)


def _entry_shape(shape: Shape, expected: Shape, norm: NormFunction | None) -> Shape | None:
    """The shape the norm function (or scaling) gets so that its result fits; None if it cannot.

    A shape that fits is first made the graph's own, so that HxW becomes 1xHxW. A vector input takes
    anything with as many elements, flattened.
    """
    flattens = len(expected) == 1 and math.prod(shape) == expected[0]
    entries = [expected] if fits(shape, expected) else [shape, expected] if flattens else [shape]
    if norm is None:
        return expected if fits(shape, expected) or flattens else None
    for entry in (*entries, shape):
        try:
            result = norm.output_shape(entry)
        except InputError:
            continue
        same_size = math.prod(result) == math.prod(shape)
        if same_size and (fits(result, expected) or (flattens and entry == shape)):
            return entry
    return None


def _note(sample: Sample, spec: InputSpec, axes: Axes | None, transpose: bool) -> str:
    done = _done(sample, spec, axes, transpose)
    if not done:
        return ""
    sizes = f"is {show(sample.shape)}, {spec.name} takes {show(spec.shape)}"
    text = f"{done}: {sample.name} {sizes}"
    return Caution(text) if axes == _SWAP else Standing(text, f"{done} {sizes}")


def _done(sample: Sample, spec: InputSpec, axes: Axes | None, transpose: bool) -> str:
    """What was done to the axes that was not asked for, or is probably not meant."""
    if axes == _SWAP:
        return "-T swaps height and width of grey images"
    if transpose and axes is None:
        return "-T is not applied, the samples fit only without it"
    if axes == _TO_HWC:
        return "transposed CHW to HWC by itself"
    if axes == _TO_CHW and not transpose:
        return "transposed HWC to CHW by itself"
    if len(spec.shape) == 1 and len(sample.shape) > 1:
        return "flattened"
    if axes is None and sample.is_image and _fits_both_ways(sample.shape, spec.shape):
        return "taken as they are, though the samples also fit transposed (-T)"
    return ""


def _fits_both_ways(shape: Shape, expected: Shape) -> bool:
    """Whether it matters for a colour image that it was not transposed."""
    if len(shape) != 3 or shape[2] == 1:
        return False
    return fits(shape, expected) and fits(_permuted(shape, _TO_CHW), expected)


def _refusal(
    sample: Sample, spec: InputSpec, transpose: bool, norm: NormFunction | None
) -> InputError:
    """Why a sample does not fit, and which option would help."""
    message = f"the sample is {show(sample.shape)}, the graph's input {spec.name} takes "
    message += show(spec.shape)
    problem = _norm_problem(sample, spec, transpose, norm)
    if problem is not None:
        return InputError(problem.message, where=sample.name, hint=problem.hint)
    hints = _hints(sample, spec, transpose) if sample.is_image else []
    return InputError(message, where=sample.name, hint=" ".join(hints))


def _norm_problem(
    sample: Sample, spec: InputSpec, transpose: bool, norm: NormFunction | None
) -> InputError | None:
    """The norm function's own error, or its resizing, when the sample would fit without it."""
    for axes in _candidates(sample, spec, transpose):
        shape = _permuted(sample.shape, axes)
        if norm is None or not fits(shape, spec.shape):
            continue
        try:
            result = norm.output_shape(spec.shape)
        except InputError as error:
            return error
        outcome = f"makes {show(result)} of {show(spec.shape)}"
        return InputError(f"norm function {norm.text!r} {outcome}", hint="keep the image's shape")
    return None


def _hints(sample: Sample, spec: InputSpec, transpose: bool) -> list[str]:
    if spec.image_size is None:
        return []
    channels, height, width = spec.image_size
    have_height, have_width, *rest = sample.shape
    hints: list[str] = []
    mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(channels)
    if (rest[0] if rest else 1) != channels and mode is not None:
        hints.append(f"-M {mode}")
    if (have_height, have_width) != (height, width):
        hints.append(f"-H {height} -W {width}")
    if not hints and transpose:
        hints.append("leave out -T")
    return hints
