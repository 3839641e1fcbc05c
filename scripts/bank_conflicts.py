"""What bank conflicts of L1 cost in the inner loop of the pointwise kernel, step by step.

    python scripts/bank_conflicts.py

Eight cores with one output channel each run the loop of KerParMatMulB32: a word of the weights, a
word of each of 4 columns, 4 dot products. A bank serves one core a cycle; who waits keeps its whole
pipeline. Arbitration is random and the columns start anywhere, as neither is published. Prints
cycles of one iteration by the number of input channels; 9 is the loop without conflicts.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean

CORES, BANKS, WORD = 8, 16, 4
BETWEEN = 28  # cycles between two channels of a core, scaling and storing
LINES = 4  # channels of each core
COLUMNS_AT = (0, 8, 20, 44)
NOTHING = -1


def program(core: int, depth: int, columns_at: int) -> list[int]:
    """The bank a core reads in each of its cycles, or nothing."""
    first_column = CORES * LINES * depth + columns_at
    steps: list[int] = []
    for line in range(core * LINES, (core + 1) * LINES):
        steps += [NOTHING] * BETWEEN
        for at in range(0, depth, WORD):
            addresses = [line * depth + at]
            addresses += [first_column + column * depth + at for column in range(4)]
            steps += [address // WORD % BANKS for address in addresses] + [NOTHING] * 4
    return steps


def run(programs: Sequence[Sequence[int]], chance: random.Random) -> int:
    """Cycles until the last core is done."""
    done = [0] * len(programs)
    cycles = 0
    while any(at < len(steps) for at, steps in zip(done, programs, strict=True)):
        waiting: dict[int, list[int]] = {}
        for core, steps in enumerate(programs):
            if done[core] == len(steps):
                continue
            bank = steps[done[core]]
            if bank == NOTHING:
                done[core] += 1
            else:
                waiting.setdefault(bank, []).append(core)
        for cores in waiting.values():
            done[chance.choice(cores)] += 1
        cycles += 1
    return cycles


def iteration(depth: int) -> float:
    """Mean cycles of one iteration of the inner loop."""
    found = []
    for columns_at in COLUMNS_AT:
        programs = [program(core, depth, columns_at) for core in range(CORES)]
        cycles = run(programs, random.Random(columns_at))
        found.append((cycles / LINES - BETWEEN) / (depth / WORD))
    return fmean(found)


def main() -> None:
    for depth in (24, 36, 64, 96, 100, 128, 144, 160, 172, 192, 256, 512, 1024):
        note = "  all columns start in one bank" if depth % (BANKS * WORD) == 0 else ""
        print(f"{depth:5d} channels: {iteration(depth):5.2f} cycles{note}")


if __name__ == "__main__":
    main()
