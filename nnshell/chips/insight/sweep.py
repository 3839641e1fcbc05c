"""What if: the same network under many settings, which of them are worth having, what helps most.

A point is Pareto-optimal when no other is better in one of latency, energy and memory and no
worse in the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from nnshell.chips.model.chip import Chip, load_chip
from nnshell.chips.model.estimate import Cuts, estimate
from nnshell.chips.model.kernels import load_kernels
from nnshell.chips.model.network import Network
from nnshell.chips.model.parameters import Parameters, too_fast
from nnshell.chips.model.report import SimulationReport
from nnshell.support.errors import UsageError

MAX_POINTS = 1000


@dataclass(frozen=True, slots=True)
class Axes:
    """The values to try of each setting; an empty one keeps the session's."""

    cores: tuple[int, ...] = ()
    fc_freq: tuple[float, ...] = ()
    cl_freq: tuple[float, ...] = ()
    voltage: tuple[float, ...] = ()
    l1: tuple[int, ...] = ()
    l2: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """How many points they make."""
        total = 1
        for values in (self.cores, self.fc_freq, self.cl_freq, self.voltage, self.l1, self.l2):
            total *= max(1, len(values))
        return total


@dataclass(frozen=True, slots=True)
class Point:
    """One setting and its result; ``pareto`` when no other point is better in every way."""

    parameters: Parameters
    latency_ms: float
    energy_mj: float
    cycles: int
    l1_bytes: int
    l2_peak_bytes: int
    l3_moved_bytes: int
    fits: bool
    pareto: bool = False

    @property
    def memory_bytes(self) -> int:
        """On-chip memory set aside for the network: the budgets, not what was used of them."""
        return self.parameters.l1_size + self.parameters.l2_size

    def costs(self) -> tuple[float, ...]:
        """What to minimize; on-chip memory counts as its budgets."""
        return self.latency_ms, self.energy_mj, float(self.memory_bytes)


@dataclass(frozen=True, slots=True)
class Relaxation:
    """One constraint a step looser: what it would save."""

    setting: str
    before: str
    after: str
    saved_ms: float
    saved_mj: float


@dataclass(frozen=True, slots=True)
class Sweep:
    """All points, what was left out and why, and what helps most at the fastest that fits.

    ``remarks`` say which clocks the chip does not run, and what is missing where nothing fits.
    """

    network: str
    points: tuple[Point, ...]
    left_out: tuple[str, ...]
    relaxations: tuple[Relaxation, ...]
    remarks: tuple[str, ...] = ()


# Simulates settings, in their order; a text says why settings are impossible.
Run = Callable[[Sequence[Parameters]], Sequence[Point | str]]


def sweep(
    network: Network,
    parameters: Parameters,
    axes: Axes,
    chip: Chip | None = None,
    run: Run | None = None,
) -> Sweep:
    """Simulate every combination of the values; ``run`` does it elsewhere, as on a cluster.

    Raises:
        UsageError: too many points, or none of them possible on the chip.
    """
    chip = chip or load_chip()
    if axes.count > MAX_POINTS:
        raise UsageError(
            f"{axes.count} points are too many", hint=f"at most {MAX_POINTS}: give fewer values"
        )
    cuts: Cuts = {}
    run = run or (lambda tried: [point_at(network, p, chip, cuts) for p in tried])
    outputs = run(list(_candidates(parameters, axes, chip)))
    points = [entry for entry in outputs if isinstance(entry, Point)]
    left_out = dict.fromkeys(entry for entry in outputs if isinstance(entry, str))
    if not points:
        raise UsageError(f"no point is possible: {next(iter(left_out))}")
    marked = [replace(point, pareto=_is_pareto(point, points)) for point in points]
    remarks = dict.fromkeys(too_fast(point.parameters, chip) for point in points)
    fitting = [point for point in points if point.fits]
    if not fitting:
        report = estimate(network, points[0].parameters, chip=chip, cuts=cuts)
        remarks.update(dict.fromkeys(f"no point fits: {gap}" for gap in report.shortfalls[:1]))
    best = min(fitting, key=lambda point: point.latency_ms, default=None)
    relaxed = relaxations(network, best.parameters, chip, cuts) if best is not None else ()
    told = tuple(remark for remark in remarks if remark)
    return Sweep(network.name, tuple(marked), tuple(left_out), relaxed, told)


def point_at(
    network: Network, parameters: Parameters, chip: Chip | None = None, cuts: Cuts | None = None
) -> Point | str:
    """One point of a sweep, or why the chip cannot have it."""
    try:
        return _point(estimate(network, parameters, chip=chip, cuts=cuts))
    except UsageError as error:
        return error.message


def _candidates(base: Parameters, axes: Axes, chip: Chip) -> Iterator[Parameters]:
    """A voltage that is given caps the clocks that are not."""
    base = base.resolve(load_kernels(base.kernels))
    grid = product(
        axes.voltage or (base.voltage,),
        axes.fc_freq or (None,),
        axes.cl_freq or (None,),
        axes.l2 or (base.l2_size,),
        axes.l1 or (base.l1_size,),
        axes.cores or (base.cluster_num_cores,),
    )
    for volt, fc_hz, cluster_hz, l2, l1, cores in grid:
        fc_max, cluster_max = base.fc_freq, base.cl_freq
        if volt:
            point = chip.at_voltage(volt)
            fc_max, cluster_max = (
                min(fc_max, point.fc_max_hz),
                min(cluster_max, point.cluster_max_hz),
            )
        yield replace(
            base,
            voltage=volt,
            fc_freq=fc_hz or fc_max,
            cl_freq=cluster_hz or cluster_max,
            l2_size=l2,
            l1_size=l1,
            cluster_num_cores=cores,
        )


def _point(report: SimulationReport) -> Point:
    return Point(
        parameters=report.parameters,
        latency_ms=report.latency_ms,
        energy_mj=report.energy_mj,
        cycles=report.total_cycles,
        l1_bytes=report.l1_bytes,
        l2_peak_bytes=report.l2_peak_bytes,
        l3_moved_bytes=sum(layer.l3_bytes for layer in report.layers),
        fits=report.fits,
    )


def _is_pareto(point: Point, points: Sequence[Point]) -> bool:
    if not point.fits:
        return False
    costs = point.costs()
    return not any(
        other.fits
        and other.costs() != costs
        and all(mine >= theirs for mine, theirs in zip(costs, other.costs(), strict=True))
        for other in points
    )


def relaxations(
    network: Network, parameters: Parameters, chip: Chip | None = None, cuts: Cuts | None = None
) -> tuple[Relaxation, ...]:
    """Each constraint a step looser, as far as the chip has more: what saves most time first."""
    chip = chip or load_chip()
    parameters = parameters.resolve(load_kernels(parameters.kernels))
    cuts = cuts if cuts is not None else {}
    base = estimate(network, parameters, chip=chip, cuts=cuts)
    results = []
    for name, value in _looser(parameters, chip):
        changed = replace(parameters, **{name: value})  # type: ignore[arg-type]
        report = estimate(network, changed, chip=chip, cuts=cuts)
        saved = base.latency_ms - report.latency_ms
        before, after = _number(getattr(parameters, name)), _number(value)
        energy = base.energy_mj - report.energy_mj
        results.append(Relaxation(name, before, after, saved, energy))
    return tuple(sorted(results, key=lambda entry: -entry.saved_ms))


def _looser(parameters: Parameters, chip: Chip) -> Iterator[tuple[str, int | float]]:
    """A quarter more of each, at most what the chip has."""
    point = chip.at_voltage(parameters.voltage or max(p.volt for p in chip.operating_points))
    limits = {
        "l1_size": chip.l1_bytes,
        "l2_size": chip.l2_bytes,
        "fc_freq": point.fc_max_hz,
        "cl_freq": point.cluster_max_hz,
    }
    for name, limit in limits.items():
        value = getattr(parameters, name)
        expected = min(limit, type(value)(value * 1.25))
        if expected > value:
            yield name, expected
    if parameters.cluster_num_cores * 2 <= chip.cores:
        yield "cluster_num_cores", parameters.cluster_num_cores * 2


def _number(value: float) -> str:
    return f"{value / 1e6:g}M" if value >= 1e6 else f"{value:,.0f}"
