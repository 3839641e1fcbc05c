"""How far the simulator is from published figures, with and without what was fitted on them.

    python scripts/validate_simulator.py            print the tables
    python scripts/validate_simulator.py --write    and write them into docs/simulator.md and
                                                    nnshell/gap8/validation.toml
    python scripts/validate_simulator.py --check    fail when the docs no longer hold (quick: what
                                                    was fitted is not fitted again)

Leave-one-network-out: before a network is simulated, every fitted number that its rows had a part
in is fitted again on the other networks' rows, or, where there are none, replaced by what
instruction counts alone give. DORY has one network: there every third layer is left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean, median

from published_networks import DORY, SQ8, Row, layer_rows, network, single, total_rows

from nnshell.gap8 import Chip, KernelTable, Parameters, SimulationReport, load_chip, load_kernels
from nnshell.gap8 import simulate as simulate_network
from nnshell.gap8.kernels import Kernel, Term

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs" / "simulator.md"
RANGES = ROOT / "nnshell" / "gap8" / "validation.toml"
BEGIN, END = "<!-- validation: begin -->", "<!-- validation: end -->"

FACTORS = tuple(0.6 + 0.05 * step for step in range(19))  # 0.6 to 1.5 times the fitted number
RATES = tuple(0.40 + 0.02 * step for step in range(19))  # bytes a cycle of the flash
ROUNDS = 2
DORY_NETWORK = "mobilenet_v1_1.0_128_dory"
# A kernel that is more than this of a measured total is bounded by the total's error.
TELLING_SHARE = 0.05
RANGES_HEAD = """\
# How far the simulator is from published figures, by kernel; written by
# scripts/validate_simulator.py. `error`: root mean square of the relative errors of measured
# layers, each simulated without what was fitted on its network, but no more than measured totals
# allow. `rows`: how many layers; `share`: the most the kernel takes of a measured network.
"""


@dataclass(frozen=True, slots=True)
class Error:
    """A published figure and two errors: as the simulator is, and without what was fitted on it."""

    network: str
    item: str
    kernel: str
    published: float
    simulated: float
    left_out: float

    @property
    def fitted_error(self) -> float:
        return self.simulated / self.published - 1

    @property
    def left_out_error(self) -> float:
        return self.left_out / self.published - 1


Errors = list[Error]


def parameters_of(name: str, alone: bool) -> Parameters:
    if name == DORY_NETWORK:
        return DORY
    return replace(SQ8, l1_size=60_000) if alone else SQ8


@cache
def table_named(name: str) -> KernelTable:
    return load_kernels(name)


def table_of(name: str) -> KernelTable:
    return table_named("pulp-nn" if name == DORY_NETWORK else "autotiler-sq8")


def layer_cycles(row: Row, table: KernelTable) -> tuple[int, str]:
    """Cycles of the layer alone, without waiting for its weights: that is its predecessor's."""
    parameters = parameters_of(row["network"], alone=True)
    (layer,) = simulate_network(single(row), parameters, kernels=table).layers
    return layer.cycles - layer.stall_cycles, layer.kernel


def changed(table: KernelTable, kernel: str, term: str, cycles: float) -> KernelTable:
    """The table with one number replaced."""

    def terms(row: Kernel) -> tuple[Term, ...]:
        if row.name != kernel:
            return row.terms
        return tuple(replace(t, cycles=cycles) if t.name == term else t for t in row.terms)

    return replace(table, kernels=tuple(replace(row, terms=terms(row)) for row in table.kernels))


def refitted(table: KernelTable, kernel: Kernel, rows: Sequence[Row], left_out: str) -> KernelTable:
    """The table with the kernel's fitted numbers chosen without the network (or third) left out."""
    fitted = [term for term in kernel.terms if left_out in term.fitted_on]
    free = []
    for term in fitted:
        counted = term.counted if term.counted is not None else term.cycles
        if rows and (set(term.fitted_on) != {left_out} or left_out == DORY_NETWORK):
            free.append(term)
        else:
            table = changed(table, kernel.name, term.name, counted)
    for _ in range(ROUNDS):
        for term in free:
            table = best(table, kernel.name, term, rows)
    return table


def best(table: KernelTable, kernel: str, term: Term, rows: Sequence[Row]) -> KernelTable:
    """The factor of one number with the least mean error on the rows."""

    def error(candidate: KernelTable) -> float:
        pairs = [(layer_cycles(row, candidate)[0], float(row["cycles"])) for row in rows]
        return fmean(abs(mine / theirs - 1) for mine, theirs in pairs)

    candidates = [changed(table, kernel, term.name, term.cycles * factor) for factor in FACTORS]
    return min(candidates, key=error)


def layer_errors(refit: bool) -> Errors:
    """Every published layer; ``refit`` fits again without its network."""
    rows = [row for row in layer_rows() if float(row["cycles"]) > 0]
    base = {id(row): layer_cycles(row, table_of(row["network"])) for row in rows}
    found = []
    for kernel, group in by_kernel(rows, base).items():
        without = left_out_tables(kernel, group) if refit else {}
        for row in group:
            cycles, _ = base[id(row)]
            table = without.get(id(row))
            again = layer_cycles(row, table)[0] if table is not None else cycles
            published = float(row["cycles"])
            found.append(Error(row["network"], row["layer"], kernel, published, cycles, again))
    order = {(row["network"], row["layer"]): at for at, row in enumerate(rows)}
    return sorted(found, key=lambda error: order[error.network, error.item])


def by_kernel(rows: Iterable[Row], base: dict[int, tuple[int, str]]) -> dict[str, list[Row]]:
    """Rows by kernel; the two libraries' kernels of one name are told apart by ``/``."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(f"{table_of(row['network']).name}/{base[id(row)][1]}", []).append(row)
    return groups


def left_out_tables(name: str, group: list[Row]) -> dict[int, KernelTable]:
    """For every row a table that was fitted without it."""
    tables: dict[int, KernelTable] = {}
    library, _, kernel_name = name.partition("/")
    table = table_named(library)
    kernel = next(k for k in table.kernels if k.name == kernel_name)
    if library == "pulp-nn":
        parts = [group[third::3] for third in range(3)]
    else:
        networks = dict.fromkeys(row["network"] for row in group)
        parts = [[row for row in group if row["network"] == name] for name in networks]
    for part in filter(None, parts):
        rest = [row for row in group if row not in part]
        fitted = refitted(table, kernel, rest, part[0]["network"])
        tables.update({id(row): fitted for row in part})
    return tables


def with_rate(rate: float) -> Chip:
    chip = load_chip()
    return replace(chip, micro_dma=replace(chip.micro_dma, flash_bytes_per_fc_cycle=rate))


@cache
def report(name: str, rate: float | None = None) -> SimulationReport:
    chip = None if rate is None else with_rate(rate)
    return simulate_network(network(name), parameters_of(name, alone=False), chip=chip)


def total_errors(refit: bool, layers: Errors) -> Errors:
    """Totals; the flash's rate is fitted without each image network, DS-CNNs have their layers'."""
    rows = {row["network"]: float(row["cycles"]) for row in total_rows()}
    images = [name for name in rows if name.startswith("mobilenet")]
    found = []
    for name, published in rows.items():
        cycles = report(name).total_cycles
        again: float = cycles
        if refit and name in images:
            rate = best_rate([other for other in images if other != name], rows)
            again = report(name, rate).total_cycles
        elif refit:
            parts = [error for error in layers if error.network == name]
            again = cycles + sum(error.left_out - error.simulated for error in parts)
        found.append(Error(name, "total", "", published, cycles, again))
    return found


def best_rate(names: Sequence[str], published: dict[str, float]) -> float:
    def error(rate: float) -> float:
        return fmean(abs(report(name, rate).total_cycles / published[name] - 1) for name in names)

    return min(RATES, key=error)


def energy_errors() -> Errors:
    return [
        Error(row["network"], "energy", "", float(row["energy_mj"]), mj, mj)
        for row in total_rows()
        if row["energy_mj"]
        for mj in [report(row["network"]).energy_mj]
    ]


# ---------------------------------------------------------------- tables


def mape(errors: Iterable[float]) -> float:
    return 100 * fmean(abs(error) for error in errors)


def middle(errors: Iterable[float]) -> float:
    return 100 * median(abs(error) for error in errors)


def markdown(layers: Errors, totals: Errors, energies: Errors) -> str:
    """The tables of docs/simulator.md."""
    sources = {row["network"]: row["source"] for row in total_rows()}
    lines = ["| network | source | published cycles | simulated | error | left out |"]
    lines.append("|---|---|---|---|---|---|")
    for error in totals:
        figures = f"{error.published:,.0f} | {error.simulated:,.0f} | {_signed(error)}"
        lines.append(f"| {error.network} | {sources[error.network]} | {figures} |")
    lines += ["", "| figure | rows | error | with its network left out |", "|---|---|---|---|"]
    sq8 = [error for error in layers if error.network != DORY_NETWORK]
    dory = [error for error in layers if error.network == DORY_NETWORK]
    lines.append(_summary("totals, SQ8", totals))
    lines.append(_summary("totals of the image networks", totals[:6]))
    lines.append(_summary("layers, SQ8", sq8))
    lines.append(_summary("layers, DORY (every third layer left out)", dory))
    energy = mape(error.fitted_error for error in energies)
    lines.append(f"| energy, SQ8 | {len(energies)} | MAPE {energy:.1f} % | two fitted constants |")
    lines += ["", "| kernel | layers | median | MAPE | left out: median | MAPE |"]
    lines.append("|---|---|---|---|---|---|")
    for kernel in dict.fromkeys(error.kernel for error in layers):
        part = [error for error in layers if error.kernel == kernel]
        fitted, left = [e.fitted_error for e in part], [e.left_out_error for e in part]
        figures = (middle(fitted), mape(fitted), middle(left), mape(left))
        cells = " | ".join(f"{figure:.1f} %" for figure in figures)
        lines.append(f"| {kernel.replace('/', ': ')} | {len(part)} | {cells} |")
    return "\n".join(lines)


def _signed(error: Error) -> str:
    return f"{100 * error.fitted_error:+.1f} % | {100 * error.left_out_error:+.1f} %"


def _summary(name: str, errors: Errors) -> str:
    def text(values: list[float]) -> str:
        return f"median {middle(values):.1f} %, MAPE {mape(values):.1f} %"

    fitted = text([error.fitted_error for error in errors])
    return f"| {name} | {len(errors)} | {fitted} | {text([e.left_out_error for e in errors])} |"


def ranges(layers: Errors, totals: Errors) -> str:
    """validation.toml: what the ranges of the simulator are made of."""
    total = rms(error.left_out_error for error in totals)
    shares, waiting = largest_shares([error.network for error in totals])
    lines = [RANGES_HEAD]
    lines += ["[autotiler-sq8]", f"networks = {len(totals)}", f"total_error = {total:.4f}"]
    lines += [f"waiting_share = {waiting:.4f}", "", "[autotiler-sq8.kernel]"]
    lines += _families("autotiler-sq8", layers, shares, total)
    dory = [error for error in layers if error.network == DORY_NETWORK]
    lines += ["", "[pulp-nn]", "networks = 0"]
    lines += [f"total_error = {rms(error.left_out_error for error in dory):.4f}"]
    lines += ["waiting_share = 0.0", "", "[pulp-nn.kernel]"]
    lines += _families("pulp-nn", layers, {}, 0.0)
    return "\n".join(lines) + "\n"


def _families(
    library: str, layers: Errors, shares: dict[str, float], total: float
) -> Iterable[str]:
    names = {error.kernel.split("/")[1] for error in layers if error.kernel.startswith(library)}
    telling = {name for name, share in shares.items() if share > TELLING_SHARE}
    for name in sorted(names | telling):
        part = [error for error in layers if error.kernel == f"{library}/{name}"]
        share = shares.get(name, 0.0)
        bounds = [rms(error.left_out_error for error in part)] if part else []
        bounds += [total / share] if name in telling else []
        yield f'"{name}" = {{ rows = {len(part)}, error = {min(bounds):.4f}, share = {share:.4f} }}'


def largest_shares(names: Iterable[str]) -> tuple[dict[str, float], float]:
    """The most each kernel takes of a measured network, and the most that is waiting for L3."""
    largest: dict[str, float] = {}
    waiting = 0.0
    for name in names:
        found = report(name)
        shares: dict[str, float] = {}
        for layer in found.layers:
            own = (layer.cycles - layer.l3_wait_cycles) / found.total_cycles
            shares[layer.kernel] = shares.get(layer.kernel, 0.0) + own
        largest = {k: max(largest.get(k, 0), shares.get(k, 0)) for k in largest | shares}
        stalls = sum(layer.l3_wait_cycles for layer in found.layers)
        waiting = max(waiting, stalls / found.total_cycles)
    return largest, waiting


def rms(errors: Iterable[float]) -> float:
    return fmean(error**2 for error in errors) ** 0.5


# ---------------------------------------------------------------- commands


def checked(layers: Errors, totals: Errors, energies: Errors) -> list[str]:
    """Figures of the docs that the simulator no longer gives."""
    text = _between(DOCS.read_text(encoding="utf-8"))
    stale = []
    for error in totals:
        if f"| {error.simulated:,.0f} | {100 * error.fitted_error:+.1f} %" not in text:
            stale.append(f"{error.network}: {error.simulated:,.0f} cycles")
    sq8 = [error for error in layers if error.network != DORY_NETWORK]
    for name, part in (("totals, SQ8", totals), ("layers, SQ8", sq8)):
        start = _summary(name, part).rsplit("|", 2)[0]
        if start not in text:
            stale.append(start)
    if f"MAPE {mape(e.fitted_error for e in energies):.1f} %" not in text:
        stale.append("energy")
    return stale


def _between(text: str) -> str:
    return text.partition(BEGIN)[2].partition(END)[0]


def write(table: str, toml: str) -> None:
    text = DOCS.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    DOCS.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}", encoding="utf-8")
    RANGES.write_text(toml, encoding="utf-8")


def main(arguments: Sequence[str] | None = None, say: Callable[[str], None] = print) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write docs and ranges")
    parser.add_argument("--check", action="store_true", help="compare with the docs, quickly")
    args = parser.parse_args(arguments)
    layers = layer_errors(refit=not args.check)
    totals = total_errors(not args.check, layers)
    energies = energy_errors()
    if args.check:
        stale = checked(layers, totals, energies)
        for line in stale:
            say(f"{DOCS.name} does not say: {line}")
        say("run scripts/validate_simulator.py --write" if stale else f"{DOCS.name} holds")
        return int(bool(stale))
    table, toml = markdown(layers, totals, energies), ranges(layers, totals)
    say(table)
    say(toml)
    if args.write:
        write(table, toml)
    return 0


if __name__ == "__main__":
    sys.exit(main())
