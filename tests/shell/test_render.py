"""Tables in every form: nothing cut, nothing lost, no markup read from names."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter

import numpy as np
import pytest
from rich.console import Console

from nnshell.reports.distributions import distribution
from nnshell.reports.table import Column, Table
from nnshell.shell import render
from nnshell.support.errors import UsageError

TABLE = Table(
    "Steps",
    (
        Column("Step", "right"),
        Column("Name", wraps=True),
        Column("Size", "right", "bytes", grouped=True),
        Column("QSNR", "right", "dB", digits=1),
        Column("Clipped"),
    ),
    (
        (0, "input_1", 3072, None, False),
        (1, "a[bold]b[/bold]" + "_long" * 12, 1234567, math.inf, True),
    ),
    footer=((None, "total", 1237639, 31.26, None),),
    notes=("sizes at one byte per element",),
)


def test_plain_text_is_aligned_and_complete() -> None:
    lines = render.plain_text(TABLE).splitlines()
    assert lines[0] == "Steps"
    assert lines[1].split() == ["Step", "Name", "Size", "[bytes]", "QSNR", "[dB]", "Clipped"]
    assert "1,234,567" in lines[4] and "_long" * 12 in lines[4] and "inf" in lines[4]
    assert lines[4].index("1,234,567") + 9 == lines[3].index("3,072") + 5
    assert lines[5].startswith("-")
    assert "31.3" in lines[6]
    assert lines[-1] == "sizes at one byte per element"


def test_csv_has_machine_names_and_values() -> None:
    rows = list(csv.reader(io.StringIO(render.csv_text(TABLE))))
    assert rows[0] == ["step", "name", "size_bytes", "qsnr_db", "clipped"]
    assert rows[1] == ["0", "input_1", "3072", "", "False"]
    assert len(rows) == 3


def test_json_is_one_object_per_row_without_empty_cells() -> None:
    rows = json.loads(render.json_text(TABLE))
    assert rows[0] == {"step": 0, "name": "input_1", "size_bytes": 3072, "clipped": False}
    assert rows[1]["qsnr_db"] is None  # JSON has no infinity


def test_records_replace_rows_in_json() -> None:
    table = Table("t", (Column("a"),), (("x",),), records=({"scale": [1.5, math.nan]},))
    assert json.loads(render.json_text(table)) == [{"scale": [1.5, None]}]


def test_an_empty_table_is_valid_in_every_form() -> None:
    table = Table("", (Column("a"),), ())
    assert json.loads(render.json_text(table)) == []
    assert render.csv_text(table) == "a"
    assert render.plain_text(table).splitlines() == ["a", "-"]


@pytest.mark.parametrize("width", [40, 60, 100, 200])
def test_a_terminal_table_fits_and_loses_nothing(width: int) -> None:
    screen = io.StringIO()
    Console(file=screen, width=width, force_terminal=True, color_system=None).print(
        render.terminal_table(TABLE, width)
    )
    text = screen.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "\u2026" not in text
    shown = Counter(text)
    for row in (*TABLE.rows, *TABLE.footer):
        cells = "".join(c.text(cell) for c, cell in zip(TABLE.columns, row, strict=True))
        assert Counter(cells) <= shown
    assert shown["_"] == 1 + 12


def test_a_row_that_does_not_fit_its_columns_is_refused() -> None:
    with pytest.raises(AssertionError, match="fit"):
        Table("t", (Column("a"), Column("b")), ((1,),))


def test_details_are_left_out_before_a_table_becomes_unreadable() -> None:
    columns = (Column("Name", wraps=True), Column("Size", "right"), Column("About", detail=True))
    table = Table("t", columns, (("a" * 30, 123456, "b" * 40),))
    wide, narrow = io.StringIO(), io.StringIO()
    for screen, width in ((wide, 120), (narrow, 50)):
        console = Console(file=screen, width=width, force_terminal=True, color_system=None)
        console.print(render.terminal_table(table, width))
    assert "b" * 40 in wide.getvalue() and "not shown" not in wide.getvalue()
    assert "a" * 30 in narrow.getvalue() and "bb" not in narrow.getvalue()
    assert "not shown here: About (--format blocks)" in narrow.getvalue()


def drawn(table: Table, width: int) -> str:
    screen = io.StringIO()
    console = Console(file=screen, width=width, force_terminal=True, color_system=None)
    console.print(render.terminal_table(table, width))
    return screen.getvalue()


def test_numbers_stay_whole_on_a_narrow_terminal() -> None:
    columns = (
        Column("Name", wraps=True),
        *(Column(f"Number {n}", "right", grouped=True, detail=n) for n in range(6)),
    )
    table = Table("t", columns, (("layer_" * 6, *range(1234567, 1234573)),))
    for width in (60, 80, 110):
        text = drawn(table, width)
        assert max(map(len, text.splitlines())) <= width
        left_out = text.count("Number") - text.count("1,234,5")
        assert all(f"1,234,{567 + n}" in text for n in range(6 - left_out))
    assert "not shown here: Number 4, Number 5" in drawn(table, 70)


def test_headings_take_two_lines_before_text_is_folded() -> None:
    columns = (Column("Name", wraps=True), Column("Largest error", "right"), Column("Q", detail=1))
    text = drawn(Table("t", columns, (("a" * 30, 1.5, "q"),)), 46)
    assert "a" * 30 in text and "Largest" in text and "Largest error" not in text and " q" in text


def test_a_terminal_shows_the_brief_form_and_programs_the_full_one() -> None:
    brief = Table("t", (Column("a", digits=1),), ((0.123456,),))
    table = Table("t", (Column("a"),), ((0.123456,),), brief=brief)
    assert "0.1 " in drawn(table, 80).replace("\n", " ") and "0.123456" not in drawn(table, 80)
    assert "0.123456" in render.plain_text(table) and "0.123456" in render.csv_text(table)


def test_long_names_are_broken_between_their_words() -> None:
    table = Table("t", (Column("Name", wraps=True), Column("N")), (("conv_fusion_conv_active", 1),))
    lines = [line.split()[0] for line in drawn(table, 26).splitlines() if line.strip()]
    assert lines[-2:] == ["conv_fusion_conv_", "active"]


def test_long_lines_go_on_indented_and_lose_no_word() -> None:
    lines = ["short", "", "  row of words that are long   8 %", "x" * 30]
    rows = render.folded(lines, 20)
    assert rows[:2] == ["short", ""] and rows[-1] == "x" * 30
    assert all(len(row) <= 20 for row in rows[:-1])
    assert rows[2].startswith("  row") and all(row.startswith("      ") for row in rows[3:-1])
    assert " ".join(rows).split() == " ".join(lines).split()


def test_a_number_of_any_size_fits_a_column() -> None:
    column = Column("Max", align="right", digits=4)
    assert column.text(3e38) == "3e+38"
    assert column.text(1234.5) == "1234.5000"


@pytest.mark.parametrize(
    "values",
    [[3e38, -3e38], [1e38], [1.0, 1.0 + 1e-15], [0.0, 5e-324], [-3.4e38, 0.0, 3.4e38], [2.0] * 2],
)
def test_values_of_any_size_have_a_histogram(values: list[float]) -> None:
    found = distribution(0, "w", np.array(values))
    assert sum(found.histogram) == len(values)


def test_columns_are_chosen_by_name_in_any_form() -> None:
    table = render.chosen_columns(TABLE, "qsnr_db, Name")
    assert [column.name for column in table.columns] == ["QSNR", "Name"]
    assert render.csv_text(table).splitlines()[0] == "qsnr_db,name"
    assert table.footer == ((31.26, "total"),)
    with pytest.raises(UsageError, match="no column 'colour'"):
        render.chosen_columns(TABLE, "name,colour")


def test_a_block_holds_a_record() -> None:
    text = render.block_text(TABLE)
    first, second = text.split("-[ ")[1:]
    assert "input_1" in first and "QSNR" not in first  # empty cells are left out
    assert "QSNR [dB]    | inf" in second and "sizes at one byte per element" in second
