"""Tables and lines of the improvements in ``nnshell.learning``."""

from __future__ import annotations

from collections.abc import Sequence

from nnshell.ir.graph import Graph
from nnshell.learning.equalization import Pair
from nnshell.learning.judged import Change
from nnshell.learning.outliers import Outlier
from nnshell.reports.experiment_tables import before_and_after
from nnshell.reports.table import Column, Table, with_bars


def change_text(change: Change, learned: Sequence[str] = ()) -> str:
    """Before and after, and whether it was kept.

    ``learned`` names commands whose choice was not to be lost.
    """
    why = "the output would be noisier"
    if learned:
        why = f"what {', '.join(learned)} chose belongs to these weights; equalize before it"
    kept = "" if change.applied else f"\nnot kept: {why}; nothing has changed"
    return before_and_after(change.before, change.after) + kept


def equalization_table(name: str, pairs: Sequence[Pair]) -> Table:
    """A pair of filters a row."""
    columns = (
        Column("From", wraps=True),
        Column("To", wraps=True),
        Column("Widest / narrowest before", "right", digits=1),
        Column("After", "right", digits=1),
    )
    rows = tuple((pair.first, pair.second, pair.before, pair.after) for pair in pairs)
    notes = (
        "ratio of the largest weights of two channels between the filters, where they are read",
        "float results are the same to rounding: checked on random inputs",
    )
    table = Table(f"{name}: weight equalization", columns, rows, notes=notes)
    return with_bars(table, "From", "Widest / narrowest before", "After")


def outlier_table(graph: Graph, found: Sequence[Outlier]) -> Table:
    """A tensor a row, the one with the widest channel first; what to try is said below."""
    columns = (
        Column("Tensor", wraps=True),
        Column("Channels", "right"),
        Column("Widest channel", "right"),
        Column("Reaches", "right", digits=3),
        Column("Next", "right", digits=3),
        Column("Median", "right", digits=3),
        Column("Widest / median", "right", digits=1),
        Column("Bits lost", "right", digits=1),
        Column("Beyond 2 medians", "right"),
    )
    rows = tuple(
        (o.name, o.channels, o.widest, o.reach, o.second, o.median, o.ratio, o.lost_bits, o.beyond)
        for o in found
    )
    what = found[0].what if found else "tensors"
    title = f"{graph.name}: outlier channels, {what}"
    table = Table(title, columns, rows, notes=_notes(what))
    return with_bars(table, "Tensor", "Widest / median", "Bits lost")


def _notes(what: str) -> tuple[str, ...]:
    lost = "bits lost: what one scale of the whole tensor costs the median channel"
    if what == "weights":
        return (lost, "a scale per channel (the default) loses none; next: weight_equalization")
    return (lost, "next: weight_equalization IMAGES, or qtune --step NODE clip_type=mse")
