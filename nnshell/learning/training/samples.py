"""Samples for training: prepared once, kept in a file, read at random; memory stays flat.

Whatever the samples come from (image files, archives that can only be read from their start), they
are prepared as the graph takes them in one pass and written to a temporary file that has no name.
Which samples are held out, their order in each epoch and how each is changed follow from the seed,
the epoch and the step alone, so that a run that goes on from a checkpoint sees the same.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from nnshell.inputs.input_set import Batch
from nnshell.ir.graph import Graph
from nnshell.ir.types import Layout, TensorType
from nnshell.support.errors import InputError, UsageError

_FEWEST = 2


@dataclass(frozen=True, slots=True)
class Draw:
    """Samples of one step: an array for each graph input, and labels, -1 without."""

    arrays: tuple[NDArray[np.float32], ...]
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


class StoredSamples:
    """Samples in a temporary file, for each graph input a type; closed when it is collected."""

    def __init__(self, types: Sequence[TensorType]) -> None:
        self.types = tuple(types)
        self._sizes = [kind.size for kind in types]
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="nnshell_training_")  # noqa: SIM115
        self._labels: list[int] = []

    @classmethod
    def of(
        cls, graph: Graph, batches: Iterable[Batch], progress: Callable[[int], None] | None = None
    ) -> StoredSamples:
        """All samples of ``batches``; InputError when there are too few, or no room for them."""
        stored = cls([node.type for node in graph.inputs])
        for batch in batches:
            stored._append(batch)
            if progress is not None:
                progress(len(batch))
        if len(stored) < _FEWEST:
            raise InputError(
                f"{len(stored)} samples are too few to train on", hint="check the file pattern"
            )
        stored._file.flush()
        return stored

    def _append(self, batch: Batch) -> None:
        count = len(batch)
        parts = [np.asarray(array, np.float32).reshape(count, -1) for array in batch.arrays]
        try:
            self._file.write(np.concatenate(parts, axis=1).tobytes())
        except OSError as error:
            raise InputError(
                f"the prepared samples cannot be kept: {error.strerror}",
                where=tempfile.gettempdir(),
                hint="set TMPDIR to a folder with room, or use --limit N",
            ) from error
        self._labels += [-1 if label is None else int(label) for label in batch.labels]

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def labelled(self) -> bool:
        """Whether every sample has a label."""
        return min(self._labels, default=-1) >= 0

    @property
    def largest_label(self) -> int:
        """The largest label, -1 without any."""
        return max(self._labels, default=-1)

    def take(self, rows: NDArray[np.int64]) -> Draw:
        """The samples with these numbers, in this order."""
        width = 4 * sum(self._sizes)
        data = b"".join(os.pread(self._file.fileno(), width, int(row) * width) for row in rows)
        table = np.frombuffer(data, np.float32).reshape(len(rows), -1)
        columns = np.split(table, np.cumsum(self._sizes)[:-1], axis=1)
        arrays = tuple(
            column.reshape(len(rows), *kind.shape).copy()
            for column, kind in zip(columns, self.types, strict=True)
        )
        labels = np.array([self._labels[row] for row in rows], np.int64)
        return Draw(arrays, labels, rows)


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """Numbers of the samples that are trained on, and of those that only judge."""

    training: NDArray[np.int64]
    held_out: NDArray[np.int64]


def shares_of(count: int, held_out: float, seed: int) -> Shares:
    """A random share of the samples is held out, at least one; the rest is trained on."""
    order = np.random.default_rng([seed, 1]).permutation(count)
    part = min(count - 1, max(1, round(count * held_out)))
    return Shares(np.sort(order[part:]), np.sort(order[:part]))


def steps_of(rows: NDArray[np.int64], batch: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """The samples of each step of an epoch, in an order of its own."""
    order = np.random.default_rng([seed, 2, epoch]).permutation(rows)
    return [order[start : start + batch] for start in range(0, len(order), batch)]


def in_order(rows: NDArray[np.int64], batch: int) -> Iterator[NDArray[np.int64]]:
    """The rows, so many at a time."""
    for start in range(0, len(rows), batch):
        yield rows[start : start + batch]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Images moved by up to ``crop`` pixels (zeros move in) and mirrored at random."""

    crop: int
    flip: bool
    seed: int

    def check(self, types: Sequence[TensorType]) -> None:
        """UsageError when no graph input is an image, or none is large enough."""
        if not (self.crop or self.flip):
            return
        images = [kind for kind in types if _axes(kind) is not None]
        if not images:
            raise UsageError("no graph input is an image to crop or flip")
        if any(self.crop >= min(kind.chw[1:]) for kind in images):
            raise UsageError(f"images cannot be moved by {self.crop} pixels: they are too small")

    def apply(self, draw: Draw, types: Sequence[TensorType], epoch: int, step: int) -> Draw:
        """The samples as this step of this epoch sees them."""
        if not (self.crop or self.flip):
            return draw
        random = np.random.default_rng([self.seed, 3, epoch, step])
        count = len(draw)
        moves = random.integers(-self.crop, self.crop + 1, (count, 2))
        mirrored = random.random(count) < (0.5 if self.flip else 0.0)
        arrays = tuple(
            _changed(array, _axes(kind), moves, mirrored)
            for array, kind in zip(draw.arrays, types, strict=True)
        )
        return Draw(arrays, draw.labels, draw.rows)


def _axes(kind: TensorType) -> tuple[int, int] | None:
    """Axes of height and width of one sample, None when it is no image."""
    if len(kind.shape) != 3:
        return None
    return (0, 1) if kind.layout is Layout.HWC else (1, 2)


def _changed(
    array: NDArray[np.float32],
    axes: tuple[int, int] | None,
    moves: NDArray[Any],
    mirrored: NDArray[Any],
) -> NDArray[np.float32]:
    if axes is None:
        return array
    results = np.zeros_like(array)
    for place, image in enumerate(array):
        source = np.flip(image, axes[1]) if mirrored[place] else image
        into: list[slice] = [slice(None)] * 3
        out: list[slice] = [slice(None)] * 3
        for axis, move in zip(axes, moves[place], strict=True):
            extent = image.shape[axis]
            into[axis] = slice(max(0, move), extent + min(0, move))
            out[axis] = slice(max(0, -move), extent + min(0, -move))
        results[place][tuple(into)] = source[tuple(out)]
    return results
