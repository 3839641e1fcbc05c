"""How far the simulator is from published figures, with and without what was fitted on them.

    python scripts/validate_simulator.py            print the tables
    python scripts/validate_simulator.py --write    and write them into docs/simulator.md and
                                                    nnshell/chips/tables/validation.toml
    python scripts/validate_simulator.py --check    fail when the docs no longer hold (quick: what
                                                    was fitted is not fitted again)

Leave-one-network-out: before a network is simulated, every fitted number is fitted again without
its layers and total (``simulator_fit.py``). DORY and POW2 have one network each: there every third
layer is left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean, median

from published_networks import POW2_NETWORK, Row, layer_rows, total_rows
from simulator_fit import (
    DORY_NETWORK,
    layer_cycles,
    left_out_thirds,
    left_out_values,
    library_of,
    network_report,
)

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs" / "simulator.md"
RANGES = ROOT / "nnshell" / "chips" / "tables" / "validation.toml"
BEGIN, END = "<!-- validation: begin -->", "<!-- validation: end -->"

ALONE = (POW2_NETWORK, DORY_NETWORK)  # one network with its library: thirds are left out
# A kernel that is more than this of a measured total is bounded by the total's error.
TELLING_SHARE = 0.05
# Few rows that are met say little of shapes not seen: this much error counts as one more row.
UNSEEN_ERROR = 0.1
RANGES_HEAD = """\
# How far the simulator is from published figures, by kernel; written by
# scripts/validate_simulator.py. `error`: root mean square of the relative errors of measured
# layers, each simulated without what was fitted on its network, and of one not measured that is
# 10 % off, but no more than measured totals allow. `rows`: how many layers; `share`: the most the
# kernel takes of a measured network.
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


def layer_errors(refit: bool) -> Errors:
    """Every published layer; ``refit`` fits again without its network."""
    rows = [row for row in layer_rows() if float(row["cycles"]) > 0]
    again = dict(_left_out_cycles(rows)) if refit else {}
    found = []
    for row in rows:
        cycles, kernel = layer_cycles(row, {})
        name, key = f"{library_of(row['network'])}/{kernel}", (row["network"], row["layer"])
        published = float(row["cycles"])
        found.append(Error(*key, name, published, cycles, again.get(key, cycles)))
    return found


def _left_out_cycles(rows: Sequence[Row]) -> Iterable[tuple[tuple[str, str], int]]:
    """Cycles of every layer without what was fitted on its network, or third."""
    for alone in ALONE:
        for row, values in left_out_thirds([row for row in rows if row["network"] == alone]):
            yield (row["network"], row["layer"]), layer_cycles(row, values)[0]
    for name in dict.fromkeys(row["network"] for row in rows if row["network"] not in ALONE):
        values = left_out_values(name)
        for row in rows:
            if row["network"] == name:
                yield (name, row["layer"]), layer_cycles(row, values)[0]


def total_errors(refit: bool) -> Errors:
    """Totals of all networks."""
    found = []
    for row in total_rows():
        name = row["network"]
        cycles = network_report(name, {}).total_cycles
        again = network_report(name, left_out_values(name)).total_cycles if refit else cycles
        found.append(Error(name, "total", "", float(row["cycles"]), cycles, again))
    return found


def energy_errors(refit: bool) -> Errors:
    """Energies; the powers are not fitted, but cycles are."""
    found = []
    for row in total_rows():
        if not row["energy_mj"]:
            continue
        name, published = row["network"], float(row["energy_mj"])
        energy = network_report(name, {}).energy_mj
        again = network_report(name, left_out_values(name)).energy_mj if refit else energy
        found.append(Error(name, "energy", "", published, energy, again))
    return found


def inversions(totals: Errors) -> list[str]:
    """Pairs of networks that the simulator puts in another order than the publisher."""
    return [
        f"{one.network} and {other.network}"
        for one, other in combinations(totals, 2)
        if (one.published - other.published) * (one.simulated - other.simulated) < 0
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
    sq8 = [error for error in layers if error.network not in ALONE]
    dory = [error for error in layers if error.network == DORY_NETWORK]
    pow2 = [error for error in layers if error.network == POW2_NETWORK]
    lines.append(_summary("totals, SQ8", totals))
    lines.append(_summary("totals of the image networks", _image_networks(totals)))
    lines.append(_summary("layers, SQ8", sq8))
    lines.append(_summary("layers, DORY (every third layer left out)", dory))
    lines.append(_summary("layers, POW2 of 8 bits (every third layer left out)", pow2))
    lines.append(_summary("energy, SQ8", energies))
    wrong = ", ".join(inversions(totals)) or "none"
    lines.append(f"| order of totals, SQ8 | {len(totals)} | inversions: {wrong} | |")
    lines += ["", "| kernel | layers | median | MAPE | left out: median | MAPE |"]
    lines.append("|---|---|---|---|---|---|")
    for kernel in dict.fromkeys(error.kernel for error in layers):
        part = [error for error in layers if error.kernel == kernel]
        fitted, left = [e.fitted_error for e in part], [e.left_out_error for e in part]
        figures = (middle(fitted), mape(fitted), middle(left), mape(left))
        cells = " | ".join(f"{figure:.1f} %" for figure in figures)
        lines.append(f"| {kernel.replace('/', ': ')} | {len(part)} | {cells} |")
    return "\n".join(lines)


def _image_networks(totals: Errors) -> Errors:
    return [error for error in totals if error.network.startswith("mobilenet")]


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
    for library, name in (("autotiler-pow2", POW2_NETWORK), ("pulp-nn", DORY_NETWORK)):
        part = [error for error in layers if error.network == name]
        lines += ["", f"[{library}]", "networks = 0"]
        lines += [f"total_error = {rms(error.left_out_error for error in part):.4f}"]
        lines += ["waiting_share = 0.0", "", f"[{library}.kernel]"]
        lines += _families(library, layers, {}, 0.0)
    return "\n".join(lines) + "\n"


def _families(
    library: str, layers: Errors, shares: dict[str, float], total: float
) -> Iterable[str]:
    names = {error.kernel.split("/")[1] for error in layers if error.kernel.startswith(library)}
    telling = {name for name, share in shares.items() if share > TELLING_SHARE}
    for name in sorted(names | telling):
        part = [error for error in layers if error.kernel == f"{library}/{name}"]
        share = shares.get(name, 0.0)
        bounds = [rms([UNSEEN_ERROR, *(error.left_out_error for error in part)])] if part else []
        bounds += [total / share] if name in telling else []
        yield f'"{name}" = {{ rows = {len(part)}, error = {min(bounds):.4f}, share = {share:.4f} }}'


def largest_shares(names: Iterable[str]) -> tuple[dict[str, float], float]:
    """The most each kernel takes of a measured network, and the most that is waiting for L3."""
    largest: dict[str, float] = {}
    waiting = 0.0
    for name in names:
        found = network_report(name, {})
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
    sq8 = [error for error in layers if error.network not in ALONE]
    for name, part in (("totals, SQ8", totals), ("layers, SQ8", sq8), ("energy, SQ8", energies)):
        start = _summary(name, part).rsplit("|", 2)[0]
        if start not in text:
            stale.append(start)
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
    totals = total_errors(not args.check)
    energies = energy_errors(not args.check)
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
