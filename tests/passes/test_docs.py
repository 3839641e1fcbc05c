"""docs/passes.md lists every pass, as the catalogue has it."""

from __future__ import annotations

from pathlib import Path

from nnshell.passes.catalogue import NOT_HERE, CatalogueEntry, catalogue

PAGE = Path(__file__).parents[2] / "docs" / "passes.md"
BEGIN, END = "<!-- passes -->\n", "<!-- /passes -->"


def _row(entry: CatalogueEntry) -> str:
    aliases = ", ".join(f"`{alias}`" for alias in entry.aliases)
    return f"| `{entry.name}` | {', '.join(entry.groups)} | {aliases} | {entry.summary} |\n"


def test_table_of_passes_is_complete(update_golden: bool) -> None:
    head = "| name | groups | in NNTool | what |\n|---|---|---|---|\n"
    table = head + "".join(_row(entry) for entry in catalogue())
    before, _, rest = PAGE.read_text().partition(BEGIN)
    found, _, after = rest.partition(END)
    if update_golden:
        PAGE.write_text(before + BEGIN + table + END + after)
        return
    assert found == table


def test_fusions_that_are_not_here_are_named() -> None:
    page = PAGE.read_text()
    assert all(f"`{name}`" in page for name in NOT_HERE)
