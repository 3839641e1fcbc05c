"""Feeds nnshell bad models, states, images, scripts and command sequences, and counts.

    python scripts/fuzz.py                       10,000 cases of all categories
    python scripts/fuzz.py --cases 500 --seed 7
    python scripts/fuzz.py --only onnx-bytes --cases 1000
    python scripts/fuzz.py --only onnx-bytes --case 17 --seed 7      one case again

Every case must end in a result or in one line of ours, within time and memory, with nothing
half-written and, after a failed command, the graph as before. Exit status 1 when one did not.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from fuzzing.categories import CATEGORIES  # noqa: E402 - the path has to be set before
from fuzzing.runner import Finding, Job, run_all  # noqa: E402

_CASES = 10_000


def main() -> int:
    arguments = _arguments()
    chosen = [c for c in CATEGORIES if arguments.only in (None, c.name)]
    if arguments.case is not None:
        jobs = [Job(chosen[0].name, arguments.case, arguments.seed)]
    else:
        shares = sum(category.share for category in chosen)
        jobs = [
            Job(category.name, number, arguments.seed)
            for category in chosen
            for number in range(-(-arguments.cases * category.share // shares))
        ]
    summary = run_all(jobs, chosen, arguments.processes, progress=sys.stderr.isatty())
    print(summary.table())
    _report(summary.findings, arguments.show)
    return 1 if summary.findings else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--cases", type=int, default=_CASES, help="how many (%(default)s)")
    add("--seed", type=int, default=0)
    add("--only", choices=[category.name for category in CATEGORIES], help="one category")
    add("--case", type=int, help="with --only: this case")
    add("--processes", type=int, default=os.cpu_count() or 1)
    add("--show", type=int, default=20, help="findings to print in full (%(default)s)")
    arguments = parser.parse_args()
    if arguments.case is not None and arguments.only is None:
        parser.error("--case needs --only")
    return arguments


def _report(findings: Sequence[Finding], shown: int) -> None:
    """Findings, those that end in the same line once."""
    alike: dict[str, list[Finding]] = {}
    for finding in findings:
        alike.setdefault(_key(finding.text), []).append(finding)
    for group in sorted(alike.values(), key=len, reverse=True)[:shown]:
        print(f"\n{len(group)} times, as with {group[0].job}:\n{group[0].text}")


def _key(text: str) -> str:
    lines = text.splitlines()
    place = [line.strip() for line in lines if line.strip().startswith("File")]
    return f"{place[-1] if place else ''} {lines[-1][:60] if lines else ''}"


if __name__ == "__main__":
    sys.exit(main())
