"""Growth: four times the nodes take about four times as long, whatever the network looks like.

But for chains of transposes: reordering regions of them is quadratic up to a bound on its work.
"""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

from bench_scale import KINDS, model_of

from fuzzing.cases import ACCEPTED, Violation
from nnshell import flow

_FEW, _TIMES = 150, 4
_MOST = 8.0  # a square would be 16
_FREE_S = 0.3  # what is this fast may grow as it likes


def growth_case(random: Random, folder: Path) -> str:
    """A network and one of four times its size, from open to fusions."""
    kind = random.choice(sorted(KINDS.keys() - {"transposes"}))
    few = random.randrange(_FEW, 2 * _FEW)
    short = _seconds(kind, few, folder)
    long = _seconds(kind, _TIMES * few, folder)
    if long > _FREE_S + _MOST * short:
        raise Violation(f"{kind}: {few} nodes {short:.2f} s, {_TIMES * few} nodes {long:.2f} s")
    return ACCEPTED


def _seconds(kind: str, count: int, folder: Path) -> float:
    path = folder / f"{count}.onnx"
    path.write_bytes(model_of(kind, count).SerializeToString())
    started = time.process_time()
    project = flow.open_graph(path)
    flow.adjust(project)
    flow.fuse(project, "scale8")
    return time.process_time() - started
