"""Fits the two powers at 1.2 V to the published energies of the image networks.

    python scripts/simulator_power.py      print both, beside what is in chip.toml

A network's energy is its time computing times one power plus its time waiting times the other.
Both start from the powers that DORY measured at 1.0 V with all clocks at 100 MHz, scaled by
frequency and voltage squared: computing by the cluster's clock, waiting by something between the
cluster's and the fabric controller's.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from published_networks import total_rows
from simulator_fit import network_report

from nnshell.chips import load_chip

PRIOR = 0.1  # relative deviation of the scaled power of computing
NOISE = 0.023  # relative deviation of a published energy, as of a total; its rounding comes on top
HALF_DIGIT_MJ = 0.05


def _points() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute and wait power: as scaled from the lowest voltage, how far off, as in chip.toml."""
    low, *_, high = sorted(load_chip().operating_points, key=lambda point: point.volt)
    square = (high.volt / low.volt) ** 2 / low.reference_cluster_hz
    cluster, fabric = square * high.reference_cluster_hz, square * high.fc_max_hz
    compute, slow, fast = cluster * low.compute_mw, cluster * low.wait_mw, fabric * low.wait_mw
    scaled = np.array([compute, (slow + fast) / 2])
    deviations = np.array([PRIOR * compute, (fast - slow) / 2])
    return scaled, deviations, np.array([high.compute_mw, high.wait_mw])


@cache
def _system() -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Seconds computing and waiting of each network, and its energy in mJ."""
    rows = [row for row in total_rows() if row["energy_mj"]]
    names = tuple(row["network"] for row in rows)
    *_, (compute, wait) = _points()
    seconds = []
    for name in names:
        report = network_report(name, {})
        total = report.latency_ms / 1e3
        busy = (report.energy_mj - wait * total) / (compute - wait)
        seconds.append((busy, total - busy))
    return names, np.array(seconds), np.array([float(row["energy_mj"]) for row in rows])


def fit(left_out: str = "") -> np.ndarray:
    """Compute and wait power in mW without one network."""
    names, seconds, energy = _system()
    kept = np.array([name != left_out for name in names])
    scaled, deviations, _ = _points()
    noise = np.hypot(NOISE * energy, HALF_DIGIT_MJ / 3**0.5)[kept]
    rows = np.vstack([seconds[kept] / noise[:, None], np.diag(1 / deviations)])
    wanted = np.concatenate([energy[kept] / noise, scaled / deviations])
    found, *_ = np.linalg.lstsq(rows, wanted, rcond=None)
    return np.asarray(found)


def left_out_powers(name: str) -> float:
    """A network's energy in mJ with the powers fitted on the others."""
    names, seconds, _ = _system()
    return float(seconds[names.index(name)] @ fit(name))


def main() -> None:
    scaled, _, now = _points()
    for label, *values in zip(("compute", "wait"), now, fit(), scaled, strict=True):
        print(
            "{:8s} in chip.toml {:6.1f} mW, fitted {:6.1f}, scaled {:6.1f}".format(label, *values)
        )


if __name__ == "__main__":
    main()
