"""Inputs as a set of labelled samples that streams batches of float32 arrays.

``open_inputs`` finds the files and reads headers and labels; pixels are read when batches are asked
for, and every batch's floats live only as long as the caller keeps them. What stays in memory is
one name and label for each sample, and of .gz and CIFAR-10 files the stored bytes themselves.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from nnshell.inputs.columns import Column, open_column
from nnshell.inputs.images import ImageReader
from nnshell.inputs.layout import InputSpec
from nnshell.inputs.options import InputOptions
from nnshell.inputs.preprocess import Float32Array, Preprocessor
from nnshell.inputs.reading import remark
from nnshell.inputs.rows import Whole
from nnshell.inputs.samples import ArrayStore, Label
from nnshell.inputs.sources import SourceFile, Split, find_files
from nnshell.support.errors import InputError

_NOT_GIVEN = "(zeros)"  # stands for the path of what an optional input gets


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples ready for the graph: for each graph input one array with a leading batch axis."""

    arrays: tuple[Float32Array, ...]
    names: tuple[str, ...]
    labels: tuple[Label, ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class InputSet:
    """Samples for the inputs of a graph, in a fixed order. Slices are sets, items are batches of
    one. ``notes`` grows while samples are read (a transpose done by itself, for example)."""

    columns: tuple[Column, ...]  # one for each graph input
    preprocessors: tuple[Preprocessor, ...]
    rows: Sequence[int]
    labels: tuple[Label, ...]
    notes: list[str]
    told: set[str] = field(default_factory=set)  # standing notes that were news before

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def specs(self) -> tuple[InputSpec, ...]:
        """What each graph input takes, in the graph's order."""
        return tuple(preprocessor.spec for preprocessor in self.preprocessors)

    @property
    def names(self) -> tuple[str, ...]:
        """What each sample is called: its file, or file and row."""
        return tuple(self.columns[0].name(row) for row in self.rows)

    @overload
    def __getitem__(self, index: int) -> Batch: ...
    @overload
    def __getitem__(self, index: slice) -> InputSet: ...
    def __getitem__(self, index: int | slice) -> Batch | InputSet:
        if isinstance(index, slice):
            return replace(self, rows=self.rows[index], labels=self.labels[index])
        return self._batch([self.rows[index]], (self.labels[index],))

    def batches(self, size: int) -> Iterator[Batch]:
        """All samples in order, ``size`` at a time; InputError names the file that is at fault."""
        if size < 1:
            raise ValueError(f"a batch of {size}")
        for start in range(0, len(self), size):
            yield self._batch(self.rows[start : start + size], self.labels[start : start + size])

    def with_labels(self, labels: Sequence[Label]) -> InputSet:
        """The same samples with other labels, one for each."""
        if len(labels) != len(self):
            raise InputError(f"{len(labels)} labels for {len(self)} samples")
        return replace(self, labels=tuple(labels))

    def _batch(self, rows: Sequence[int], labels: tuple[Label, ...]) -> Batch:
        arrays = tuple(
            _joined([preprocessor(block) for block in column.read(rows)])
            for column, preprocessor in zip(self.columns, self.preprocessors, strict=True)
        )
        return Batch(arrays, tuple(self.columns[0].name(row) for row in rows), labels)


def _joined(parts: list[Float32Array]) -> Float32Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def open_inputs(
    patterns: str | Sequence[str],
    specs: Sequence[InputSpec],
    options: InputOptions | None = None,
    *,
    split: Split | None = None,
) -> InputSet:
    """Inputs from globs, folders and files, for a graph that takes ``specs``.

    With several graph inputs: ``NAME=PATTERN`` for each, or .npz files with an array for each, or
    all files of the first input, then all of the second (NNTool's way). ``split`` chooses the
    training or the test files of MNIST and CIFAR-10 folders. Raises InputError or UsageError.
    """
    options = options or InputOptions()
    notes: list[str] = []
    reader = ImageReader.from_options(options, notes)
    patterns = [patterns] if isinstance(patterns, str) else patterns
    named = any(_name_of(pattern, specs) for pattern in patterns)
    files = (_named_files if named else _unnamed_files)(patterns, specs, split, notes)
    alone = named or len(_required(specs)) == 1
    columns = [
        open_column(result, spec, reader, options, alone=alone) if result else None
        for result, spec in zip(files, specs, strict=True)
    ]
    return _input_set(_completed(columns, specs), specs, options, notes)


def inputs_from_arrays(
    arrays: Sequence[npt.NDArray[Any]],
    specs: Sequence[InputSpec],
    options: InputOptions | None = None,
    labels: Sequence[Label] | None = None,
) -> InputSet:
    """Inputs from arrays in memory, one stack for each graph input, preprocessed like files."""
    fed = specs if len(arrays) == len(specs) else _required(specs)
    if len(arrays) != len(fed):
        names = ", ".join(spec.name for spec in specs)
        raise InputError(f"{len(arrays)} arrays for the graph inputs {names}")
    options = options or InputOptions()
    notes: list[str] = []
    reader = ImageReader.from_options(options, notes)
    stores = iter(_in_memory(array, spec, reader) for array, spec in zip(arrays, fed, strict=True))
    columns = [Column.of([next(stores)]) if spec in fed else None for spec in specs]
    inputs = _input_set(_completed(columns, specs), specs, options, notes)
    return inputs if labels is None else inputs.with_labels(labels)


def _in_memory(array: npt.NDArray[Any], spec: InputSpec, reader: ImageReader) -> ArrayStore:
    if array.ndim < 1 or not array.size or array.dtype.kind not in "biuf":
        raise InputError(f"not a stack of samples: {array.dtype} {array.shape}", where=spec.name)
    return ArrayStore(spec.name, len(array), Whole(lambda count: array[:count], len(array)), reader)


def _required(specs: Sequence[InputSpec]) -> list[InputSpec]:
    """Those that samples must be given for; all where all are optional."""
    return [spec for spec in specs if not spec.optional] or list(specs)


def _completed(columns: Sequence[Column | None], specs: Sequence[InputSpec]) -> list[Column]:
    """Columns of zeros for the inputs that got no samples."""
    count = max(len(column) for column in columns if column is not None)
    return [
        _zeros(spec, count) if column is None else column
        for column, spec in zip(columns, specs, strict=True)
    ]


def _zeros(spec: InputSpec, count: int) -> Column:
    zeros = np.broadcast_to(np.float32(0), (count, *spec.shape))
    return Column.of([ArrayStore(_NOT_GIVEN, count, Whole(lambda most: zeros[:most], count))])


def _unnamed_files(
    patterns: Sequence[str], specs: Sequence[InputSpec], split: Split | None, notes: list[str]
) -> list[list[SourceFile]]:
    """For each graph input the files of its samples: equal parts of all files, in order."""
    if not patterns or not specs:
        lacking = "input files given" if specs else "graph input to feed"
        raise InputError(f"no {lacking}", hint="name images, folders or .npz files")
    files = [file for pattern in patterns for file in find_files(pattern, split, notes)]
    required = _required(specs)
    if len(required) < len(specs):
        parts = iter(_shared(files, required, notes))
        return [next(parts) if spec in required else [] for spec in specs]
    return _shared(files, specs, notes)


def _shared(
    files: list[SourceFile], specs: Sequence[InputSpec], notes: list[str]
) -> list[list[SourceFile]]:
    count = len(specs)
    if count == 1 or all(file.kind == "npz" for file in files):
        return [files] * count
    if len(files) % count:
        raise InputError(
            f"{len(files)} files for {count} graph inputs",
            hint="give NAME=PATTERN for each: " + ", ".join(spec.name for spec in specs),
        )
    each = len(files) // count
    blocks = [files[start : start + each] for start in range(0, len(files), each)]
    shown = "; ".join(f"{s.name}: {b[0].path} ..." for s, b in zip(specs, blocks, strict=True))
    remark(notes, f"{each} files for each graph input: {shown}")
    return blocks


def _name_of(pattern: str, specs: Sequence[InputSpec]) -> int:
    """Place (from 1) of the input that ``NAME=`` at the start of a pattern names; 0 for none."""
    name, equals, _ = pattern.partition("=")
    places = [place for place, spec in enumerate(specs, 1) if name in spec.names]
    return places[0] if equals and places else 0


def _named_files(
    patterns: Sequence[str], specs: Sequence[InputSpec], split: Split | None, notes: list[str]
) -> list[list[SourceFile]]:
    files: list[list[SourceFile]] = [[] for _ in specs]
    names = ", ".join(f"{spec.name}=" for spec in specs)
    for pattern in patterns:
        place = _name_of(pattern, specs)
        if not place:
            raise InputError("no graph input named", where=pattern, hint=f"begin with {names}")
        files[place - 1] += find_files(pattern.partition("=")[2], split, notes)
    for spec, result in zip(specs, files, strict=True):
        if not result and not spec.optional:
            raise InputError("graph input without files", where=spec.name, hint=f"{spec.name}=...")
    return files


def _input_set(
    columns: Sequence[Column],
    specs: Sequence[InputSpec],
    options: InputOptions,
    notes: list[str],
) -> InputSet:
    sizes = [len(column) for column in columns]
    if len(set(sizes)) > 1:
        counts = ", ".join(f"{s.name}: {n}" for s, n in zip(specs, sizes, strict=True))
        raise InputError(f"graph inputs have different numbers of samples: {counts}")
    rows = _chosen_rows(sizes[0], options, notes)
    columns = [column.head(max(rows) + 1) for column in columns]
    preprocessors = tuple(
        Preprocessor.create(spec, InputOptions() if _is_zeros(column) else options, notes)
        for spec, column in zip(specs, columns, strict=True)
    )
    return InputSet(tuple(columns), preprocessors, rows, _labels(columns, rows), notes)


def _is_zeros(column: Column) -> bool:
    return column.name(0).startswith(_NOT_GIVEN)


def _labels(columns: Sequence[Column], rows: Sequence[int]) -> tuple[Label, ...]:
    """Labels of the first graph input that has any."""
    result = (column.labels for column in columns)
    labels = next((labels for labels in result if any(n is not None for n in labels)), None)
    return tuple(labels[row] if labels else None for row in rows)


def _chosen_rows(count: int, options: InputOptions, notes: list[str]) -> Sequence[int]:
    """The first ``limit`` rows, or with a seed as many chosen at random, in ascending order."""
    if options.limit is None or options.limit >= count:
        return range(count)
    if options.seed is None:
        remark(notes, f"the first {options.limit} of {count} samples")
        return range(options.limit)
    remark(notes, f"{options.limit} of {count} samples, chosen with seed {options.seed}")
    return sorted(random.Random(options.seed).sample(range(count), options.limit))
