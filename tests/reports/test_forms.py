"""A table says the same in all its forms, whatever is in it."""

from __future__ import annotations

import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from nnshell.reports.table import Column, Table
from nnshell.shell.render import csv_text, json_text, plain_text

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
NUMBERS = st.one_of(st.integers(-(10**9), 10**9), st.floats(-1e6, 1e6))
COLUMNS = (
    Column("Name", wraps=True),
    Column("Count", "right", grouped=True),
    Column("Share", "right", "%", digits=2),
    Column("Size", "right", "bytes", key="size_bytes", grouped=True),
    Column("Note", detail=2),
)
ROWS = st.lists(
    st.tuples(
        WORDS,
        st.integers(-(10**9), 10**9),
        st.one_of(st.none(), st.floats(-1e6, 1e6)),
        st.integers(0, 10**9),
        st.one_of(st.none(), WORDS),
    ),
    max_size=6,
)
KEYS = ["name", "count", "share_percent", "size_bytes", "note"]


@given(ROWS)
def test_json_and_csv_hold_every_cell_by_the_same_names(rows: list[tuple[object, ...]]) -> None:
    table = Table("Things", COLUMNS, tuple(rows))  # type: ignore[arg-type]
    records = json.loads(json_text(table))
    lines = list(csv.reader(io.StringIO(csv_text(table))))
    assert lines[0] == KEYS
    assert len(records) == len(lines) - 1 == len(rows)
    for row, record, line in zip(rows, records, lines[1:], strict=True):
        cells = dict(zip(KEYS, row, strict=True))
        assert list(record) == [key for key, cell in cells.items() if cell is not None]
        for (key, cell), text in zip(cells.items(), line, strict=True):
            if cell is None:
                assert text == ""
            elif isinstance(cell, str):
                assert record[key] == cell and text == cell
            else:
                assert float(record[key]) == float(text) == float(cell)  # type: ignore[arg-type]


@given(ROWS)
def test_plain_text_has_a_line_for_each_row_and_numbers_as_people_read_them(
    rows: list[tuple[object, ...]],
) -> None:
    table = Table("Things", COLUMNS, tuple(rows), notes=("a note below",))  # type: ignore[arg-type]
    text = plain_text(table)
    assert text.splitlines()[0] == "Things"
    assert text.rstrip().endswith("a note below")
    for _, count, share, size, _ in rows:
        assert f"{count:,}" in text and f"{size:,}" in text
        if share is not None:
            assert f"{share:.2f}" in text


def test_headings_have_their_unit_and_names_for_machines_spell_it() -> None:
    assert [column.heading for column in COLUMNS[:3]] == ["Name", "Count", "Share [%]"]
    assert [column.machine_name for column in COLUMNS] == KEYS
