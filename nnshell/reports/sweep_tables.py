"""The table of `sweep`: a row for each combination of options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from nnshell.experiments.sweep import Row, published_accuracy
from nnshell.reports.plots import Curves
from nnshell.reports.table import Column, Table

_OF_CLASSES = (
    Column("Accuracy", "right", "%", key="accuracy", digits=2),
    Column("As float", "right", "%", key="agreement", digits=2),
)
_OF_OTHERS = (Column("MSE to input", "right", key="mse", digits=5),)


_PUBLISHED = Column("Published", "right", "%", key="published", digits=2)


def _judged(row: Row, classes: bool) -> tuple[float | None, ...]:
    outcome = row.outcome
    if not classes or outcome.agreement is None:
        return (outcome.error,)
    accuracy = None if outcome.accuracy is None else 100 * outcome.accuracy
    return (accuracy, 100 * outcome.agreement)


def sweep_table(
    title: str,
    rows: Sequence[Row],
    samples: int,
    *,
    complete: bool = True,
    published: Sequence[Mapping[str, str]] = (),
) -> Table:
    """Options first, then what the quantized graph did, and what was ``published`` of it."""
    names = list(dict.fromkeys(name for row in rows for name in row.options))
    classes = all(row.outcome.agreement is not None for row in rows)
    columns = (
        *(Column(name.replace("_", " "), key=name) for name in names),
        *(_OF_CLASSES if classes else _OF_OTHERS),
        *((_PUBLISHED,) if published else ()),
        Column("Noise", "right", "dB", key="noise_db", digits=1),
        Column("Weights", "right", "bytes", key="bytes", grouped=True),
        Column("Engine", detail=1),
    )
    cells = tuple(
        (
            *(row.options.get(name) for name in names),
            *_judged(row, classes),
            *((published_accuracy(row.options, published),) if published else ()),
            row.outcome.noise_db if row.outcome.noise > 0 else None,
            row.size_bytes,
            row.engine,
        )
        for row in rows
    )
    notes = [f"{samples:,} samples; noise is that of the first output beside the float graph's"]
    if not complete:
        notes.append("interrupted: these are the rows so far")
    records = tuple(row.to_json() for row in rows) if not published else None
    table = Table(title, columns, cells, notes=tuple(notes), records=records)
    return replace(table, plots=tuple(_curves(names, rows)))


def _curves(names: Sequence[str], rows: Sequence[Row]) -> Iterator[Curves]:
    """Accuracy (or agreement) and noise over the option with most values, a line for the others."""
    if not rows:
        return
    axis = max(names, key=lambda name: len({row.options.get(name) for row in rows}))
    places = list(dict.fromkeys(row.options.get(axis) for row in rows))
    numeric = all(isinstance(p, int | float) and not isinstance(p, bool) for p in places)
    labels = {
        tuple(row.options.get(name) for name in names if name != axis): _label(names, axis, row)
        for row in rows
    }
    for title, value in (_quality(rows), ("noise [dB]", _noise)):
        known = {
            (tuple(r.options.get(n) for n in names if n != axis), r.options.get(axis)): value(r)
            for r in rows
        }
        yield Curves(
            axis.replace("_", " "),
            tuple(p if numeric else str(p) for p in places),  # type: ignore[misc]
            title,
            {label: tuple(known.get((key, p)) for p in places) for key, label in labels.items()},
        )


def _label(names: Sequence[str], axis: str, row: Row) -> str:
    """The options of a line."""
    others = [f"{name.replace('_', ' ')} {row.options.get(name)}" for name in names if name != axis]
    return ", ".join(others) or "all"


def _quality(rows: Sequence[Row]) -> tuple[str, Callable[[Row], float | None]]:
    """What rows are judged by beside the noise, as the table has it."""
    if any(row.outcome.agreement is None for row in rows):
        return "MSE to input", lambda row: row.outcome.error
    if any(row.outcome.accuracy is not None for row in rows):
        return "accuracy [%]", lambda row: _percent(row.outcome.accuracy)
    return "as float [%]", lambda row: _percent(row.outcome.agreement)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _noise(row: Row) -> float | None:
    return row.outcome.noise_db if row.outcome.noise > 0 else None
