"""Tables of a course in one go: every combination of options, one row each.

Options are those of quantization (``weight_bits``, ``act_bits``, ``clip_type``, ``weight_clip``,
``quantized_dimension``, ...), and two more:

    quantize      nothing | weights | activations | all     what is rounded, the rest stays float
                  bias=float | bias=int32 | bias=unscaled   weights and activations are rounded, and
                                                            biases so (``biases``); int32 is all
    calibration   how many of the calibration samples are used

The graph is calibrated once for each number of samples; a row is quantized on a copy.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nnshell.execution.engines import EngineName, make_engine
from nnshell.experiments.bench import Outcome, judged_by, outcome
from nnshell.experiments.biases import rounded_weights, unscaled_biases
from nnshell.experiments.steps import weight_bytes
from nnshell.inputs.input_set import Batch
from nnshell.ir.graph import Graph
from nnshell.ir.qparams import FLOAT_BITS
from nnshell.ir.requests import POW2
from nnshell.ir.widths import has_chip_widths
from nnshell.quantization import Basis, QuantizationOptions, Statistics
from nnshell.quantization.options import option_names
from nnshell.support.errors import UsageError
from nnshell.support.files import read_text

BIASES = ("bias=float", "bias=int32", "bias=unscaled")  # beside rounded weights and activations
QUANTIZE = ("nothing", "weights", "activations", "all", *BIASES)
BITS = "bits"  # weights and activations at once
OTHERS = (BITS, "quantize", "calibration")
_MOST_ROWS = 1000

Calibrate = Callable[[int | None, frozenset[str]], Statistics]
"""Statistics of so many samples (None: all) with what the clip types need."""


@dataclass(frozen=True, slots=True)
class Row:
    """One combination, and what the quantized graph did on the samples."""

    options: Mapping[str, Any]
    engine: EngineName
    outcome: Outcome
    size_bytes: int

    def to_json(self) -> dict[str, Any]:
        metric = "agreement" if self.outcome.accuracy is None else "accuracy"
        metric = "noise_db" if self.outcome.agreement is None else metric
        return {
            **self.options,
            "engine": self.engine,
            "accuracy": self.outcome.accuracy,
            "agreement": self.outcome.agreement,
            "noise_db": self.outcome.noise_db if self.outcome.noise > 0 else None,
            "bytes": self.size_bytes,
            "metric": metric,
            **({} if self.outcome.error is None else {"mse": self.outcome.error}),
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """A row to be measured: how the graph is quantized, from how many samples (None: all)."""

    options: Mapping[str, Any]  # of the row, as they were asked for
    quantization: QuantizationOptions
    what: str  # of QUANTIZE
    samples: int | None


Spread = Callable[[Sequence[tuple[Plan, Statistics]]], Iterator[tuple[int, Row]]]
"""Measures plans elsewhere, each with its statistics: places and rows, as they get ready."""


def combinations(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """All combinations of the values, the last option changing fastest.

    Raises UsageError for an option that does not exist, no values, or too many rows.
    """
    known = (*option_names(), *OTHERS)
    for name, values in axes.items():
        if name not in known:
            raise UsageError(f"there is no option '{name}' to sweep", hint=", ".join(known))
        if not values:
            raise UsageError(f"--{name} has no values", hint=f"--{name} A,B,C")
    rows = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    if not axes or len(rows) > _MOST_ROWS:
        raise UsageError(
            f"{len(rows) if axes else 0} combinations", hint=f"1 to {_MOST_ROWS}, as --bits 8,6,4"
        )
    return rows


def sweep(
    graph: Graph,
    axes: Mapping[str, Sequence[Any]],
    batches: Sequence[Batch],
    calibrate: Calibrate,
    base: QuantizationOptions | None = None,
    spread: Spread | None = None,
) -> Iterator[tuple[int, Row]]:
    """A row for each combination as soon as it is measured, with its place among them.

    The graph stays as it is. With ``spread`` rows are measured there, and come as they get ready.
    """
    base = base or QuantizationOptions()
    plans = [_plan(base, row) for row in combinations(axes)]
    clips = frozenset(clip for plan in plans for clip in plan.quantization.clip_types)
    known: dict[int | None, Statistics] = {}

    def statistics_of(plan: Plan) -> Statistics:
        if plan.what == "nothing":
            return Statistics()
        if plan.samples not in known:
            known[plan.samples] = calibrate(plan.samples, clips)
        return known[plan.samples]

    if spread is not None:
        yield from spread([(plan, statistics_of(plan)) for plan in plans])
        return
    reference = float_outputs(graph, batches)
    for place, plan in enumerate(plans):
        yield place, measured(graph, plan, statistics_of(plan), batches, reference)


def float_outputs(graph: Graph, batches: Sequence[Batch]) -> list[NDArray[Any]]:
    """The first output of the float graph, a batch at a time."""
    key = graph.outputs[0].name
    floats = make_engine(graph, "float", keys=[key])
    return [floats.run(batch.arrays)[key] for batch in batches]


def measured(
    graph: Graph,
    plan: Plan,
    statistics: Statistics,
    batches: Sequence[Batch],
    reference: Sequence[NDArray[Any]],
) -> Row:
    """One row, from a copy of the graph; ``reference`` is what the float graph gives."""
    if plan.what == "nothing":
        own = outcome(batches, reference, reference, judged_by(graph, graph.outputs[0].name))
        return Row(plan.options, "float", own, weight_bytes(graph, _floats(plan.quantization)))
    twin = _quantized(graph, plan, statistics)
    key = twin.outputs[0].name
    name: EngineName = "int8" if has_chip_widths(twin) else "simulated"
    engine, result = make_engine(twin, name, keys=[key]), twin.outputs[0].quantization
    outputs = [engine.run(batch.arrays)[key] for batch in batches]
    if name == "int8":
        assert result is not None
        outputs = [result.output.dequantize(array) for array in outputs]
    size = weight_bytes(graph, plan.quantization)
    judged = outcome(batches, outputs, reference, judged_by(graph, key))
    return Row(plan.options, name, judged, size)


def _quantized(graph: Graph, plan: Plan, statistics: Statistics) -> Graph:
    """A quantized copy, with biases as the plan has them."""
    twin, options = graph.copy(), plan.quantization
    Basis(statistics, options).quantize(twin)
    if plan.what == "bias=float":
        twin, options = rounded_weights(twin), _floats(options)
    elif plan.what == "bias=unscaled":
        twin = unscaled_biases(twin)
    else:
        return twin
    Basis(statistics, options).quantize(twin)
    return twin


def _floats(options: QuantizationOptions) -> QuantizationOptions:
    """The same with weights and biases as they are."""
    return QuantizationOptions.from_mapping({**options.to_mapping(), "weight_bits": FLOAT_BITS})


def _plan(base: QuantizationOptions, row: Mapping[str, Any]) -> Plan:
    values = {**base.to_mapping(), **{k: v for k, v in row.items() if k not in OTHERS}}
    if BITS in row:
        pow2 = str(values["scheme"]).upper() == POW2
        values |= {BITS: row[BITS]} if pow2 else {"weight_bits": row[BITS], "act_bits": row[BITS]}
    what = row.get("quantize", "all")
    if what not in QUANTIZE:
        raise UsageError(f"'{what}' is nothing to quantize", hint=f"one of {', '.join(QUANTIZE)}")
    if what == "weights":
        values["act_bits"] = FLOAT_BITS
    elif what == "activations":
        values["weight_bits"] = FLOAT_BITS
    return Plan(row, QuantizationOptions.from_mapping(values), what, row.get("calibration"))


def read_published(path: str | Path) -> list[dict[str, str]]:
    """Rows of a CSV file: options as they are typed, and ``accuracy`` in percent.

    UsageError when the file cannot be read, or has no such column or number.
    """
    try:
        rows = list(csv.DictReader(read_text(path).splitlines()))
        for row in rows:
            float(row["accuracy"])  # says now what would be wrong after hours of work
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, csv.Error):
        raise UsageError(
            f"{path} is no table of accuracies",
            hint="its first line names options and accuracy: weight_clip,accuracy",
        ) from None
    return [{str(k).strip(): str(v).strip() for k, v in row.items()} for row in rows]


def published_accuracy(
    options: Mapping[str, Any], published: Sequence[Mapping[str, str]]
) -> float | None:
    """What was published of a row: of the first entry whose options all are the row's."""
    own = {name: str(value).lower() for name, value in options.items()}
    for entry in published:
        named = {name: text.lower() for name, text in entry.items() if name != "accuracy" and text}
        if all(own.get(name) == text for name, text in named.items()):
            return float(entry["accuracy"])
    return None


def values_of(name: str, text: str) -> list[Any]:
    """The values of ``--name A,B,C``: whole numbers, yes and no, or words."""
    values: list[Any] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        if word.lstrip("-").isdigit():
            values.append(int(word))
        elif word.lower() in ("true", "false", "yes", "no"):
            values.append(word.lower() in ("true", "yes"))
        else:
            values.append(word)
    if name == "calibration" and any(not isinstance(n, int) or n < 1 for n in values):
        raise UsageError(f"--calibration {text}: numbers of samples are wanted", hint="1,10,100")
    return values
