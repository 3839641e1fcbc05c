"""The chip as data: memories, clocks, DMA engines and power, read from a chip file.

``chip.toml`` holds GAP8; another chip is another file with the same keys. No other module holds
a hardware number.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from nnshell.chips.model.toml_file import made_of
from nnshell.support.errors import UsageError
from nnshell.support.files import read_text

_MOST = 10**12  # of any number in a chip file: products of them stay far from overflow


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Power of the chip at one voltage; ``reference_cluster_hz`` is where it was measured."""

    name: str
    volt: float
    fc_max_hz: float
    cluster_max_hz: float
    reference_cluster_hz: float
    compute_mw: float
    wait_mw: float


@dataclass(frozen=True, slots=True)
class ClusterDma:
    """DMA between L2 and L1, in cluster cycles."""

    bytes_per_cycle: float
    latency_cycles: int
    outstanding: int
    program_cycles: int

    def cycles(self, lines: int, line_bytes: float) -> int:
        """Cycles of one transfer of equal lines.

        A line needs its bytes over the port, but no less than its share of the L2 latency,
        because only so many reads are outstanding.
        """
        if lines <= 0 or line_bytes <= 0:
            return 0
        line = max(line_bytes / self.bytes_per_cycle, self.latency_cycles / self.outstanding)
        return self.latency_cycles + math.ceil(lines * line)


@dataclass(frozen=True, slots=True)
class MicroDma:
    """DMA between external memory (L3) and L2, in fabric controller cycles."""

    ram_bytes_per_fc_cycle: float
    flash_bytes_per_fc_cycle: float
    setup_fc_cycles: int
    line_fc_cycles: int

    def bytes_per_fc_cycle(self, flash: bool) -> float:
        """Bytes that a cycle of the fabric controller moves, from flash or RAM."""
        return self.flash_bytes_per_fc_cycle if flash else self.ram_bytes_per_fc_cycle

    def fc_cycles(self, lines: int, line_bytes: float, *, flash: bool) -> float:
        """Fabric controller cycles of one transfer of equal lines.

        A transfer costs its set-up and bytes; each further line is a request of its own.
        """
        if lines <= 0 or line_bytes <= 0:
            return 0.0
        moved = lines * line_bytes / self.bytes_per_fc_cycle(flash)
        return self.setup_fc_cycles + (lines - 1) * self.line_fc_cycles + moved


@dataclass(frozen=True, slots=True)
class Chip:
    """Everything the cost model knows about a chip."""

    name: str
    cores: int
    fork_cycles: int
    node_cycles: int
    l1_bytes: int
    l1_alignment_bytes: int
    l2_bytes: int
    l2_alignment_bytes: int
    l3_ram_bytes: int
    l3_flash_bytes: int
    cluster_dma: ClusterDma
    micro_dma: MicroDma
    operating_points: tuple[OperatingPoint, ...]

    def operating_point(self, fc_hz: float, cluster_hz: float, volt: float = 0.0) -> OperatingPoint:
        """The lowest voltage that runs both clocks, the highest one for faster clocks; or what
        the chip does at ``volt``."""
        if volt:
            return self.at_voltage(volt)
        points = sorted(self.operating_points, key=lambda point: point.volt)
        for point in points:
            if fc_hz <= point.fc_max_hz and cluster_hz <= point.cluster_max_hz:
                return point
        return points[-1]

    def at_voltage(self, volt: float) -> OperatingPoint:
        """Between two operating points: clocks go with the voltage, power per hertz with its
        square.

        Raises:
            UsageError: the voltage is outside of the chip's operating points.
        """
        points = sorted(self.operating_points, key=lambda point: point.volt)
        for low, high in itertools.pairwise([points[0], *points]):
            if low.volt <= volt <= high.volt:
                return _between(low, high, volt)
        raise UsageError(
            f"voltage is {volt:g}, accepted are {points[0].volt:g} to {points[-1].volt:g}",
            hint=f"take {points[0].volt:g} for the least energy, {points[-1].volt:g} for speed",
        )


def _between(low: OperatingPoint, high: OperatingPoint, volt: float) -> OperatingPoint:
    if low.volt == high.volt:
        return low
    part = (volt - low.volt) / (high.volt - low.volt)
    square = (volt**2 - low.volt**2) / (high.volt**2 - low.volt**2)

    def clock(a: float, b: float) -> float:
        return a + part * (b - a)

    def power(a: float, b: float) -> float:
        """At the upper point's reference clock."""
        scaled = a * high.reference_cluster_hz / low.reference_cluster_hz
        return scaled + square * (b - scaled)

    return OperatingPoint(
        name=f"{volt:g} V",
        volt=volt,
        fc_max_hz=clock(low.fc_max_hz, high.fc_max_hz),
        cluster_max_hz=clock(low.cluster_max_hz, high.cluster_max_hz),
        reference_cluster_hz=high.reference_cluster_hz,
        compute_mw=power(low.compute_mw, high.compute_mw),
        wait_mw=power(low.wait_mw, high.wait_mw),
    )


def load_chip(path: Path | str | None = None) -> Chip:
    """Read a chip file; the GAP8 that ships with the package by default.

    Raises:
        UsageError: the file is missing, is not TOML, or lacks a value or holds a wrong one.
    """
    where = str(path) if path is not None else "chip.toml"
    like = "the chip.toml that ships with nnshell"
    try:
        return made_of(lambda: _read(path), _chip, "chip file", where, like)
    except FileNotFoundError as error:
        raise UsageError(
            f"cannot read the chip file: {error.strerror}",
            where=where,
            hint="give the path of a TOML file",
        ) from error


def _read(path: Path | str | None) -> str:
    if path is None:
        return files("nnshell.chips.tables").joinpath("chip.toml").read_text(encoding="utf-8")
    return read_text(path)


def _chip(data: dict[str, Any]) -> Chip:
    cluster, l1, l2, l3 = data["cluster"], data["l1"], data["l2"], data["l3"]
    return Chip(
        name=str(data["name"]),
        cores=_count(cluster, "cores", least=1),
        fork_cycles=_count(cluster, "fork_cycles"),
        node_cycles=_count(cluster, "node_cycles"),
        l1_bytes=_count(l1, "bytes"),
        l1_alignment_bytes=_count(l1, "alignment_bytes", least=1),
        l2_bytes=_count(l2, "bytes"),
        l2_alignment_bytes=_count(l2, "alignment_bytes", least=1),
        l3_ram_bytes=_count(l3, "ram_bytes"),
        l3_flash_bytes=_count(l3, "flash_bytes"),
        cluster_dma=_cluster_dma(data["cluster_dma"]),
        micro_dma=_micro_dma(data["micro_dma"]),
        operating_points=_operating_points(data["operating_point"]),
    )


def _operating_points(rows: list[dict[str, Any]]) -> tuple[OperatingPoint, ...]:
    if not rows:
        raise ValueError("operating_point needs at least one entry")
    return tuple(_operating_point(row) for row in rows)


def _cluster_dma(row: dict[str, Any]) -> ClusterDma:
    return ClusterDma(
        bytes_per_cycle=_positive(row, "bytes_per_cycle"),
        latency_cycles=_count(row, "latency_cycles"),
        outstanding=_count(row, "outstanding", least=1),
        program_cycles=_count(row, "program_cycles"),
    )


def _micro_dma(row: dict[str, Any]) -> MicroDma:
    return MicroDma(
        ram_bytes_per_fc_cycle=_positive(row, "ram_bytes_per_fc_cycle"),
        flash_bytes_per_fc_cycle=_positive(row, "flash_bytes_per_fc_cycle"),
        setup_fc_cycles=_count(row, "setup_fc_cycles"),
        line_fc_cycles=_count(row, "line_fc_cycles"),
    )


def _operating_point(row: dict[str, Any]) -> OperatingPoint:
    return OperatingPoint(
        name=str(row["name"]),
        volt=_positive(row, "volt"),
        fc_max_hz=_positive(row, "fc_max_hz"),
        cluster_max_hz=_positive(row, "cluster_max_hz"),
        reference_cluster_hz=_positive(row, "reference_cluster_hz"),
        compute_mw=_positive(row, "compute_mw"),
        wait_mw=_positive(row, "wait_mw"),
    )


def _count(row: dict[str, Any], key: str, least: int = 0) -> int:
    value = row[key]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:
        raise ValueError(f"{key} must be a whole number from {least} to {_MOST}, not {value!r}")
    return value


def _positive(row: dict[str, Any], key: str) -> float:
    value = float(row[key])
    if not 0 < value <= _MOST:
        raise ValueError(f"{key} must be a positive number up to {_MOST}, not {row[key]!r}")
    return value
