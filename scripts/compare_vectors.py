"""Compare with stored results of the real NNTool, network by network: what differs, of what kind.

    python scripts/compare_vectors.py FOLDER... [--own-ranges] [-v]

A FOLDER holds a model, the script that was run on it and NNTool's results, or folders that do. The
table has a column for each kind of number: names and edges, steps, records, integers of constants,
macros of model.h, tensor files, activations.
"""

from __future__ import annotations

import argparse
import logging
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.golden.vectors import compare_with_vectors

KINDS = ("names", "steps", "records", "constants", "header", "files", "activations")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--own-ranges", action="store_true", help="calibrate instead of stats.json")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every difference")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    folders = [path.parent for top in arguments.folders for path in top.rglob("qrecs.json")]
    print(f"{'network':24}", *(f"{kind:>11}" for kind in KINDS))
    total = 0
    for folder in sorted(folders):
        try:
            report = compare_with_vectors(folder, own_ranges=arguments.own_ranges)
        except Exception as error:  # the table goes on: a network that fails is a row of it
            print(f"{folder.name:24} {type(error).__name__}: {error}")
            if arguments.verbose:
                traceback.print_exc()
            total += 1
            continue
        total += len(report.differences)
        print(f"{folder.name:24}", *(f"{report.unequal.get(kind, 0):11}" for kind in KINDS))
        for line in report.differences if arguments.verbose else ():
            print("   ", line)
    print(f"{len(folders)} networks, {total} differences")
    return int(total > 0)


if __name__ == "__main__":
    sys.exit(main())
