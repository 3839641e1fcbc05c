"""Accuracy over a labelled set: predictions streamed through any engine, agreement with float."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.engines import Engine
from nnshell.inputs.input_set import Batch
from nnshell.support.errors import InputError
from nnshell.support.html import html_table

_TOP = 5
_TOP_NEEDS_CLASSES = 20  # top-5 of ten classes says little


@dataclass(frozen=True, slots=True)
class Prediction:
    """One sample: the class with the largest output, and by how much it led (output units)."""

    name: str
    label: int | None
    predicted: int
    margin: float
    rank: int | None  # place of the label among the outputs, 0 is first; None without a label

    @property
    def correct(self) -> bool | None:
        """Whether the predicted class is the label; None without one."""
        return None if self.label is None else self.predicted == self.label


@dataclass(frozen=True, slots=True, repr=False)
class ValidationReport:
    """What `validate` prints. Fractions are 0..1; ``complete`` is False after an interrupt."""

    model: str
    engine: str
    predictions: tuple[Prediction, ...]
    classes: int
    agreement_with_float: float | None
    seconds: float  # of the engine alone
    complete: bool = True
    implementation: str = ""  # which of the exact engines int8 was; empty: engine

    def __repr__(self) -> str:
        accuracy = "" if self.accuracy is None else f", {100 * self.accuracy:.2f} % right"
        return f"<ValidationReport {self.model}, {self.engine}: {self.images} samples{accuracy}>"

    def _repr_html_(self) -> str:
        figures = (
            ("engine", self.engine),
            ("samples", self.images),
            ("accuracy", self.accuracy),
            ("top 5", self.top5),
            ("agreement with float", self.agreement_with_float),
            ("images a second", self.images_per_second),
        )
        rows = [(name, value) for name, value in figures if value is not None]
        return html_table(f"{self.model}: validation", ("Figure", "Value"), rows)

    @property
    def images(self) -> int:
        """How many samples were judged."""
        return len(self.predictions)

    @property
    def labelled(self) -> int:
        """How many of them have a label."""
        return sum(p.label is not None for p in self.predictions)

    @property
    def accuracy(self) -> float | None:
        """Fraction of labelled samples predicted right; None without labels."""
        return self._fraction(1)

    @property
    def top5(self) -> float | None:
        """Fraction whose label is among the five largest outputs, where that is sensible."""
        return self._fraction(_TOP) if self.classes >= _TOP_NEEDS_CLASSES else None

    @property
    def images_per_second(self) -> float:
        """Samples over the engine's own seconds; 0 when no time was measured."""
        return self.images / self.seconds if self.seconds > 0 else 0.0

    def _fraction(self, places: int) -> float | None:
        if not self.labelled:
            return None
        return sum(p.rank is not None and p.rank < places for p in self.predictions) / self.labelled

    def confusion(self) -> NDArray[np.int64]:
        """Counts by (label, predicted class)."""
        counts = np.zeros((self.classes, self.classes), np.int64)
        for entry in self.predictions:
            if entry.label is not None and entry.label < self.classes:
                counts[entry.label, entry.predicted] += 1
        return counts

    def to_json(self) -> dict[str, Any]:
        """The machine-readable form: the same keys, null for what needs labels; ``partial`` after
        an interrupt."""
        own = 1.0 if self.images else None  # float agrees with itself
        agreement = own if self.engine == "float" else self.agreement_with_float
        partial = {} if self.complete else {"partial": True}
        return partial | {
            "model": self.model,
            "engine": self.engine,
            "implementation": self.implementation or self.engine,
            "images": self.images,
            "accuracy": self.accuracy,
            "top5": self._fraction(_TOP),
            "agreement_with_float": agreement,
            "images_per_second": round(self.images_per_second, 1),
        }


@dataclass(frozen=True, slots=True)
class Threshold:
    """Above it an output of one value is class 1: in the engine's units, and in real ones."""

    integer: float
    real: float


@dataclass(slots=True)
class _Tally:
    predictions: list[Prediction] = field(default_factory=list)
    agreed: int = 0
    seconds: float = 0.0
    classes: int = 0


def validate(
    batches: Iterable[Batch],
    engine: Engine,
    output: str,
    *,
    model: str = "",
    engine_name: str = "float",
    reference: Engine | None = None,
    threshold: Threshold | None = None,
    progress: Callable[[int], None] | None = None,
) -> ValidationReport:
    """Run ``batches`` through ``engine`` and judge tensor ``output``.

    With ``reference`` (the float engine) the share of equal predictions is counted as well; its
    time is not. With ``threshold`` an output of one value is class 1 above it, else class 0. An
    interrupt ends the run early: what was done is reported as not complete.
    """
    tally, complete = _Tally(), True
    try:
        for batch in batches:
            _judge(tally, batch, engine, output, reference, threshold)
            if progress is not None:
                progress(len(batch.names))
    except KeyboardInterrupt:
        complete = False
        if not tally.predictions:
            raise
    count = len(tally.predictions)
    agreement = tally.agreed / count if reference is not None and count else None
    return ValidationReport(
        model,
        engine_name,
        tuple(tally.predictions),
        tally.classes,
        agreement,
        tally.seconds,
        complete,
        getattr(engine, "implementation", ""),
    )


def _judge(
    tally: _Tally,
    batch: Batch,
    engine: Engine,
    output: str,
    reference: Engine | None,
    threshold: Threshold | None,
) -> None:
    start = perf_counter()
    outputs = engine.run(batch.arrays)[output]
    tally.seconds += perf_counter() - start
    scores = _scores(outputs, None if threshold is None else threshold.integer)
    tally.classes = scores.shape[1]
    predicted = scores.argmax(axis=1)
    if reference is not None:
        floats = _scores(
            reference.run(batch.arrays)[output], None if threshold is None else threshold.real
        )
        tally.agreed += int(np.sum(floats.argmax(axis=1) == predicted))
    for row, name in enumerate(batch.names):
        tally.predictions.append(_prediction(name, batch.labels[row], scores[row]))


def _scores(outputs: NDArray[Any], threshold: float | None) -> NDArray[np.float64]:
    """A row of scores, one for each class, for each sample."""
    scores = outputs.reshape(len(outputs), -1).astype(np.float64)
    if threshold is None:
        return scores
    if scores.shape[1] != 1:
        raise InputError(
            f"the output has {scores.shape[1]} values, a threshold wants one",
            hint="leave the threshold out: the largest value is the answer",
        )
    return np.concatenate([np.full_like(scores, threshold), scores], axis=1)


def _prediction(name: str, label: int | None, scores: NDArray[np.float64]) -> Prediction:
    order = np.argsort(-scores, kind="stable")  # equal scores: the lower class first, as argmax
    if label is not None and not 0 <= label < scores.size:
        raise InputError(
            f"label {label} is none of the network's {scores.size} classes",
            where=name,
            hint="`--binary_classification` reads one value as class 0 or 1"
            if scores.size == 1
            else "labels come from the end of the file name (_N), its folder or the data file",
        )
    rank = None if label is None else int(np.flatnonzero(order == label)[0])
    second = scores[order[1]] if scores.size > 1 else 0.0
    return Prediction(name, label, int(order[0]), float(scores[order[0]] - second), rank)
