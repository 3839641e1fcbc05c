"""Norm functions: what ``set input_norm_func "x: x/128-1"`` means, as data, and how it is computed.

A norm function is a small expression tree made by ``norm_parser`` and interpreted here with numpy;
nothing is ever evaluated as Python. It sees one image as a float64 array whose axes are already in
the graph's order (so a mean of shape (3, 1, 1) fits a CHW image), and its result is rounded to
float32 once, at the end: for ``x: x/128-1`` that is bit for bit what NNTool feeds the graph.

``apply_batch`` computes many images at once only when every operation that touches x works
element by element and is correctly rounded by IEEE 754 (+ - * / sqrt, min, max, ...), so that the
numbers cannot depend on the batch; anything else (mean, slices, exp, ...) goes image by image.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nnshell.support.errors import InputError

Array = npt.NDArray[Any]
Value = Any  # a Python float, a numpy scalar or an array: numpy's own promotion rules apply
Static = Any  # an argument fixed when parsed: axis, shape, dtype name or slices

# An expression may not blow an image up: (3, H, W) out of (H, W) is the largest sensible growth.
MAX_GROWTH = 16
MIN_ELEMENT_LIMIT = 1 << 16
_MAX_INTEGER = 2.0**62  # what a cast to integers takes


@dataclass(frozen=True, slots=True)
class Image:
    """The variable: the image being normalized."""


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A number (Python float) or an array of float64."""

    value: Value


@dataclass(frozen=True, slots=True, eq=False)
class Apply:
    """A function of ``FUNCTIONS`` applied to expressions."""

    function: str
    operands: tuple[Expression, ...]
    arguments: tuple[Static, ...] = ()


Expression = Image | Constant | Apply


@dataclass(frozen=True, slots=True)
class Function:
    """How a function of the expression language is computed.

    ``exact`` says that it works element by element and gives the same bits for any array shape.
    """

    compute: Callable[..., Value]
    exact: bool = False


def _cast(value: Value, dtype: str) -> Value:
    """numpy's cast; a cast to integers drops fractions, wraps around, and is real again after."""
    array = np.asarray(value)
    if np.dtype(dtype).kind == "f":
        return array.astype(dtype)[()]
    if not np.all(np.abs(array) < _MAX_INTEGER):
        raise ValueError(f"a number is too large for {dtype}")
    return array.astype(np.int64).astype(dtype).astype(np.float64)[()]


def _take(value: Value, slices: tuple[Any, ...]) -> Value:
    taken = np.asarray(value)[slices]
    if not taken.size:
        raise IndexError("a slice takes nothing")
    return taken


FUNCTIONS: dict[str, Function] = {
    "add": Function(operator.add, exact=True),
    "subtract": Function(operator.sub, exact=True),
    "multiply": Function(operator.mul, exact=True),
    "divide": Function(operator.truediv, exact=True),
    "floor_divide": Function(operator.floordiv, exact=True),
    "remainder": Function(operator.mod, exact=True),
    "power": Function(operator.pow),
    "negative": Function(operator.neg, exact=True),
    "positive": Function(operator.pos, exact=True),
    "abs": Function(np.abs, exact=True),
    "sqrt": Function(np.sqrt, exact=True),
    "log": Function(np.log),
    "exp": Function(np.exp),
    "minimum": Function(np.minimum, exact=True),
    "maximum": Function(np.maximum, exact=True),
    "clip": Function(np.clip, exact=True),
    "cast": Function(_cast, exact=True),
    "slice": Function(_take),
    "reshape": Function(np.reshape),
    "transpose": Function(np.transpose),
    "flip": Function(np.flip),
    "mean": Function(lambda x, axis, keepdims: np.mean(x, axis=axis, keepdims=keepdims)),
    "std": Function(lambda x, axis, keepdims: np.std(x, axis=axis, keepdims=keepdims)),
    "min": Function(lambda x, axis, keepdims: np.min(x, axis=axis, keepdims=keepdims)),
    "max": Function(lambda x, axis, keepdims: np.max(x, axis=axis, keepdims=keepdims)),
}

EVALUATION_ERRORS = (ValueError, TypeError, IndexError, ArithmeticError, MemoryError)


def evaluate(expression: Expression, image: Value, limit: int) -> Value:
    """The expression's value for one image (or batch); intermediate arrays hold <= limit elements.

    Raises one of EVALUATION_ERRORS when shapes do not fit or a number has no value.
    """
    if isinstance(expression, Image):
        return image
    if isinstance(expression, Constant):
        return expression.value
    operands = [evaluate(operand, image, limit) for operand in expression.operands]
    size = np.prod(np.broadcast_shapes(*(np.shape(operand) for operand in operands)), dtype=float)
    if size > limit:
        raise ValueError(f"an intermediate array has {size:.0f} elements")
    value = FUNCTIONS[expression.function].compute(*operands, *expression.arguments)
    if isinstance(value, complex):
        raise ValueError("a negative number has no fractional power")
    return value


def constant_rank(expression: Expression) -> int | None:
    """Largest rank of a constant in an expression that is exact element by element, else None."""
    if isinstance(expression, Image):
        return 0
    if isinstance(expression, Constant):
        return np.ndim(expression.value)
    if not FUNCTIONS[expression.function].exact:
        return None
    ranks = [constant_rank(operand) for operand in expression.operands]
    known = [rank for rank in ranks if rank is not None]
    return max(known) if len(known) == len(ranks) else None


@dataclass(frozen=True)
class NormFunction:
    """A parsed norm function; ``text`` is as the user wrote it."""

    text: str
    body: Expression

    @cached_property
    def _constant_rank(self) -> int | None:
        return constant_rank(self.body)

    def __call__(self, image: Array) -> Array:
        """The function of one image (float64), not yet rounded to float32."""
        limit = max(image.size * MAX_GROWTH, MIN_ELEMENT_LIMIT)
        return self._evaluate(image, limit)

    def apply_batch(self, images: Array) -> Array:
        """The function of every image along axis 0: the same bits as one image at a time."""
        rank = self._constant_rank
        if rank is None or rank >= images.ndim:
            return np.stack([self(np.ascontiguousarray(image)) for image in images])
        limit = max(images.size * MAX_GROWTH, MIN_ELEMENT_LIMIT)
        return self._evaluate(images, limit)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the result for an image of ``shape``; InputError when they do not fit."""
        return self(np.zeros(shape, np.float64)).shape

    def _evaluate(self, images: Array, limit: int) -> Array:
        try:
            with np.errstate(all="ignore"):  # what is not finite is found, with its file, later
                return np.asarray(evaluate(self.body, images, limit))
        except EVALUATION_ERRORS as error:
            shape = "x".join(map(str, images.shape))
            raise InputError(
                f"norm function {self.text!r} does not work on an image of shape {shape}: {error}",
                hint="per-channel numbers of a CHW image need .reshape(3,1,1)",
            ) from error
