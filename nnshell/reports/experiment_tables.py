"""Tables of the experiments in ``nnshell.experiments``."""

from __future__ import annotations

from collections.abc import Sequence

from nnshell.experiments.bench import Outcome
from nnshell.experiments.mixed import Mixture
from nnshell.experiments.sensitivity import Advice, Sensitivity
from nnshell.reports.table import Cell, Column, Table, with_bars


def sensitivity_table(
    title: str, found: Sequence[Sensitivity], advice: Sequence[Advice] = ()
) -> Table:
    """One node a row; what to try with the worst is said below."""
    columns = (
        Column("Node", wraps=True),
        Column("Op"),
        Column("Weights", "right", grouped=True),
        Column("Noise alone", "right", "dB", digits=1),
        Column("Accuracy alone", "right", "%", digits=2),
        Column("Agreement alone", "right", "%", digits=2),
        Column("Noise without", "right", "dB", digits=1),
        Column("Accuracy without", "right", "%", digits=2),
    )
    rows = tuple(
        (
            *(entry.node, entry.kind, entry.weights),
            *_cells(entry.alone),
            *_cells(entry.without)[:2],
        )
        for entry in found
    )
    notes = ["alone: only this node quantized; without: all but this node", *advice_lines(advice)]
    if found and not advice:
        notes.append("next: adaround INPUTS or mixed INPUTS; no option of one node alone helps")
    table = Table(title, columns, rows, notes=tuple(notes))
    return with_bars(table, "Node", "Noise alone", "Noise without")


def advice_lines(advice: Sequence[Advice]) -> list[str]:
    """What to type, and the noise of the output with it."""
    return [
        f"next: qtune --step {entry.node} {key}={value}"
        f" (output noise {entry.before.noise_db:.1f} dB becomes {entry.after.noise_db:.1f} dB)"
        for entry in advice
        for key, value in entry.change.items()
    ]


def _cells(outcome: Outcome) -> tuple[Cell, Cell, Cell]:
    accuracy, agreement = (
        None if share is None else 100 * share for share in (outcome.accuracy, outcome.agreement)
    )
    return (outcome.noise_db, accuracy, agreement)


def mixture_table(title: str, mixture: Mixture) -> Table:
    """Bits by node; sizes and accuracies below."""
    columns = (Column("Node", wraps=True), Column("Weight bits", "right"))
    notes = (
        f"before: {_outcome_text(mixture.before)}, {mixture.before_bytes:,} bytes",
        f"after: {_outcome_text(mixture.outcome)}, {mixture.size_bytes:,} bytes",
    )
    table = Table(title, columns, tuple(mixture.bits.items()), notes=notes)
    return with_bars(table, "Node", "Weight bits")


def before_and_after(before: Outcome, after: Outcome) -> str:
    """Two lines about a change."""
    return "\n".join(
        f"{when}: {_outcome_text(outcome)}"
        for when, outcome in (("before", before), ("after", after))
    )


def _outcome_text(outcome: Outcome) -> str:
    figures = [
        f"{what} {100 * share:.2f} %"
        for what, share in (("accuracy", outcome.accuracy), ("agreement", outcome.agreement))
        if share is not None
    ]
    if outcome.error is not None:
        figures.append(f"mean squared error to the input {outcome.error:.5f}")
    return ", ".join([f"noise {outcome.noise_db:.1f} dB", *figures])
