"""`simulate` in words and bars: the summary on one screen, a layer explained, L2 as a map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from nnshell.chips.insight.uncertainty import ranges
from nnshell.chips.model.parameters import too_fast

if TYPE_CHECKING:
    from nnshell.chips.insight.explain import Alternative, Explanation
    from nnshell.chips.model.report import LayerReport, SimulationReport

FULL, EMPTY = "█", "░"
BAR = 22  # characters of a full bar: lines fit 80 columns
SLOWEST = 7  # layers in the summary
_MAP_ROWS = 24  # lines of the memory map
_MAP_COLUMNS = 72  # layers side by side in it; more share a column
_UNMEASURED_SHARE = 0.005  # of the time, below which unmeasured kernels are not worth a word


def bar(part: float, whole: float, width: int = BAR) -> str:
    """A bar of ``part`` in ``whole``; anything above nothing shows."""
    share = min(1.0, part / whole) if whole > 0 else 0.0
    filled = round(share * width)
    if part > 0:
        filled = max(1, filled)
    return FULL * filled + EMPTY * (width - filled)


def summary(report: SimulationReport) -> tuple[str, ...]:
    """One inference on one screen."""
    blocks = (_head(report), _time(report), _memory(report), _slowest(report))
    return tuple(line for block in blocks for line in block)


def headline(report: SimulationReport) -> tuple[str, ...]:
    """Cycles, time, clocks, error and energy of one inference: the first lines of the summary."""
    return tuple(_head(report))


def _rate(per_second: float) -> str:
    """A rate below one keeps two digits, so that it is never 0.0."""
    return f"{per_second:.1f}" if per_second >= 1 else f"{per_second:.2g}"


def _head(report: SimulationReport) -> Iterable[str]:
    clocks = report.setting.clocks
    seconds = report.latency_ms / 1e3
    rate = f", {_rate(1 / seconds)} inferences a second" if seconds else ""
    yield f"{report.total_cycles:,} cycles, {report.latency_ms:.2f} ms{rate}"
    yield (
        f"clocks: cluster {clocks.cluster_hz / 1e6:g} MHz, "
        f"fabric controller {clocks.fc_hz / 1e6:g} MHz"
    )
    if beyond := too_fast(report.parameters, report.setting.chip):
        yield beyond
    yield expected_error(report)
    power = f", {report.energy_mj / seconds:.0f} mW" if seconds else ""
    ceiling = 4 * report.setting.cores
    compute = sum(layer.compute_cycles for layer in report.layers)
    kernels = f", kernels alone {report.macs / compute:.2f}" if compute else ""
    yield (
        f"{report.energy_mj:.3f} mJ{power}; {report.macs:,} MACs, {report.macs_per_cycle:.2f} "
        f"MAC/cycle of {ceiling}{kernels}"
    )


def expected_error(report: SimulationReport) -> str:
    """The range of the total, and how much of it no measurement covers."""
    hertz = report.setting.clocks.cluster_hz
    known = ranges(report)
    low, high = known.total.low_cycles, known.total.high_cycles
    text = f"9 of 10 boards within {low / hertz * 1e3:.2f} to {high / hertz * 1e3:.2f} ms"
    pairs = zip(report.layers, known.layers, strict=True)
    blind = sum(layer.cycles for layer, entry in pairs if not entry.measured)
    if blind > _UNMEASURED_SHARE * report.total_cycles:
        share = 100 * blind / report.total_cycles
        text += f"; {share:.0f} % of the time in kernels without a measurement (~ in the table)"
    return text


def _time(report: SimulationReport) -> Iterable[str]:
    total = report.total_cycles
    parts = (
        ("compute", sum(layer.compute_cycles for layer in report.layers)),
        ("wait for L1 DMA", sum(layer.dma_wait_cycles for layer in report.layers)),
        ("wait for L3", sum(layer.l3_wait_cycles for layer in report.layers)),
        ("calls, set-up", sum(layer.overhead_cycles for layer in report.layers)),
    )
    yield "where the time goes"
    for name, cycles in parts:
        yield f"  {name:16s}{bar(cycles, total)} {_percent(cycles, total)}  {cycles:,} cycles"


def _memory(report: SimulationReport) -> Iterable[str]:
    parameters = report.parameters
    rows = (
        ("L1 tiles", report.l1_bytes, parameters.l1_budget()),
        ("L2 planned", report.l2_peak_bytes, parameters.l2_size),
        ("L3 RAM", report.plan.spilled_bytes(), parameters.l3_size),
        ("L3 flash", report.network.constant_bytes, parameters.l3_flash_mb * 2**20),
    )
    yield "memory: everything fits" if report.fits else "memory: it does not fit"
    for name, used, limit in rows:
        yield (
            f"  {name:16s}{bar(used, limit)} {_percent(used, limit)}  {used:,} of {limit:,} bytes"
        )


def _slowest(report: SimulationReport) -> Iterable[str]:
    if not report.layers:
        return
    order = sorted(report.layers, key=lambda layer: -layer.cycles)[:SLOWEST]
    longest = order[0].cycles
    count = len(report.layers)
    yield f"slowest layers (of {count})" if count > SLOWEST else "layers, slowest first"
    room = min(24, max(len(layer.node) for layer in order))
    for layer in order:
        name = layer.node if len(layer.node) <= room else "…" + layer.node[1 - room :]
        yield (
            f"  {name:{room}s} {bar(layer.cycles, longest, 12)} "
            f"{_percent(layer.cycles, report.total_cycles)}  {_roof(layer)}"
        )


def _roof(layer: LayerReport) -> str:
    """Roofline position: what bounds it, what it reaches of what its kernel could."""
    text = f"bound by {layer.bound_by}"
    if layer.macs and layer.compute_cycles:
        kernel = layer.macs / layer.compute_cycles
        text += f", {layer.macs_per_cycle:.1f} of {kernel:.1f} MAC/cycle"
    return text


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:3.0f} %" if whole > 0 else "  - %"


def explanation(report: SimulationReport, found: Explanation) -> tuple[str, ...]:
    """A layer: what it is, where its cycles go, what else it could be, what would help."""
    blocks = (
        _about(report, found),
        _layer_time(found),
        _parts(found),
        _alternatives(found),
        _what_ifs(found),
    )
    return tuple(line for block in blocks for line in block)


def _about(report: SimulationReport, result: Explanation) -> Iterable[str]:
    layer, roof = result.layer, result.roofline
    share = 100 * layer.cycles / max(1, report.total_cycles)
    yield f"step {layer.step}, {layer.node}: {layer.op}, kernel '{layer.kernel}'"
    known = ranges(report).layers[result.number - 1]
    low, high = known.range.low_cycles, known.range.high_cycles
    blind = "" if known.measured else ", of a kernel that no measurement covers"
    yield (f"  {layer.cycles:,} cycles ({share:.1f} %), 9 of 10 boards {low:,} to {high:,}{blind}")
    for line in result.where:
        yield f"  {line}"
    if layer.macs:
        text = f"  roofline: {roof.reached:.2f} MAC/cycle; cores {roof.arithmetic:g}, this kernel "
        text += f"{roof.kernel:.2f}, L1 DMA {roof.dma:.2f}"
        yield text + (f", L3 {roof.l3:.2f}" if roof.l3 is not None else "")


def _layer_time(result: Explanation) -> Iterable[str]:
    layer = result.layer
    own = layer.l3_wait_cycles - layer.stall_cycles
    rows = (
        ("compute", layer.compute_cycles),
        ("wait for L1 DMA", layer.dma_wait_cycles),
        ("wait for weights", layer.stall_cycles),
        ("wait for L3 tiles", own),
        ("calls, set-up", layer.overhead_cycles),
    )
    yield f"where its time goes (bound by {layer.bound_by})"
    for name, cycles in rows:
        if cycles:
            percent = _percent(cycles, layer.cycles)
            yield f"  {name:18s}{bar(cycles, layer.cycles, 20)} {percent}  {cycles:,}"


def _parts(result: Explanation) -> Iterable[str]:
    total = sum(part.cycles for part in result.parts)
    yield "what the cores do"
    for part in result.parts:
        source = f"  [{part.origin}] {part.source}".rstrip()
        yield f"  {part.name:36s} {part.cycles:>12,} {_percent(part.cycles, total)}{source}"


def _alternatives(result: Explanation) -> Iterable[str]:
    yield "tiles: the chosen one and the best others"
    chosen = result.alternatives[0]
    for entry in result.alternatives:
        yield f"  {_tile(entry)}  {_difference(entry, chosen)}"
    if len(result.alternatives) == 1:
        yield "  no other cut fits L1"


def _tile(entry: Alternative) -> str:
    choice = entry.choice
    tile, nest = choice.plan.tile, choice.plan.geometry
    what = f"{tile.out} of {nest.out} channels x {tile.rows} of {nest.height} rows"
    if tile.depth < nest.depth:
        what += f" x {tile.depth} of {nest.depth} input channels"
    order = f", loops {' then '.join(tile.order)}" if len(tile.order) > 1 else ""
    count = "1 tile" if choice.tiles == 1 else f"{choice.tiles} tiles"
    return f"{what}{order}: {count}, L1 {choice.l1_bytes:,} bytes,"


def _difference(entry: Alternative, chosen: Alternative) -> str:
    if entry.chosen:
        return f"{entry.cycles:,} cycles, chosen"
    more = entry.cycles - chosen.cycles
    return f"{entry.cycles:,} cycles ({more:+,})"


def _what_ifs(result: Explanation) -> Iterable[str]:
    if not result.what_ifs:
        return
    yield "what would help"
    for entry in result.what_ifs:
        saved = result.layer.cycles - entry.cycles
        share = _percent(saved, result.layer.cycles).strip()
        yield f"  {entry.what}: {entry.cycles:,} cycles, {saved:,} less ({share})"
        if entry.takes:
            yield f"    {entry.takes}"


def memory_map(report: SimulationReport) -> tuple[str, ...]:
    """L2 drawn: addresses up, layers to the right, a letter for each buffer."""
    layers, placements = len(report.layers), report.memory.placements
    if not layers or not placements:
        return ("L2 is not used",)
    step = max(1, -(-report.l2_peak_bytes // _MAP_ROWS))
    group = -(-layers // _MAP_COLUMNS)
    letters = _letters(len(placements))
    cells = [["·"] * -(-layers // group) for _ in range(_MAP_ROWS)]
    shown: dict[tuple[int, int], int] = {}  # bytes of a cell that its letter stands for
    for letter, entry in zip(letters, placements, strict=True):
        for row in range(entry.offset_bytes // step, -(-entry.end_bytes // step)):
            held = min(entry.end_bytes, (row + 1) * step) - max(entry.offset_bytes, row * step)
            for column in range(entry.buffer.first // group, entry.buffer.last // group + 1):
                if held > shown.get((row, column), 0):
                    shown[row, column], cells[row][column] = held, letter
    lines = [f"L2, {step:,} bytes a line; to the right the layers 1 to {layers}"]
    if group > 1:
        lines[0] += f", {group} a column"
    for row in reversed(range(_MAP_ROWS)):
        lines.append(f"{row * step:>9,} {''.join(cells[row])}".rstrip())
    return (*lines, *_legend(report, letters))


def _letters(count: int) -> Sequence[str]:
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return [alphabet[number % len(alphabet)] for number in range(count)]


def _legend(report: SimulationReport, letters: Sequence[str]) -> Iterable[str]:
    """The letters of the largest buffers."""
    pairs = sorted(
        zip(letters, report.memory.placements, strict=True),
        key=lambda pair: -pair[1].buffer.size_bytes,
    )
    for letter, entry in pairs[:12]:
        buffer = entry.buffer
        yield f"  {letter} {buffer.kind} {buffer.name}, {buffer.size_bytes:,} bytes"
    if len(pairs) > 12:
        yield f"  and {len(pairs) - 12} smaller ones (--memory lists them)"
    live = report.memory.live_bytes
    peak = report.l2_peak_bytes
    lost = f", {100 * (peak / live - 1):.1f} % above the live bytes" if live else ""
    yield f"peak {peak:,} of {report.parameters.l2_size:,} bytes{lost}"
