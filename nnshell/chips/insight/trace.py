"""The simulation as Chrome trace events (chrome://tracing, Perfetto): one track a resource.

A microsecond of the trace is one cluster cycle, so that times are whole numbers and agree with
the table to the cycle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nnshell.chips.model.report import SimulationReport
from nnshell.chips.model.schedule import schedule

TRACKS = ("layers", "cores", "cluster DMA", "micro-DMA")


@dataclass(slots=True)
class _Events:
    """Events so far, and the micro-DMA's busy intervals of the layer being written."""

    origin: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    busy: list[tuple[int, int]] = field(default_factory=list)
    layer: str = ""

    def add(self, track: str, name: str, first: int, last: int, **arguments: Any) -> None:
        if last <= first:
            return
        event: dict[str, Any] = {
            "name": name,
            "ph": "X",
            "pid": 1,
            "tid": TRACKS.index(track) + 1,
            "ts": self.origin + first,
            "dur": last - first,
        }
        if arguments:
            event["args"] = arguments
        self.events.append(event)

    def record(self, resource: str, what: str, first: int, last: int) -> None:
        """Called by the layer's schedule."""
        self.add(resource, f"{self.layer}: {what}", first, last)
        if resource == "micro-DMA":
            self.busy.append((first, last))


def chrome_trace(report: SimulationReport) -> dict[str, Any]:
    """Replay all layers and write down what every resource does when."""
    events = _Events()
    for at, layer in enumerate(report.layers):
        events.layer, events.busy = layer.node, []
        events.add(
            "layers",
            layer.node,
            0,
            layer.cycles,
            bound_by=layer.bound_by,
            kernel=layer.kernel,
            tiles=layer.tiles,
        )
        events.add("micro-DMA", f"{layer.node}: load weights", 0, layer.stall_cycles)
        events.origin += layer.stall_cycles
        timing = schedule(report.choices[at].plan, report.setting, events.record)
        ahead = layer.dma_l3_l2_cycles - layer.stall_cycles - timing.l3_cycles
        _fill(events, ahead, timing.cycles, _next_name(report, at))
        events.origin += timing.cycles
    return {
        "traceEvents": [*_names(), *events.events],
        "displayTimeUnit": "ns",
        "otherData": {
            "network": report.network.name,
            "unit": "1 us is 1 cluster cycle",
            "cluster_hz": report.setting.clocks.cluster_hz,
        },
    }


def _names() -> list[dict[str, Any]]:
    return [
        {"name": "thread_name", "ph": "M", "pid": 1, "tid": tid, "args": {"name": track}}
        for tid, track in enumerate(TRACKS, 1)
    ]


def _next_name(report: SimulationReport, at: int) -> str:
    return report.layers[at + 1].node if at + 1 < len(report.layers) else ""


def _fill(events: _Events, ahead: int, cycles: int, following: str) -> None:
    """Put the next layer's weights into the gaps the micro-DMA has in this one."""
    at = 0
    for first, last in [*sorted(events.busy), (cycles, cycles)]:
        room = min(ahead, first - at)
        if room > 0:
            events.add("micro-DMA", f"{following}: load weights ahead", at, at + room)
            ahead -= room
        at = max(at, last)
