"""Operators in company: random graphs of all registered operators, through everything.

    python scripts/company.py                                  10,000 graphs
    python scripts/company.py --graphs 500 --seed 100000
    python scripts/company.py --only engines_agree --seed 17 --graphs 1      one graph again

Every pass keeps the float results; fast, reference and tiled integers are equal; exported files and
reopened states agree with the session. Exit status 1 when one did not, with its seed.
"""

from __future__ import annotations

import argparse
import collections
import os
import sys
import time
import traceback
import warnings
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
_ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT / "tests"), str(_ROOT)]

import logging  # noqa: E402

from company.checks import CHECKS  # noqa: E402 - the path has to be set before
from company.graphs import company  # noqa: E402


def main() -> int:
    arguments = _arguments()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    failures: collections.Counter[str] = collections.Counter()
    seconds: collections.Counter[str] = collections.Counter()
    kinds: collections.Counter[str] = collections.Counter()
    rejected = 0
    for seed in range(arguments.seed, arguments.seed + arguments.graphs):
        case = company(seed)
        rejected += case.rejected
        kinds.update(case.kinds)
        for name in [arguments.only] if arguments.only else CHECKS:
            start = time.perf_counter()
            try:
                CHECKS[name](case)
            except Exception as error:
                failures[name] += 1
                where = traceback.extract_tb(error.__traceback__)[-1]
                place = f"{Path(where.filename).name}:{where.lineno}"
                print(f"seed {seed} {name}: {type(error).__name__}: {error} [{place}]", flush=True)
            seconds[name] += time.perf_counter() - start
    print(f"{arguments.graphs} graphs, {rejected} draws too sensitive to compare")
    print("operators:", ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())))
    for name in seconds:
        print(f"{name}: {failures[name]} failures, {seconds[name]:.0f} s")
    return 1 if failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--graphs", type=int, default=10_000, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first graph (%(default)s)")
    parser.add_argument("--only", choices=list(CHECKS), help="one check")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
