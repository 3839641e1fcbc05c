"""Tables, lines and curves of training."""

from __future__ import annotations

from collections.abc import Sequence

from nnshell.learning.training.report import Epoch, Moment, Training
from nnshell.reports.plots import Curves, Plot
from nnshell.reports.table import Column, Table

_BLOCKS = "▁▂▃▄▅▆▇█"


def training_table(name: str, training: Training) -> Table:
    """An epoch a row; the curves are its plots, and the last lines say what was kept."""
    columns = (
        Column("Epoch", "right"),
        Column("Loss", "right", digits=4),
        Column("Right", "right", "%", digits=2),
        Column("Held out: loss", "right", digits=4, key="held_out_loss"),
        Column("Right held out", "right", "%", key="held_out_right_percent", digits=2),
        Column("Time", "right", "s", digits=1),
        Column("Kept"),
    )
    rows = tuple(_row(entry, training) for entry in training.epochs)
    title = f"{name}: training, {training.quantizer}"
    return Table(title, columns, rows, notes=_notes(training), plots=_curves(training))


def _row(
    entry: Epoch, training: Training
) -> tuple[int, float | None, float | None, float, float | None, float, str]:
    return (
        entry.number,
        entry.loss,
        _percent(entry.accuracy),
        entry.held_out_loss,
        _percent(entry.held_out_accuracy),
        entry.seconds,
        "kept" if entry.number == training.best else "",
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else 100.0 * share


def _notes(training: Training) -> tuple[str, ...]:
    notes = [
        f"trained on {training.trained_on:,} samples; {training.held_out:,} were held out and "
        "decide which epoch is kept"
    ]
    if len(training.epochs) > 1:
        losses = [entry.held_out_loss for entry in training.epochs]
        notes.append(f"loss held out: {spark_line(losses)} {losses[0]:.4g} to {min(losses):.4g}")
    done = len(training.epochs) - 1
    if training.interrupted:
        notes.append(f"interrupted after {max(done, 0)} of {training.planned} epochs")
    elif done < training.planned:
        notes.append(f"ended after {done} of {training.planned} epochs: no more progress")
    if not training.applied:
        notes.append("nothing has changed: no epoch was better than the start")
    elif training.best == 0:
        notes.append("no epoch was better than the start: quantized as asked, weights unchanged")
    return tuple(notes)


def spark_line(values: Sequence[float]) -> str:
    """A block for each number, the lowest for the least."""
    low, high = min(values), max(values)
    extent = (high - low) or 1.0
    return "".join(_BLOCKS[round((value - low) / extent * (len(_BLOCKS) - 1))] for value in values)


def _curves(training: Training) -> tuple[Plot, ...]:
    epochs = training.epochs
    if not epochs:
        return ()
    x = tuple(float(entry.number) for entry in epochs)
    losses = {
        "training": tuple(entry.loss for entry in epochs),
        "held out": tuple(entry.held_out_loss for entry in epochs),
    }
    shares = {
        "training": tuple(_percent(entry.accuracy) for entry in epochs),
        "held out": tuple(_percent(entry.held_out_accuracy) for entry in epochs),
    }
    plots: list[Plot] = [Curves("epoch", x, "loss", losses)]
    if epochs[0].held_out_accuracy is not None:
        plots.append(Curves("epoch", x, "right [%]", shares))
    return tuple(plots)


def epoch_text(entry: Epoch, planned: int) -> str:
    """One line when an epoch is over, or before the first."""
    held = f"held out: loss {entry.held_out_loss:.4f}"
    if entry.held_out_accuracy is not None:
        held += f", {100 * entry.held_out_accuracy:.2f} % right"
    if entry.loss is None:
        return f"before training: {held}"
    return (
        f"epoch {entry.number} of {planned}: loss {entry.loss:.4f}; {held}; {entry.seconds:.0f} s"
    )


def moment_text(moment: Moment, planned: int) -> str:
    """What the bar of an epoch says."""
    right = "" if moment.accuracy is None else f", {100 * moment.accuracy:.1f} %"
    minutes, seconds = divmod(round(moment.seconds_left), 60)
    left = f"{minutes}:{seconds:02d} left"
    return f"epoch {moment.epoch} of {planned}: loss {moment.loss:.4f}{right}, {left}"
