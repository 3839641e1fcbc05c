"""Samples that are in memory already, as arrays the graph takes: no files, no preprocessing.

Taken for samples are an array (one sample, or a stack with a leading axis), an array for each graph
input in a list or by name, and any iterable of these, which is read as it goes by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from nnshell.inputs.input_set import Batch
from nnshell.inputs.layout import InputSpec
from nnshell.support.errors import InputError

Array: TypeAlias = NDArray[Any]
Item: TypeAlias = Array | Sequence[Array] | Mapping[str, Array]
Arrays: TypeAlias = Item | Iterable[Item]


def is_item(data: Any, specs: Sequence[InputSpec]) -> TypeGuard[Item]:
    """Whether ``data`` is one sample or stack by itself, rather than several in a row."""
    if isinstance(data, np.ndarray | Mapping):
        return True
    several = isinstance(data, list | tuple) and len(data) == len(specs)
    return several and all(isinstance(array, np.ndarray) for array in data)


def is_single(data: Any, specs: Sequence[InputSpec]) -> bool:
    """Whether ``data`` is one sample without a leading axis."""
    if not is_item(data, specs):
        return False
    return all(a.ndim == len(s.shape) for a, s in zip(_by_input(data, specs), specs, strict=True))


def memory_batches(data: Arrays, specs: Sequence[InputSpec], size: int) -> Iterator[Batch]:
    """Batches of at most ``size`` samples, in order.

    Raises:
        InputError: an array that is no sample and no stack of samples of its graph input.
    """
    items: Iterable[Item] = [data] if is_item(data, specs) else data  # type: ignore[assignment]
    if not isinstance(items, Iterable):
        raise InputError(
            f"samples cannot be a {type(data).__name__}",
            hint="give a file pattern, an array, or an iterable of arrays",
        )
    waiting: list[tuple[Array, ...]] = []
    count = first = 0
    for number, item in enumerate(items):
        stacks = _stacks(item, specs, number)
        for start in range(0, len(stacks[0]), size):
            part = tuple(stack[start : start + size] for stack in stacks)
            if count + len(part[0]) > size:
                yield _batch(waiting, first)
                first, count, waiting = first + count, 0, []
            waiting.append(part)
            count += len(part[0])
    if waiting:
        yield _batch(waiting, first)


def _by_input(item: Item, specs: Sequence[InputSpec]) -> list[Array]:
    if isinstance(item, np.ndarray):
        item = [item]
    if isinstance(item, Mapping):
        item = [_named(item, spec) for spec in specs]
    required = [spec for spec in specs if not spec.optional]
    if len(item) == len(required) < len(specs):
        return _with_zeros([np.asarray(array) for array in item], specs)
    if len(item) != len(specs):
        names = ", ".join(spec.name for spec in specs)
        raise InputError(f"{len(item)} arrays for {len(specs)} graph inputs ({names})")
    return [np.asarray(array) for array in item]


def _with_zeros(arrays: list[Array], specs: Sequence[InputSpec]) -> list[Array]:
    """Zeros for the inputs that are optional: a stack as long as that of the first array."""
    first = next(spec for spec in specs if not spec.optional)
    lead = arrays[0].shape[: arrays[0].ndim - len(first.shape)]
    rest = iter(arrays)
    return [
        np.zeros((*lead, *spec.shape), np.float32) if spec.optional else next(rest)
        for spec in specs
    ]


def _named(arrays: Mapping[str, Array], spec: InputSpec) -> Array:
    for name in (spec.name, *spec.aliases):
        if name in arrays:
            return arrays[name]
    known = ", ".join(map(str, arrays)) or "none"
    raise InputError(f"no array is called {spec.name}", hint=f"there are: {known}")


def _stacks(item: Item, specs: Sequence[InputSpec], number: int) -> list[Array]:
    """An array with a leading sample axis for each graph input."""
    stacks = [
        _stack(array, spec, number)
        for array, spec in zip(_by_input(item, specs), specs, strict=True)
    ]
    if len({len(stack) for stack in stacks}) > 1:
        raise InputError(f"array {number}: the graph inputs get different numbers of samples")
    return stacks


def _stack(array: Array, spec: InputSpec, number: int) -> Array:
    rank = len(spec.shape)
    stack = array[np.newaxis] if array.ndim == rank else array  # checked below
    if (
        stack.shape[1:] != tuple(spec.shape)
        or stack.ndim != rank + 1
        or stack.dtype.kind not in "fiub"
    ):
        raise InputError(
            f"array {number} is {array.dtype} of shape {list(array.shape)}; {spec.name} takes "
            f"numbers of shape {list(spec.shape)}, or a stack of those",
            hint="nnshell.load_inputs(array, norm=...) scales, resizes and transposes",
        )
    return stack.astype(np.uint8 if spec.raw else np.float32, copy=False)


def _batch(parts: Sequence[tuple[Array, ...]], first: int) -> Batch:
    arrays = tuple(
        np.concatenate(stacks) if len(stacks) > 1 else stacks[0]
        for stacks in zip(*parts, strict=True)
    )
    count = len(arrays[0])
    names = tuple(f"sample {first + index}" for index in range(count))
    return Batch(arrays, names, (None,) * count)
