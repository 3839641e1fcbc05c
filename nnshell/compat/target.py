"""``execute_on_target`` without a target: what the simulator says, and that it is an estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nnshell.chips import SimulationReport
from nnshell.reports.plain import plain_text
from nnshell.reports.simulation_tables import layer_table

Row = list[Any]


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """The result of running on a chip, as NNTool's programs read it.

    ``performance`` has a row per layer, [name, cycles, operations, operations per cycle, share of
    the cycles in percent], and a last one called Total. Cycles are nnshell's estimate for GAP8.
    """

    report: SimulationReport
    output_tensors: list[list[Any]]
    returncode: int = 0

    @property
    def stdout(self) -> str:
        note = "estimated by nnshell's simulator: nothing ran on a board or on GVSoC"
        return f"{plain_text(layer_table(self.report))}\n{note}\n"

    @property
    def at_log(self) -> list[str]:
        """Nothing: the AutoTiler did not run."""
        return []

    @property
    def performance(self) -> list[Row]:
        total = self.report.total_cycles
        rows = [_row(x.name, x.cycles, x.macs, total) for x in self.report.layers]
        return [*rows, _row("Total", total, self.report.macs, total)]

    def pretty_performance(self) -> str:
        """The rows as an aligned table."""
        return self.stdout


def _row(name: str, cycles: int, operations: int, total: int) -> Row:
    rate = round(operations / cycles, 2) if cycles else 0.0
    return [name, cycles, operations, rate, round(100.0 * cycles / total, 2) if total else 0.0]
