"""What bank conflicts of L1 cost in the inner loop of the pointwise kernel, step by step.

    python scripts/bank_conflicts.py

Eight cores with some output channels each run the loop of KerParMatMulB32 after a barrier: a word
of the weights, a word of each of 4 columns, 4 dot products and a stall. A bank serves one core a
cycle, in the order in which they came; who waits keeps its whole pipeline. The columns start
anywhere, as that is not published. Prints the cycles that the queues cost from one barrier to the
next, by input channels and output channels of a core, and what that is for each further iteration.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

CORES, BANKS, WORD = 8, 16, 4
BETWEEN = 44  # cycles between two channels of a core, scaling and storing
ITERATION = 10  # cycles without conflicts: 5 loads, 4 dot products, a load-use stall
LOADS = 5
COLUMNS_AT = (0, 8, 20, 44)
NOTHING = -1
DEPTHS = (24, 36, 64, 96, 100, 128, 144, 160, 172, 192, 256, 512)
CHANNELS = (2, 8, 22)  # of each core


def program(core: int, channels: int, depth: int, columns_at: int) -> list[int]:
    """The bank a core reads in each of its cycles, or nothing."""
    first_column = CORES * channels * depth + columns_at
    steps: list[int] = []
    for channel in range(core * channels, (core + 1) * channels):
        steps += [NOTHING] * BETWEEN
        for at in range(0, depth, WORD):
            addresses = [channel * depth + at]
            addresses += [first_column + column * depth + at for column in range(LOADS - 1)]
            steps += [address // WORD % BANKS for address in addresses]
            steps += [NOTHING] * (ITERATION - LOADS)
    return steps


def run(programs: Sequence[Sequence[int]]) -> int:
    """Cycles until the last core is done."""
    done = [0] * len(programs)
    since = [0] * len(programs)  # when a core came to the bank that it waits for
    cycles = 0
    while any(at < len(steps) for at, steps in zip(done, programs, strict=True)):
        waiting: dict[int, list[int]] = {}
        for core, steps in enumerate(programs):
            if done[core] == len(steps):
                continue
            bank = steps[done[core]]
            if bank == NOTHING:
                done[core] += 1
                since[core] = cycles + 1
            else:
                waiting.setdefault(bank, []).append(core)
        for cores in waiting.values():
            served = min(cores, key=lambda core: since[core])
            done[served] += 1
            since[served] = cycles + 1
        cycles += 1
    return cycles


def lost(channels: int, depth: int) -> float:
    """Mean cycles that conflicts cost from one barrier to the next."""
    alone = channels * (BETWEEN + ITERATION * (depth // WORD))
    starts = [
        [program(core, channels, depth, columns_at) for core in range(CORES)]
        for columns_at in COLUMNS_AT
    ]
    return fmean(run(programs) - alone for programs in starts)


def main() -> None:
    print(f"cycles lost with {', '.join(map(str, CHANNELS))} channels a core")
    for depth in DEPTHS:
        found = [lost(channels, depth) for channels in CHANNELS]
        further = (found[-1] - found[0]) / ((CHANNELS[-1] - CHANNELS[0]) * depth / WORD)
        note = "  all columns start in one bank" if depth % (BANKS * WORD) == 0 else ""
        cells = " ".join(f"{cycles:6.0f}" for cycles in found)
        print(f"{depth:5d} input channels: {cells}  {further:5.2f} an iteration{note}")


if __name__ == "__main__":
    main()
