"""How far off a simulated figure may be: ranges from the comparison with published figures.

``validation.toml`` holds, for each kernel library, the errors of its kernel families against
measured layers and of totals against measured networks. A layer's range takes the error of its
kernel for the cores' cycles and that of external memory for the waiting; families that no
measurement covers take a wide one. A total is known as well as the measured totals, as far as it is
made of the same kernels.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from nnshell.chips.model.report import (
    LayerRange,
    LayerReport,
    Range,
    Ranges,
    SimulationReport,
)

# Of a normal distribution, this many deviations to both sides hold nine of ten values.
NINE_OF_TEN = 1.645
# Relative errors where nothing was measured: of a kernel counted by instructions alone (the worst
# family that was measured later missed by a factor of three, most by a fifth), of a table nobody
# compared with a board.
UNMEASURED = 0.3
# Waiting for L3: 0.66 bytes a cycle of the flash on one board, 0.75 of the RAM on another.
EXTERNAL_MEMORY = 0.15
# No layer is known better than this: the same network measured twice differs by 2.3 %.
FLOOR = 0.023


@dataclass(frozen=True, slots=True)
class Family:
    """Error of one kernel: relative, root mean square over ``rows`` measured layers and one more,
    or what the totals allow (0 rows). ``share`` is the most it takes of a network whose total was
    measured.
    """

    rows: int
    error: float
    share: float


@dataclass(frozen=True, slots=True)
class Validation:
    """What is known about one kernel library; empty for one that was never compared."""

    families: Mapping[str, Family]
    networks: int = 0
    total_error: float = 0.0
    waiting_share: float = 0.0

    def measured(self, kernel: str) -> bool:
        """Whether published measurements cover layers of this kernel."""
        return kernel in self.families

    def kernel_error(self, kernel: str) -> float:
        """Relative error of the cores' cycles in a layer that runs this kernel."""
        family = self.families.get(kernel)
        return UNMEASURED if family is None else max(FLOOR, family.error)

    def layer_error(self, kernel: str, cycles: int, l3_wait_cycles: int) -> float:
        """Relative error of a layer's cycles, one standard deviation."""
        if not cycles:
            return 0.0
        own = (cycles - l3_wait_cycles) * self.kernel_error(kernel)
        return max(FLOOR, math.hypot(own, l3_wait_cycles * EXTERNAL_MEMORY) / cycles)

    def total_error_of(self, layers: Sequence[LayerReport]) -> float:
        """Relative error of a network's cycles, one standard deviation.

        As far as a network is made of what measured networks are made of, it is known as well as
        they are; where a kernel takes a larger share, its own error counts for the rest.
        """
        total = sum(layer.cycles for layer in layers)
        if not total:
            return 0.0
        shares: dict[str, float] = {}
        for layer in layers:
            own = (layer.cycles - layer.l3_wait_cycles) / total
            shares[layer.kernel] = shares.get(layer.kernel, 0.0) + own
        rest = [self._beyond(kernel, share) for kernel, share in shares.items()]
        waiting = sum(layer.l3_wait_cycles for layer in layers) / total
        rest.append(max(0.0, waiting - self.waiting_share) * EXTERNAL_MEMORY)
        return math.hypot(max(FLOOR, self.total_error), *rest)

    def _beyond(self, kernel: str, share: float) -> float:
        """Error from the share of a kernel that no measured total covers."""
        family = self.families.get(kernel)
        covered = family.share if family is not None else 0.0
        return max(0.0, share - covered) * self.kernel_error(kernel)


def ranges(report: SimulationReport) -> Ranges:
    """Where nine of ten measurements of the total and of every layer are expected."""
    known = load_validation(report.kernels)
    return Ranges(
        range_around(report.total_cycles, known.total_error_of(report.layers)),
        tuple(_layer_range(known, layer) for layer in report.layers),
    )


def _layer_range(known: Validation, layer: LayerReport) -> LayerRange:
    error = known.layer_error(layer.kernel, layer.cycles, layer.l3_wait_cycles)
    return LayerRange(range_around(layer.cycles, error), known.measured(layer.kernel))


def range_around(cycles: int, error: float) -> Range:
    """A range is a factor to both sides, as large errors are never below zero."""
    factor = 1.0 + NINE_OF_TEN * error
    return Range(round(cycles / factor), round(cycles * factor))


@cache
def load_validation(table: str) -> Validation:
    """What is known about the kernel table of that name."""
    text = files("nnshell.chips.tables").joinpath("validation.toml").read_text(encoding="utf-8")
    match: dict[str, Any] = tomllib.loads(text).get(table, {})
    families = {
        str(name): Family(int(entry["rows"]), float(entry["error"]), float(entry["share"]))
        for name, entry in match.get("kernel", {}).items()
    }
    return Validation(
        families,
        int(match.get("networks", 0)),
        float(match.get("total_error", 0.0)),
        float(match.get("waiting_share", 0.0)),
    )
