"""Kernel tables: which kernel a layer runs and what its tiles cost, read from a TOML file.

A kernel's cycles are a sum of terms. Each term is a number of cycles of the busiest core times
the counts it names (``per``): how often that piece of the kernel runs for one tile. Counts are
made by :mod:`nnshell.chips.model.counts`; ceilings over the cores are in them. Terms say where they
come from, so that a table can be read, judged and swapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, cast

from nnshell.chips.model.counts import COUNTS
from nnshell.chips.model.toml_file import made_of
from nnshell.ir.work import Work
from nnshell.support.errors import UsageError
from nnshell.support.files import read_text

Axis = Literal["out", "rows", "in"]
When = Literal["tile", "output", "layer"]

TABLES = ("autotiler-sq8", "autotiler-pow2", "pulp-nn")
ORIGINS = ("read", "derived", "fitted")
WHEN = ("tile", "output", "layer")
LAYOUTS = ("chw", "hwc")
_MOST = 10**9  # of any number in a table
ROLES = ("input", "weights", "constants", "output")


@dataclass(frozen=True, slots=True)
class Term:
    """``cycles`` for every combination of the counts in ``per``.

    ``when``: for every tile, for every tile that completes its output (the last slice of input
    channels), or once a layer. ``fitted_on`` names the networks whose rows chose a fitted number;
    ``counted`` is what instruction counts alone give for it.
    """

    name: str
    cycles: float
    per: tuple[str, ...]
    when: When
    origin: str
    source: str
    fitted_on: tuple[str, ...] = ()
    counted: float | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """Which work a kernel takes; an empty tuple or None takes all.

    ``pads_before``: whether the filter starts on padding, above the first row or left of the
    first column. ``element_bytes``: of the activations that are read.
    """

    kinds: tuple[str, ...]
    kernels: tuple[tuple[int, int], ...] = ()
    strides: tuple[tuple[int, int], ...] = ()
    dilated: bool | None = None
    channels_below: int | None = None
    pads_before: bool | None = None
    element_bytes: int | None = None

    def takes(self, work: Work) -> bool:
        """Whether the kernel computes this work."""
        window = work.window
        if work.kind not in self.kinds:
            return False
        if self.kernels and window.kernel not in self.kernels:
            return False
        if self.strides and window.strides not in self.strides:
            return False
        if self.dilated is not None and (window.dilations != (1, 1)) is not self.dilated:
            return False
        if self.element_bytes is not None and work.element_bytes != self.element_bytes:
            return False
        if self.pads_before is not None and any(window.pads[:2]) is not self.pads_before:
            return False
        channels = (work.inputs[0][0] if work.inputs else 0) + work.filter_output[0]
        return self.channels_below is None or channels < self.channels_below


@dataclass(frozen=True, slots=True)
class Kernel:
    """One row of a table.

    ``orders`` are the loop nests its generator may write, outermost first; an axis that no order
    names is never cut. ``multiples`` are the units tiles are cut in, ``calls`` the forks of a
    tile, ``power`` the cores' power relative to a pointwise kernel's.
    """

    name: str
    match: Match
    orders: tuple[tuple[Axis, ...], ...]
    multiples: Mapping[Axis, int]
    matrix: bool
    accumulator_bytes: int
    column_buffers: int
    transposed: bool
    calls: int
    power: float
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class KernelTable:
    """A kernel library: its kernels in matching order and what it does about layout and L3.

    ``blocking_l3``: operands in L3 whose tiles the cores wait for; ``constants_from``: where
    weights are read from while the network runs; ``keeps_weights``: whether some may stay in L2;
    ``l2_size``: the L2 its tool takes when nobody says otherwise; ``fc_as_cluster``: its tool sets
    both clocks alike; ``tile_cycles``: what its generated code takes for each tile, on one core,
    beside the transfers. A pool fused after a filter costs its taps and outputs on top of the
    filter.
    """

    name: str
    layout: Literal["chw", "hwc"]
    blocking_l3: frozenset[str]
    constants_from: Literal["flash", "ram"]
    keeps_weights: bool
    l2_size: int
    fc_as_cluster: bool
    tile_cycles: int
    activations: Mapping[str, float]
    pool_tap_cycles: float
    pool_output_cycles: float
    kernels: tuple[Kernel, ...]

    def matching(self, work: Work) -> tuple[Kernel, ...]:
        """The kernels that take this work, preferred ones first."""
        return tuple(kernel for kernel in self.kernels if kernel.match.takes(work))

    def activation_cycles(self, activation: str | None) -> float:
        """Cycles per output of one core that a fused activation adds to the scaling."""
        if activation is None:
            return 0.0
        return self.activations.get(activation, self.activations["other"])


def load_kernels(name: str | Path) -> KernelTable:
    """A table that ships with the package by name, or a TOML file by path.

    Raises:
        UsageError: no such table, or the file is malformed.
    """
    where = str(name)
    try:
        return made_of(
            lambda: _read(name), _table, "kernel table", where, "a table that ships with nnshell"
        )
    except FileNotFoundError as error:
        raise UsageError(
            f"there is no kernel table {where}",
            hint=f"take one of {', '.join(TABLES)} or the path of a TOML file",
        ) from error


def _read(name: str | Path) -> str:
    if str(name) in TABLES:
        file = f"kernels_{str(name).replace('-', '_')}.toml"
        return files("nnshell.chips.tables").joinpath(file).read_text(encoding="utf-8")
    return read_text(name)


def _table(data: dict[str, Any]) -> KernelTable:
    kernels = tuple(_kernel(row) for row in data["kernel"])
    activations = {str(key): _number(value) for key, value in data["activation"].items()}
    if "other" not in activations:
        raise ValueError("[activation] needs a value for 'other'")
    return KernelTable(
        name=str(data["name"]),
        layout=cast(Literal["chw", "hwc"], _one_of(data["layout"], LAYOUTS)),
        blocking_l3=frozenset(_one_of(role, ROLES) for role in data["blocking_l3"]),
        constants_from=cast(
            Literal["flash", "ram"], _one_of(data["constants_from"], ("flash", "ram"))
        ),
        keeps_weights=bool(data["keeps_weights"]),
        l2_size=_whole(data["l2_size"]),
        fc_as_cluster=bool(data.get("fc_as_cluster", False)),
        tile_cycles=_whole(data.get("tile_cycles", 0)),
        activations=activations,
        pool_tap_cycles=_number(data["fused_pool"]["tap"]),
        pool_output_cycles=_number(data["fused_pool"]["output"]),
        kernels=kernels,
    )


def _kernel(row: dict[str, Any]) -> Kernel:
    orders = tuple(tuple(cast(Axis, axis) for axis in order) for order in row["orders"])
    multiples = {axis: _whole(row.get("multiples", {}).get(axis, 1)) for axis in _AXES}
    if not orders or any(axis not in _AXES for order in orders for axis in order):
        raise ValueError(f"kernel {row['name']}: orders are lists of {_AXES}")
    if min(multiples.values()) < 1:
        raise ValueError(f"kernel {row['name']}: multiples are at least 1")
    return Kernel(
        name=str(row["name"]),
        match=_match(row["match"]),
        orders=orders,
        multiples=multiples,
        matrix=bool(row.get("matrix", False)),
        accumulator_bytes=_whole(row.get("accumulator_bytes", 0)),
        column_buffers=_whole(row.get("column_buffers", 0)),
        transposed=bool(row.get("transposed", False)),
        calls=_whole(row.get("calls", 1)),
        power=_number(row.get("power", 1.0)),
        terms=tuple(_term(term) for term in row["terms"]),
    )


_AXES: tuple[Axis, ...] = ("out", "rows", "in")


def _match(row: dict[str, Any]) -> Match:
    return Match(
        kinds=tuple(str(kind) for kind in row["kinds"]),
        kernels=tuple((int(h), int(w)) for h, w in row.get("kernels", ())),
        strides=tuple((int(h), int(w)) for h, w in row.get("strides", ())),
        dilated=row.get("dilated"),
        channels_below=row.get("channels_below"),
        pads_before=row.get("pads_before"),
        element_bytes=row.get("element_bytes"),
    )


def _term(row: dict[str, Any]) -> Term:
    per = tuple(str(count) for count in row["per"])
    if unknown := [count for count in per if count not in COUNTS]:
        raise ValueError(f"unknown counts {', '.join(unknown)}; known are {', '.join(COUNTS)}")
    return Term(
        name=str(row["name"]),
        cycles=_number(row["cycles"]),
        per=per,
        when=cast(When, _one_of(row.get("when", "tile"), WHEN)),
        origin=_one_of(row["origin"], ORIGINS),
        source=str(row["source"]),
        fitted_on=tuple(str(name) for name in row.get("fitted_on", ())),
        counted=_number(row["counted"]) if "counted" in row else None,
    )


def _number(value: Any) -> float:
    number = float(value)
    if not abs(number) <= _MOST:
        raise ValueError(f"{value!r} is not a number up to {_MOST}")
    return number


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
        raise ValueError(f"{value!r} is not a whole number from 0 to {_MOST}")
    return value


def _one_of(value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{value!r} is not one of {', '.join(allowed)}")
    return str(value)
