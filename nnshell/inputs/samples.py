"""Where decoded samples come from: a list of files, or one array that holds many.

A store hands out blocks: stacks of samples that have one shape and type, as they were stored.
Preprocessing (``preprocess``) then works on whole blocks. A store of files keeps none of them in
memory; a store of an array reads the rows that are asked for (``rows``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nnshell.inputs.images import ImageReader, bombs_are_errors, is_image_shape
from nnshell.inputs.rows import Rows
from nnshell.support.samples import shown

Array = npt.NDArray[Any]
Label = int | None


@dataclass(frozen=True, slots=True)
class Block:
    """Samples of one shape and type, stacked along axis 0, and the name of each.

    ``is_image``: they are pixels, in the order height, width (, channels).
    """

    array: Array
    names: tuple[str, ...]
    is_image: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.array.shape[1:]


def holds_pixels(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bool:
    """Whether the samples of an array are taken as images."""
    return dtype in (np.uint8, np.uint16) and is_image_shape(shape)


class Store(Protocol):
    """Samples in a fixed order."""

    def __len__(self) -> int: ...

    @property
    def labels(self) -> Sequence[Label]:
        """A label for each sample, or none at all."""

    def name(self, row: int) -> str:
        """What errors and listings call a sample."""

    def head(self, count: int) -> Store:
        """The first ``count`` samples."""

    def read(self, rows: Sequence[int]) -> Iterator[Block]:
        """The samples ``rows`` in their order, in as few blocks as their shapes allow."""


@dataclass(frozen=True, slots=True)
class FileStore:
    """One sample a file; ``decode`` turns a file into an array or raises InputError naming it."""

    paths: tuple[str, ...]
    labels: tuple[Label, ...]
    decode: Callable[[str], Array]
    are_images: bool = False

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, row: int) -> str:
        """The path of a sample's file."""
        return shown(self.paths[row])

    def head(self, count: int) -> FileStore:
        """The first ``count`` samples."""
        return replace(self, paths=self.paths[:count], labels=self.labels[:count])

    def read(self, rows: Sequence[int]) -> Iterator[Block]:
        """The samples of these rows in blocks of one shape, decoded; InputError names the file."""
        with bombs_are_errors():
            arrays = [self.decode(self.paths[row]) for row in rows]
        yield from stacked(arrays, [self.name(row) for row in rows], self.are_images)


@dataclass(frozen=True)
class ArrayStore:
    """The rows of one array of a file."""

    path: str
    count: int
    rows: Rows
    reader: ImageReader = field(default_factory=ImageReader)
    labels: Sequence[Label] = ()

    def __len__(self) -> int:
        return self.count

    def name(self, row: int) -> str:
        """The file and, in brackets, the row in it."""
        return f"{shown(self.path)}[{row}]"

    def head(self, count: int) -> ArrayStore:
        """The first ``count`` samples."""
        return replace(self, count=count, rows=self.rows.head(count), labels=self.labels[:count])

    def read(self, rows: Sequence[int]) -> Iterator[Block]:
        """The samples of these rows in blocks of one shape, images converted as files are."""
        names = tuple(self.name(row) for row in rows)
        array = self.rows.take(rows)
        is_image = holds_pixels(array.dtype, array.shape[1:])
        if not is_image or not self.reader.changes(array.shape[1:]):
            yield Block(array, names, is_image)
            return
        images = [
            self.reader.convert(image, name) for image, name in zip(array, names, strict=True)
        ]
        yield from stacked(images, names, True)


def stacked(arrays: Sequence[Array], names: Sequence[str], are_images: bool) -> Iterator[Block]:
    """Neighbours of one shape and type as one block."""
    start = 0
    for stop in range(1, len(arrays) + 1):
        first = arrays[start]
        if stop < len(arrays) and _alike(arrays[stop], first):
            continue
        is_image = are_images or holds_pixels(first.dtype, first.shape)
        yield Block(np.stack(arrays[start:stop]), tuple(names[start:stop]), is_image)
        start = stop


def _alike(one: Array, other: Array) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype
