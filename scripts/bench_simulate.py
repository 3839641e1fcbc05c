"""How long a simulation takes, beside reading the same network.

    python scripts/bench_simulate.py MODEL.onnx... [--repeat 3] [--points 40]

Prints for every model the seconds of open + adjust + fusions, of one simulation (best of
``--repeat``), of writing its trace, and of a sweep of ``--points`` simulations over cores, L1 and
L2 budgets and clocks.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from itertools import cycle, islice, product

import nnshell
from nnshell.chips import (
    Network,
    Parameters,
    chrome_trace,
    network_from_graph,
    simulate_network,
)

CORES = (8, 4, 2, 1)
L1_SIZES = (64_000, 48_000, 32_000)
L2_SIZES = (300_000, 200_000, 400_000)
CLOCKS = ((250e6, 175e6), (150e6, 90e6))


def points() -> Iterator[Parameters]:
    """Settings worth comparing, over and over."""
    grid = product(L2_SIZES, L1_SIZES, CLOCKS, CORES)
    for l2_size, l1_size, (fc_hz, cluster_hz), cores in cycle(grid):
        yield Parameters(
            l1_size=l1_size,
            l2_size=l2_size,
            fc_freq=fc_hz,
            cl_freq=cluster_hz,
            cluster_num_cores=cores,
        )


def read(model: str) -> tuple[Network, float]:
    start = time.perf_counter()
    project = nnshell.open_graph(model)
    nnshell.adjust(project)
    nnshell.fuse(project, "scale8")
    return network_from_graph(project.graph), time.perf_counter() - start


def best_of(repeat: int, network: Network) -> float:
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        simulate_network(network)
        times.append(time.perf_counter() - start)
    return min(times)


def sweep(count: int, network: Network) -> float:
    start = time.perf_counter()
    for parameters in islice(points(), count):
        simulate_network(network, parameters)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--repeat", type=int, default=3, help="simulations; the best counts")
    parser.add_argument("--points", type=int, default=40, help="settings of the sweep; 0 for none")
    args = parser.parse_args()
    print(f"{'network':36s} {'layers':>6s} {'read s':>8s} {'simulate s':>11s} {'trace s':>8s} "
          f"{f'sweep of {args.points} s':>14s}")  # fmt: skip
    for model in args.models:
        network, reading = read(model)
        simulating = best_of(max(1, args.repeat), network)
        report = simulate_network(network)
        start = time.perf_counter()
        chrome_trace(report)
        tracing = time.perf_counter() - start
        swept = sweep(args.points, network) if args.points else 0.0
        print(f"{network.name:36s} {len(network.layers):6d} {reading:8.2f} {simulating:11.2f} "
              f"{tracing:8.2f} {swept:14.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
