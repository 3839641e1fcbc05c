"""What bank conflicts of L1 cost in the loops of the kernels, step by step.

    python scripts/bank_conflicts.py

Eight cores start together after a barrier. A bank serves one core a cycle, in the order in which
they came; who waits keeps its whole pipeline; a load that is not at a word takes two banks, one
after the other. Prints, as the terms of the kernel table have them:

- pointwise, inner loop (KerParMatMulB32): the cycles that queues cost from one barrier to the next,
  by input channels and output channels of a core, and what that is for each further iteration. The
  columns start anywhere, as that is not published.
- pointwise, gather: what an input channel of a core costs beyond its 9 instructions, by the width
  of the tile and its input channels. Every core copies other input channels of 4 pixels.
- filters of 3x3: what an output costs beyond its instructions, by the width of the map. A core
  walks down the columns of its output channel; the row loop of a convolution also loads a sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from statistics import fmean

CORES, BANKS, WORD = 8, 16, 4
BANK_ROW = BANKS * WORD
BETWEEN = 44  # cycles between two channels of a core, scaling and storing
ITERATION = 10  # cycles without conflicts: 5 loads, 4 dot products, a load-use stall
LOADS = 5
GATHER = 9  # cycles without conflicts: 4 byte loads, 4 byte stores, address
COLUMN = 12  # cycles before each column of a filter: pointers, loop set-up
COLUMNS_AT = (0, 8, 20, 44)
SUMS_AT, TILE_AT = 20480, 8192  # of int32 sums and of the tile that is gathered, at a bank row
NOTHING = -1
DEPTHS = (24, 36, 64, 96, 100, 128, 144, 160, 172, 192, 256, 512)
CHANNELS = (2, 8, 22)  # of each core
GATHERED = (24, 48, 64, 96, 128, 144, 172, 256, 288, 384, 512, 576, 960)
TILES = (125, 28, 200, 16, 112, 32, 96, 64, 128)  # pixels of a tile
WIDTHS = (26, 28, 56, 40, 48, 80, 32, 96, 160, 224, 64, 128, 192)
ROWS = (5, 8, 9, 12)  # of a filter's tile
WALKED = 12  # columns, from the second one on

Program = list[int]


def bank(address: int) -> int:
    return address // WORD % BANKS


def word(address: int) -> Program:
    """Banks of a load or store of a word."""
    first = bank(address)
    return [first] if address % WORD == 0 else [first, (first + 1) % BANKS]


def matmul(core: int, channels: int, depth: int, columns_at: int) -> Program:
    """The bank a core reads in each of its cycles, or nothing."""
    first_column = CORES * channels * depth + columns_at
    steps: Program = []
    for channel in range(core * channels, (core + 1) * channels):
        steps += [NOTHING] * BETWEEN
        for at in range(0, depth, WORD):
            addresses = [channel * depth + at]
            addresses += [first_column + column * depth + at for column in range(LOADS - 1)]
            steps += [bank(address) for address in addresses]
            steps += [NOTHING] * (ITERATION - LOADS)
    return steps


def gather(core: int, depth: int, pixels: int) -> Program:
    """Copies a core's input channels of 4 pixels into 4 columns."""
    share = -(-depth // CORES)
    steps: Program = []
    for channel in range(core * share, min(depth, (core + 1) * share)):
        steps += [bank(TILE_AT + channel * pixels + column) for column in range(4)]
        steps += [bank(column * depth + channel) for column in range(4)]
        steps += [NOTHING] * (GATHER - 8)
    return steps


def walk(core: int, width: int, rows: int, stride: int, *, sums: bool) -> Program:
    """A core's output channel of a 3x3 filter, column by column: with ``sums`` all cores read one
    map and add to sums, without it each has a map of its own (depthwise)."""
    outputs = width // stride
    map_at = 0 if sums else core * width * ((rows - 1) * stride + 3)
    steps: Program = []
    for column in range(1, min(outputs, 1 + WALKED)):
        steps += [NOTHING] * COLUMN
        at = map_at + column * stride
        for row in range(3 - stride):
            steps += word(at + row * width)
        for row in range(rows):
            output = SUMS_AT + ((core * rows + row) * outputs + column) * WORD
            steps += word(output) if sums else [NOTHING]
            for further in range(stride):
                steps += word(at + (row * stride + 3 - stride + further) * width)
            steps += [NOTHING] * (6 - stride)
            steps += word(output)
    return steps


def run(programs: Sequence[Program]) -> int:
    """Cycles until the last core is done."""
    done = [0] * len(programs)
    since = [0] * len(programs)  # when a core came to the bank that it waits for
    cycles = 0
    while any(at < len(steps) for at, steps in zip(done, programs, strict=True)):
        waiting: dict[int, list[int]] = {}
        for core, steps in enumerate(programs):
            if done[core] == len(steps):
                continue
            at = steps[done[core]]
            if at == NOTHING:
                done[core] += 1
                since[core] = cycles + 1
            else:
                waiting.setdefault(at, []).append(core)
        for cores in waiting.values():
            served = min(cores, key=lambda core: since[core])
            done[served] += 1
            since[served] = cycles + 1
        cycles += 1
    return cycles


def lost(programs: Sequence[Program]) -> int:
    """Cycles that conflicts cost the last core."""
    return run(programs) - max(map(len, programs))


def lost_in_matmul(channels: int, depth: int) -> float:
    """Mean cycles that conflicts cost from one barrier to the next."""
    starts = [
        [matmul(core, channels, depth, columns_at) for core in range(CORES)]
        for columns_at in COLUMNS_AT
    ]
    return fmean(lost(programs) for programs in starts)


def lost_in_gather(depth: int, pixels: int) -> float:
    """Cycles for each input channel of a core."""
    return lost([gather(core, depth, pixels) for core in range(CORES)]) / -(-depth // CORES)


def lost_in_walk(width: int, stride: int, *, sums: bool) -> float:
    """Mean cycles for each output."""
    return fmean(
        lost([walk(core, width, rows, stride, sums=sums) for core in range(CORES)])
        / (rows * (min(width // stride, 1 + WALKED) - 1))
        for rows in ROWS
    )


def banks_of(pitch: int) -> str:
    """In how many banks rows that are ``pitch`` bytes apart start."""
    if pitch % WORD:
        return "not at words"
    number = BANK_ROW // gcd(pitch, BANK_ROW)
    return f"rows start in {number} bank{'s' if number > 1 else ''}"


def main() -> None:
    print(f"inner loop: cycles lost with {', '.join(map(str, CHANNELS))} channels a core")
    for depth in DEPTHS:
        found = [lost_in_matmul(channels, depth) for channels in CHANNELS]
        further = (found[-1] - found[0]) / ((CHANNELS[-1] - CHANNELS[0]) * depth / WORD)
        note = "  all columns start in one bank" if depth % BANK_ROW == 0 else ""
        cells = " ".join(f"{cycles:6.0f}" for cycles in found)
        print(f"{depth:5d} input channels: {cells}  {further:5.2f} an iteration{note}")
    print("gather: cycles lost an input channel of a core, mean over input channels")
    for pixels in TILES:
        found = [lost_in_gather(depth, pixels) for depth in GATHERED]
        print(f"{pixels:5d} pixels in a tile: {fmean(found):5.1f}, {min(found):.1f} to "
              f"{max(found):.1f}  {banks_of(pixels)}")  # fmt: skip
    print("3x3 filters: cycles lost an output")
    print("  convolution of stride 1, of stride 2; depthwise of stride 1, of stride 2")
    kinds = ((1, True), (2, True), (1, False), (2, False))
    for width in WIDTHS:
        found = [lost_in_walk(width, stride, sums=sums) for stride, sums in kinds]
        print(f"{width:5d} wide: " + " ".join(f"{cycles:5.1f}" for cycles in found)
              + f"  {banks_of(width)}")  # fmt: skip


if __name__ == "__main__":
    main()
