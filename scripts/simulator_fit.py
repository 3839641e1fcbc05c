"""Fits the numbers of the simulator that instruction counts leave open, to published figures.

    python scripts/simulator_fit.py        print every fitted number beside what is in its table

Every number with ``fitted_on`` in a kernel table, and the cycles of a node, starts from what
instruction counts give (``counted``), and moves as far as the published layers it is fitted on ask
for it (``image_networks``: their totals): least squares of relative errors, one step of
Gauss-Newton from the tables. Numbers of one name in one library are one number. Layers of one
network that are equal count as one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from published_networks import (
    DORY,
    POW2,
    POW2_NETWORK,
    SQ8,
    Row,
    layer_rows,
    network,
    single,
    total_rows,
)

from nnshell.chips import (
    Chip,
    KernelTable,
    Parameters,
    SimulationReport,
    load_chip,
    load_kernels,
    simulate_network,
)
from nnshell.chips.model.kernels import Kernel, Term

DORY_NETWORK = "mobilenet_v1_1.0_128_dory"
LIBRARIES = ("autotiler-sq8", "autotiler-pow2", "pulp-nn")
# Relative deviation of what instruction counts give: of loops, and of calls and their prologues.
LOOPS, CALLS = 0.2, 1.0
ONCE = {"one", "out_share", "padded_sides"}  # pieces that run once a channel or tile
NOISE = 0.03  # relative deviation of a published layer
TOTAL_NOISE = 0.023  # of a published total: one network measured twice
STEP = 0.03  # relative step of the derivatives
NODE = "cycles of a node"
FLASH = "bytes of flash in a cycle"
TILE = "cycles of a tile"
NODE_KERNEL = "softmax"  # hardly more than the call of its node
NODE_FITTED_ON = ("ds_cnn_small", "ds_cnn_medium")

Values = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Number:
    """A number to fit: its value now, what counts say, and how far they may be off."""

    name: str
    value: float
    counted: float
    deviation: float


@dataclass(frozen=True, slots=True)
class Figure:
    """A published figure and how to simulate it with other numbers."""

    network: str
    item: str
    kernels: str
    published: float
    noise: float
    simulate: Callable[[Values], float] = field(repr=False)


@cache
def table_named(name: str) -> KernelTable:
    return load_kernels(name)


def library_of(name: str) -> str:
    return {DORY_NETWORK: "pulp-nn", POW2_NETWORK: "autotiler-pow2"}.get(name, "autotiler-sq8")


def parameters_of(name: str, alone: bool) -> Parameters:
    if name == DORY_NETWORK:
        return DORY
    if name == POW2_NETWORK:
        return POW2
    return replace(SQ8, l1_size=60_000) if alone else SQ8


def fitted_numbers(library: str) -> list[Number]:
    """What is fitted in a library, and the call of a node for the one that has rows of calls."""
    found: dict[str, Number] = {}
    for kernel in table_named(library).kernels:
        for term in kernel.terms:
            if term.fitted_on and term.name not in found:
                counted = term.cycles if term.counted is None else term.counted
                found[term.name] = Number(term.name, term.cycles, counted, _deviation(term))
    numbers = list(found.values())
    return numbers + (_numbers_of_chip() if library == "autotiler-sq8" else [])


def _numbers_of_chip() -> list[Number]:
    """What is fitted beside the terms of kernels: value now, counted, deviation."""
    chip, table = load_chip(), table_named("autotiler-sq8")
    node = float(chip.node_cycles)
    return [
        Number(NODE, node, node, node),
        Number(FLASH, chip.micro_dma.flash_bytes_per_fc_cycle, 0.66, 0.05),
        Number(TILE, float(table.tile_cycles), 250.0, 150.0),
    ]


def _deviation(term: Term) -> float:
    """How far counts may be off; all of it where nobody counted."""
    if not term.counted:
        return term.cycles
    return (CALLS if ONCE.issuperset(term.per) else LOOPS) * term.counted


def with_numbers(table: KernelTable, values: Values) -> KernelTable:
    """The table with other numbers; terms of one name and number are one."""
    was = {n.name: n.value for n in fitted_numbers(table.name)}

    def changed(kernel: Kernel) -> Kernel:
        terms = tuple(
            replace(term, cycles=values[term.name])
            if term.name in values and term.cycles == was[term.name]
            else term
            for term in kernel.terms
        )
        return replace(kernel, terms=terms)

    tile = values.get(TILE, table.tile_cycles)
    return replace(table, tile_cycles=tile, kernels=tuple(changed(k) for k in table.kernels))


def chip_with(values: Values) -> Chip:
    chip = load_chip()
    flash = values.get(FLASH, chip.micro_dma.flash_bytes_per_fc_cycle)
    return replace(
        chip,
        node_cycles=round(values.get(NODE, chip.node_cycles)),
        micro_dma=replace(chip.micro_dma, flash_bytes_per_fc_cycle=flash),
    )


def layer_cycles(row: Row, values: Values) -> tuple[int, str]:
    """Cycles of the layer alone, without waiting for its weights: that is its predecessor's."""
    name = row["network"]
    if name == POW2_NETWORK:  # its rows were measured in the network, external memory and all
        layer = next(e for e in network_report(name, values).layers if e.name == row["layer"])
        return layer.cycles, layer.kernel
    table = with_numbers(table_named(library_of(name)), values)
    parameters = parameters_of(name, alone=True)
    report = simulate_network(single(row), parameters, kernels=table, chip=chip_with(values))
    (layer,) = report.layers
    return layer.cycles - layer.stall_cycles, layer.kernel


def network_report(name: str, values: Values) -> SimulationReport:
    """A whole network; the values as a key, so that none is simulated twice."""
    return _report(name, tuple(sorted(values.items())))


@cache
def _report(name: str, values: tuple[tuple[str, float], ...]) -> SimulationReport:
    table = with_numbers(table_named(library_of(name)), dict(values))
    parameters = parameters_of(name, alone=False)
    return simulate_network(network(name), parameters, kernels=table, chip=chip_with(dict(values)))


@cache
def figures(library: str) -> tuple[Figure, ...]:
    """Layers that a number is fitted on, and totals of the image networks."""
    rows = [r for r in layer_rows() if library_of(r["network"]) == library]
    known = [(row, layer_cycles(row, {})[1]) for row in rows]
    same = Counter(_shape(row) for row in rows)
    wanted = _fitted_on(library)
    found = [
        _layer_figure(row, kernel, same[_shape(row)])
        for row, kernel in known
        if row["network"] in wanted.get(kernel, ())
    ]
    if library == "autotiler-sq8":
        found += [_total_figure(row) for row in total_rows() if row["energy_mj"]]
    return tuple(found)


def _fitted_on(library: str) -> dict[str, set[str]]:
    """By kernel, the networks whose rows its numbers are fitted on."""
    found = {NODE_KERNEL: set(NODE_FITTED_ON)} if library == "autotiler-sq8" else {}
    for kernel in table_named(library).kernels:
        for term in kernel.terms:
            found.setdefault(kernel.name, set()).update(term.fitted_on)
    return found


def _shape(row: Row) -> tuple[str, ...]:
    keys = ("network", "op", "input", "output", "kernel", "stride")
    return tuple(row[key] for key in keys)


def _layer_figure(row: Row, kernel: str, copies: int) -> Figure:
    def cycles(values: Values) -> float:
        return layer_cycles(row, values)[0]

    noise = NOISE * copies**0.5
    return Figure(row["network"], row["layer"], kernel, float(row["cycles"]), noise, cycles)


def _total_figure(row: Row) -> Figure:
    name = row["network"]

    def cycles(values: Values) -> float:
        return network_report(name, values).total_cycles

    return Figure(name, "total", "", float(row["cycles"]), TOTAL_NOISE, cycles)


@cache
def _system(library: str) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of the logarithms of all figures by all numbers, and what is missing."""
    numbers, given = fitted_numbers(library), figures(library)
    now = np.array([figure.simulate({}) for figure in given])
    published = np.array([figure.published for figure in given])
    slopes = []
    for number in numbers:
        values = {number.name: number.value * (1 + STEP)}
        moved = np.array([figure.simulate(values) for figure in given])
        slopes.append((moved - now) / (STEP * number.value) / published)
    return np.array(slopes).T, (published - now) / published


def _none(figure: Figure) -> bool:
    return False


def fit(library: str, left_out: Callable[[Figure], bool] = _none) -> dict[str, float]:
    """The numbers without the figures that are left out."""
    numbers, given = fitted_numbers(library), figures(library)
    slopes, missing = _system(library)
    kept = np.array([not left_out(figure) for figure in given])
    noise = np.array([figure.noise for figure in given])[kept]
    sds = np.array([number.deviation for number in numbers])
    away = np.array([number.counted - number.value for number in numbers])
    rows = np.vstack([slopes[kept] / noise[:, None], np.diag(1 / sds)])
    wanted = np.concatenate([missing[kept] / noise, away / sds])
    steps, *_ = np.linalg.lstsq(rows, wanted, rcond=None)
    return {n.name: n.value + float(step) for n, step in zip(numbers, steps, strict=True)}


def left_out_values(name: str) -> dict[str, float]:
    """An SQ8 network had no part in them."""
    return fit("autotiler-sq8", lambda figure: figure.network == name)


def left_out_thirds(rows: Sequence[Row]) -> Iterable[tuple[Row, dict[str, float]]]:
    """DORY and POW2 have one network: every third layer of each kernel is left out in turn."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(layer_cycles(row, {})[1], []).append(row)
    for third in range(3):
        part = [row for group in groups.values() for row in group[third::3]]
        library = library_of(rows[0]["network"])
        values = fit(library, _one_of({row["layer"] for row in part}))
        yield from ((row, values) for row in part)


def _one_of(layers: set[str]) -> Callable[[Figure], bool]:
    return lambda figure: figure.item in layers


def main() -> None:
    for library in LIBRARIES:
        print(f"{library}: number, in the table, fitted, counted")
        values = fit(library)
        for number in fitted_numbers(library):
            print(f"  {number.name:40s} {number.value:8.2f} {values[number.name]:8.2f} "
                  f"{number.counted:8.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
