"""Tensors as text (`dump`, `tensors`) and what `validate` says in words."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nnshell.ir.graph import Graph
from nnshell.reports.plots import Bars, HeatMap
from nnshell.reports.table import Cell, Column, Table
from nnshell.support.errors import UsageError

if TYPE_CHECKING:
    from nnshell.execution.validation import ValidationReport

_FEW = 8  # values of an output that are printed one by one


def tensor_text(
    name: str,
    array: NDArray[Any],
    *,
    width: int = 8,
    precision: int = 4,
    channel: int | None = None,
) -> str:
    """A heading and all values of one sample's tensor, or of one channel of it."""
    heading = f"{name}: {_shape(array)} {array.dtype}"
    if channel is not None:
        if array.ndim < 1 or not -len(array) <= channel < len(array):
            raise UsageError(f"{name} has no channel {channel}", hint=f"its shape: {_shape(array)}")
        array, heading = array[channel], f"{heading}, channel {channel}"
    return f"{heading}\n{_values(array, width, precision)}"


def checksum(array: NDArray[Any]) -> int:
    """CRC-32 of the tensor's bytes, little endian."""
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return zlib.crc32(np.ascontiguousarray(little).tobytes())


def store_table(tensors: dict[str, dict[str, NDArray[Any]]]) -> Table:
    """What the tensor store holds."""
    columns = (Column("Name"), Column("Tensors", "right"), Column("Samples", "right"))
    rows = tuple(
        (name, len(held), len(next(iter(held.values()), ()))) for name, held in tensors.items()
    )
    return Table("Stored tensors", columns, rows)


def prediction_table(report: ValidationReport) -> Table:
    """A row per sample."""
    columns = (
        Column("Sample", wraps=True),
        Column("Label", "right"),
        Column("Predicted", "right"),
        Column("Margin", "right"),
        Column("Right"),
    )
    rows: list[tuple[Cell, ...]] = [
        (entry.name, entry.label, entry.predicted, entry.margin, entry.correct)
        for entry in report.predictions
    ]
    title = f"{report.model}: predictions of the {report.engine} engine"
    plots = (confusion_plot(report) if report.labelled else _class_bars(report),)
    return Table(title, columns, tuple(rows), notes=accuracy_lines(report), plots=plots)


def _class_bars(report: ValidationReport) -> Bars:
    """How often each class was predicted, of samples without labels."""
    counts = Counter(entry.predicted for entry in report.predictions)
    names = tuple(str(number) for number in sorted(counts))
    return Bars(names, {"predictions": tuple(float(counts[int(name)]) for name in names)})


def class_count(graph: Graph) -> int | None:
    """How many classes the only output scores; None when it is no vector of scores."""
    if len(graph.outputs) != 1:
        return None
    sizes = [size for size in graph.outputs[0].type.shape if size > 1]
    return sizes[0] if len(sizes) == 1 else None


def output_table(
    network: str, parts: Iterable[tuple[Sequence[str], Mapping[str, NDArray[Any]]]]
) -> Table:
    """Real values of the outputs of networks that do not classify: a row per sample and output.

    ``parts`` has names of samples and their outputs, samples first, a batch at a time.
    """
    columns = (
        Column("Sample", wraps=True),
        Column("Output"),
        Column("Shape"),
        Column("Min", "right"),
        Column("Max", "right"),
        Column("Values", wraps=True),
    )
    rows: list[tuple[Cell, ...]] = []
    for names, outputs in parts:
        for row, name in enumerate(names):
            rows += [(name, key, *_described(array[row])) for key, array in outputs.items()]
    return Table(f"{network}: outputs of the int8 engine", columns, tuple(rows))


def _described(array: NDArray[Any]) -> tuple[Cell, ...]:
    """Shape, extremes and the values themselves where they are few."""
    few = array.size <= _FEW
    values = ", ".join(f"{value:.4g}" for value in array.reshape(-1)) if few else None
    return _shape(array), float(array.min()), float(array.max()), values


def confusion_table(report: ValidationReport) -> Table:
    """How often each label (row) was predicted as each class (column)."""
    counts = report.confusion()
    classes = range(report.classes)
    columns = (Column("Label", "right"), *(Column(str(n), "right") for n in classes))
    rows = tuple((label, *(int(n) for n in counts[label])) for label in classes)
    title = f"{report.model}: labels against predictions"
    return Table(title, columns, rows, plots=(confusion_plot(report),))


def confusion_plot(report: ValidationReport) -> HeatMap:
    """The same as squares."""
    names = tuple(str(number) for number in range(report.classes))
    counts = tuple(tuple(int(n) for n in row) for row in report.confusion())
    return HeatMap(names, names, counts, "label", "prediction")


def accuracy_lines(report: ValidationReport, *, speed: bool = True) -> tuple[str, ...]:
    """Accuracy, top-5 and agreement, as far as they apply, and the ``speed`` of this run."""
    lines = [f"{report.images} images ({report.engine})"]
    if speed:
        rate = f"{report.images_per_second:.0f} images/s"
        lines = [
            f"{report.images} images, {rate} ({report.engine}; this machine's, not the chip's)"
        ]
    if not report.complete:
        lines.append("interrupted: these are the results so far")
    if report.accuracy is None:
        lines.append("no labels: name files image_LABEL.png or use a labelled set")
    else:
        lines.append(f"Total accuracy: {100 * report.accuracy:.2f} % of {report.labelled} labelled")
    if report.top5 is not None:
        lines.append(f"label among the first five: {100 * report.top5:.2f} %")
    if report.agreement_with_float is not None:
        lines.append(f"same prediction as float: {100 * report.agreement_with_float:.2f} %")
    return tuple(lines)


def _shape(array: NDArray[Any]) -> str:
    return "x".join(map(str, array.shape)) or "scalar"


def _values(array: NDArray[Any], width: int, precision: int) -> str:
    form = f"{width}.{precision}f" if array.dtype.kind == "f" else f"{width}d"
    rows = array.reshape(-1, array.shape[-1]) if array.ndim and array.size else array.reshape(1, -1)
    return "\n".join(" ".join(format(value, form) for value in row) for row in rows.tolist())
