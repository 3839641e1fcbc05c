"""The samples for one graph input: the stores of all its files, one after the other."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from nnshell.inputs.arrays import Archive, Header, labels_from, map_npy, npy_header, read_dat
from nnshell.inputs.datasets import (
    idx_label_file,
    idx_shape,
    map_cifar_binary,
    read_cifar_python,
    read_idx,
)
from nnshell.inputs.images import ImageReader, is_image_shape
from nnshell.inputs.layout import InputSpec, show
from nnshell.inputs.options import InputOptions
from nnshell.inputs.reading import Caution, remark
from nnshell.inputs.rows import NpyRows, NpzRows, Rows, Whole
from nnshell.inputs.samples import ArrayStore, Block, FileStore, Label, Store, holds_pixels
from nnshell.inputs.sources import SourceFile
from nnshell.support.errors import InputError

Array = npt.NDArray[Any]

MAX_SAMPLES = 10_000_000  # in one file: a name and a label of each is kept


@dataclass(frozen=True, slots=True)
class Column:
    """Stores in order; a row counts through all of them."""

    stores: tuple[Store, ...]
    starts: tuple[int, ...]  # row at which each store begins, and the number of rows

    @classmethod
    def of(cls, stores: Sequence[Store]) -> Column:
        """A column of these stores, one after the other."""
        sizes = (len(store) for store in stores)
        return cls(tuple(stores), (0, *itertools.accumulate(sizes)))

    def __len__(self) -> int:
        return self.starts[-1]

    @property
    def labels(self) -> list[Label]:
        """The label of every row, None where there is none."""
        return [label for store in self.stores for label in store.labels or [None] * len(store)]

    def name(self, row: int) -> str:
        """The name of a row, as messages and tables print it."""
        place = bisect.bisect_right(self.starts, row) - 1
        return self.stores[place].name(row - self.starts[place])

    def head(self, count: int) -> Column:
        """The first ``count`` rows."""
        pairs = zip(self.stores, self.starts, strict=False)
        return Column.of([s.head(min(len(s), count - at)) for s, at in pairs if at < count])

    def read(self, rows: Sequence[int]) -> Iterator[Block]:
        """Blocks of the samples ``rows`` (ascending), in order."""
        for place, group in itertools.groupby(
            rows, key=lambda row: bisect.bisect_right(self.starts, row) - 1
        ):
            start = self.starts[place]
            yield from self.stores[place].read([row - start for row in group])


@dataclass(frozen=True, slots=True)
class _Opener:
    """Makes the stores of one graph input."""

    spec: InputSpec
    reader: ImageReader
    nptype: str
    alone: bool  # the graph has no other input

    def files(self, files: Sequence[SourceFile]) -> Store:
        """Files of one kind that hold one sample each."""
        paths = tuple(file.path for file in files)
        labels = tuple(file.label for file in files)
        if files[0].kind == "image":
            return FileStore(paths, labels, self.reader.read, are_images=True)
        return FileStore(paths, labels, self._raw if files[0].kind == "dat" else self._npy_sample)

    def stack(self, file: SourceFile) -> Store:
        """One file that holds many samples."""
        match file.kind:
            case "npz":
                return self._npz(file.path)
            case "npy":
                shape = npy_header(file.path).shape
                return self._array(file.path, shape[0], NpyRows(file.path))
            case "idx":
                return self._idx(file.path)
        binary = file.kind == "cifar-binary"
        images, labels = (map_cifar_binary if binary else read_cifar_python)(file.path)
        return self._array(
            file.path, len(labels), Whole(partial(_first_rows, images), len(labels)), labels
        )

    def is_stack(self, file: SourceFile) -> bool:
        """Whether a file holds several samples along its first axis."""
        if file.kind != "npy":
            return file.kind not in ("image", "dat")
        return _is_stack(npy_header(file.path), self.spec.shape)

    def _array(self, path: str, count: int, rows: Rows, labels: Sequence[Label] = ()) -> ArrayStore:
        if count > MAX_SAMPLES:
            raise InputError(f"{count} samples are too many", where=path, hint="split the file")
        return ArrayStore(path, count, rows, self.reader, labels)

    def _raw(self, path: str) -> Array:
        return read_dat(path, self.spec.shape, self.nptype)

    def _npy_sample(self, path: str) -> Array:
        array = np.array(map_npy(path))
        is_image = holds_pixels(array.dtype, array.shape)
        return self.reader.convert(array, path) if is_image else array

    def _npz(self, path: str) -> ArrayStore:
        archive = Archive.open(path)
        for twice in archive.twice:
            text = f"{path} holds {twice} more than once: the last counts"
            remark(self.reader.notes, Caution(text))
        name = archive.samples_of(self.spec.names, alone=self.alone)
        if name is None:
            held = ", ".join(f"{n} {show(h.shape)}" for n, h in archive.headers.items())
            raise InputError(
                f"no array for graph input {self.spec.name}; it holds {held or 'none'}",
                where=path,
                hint=f"name an array {'images' if self.alone else self.spec.name}",
            )
        count = archive.header(name).shape[0] if archive.header(name).shape else 0
        if not count:
            raise InputError(f"array {name} is one number", where=path)
        labels: Sequence[Label] = ()
        if "labels" in archive.headers:
            rows = archive.load("labels", count + 1)
            labels = labels_from(rows, count, f"{path}: labels")
        whole = Whole(partial(archive.load, name), count)
        samples = whole if archive.header(name).fortran_order else NpzRows(archive, name)
        return self._array(path, count, samples, labels)

    def _idx(self, path: str) -> ArrayStore:
        shape = idx_shape(path)
        label_file = idx_label_file(path)
        labels: Sequence[Label] = ()
        if label_file is not None:
            count = idx_shape(label_file)[0]
            labels = labels_from(read_idx(label_file, count), shape[0], label_file)
        return self._array(path, shape[0], Whole(partial(read_idx, path), shape[0]), labels)


def _first_rows(array: Array, count: int) -> Array:
    return array[:count]


def _is_stack(header: Header, targets: tuple[int, ...]) -> bool:
    """Whether a .npy array holds many samples: it has one axis more than the graph's input, or
    its rows are samples and it is none itself."""
    shape = header.shape
    if len(shape) < 2 or math.prod(shape) == math.prod(targets):
        return False
    if len(shape) == len(targets) + 1 or math.prod(shape[1:]) == math.prod(targets):
        return True
    return header.dtype == np.uint8 and is_image_shape(shape[1:]) and not is_image_shape(shape)


def open_column(
    files: Sequence[SourceFile],
    spec: InputSpec,
    reader: ImageReader,
    options: InputOptions,
    *,
    alone: bool,
) -> Column:
    """The samples of ``files`` for one graph input; neighbours of one kind share a store."""
    opener = _Opener(spec, reader, options.nptype or "float32", alone)
    stores: list[Store] = []
    kinds = ((file, opener.is_stack(file)) for file in files)
    for (_, stack), group in itertools.groupby(kinds, key=lambda pair: (pair[0].kind, pair[1])):
        members = [file for file, _ in group]
        stores += map(opener.stack, members) if stack else [opener.files(members)]
    return Column.of(stores)
