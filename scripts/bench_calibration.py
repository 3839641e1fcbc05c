"""Calibration against a bare ONNX Runtime run, and what it adds to memory as images grow.

The time ratio is of the fastest rounds in one process, alternating. Memory is the peak resident
size of fresh processes that calibrate on few and on many images.

    python scripts/bench_calibration.py DATA_DIR

DATA_DIR (or the environment variable NNSHELL_TEST_DATA) holds models/ and data/.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import nnshell
import nnshell.flow
from nnshell.execution.engines import make_engine
from nnshell.session.project import Project

MODEL, IMAGES = "models/resnet20_cifar10.onnx", "data/cifar10_test.npz"
NORM = "x: x/128-1"


def prepared(data: Path) -> Project:
    project = nnshell.open_graph(data / MODEL)
    nnshell.adjust(project)
    nnshell.fuse(project, "scale8")
    return project


def time_ratio(data: Path, count: int, rounds: int) -> float:
    """Calibration over ``count`` images, reading included, to the float run over the same."""
    project = prepared(data)
    images = nnshell.load_inputs(str(data / IMAGES), norm=NORM, limit=count).open(project)
    size = nnshell.flow.batch_size(project.graph)
    engine = make_engine(project.graph, "float")
    bare = calibration = float("inf")
    for _ in range(rounds):
        start = perf_counter()
        for batch in images.batches(size):
            engine.run(batch.arrays)
        bare = min(bare, perf_counter() - start)
        start = perf_counter()
        nnshell.calibrate(project, images)
        calibration = min(calibration, perf_counter() - start)
    return calibration / bare


def peak_mb(data: Path, count: int) -> float:
    command = [sys.executable, __file__, str(data), "--peak", str(count)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(result.stdout)


def print_peak(data: Path, count: int) -> None:
    project = prepared(data)
    nnshell.calibrate(project, nnshell.load_inputs(str(data / IMAGES), norm=NORM, limit=count))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", nargs="?", default=os.environ.get("NNSHELL_TEST_DATA", ""))
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.data:
        parser.error("give DATA_DIR")
    data = Path(arguments.data)
    if arguments.peak:
        print_peak(data, arguments.peak)
        return
    ratio = time_ratio(data, arguments.count, arguments.rounds)
    print(f"calibration on {arguments.count} images: {ratio:.2f} times the bare float run")
    few, many = peak_mb(data, 100), peak_mb(data, 10_000)
    print(f"peak memory: {few:.0f} MB on 100 images, {many:.0f} MB on 10,000: +{many - few:.0f} MB")


if __name__ == "__main__":
    main()
