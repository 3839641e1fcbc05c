"""Small HTML tables for notebooks (``_repr_html_``): caption, headings, rows; text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_MOST_ROWS = 60  # of a table in a notebook's cell; the rest is counted


def html_table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; numbers are right-aligned, integers grouped, rows beyond ``_MOST_ROWS`` counted."""
    shown = list(rows)
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in shown[:_MOST_ROWS])
    if len(shown) > _MOST_ROWS:
        left_out = f"{len(shown) - _MOST_ROWS} more rows"
        body += f'<tr><td colspan="{len(headings)}">{left_out}</td></tr>'
    return (
        f"<table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cell(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return f"<td>{'' if value is None else 'yes' if value else 'no'}</td>"
    if isinstance(value, int):
        return f'<td style="text-align:right">{value:,}</td>'
    if isinstance(value, float):
        return f'<td style="text-align:right">{value:.6g}</td>'
    return f'<td style="text-align:left">{escape(str(value))}</td>'
