"""Where tensors and weights live: L2 or L3, and for how long.

Activations are kept in L2 from the layer that makes them to the last one that reads them; where
they do not all fit, those that cost least to move go to L3. Weights are brought in while the layer
before computes, where there is room for that, and streamed tile by tile where there is not. What
room then remains at all times holds weights for good.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from nnshell.chips.model.geometry import IntArray
from nnshell.chips.model.network import Network
from nnshell.chips.model.tile_costs import Setting
from nnshell.support.packing import Buffer, MemoryMap, live_bytes

# Kinds of work whose output element depends on the same element of each input alone.
ELEMENT_BY_ELEMENT = ("elementwise", "activation", "convert")

# MACs a cycle of a middling layer: only used to guess which weights the layer before can hide.
TYPICAL_MACS_PER_CYCLE = 8.0

WeightPlace = Literal["none", "resident", "prefetched", "streamed"]


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes the planner may use. ``io_bytes`` is L2 outside the budget, the application's own,
    where network inputs and outputs lie; ``staging_bytes`` is kept free at layers that stream;
    ``keep_weights``: weights may stay in L2 for good."""

    l2_bytes: int
    io_bytes: int
    staging_bytes: int
    keep_weights: bool


@dataclass(frozen=True, slots=True)
class Life:
    """First and last layer that touch a tensor, and how often it is read."""

    first: int
    last: int
    reads: int


@dataclass(slots=True)
class Plan:
    """The decisions: tensors in L3 and the place of each layer's weights.

    ``in_place``: outputs that take the buffer of an input nobody reads any more, by the tensor
    that the buffer is named after.
    """

    lives: dict[str, Life]
    sizes: dict[str, int]
    spilled: set[str] = field(default_factory=set)
    external: set[str] = field(default_factory=set)
    weights: list[WeightPlace] = field(default_factory=list)
    in_place: dict[str, str] = field(default_factory=dict)

    def release(self, memory: MemoryMap, limit_bytes: int) -> bool:
        """Give up one thing that does not pack below the limit: rather weights, which are then
        brought in later, than activations. False when nothing of either is left."""
        over = [entry.buffer for entry in memory.placements if entry.end_bytes > limit_bytes]
        meets = _meeting(over)
        rivals = [entry.buffer for entry in memory.placements if meets(entry.buffer)]
        for result in (over, rivals):
            weights = [buffer for buffer in result if buffer.kind == "weights"]
            if weights:
                self._release_weights(weights, memory.peak_bytes - limit_bytes)
                return True
        activations = [buffer for buffer in (*over, *rivals) if buffer.kind == "activation"]
        if not activations:
            return False
        self.spilled.add(max(activations, key=lambda buffer: buffer.size_bytes).name)
        return True

    def _release_weights(self, weights: list[Buffer], excess_bytes: int) -> None:
        """The largest, and more of those kept for good until they are as much as is missing."""
        order = sorted(weights, key=lambda buffer: -buffer.size_bytes)
        for buffer in order:
            resident = self.weights[buffer.layer] == "resident"
            if buffer is not order[0] and not resident:
                continue
            self.weights[buffer.layer] = "prefetched" if resident else "streamed"
            excess_bytes -= buffer.size_bytes
            if excess_bytes <= 0:
                return

    def usage(self, network: Network) -> list[int]:
        """L2 bytes taken at each layer by activations and weights, without streaming buffers."""
        used, resident = _usage(network, self), 0
        for at, layer in enumerate(network.layers):
            if self.weights[at] == "resident":
                resident += layer.constant_bytes
            elif self.weights[at] == "prefetched":
                used[list(prefetch_span(at))] += layer.constant_bytes
        return [int(held) for held in used + resident]

    def spilled_bytes(self) -> int:
        """L3 RAM for activations: the most that is alive at one layer."""
        return live_bytes(
            [
                Buffer(name, "activation", self.sizes.get(name, 0), life.first, life.last)
                for name, life in self.lives.items()
                if name in self.spilled
            ]
        )


def lifetimes(network: Network) -> dict[str, Life]:
    """When each tensor is alive, as layer numbers."""
    first: dict[str, int] = dict.fromkeys(network.inputs, 0)
    last: dict[str, int] = dict.fromkeys(network.inputs, 0)
    reads: dict[str, int] = {}
    for at, layer in enumerate(network.layers):
        for name in layer.inputs:
            first.setdefault(name, at)
            last[name] = at
            reads[name] = reads.get(name, 0) + 1
        first.setdefault(layer.output, at)
        last[layer.output] = max(at, last.get(layer.output, at))
    for name in network.outputs:
        last[name] = len(network.layers) - 1
    return {name: Life(first[name], last[name], reads.get(name, 0)) for name in first}


def budget_for(setting: Setting, l2_bytes: int) -> Budget:
    """What the planner may use of L2; the application's own is what the budget leaves of the
    chip's.

    An operand in L3 passes through a pair of L2 buffers as large as its pair in L1; as a rule it is
    one of two maps that share L1.
    """
    room, staging = setting.chip.l2_bytes - l2_bytes, setting.l1_bytes // 2
    return Budget(l2_bytes, room, staging, setting.table.keeps_weights)


def hidden_bytes(network: Network, setting: Setting) -> list[float]:
    """Bytes the micro-DMA can bring in while each layer computes, roughly."""
    clocks, external = setting.clocks, setting.chip.micro_dma
    rate = external.bytes_per_fc_cycle(setting.flash) * clocks.fc_hz / clocks.cluster_hz
    return [layer.work.macs / TYPICAL_MACS_PER_CYCLE * rate for layer in network.layers]


def make_plan(network: Network, budget: Budget, hidden_bytes: list[float]) -> Plan:
    """Decide where everything lives. ``hidden_bytes`` are what the micro-DMA can roughly bring in
    while each layer computes: what a layer hides of the next one's weights."""
    plan = Plan(lifetimes(network), network.tensor_bytes())
    count = len(network.layers)
    plan.weights = [
        "none" if network.layers[at].constant_bytes == 0 else "streamed" for at in range(count)
    ]
    _place_io(network, plan, budget)
    load = _place_activations(network, plan, budget)
    _prefetch_weights(network, plan, load)
    if budget.keep_weights:
        _keep_weights(network, plan, load, hidden_bytes)
    return plan


def _place_io(network: Network, plan: Plan, budget: Budget) -> None:
    """Inputs and outputs lie in the application's L2 as far as that has room; what does not fit
    there is planned like any other activation."""
    room = budget.io_bytes
    for name in dict.fromkeys((*network.inputs, *network.outputs)):
        size = plan.sizes.get(name, 0)
        if size <= room:
            plan.external.add(name)
            room -= size


def _meeting(buffers: Sequence[Buffer]) -> Callable[[Buffer], bool]:
    """Whether a buffer is alive at a step when any of these is."""
    steps = 2 + max((buffer.last for buffer in buffers), default=0)
    change = np.zeros(steps, np.int64)
    for buffer in buffers:
        change[buffer.first] += 1
        change[buffer.last + 1] -= 1
    alive = np.concatenate(([0], np.cumsum(np.cumsum(change) > 0)))  # steps with any, so far

    def meets(buffer: Buffer) -> bool:
        first, end = min(buffer.first, steps), min(buffer.last + 1, steps)
        return bool(alive[end] > alive[first])

    return meets


def _in_l2(plan: Plan) -> list[str]:
    elsewhere = plan.spilled | plan.external
    return [name for name in plan.lives if name not in elsewhere]


def _usage(network: Network, plan: Plan) -> IntArray:
    """Bytes of activations in L2 at each layer."""
    change = np.zeros(len(network.layers) + 1, np.int64)
    for name in _in_l2(plan):
        life = plan.lives[name]
        change[life.first] += plan.sizes.get(name, 0)
        change[life.last + 1] -= plan.sizes.get(name, 0)
    return np.asarray(np.cumsum(change[:-1]), np.int64)


class _Load:
    """L2 that activations take and may take at each layer, while tensors move out and in.

    A layer that streams leaves room for its L2 buffers: ``moving`` are bytes of its maps in L3.
    """

    def __init__(self, network: Network, plan: Plan, budget: Budget) -> None:
        self._plan, self._budget = plan, budget
        self.staging_bytes = budget.staging_bytes
        self._touching: dict[str, list[int]] = {}
        self.moving = np.zeros(len(network.layers), np.int64)
        for at, layer in enumerate(network.layers):
            for name in {*layer.inputs, layer.output}:
                self._touching.setdefault(name, []).append(at)
        for name in plan.spilled:
            self.moving[self._touching.get(name, [])] += plan.sizes.get(name, 0)
        self.used = _usage(network, plan)

    @property
    def room(self) -> IntArray:
        moved = np.minimum(self.staging_bytes, 2 * self.moving)
        return np.asarray(self._budget.l2_bytes - moved, np.int64)

    @property
    def over(self) -> IntArray:
        return np.asarray(np.maximum(0, self.used - self.room), np.int64)

    def move_out(self, name: str) -> None:
        self._plan.spilled.add(name)
        self._shift(name, 1)

    def bring_back(self, name: str) -> None:
        self._plan.spilled.discard(name)
        self._shift(name, -1)

    def _shift(self, name: str, sign: int) -> None:
        size, life = sign * self._plan.sizes.get(name, 0), self._plan.lives[name]
        self.used[life.first : life.last + 1] -= size
        self.moving[self._touching.get(name, [])] += size


def _place_activations(network: Network, plan: Plan, budget: Budget) -> _Load:
    """Spill what is too large alone, then the cheapest until all fits, then bring back what
    later spills made room for."""
    plan.spilled |= {name for name in _in_l2(plan) if plan.sizes.get(name, 0) > budget.l2_bytes}
    before = set(plan.spilled)
    load = _Load(network, plan, budget)
    _spill(plan, load)
    for name in sorted(plan.spilled - before, key=lambda name: (-plan.sizes[name], name)):
        load.bring_back(name)
        if load.over.any():
            load.move_out(name)
    return load


def _spill(plan: Plan, load: _Load) -> None:
    """Move out what moves the fewest L3 bytes for each byte of overflow that it relieves."""
    names = [name for name in _in_l2(plan) if plan.sizes.get(name, 0)]
    lives = [plan.lives[name] for name in names]
    first = np.array([life.first for life in lives], np.int64)
    last = np.array([life.last for life in lives], np.int64)
    size = np.array([plan.sizes[name] for name in names], np.int64)
    moved = size * np.array([1 + life.reads for life in lives], np.int64)
    inside = np.ones(len(names), bool)
    while (over := load.over).any():
        worst = int(over.argmax())
        live = np.flatnonzero(inside & (first <= worst) & (worst <= last))
        if not live.size:
            return
        relief = _relief(over, first[live], last[live], size[live])
        costs = moved[live] / np.maximum(1, relief)
        cheapest = live[costs == costs.min()]
        at = min(cheapest, key=lambda index: names[index])
        inside[at] = False
        load.move_out(names[at])


def _relief(over: IntArray, first: IntArray, last: IntArray, size: IntArray) -> IntArray:
    """Bytes of overflow that each tensor would relieve in its life."""
    relief = np.zeros_like(size)
    for each in np.unique(size):
        so_far = np.concatenate(([0], np.cumsum(np.minimum(each, over))))
        same = size == each
        relief[same] = so_far[last[same] + 1] - so_far[first[same]]
    return relief


def _prefetch_weights(network: Network, plan: Plan, load: _Load) -> None:
    """Bring weights in during the layer before, where both layers have room for them."""
    room = load.room
    for at, layer in enumerate(network.layers):
        size, span = layer.constant_bytes, prefetch_span(at)
        if plan.weights[at] != "streamed":
            continue
        if all(load.used[step] + size <= room[step] for step in span):
            plan.weights[at] = "prefetched"
            load.used[list(span)] += size


def _keep_weights(network: Network, plan: Plan, load: _Load, hidden_bytes: list[float]) -> None:
    """Keep weights in L2 for good where room remains at every layer: first those that the layer
    before cannot hide, then the smallest, whose set-up costs most for their size. Layers whose
    weights pass through L2 keep their buffers."""
    streamed = [
        2 * layer.constant_bytes if place == "streamed" else 0
        for layer, place in zip(network.layers, plan.weights, strict=True)
    ]
    slack = load.room - np.minimum(load.staging_bytes, streamed) - load.used
    candidates = [at for at, layer in enumerate(network.layers) if layer.constant_bytes]
    for at in sorted(candidates, key=lambda at: _keep_order(network, at, hidden_bytes)):
        size = network.layers[at].constant_bytes
        without = slack.copy()
        if plan.weights[at] == "prefetched":
            without[list(prefetch_span(at))] += size
        if without.min() >= size:
            plan.weights[at] = "resident"
            slack = without - size


def _keep_order(network: Network, at: int, hidden_bytes: list[float]) -> tuple[float, int, int]:
    size = network.layers[at].constant_bytes
    hidden = hidden_bytes[at - 1] if at else 0.0
    exposed = max(0.0, size - hidden) / size
    return -round(exposed, 3), size, at


def prefetch_span(at: int) -> tuple[int, ...]:
    """Layers during which prefetched weights take L2: the one before and their own."""
    return (at - 1, at) if at else (0,)


def _activation_buffers(network: Network, plan: Plan) -> list[Buffer]:
    """One buffer for each tensor in L2, or for several that take turns in place."""
    plan.in_place = _in_place(network, plan)
    ends = {name: plan.lives[name].last for name in _in_l2(plan)}
    for name, root in plan.in_place.items():
        ends[root] = max(ends[root], ends.pop(name))
    return [
        Buffer(name, "activation", plan.sizes.get(name, 0), plan.lives[name].first, end)
        for name, end in ends.items()
    ]


def _in_place(network: Network, plan: Plan) -> dict[str, str]:
    """Outputs that may overwrite an input: element by element, of the same size, read here for
    the last time. A tile is loaded before the tile before it is stored."""
    inside = set(_in_l2(plan))
    roots: dict[str, str] = {}
    for at, layer in enumerate(network.layers):
        if layer.work.kind not in ELEMENT_BY_ELEMENT or layer.output not in inside:
            continue
        size = plan.sizes.get(layer.output, 0)
        whole = len(layer.inputs) == len(layer.work.input_bytes)
        for name in layer.inputs if whole else ():
            free = name in inside and plan.lives[name].last == at
            if free and plan.sizes.get(name) == size and layer.inputs.count(name) == 1:
                roots[layer.output] = roots.get(name, name)
                break
    return roots


def buffers(network: Network, plan: Plan, staging: list[int]) -> list[Buffer]:
    """What has to be packed into L2. ``staging`` are the streaming buffers of each layer."""
    last = len(network.layers) - 1
    result = _activation_buffers(network, plan)
    for at, layer in enumerate(network.layers):
        size = network.layers[at].constant_bytes
        if plan.weights[at] == "resident":
            result.append(Buffer(layer.output, "weights", size, 0, last, at))
        elif plan.weights[at] == "prefetched":
            result.append(Buffer(layer.output, "weights", size, prefetch_span(at)[0], at, at))
        if staging[at]:
            result.append(Buffer(layer.output, "staging", staging[at], at, at, at))
    return result
