"""How work grows with the network: seconds of CPU by number of nodes, and the exponent of growth.

    python scripts/bench_scale.py                          networks of 250 to 8,000 nodes
    python scripts/bench_scale.py --kinds convs relus --sizes 250 1000
    python scripts/bench_scale.py --steps open fuse --most 1.2

Networks are chains (of convolutions with relus, of relus, of transposes, of additions), one layer
with many outputs, and one sum of many. A line has the CPU seconds of each step, and below them the
exponent of growth: the slope of log(seconds) over log(nodes) from the first size to the last, of
seconds without those of the smallest network (which loads libraries). With ``--most`` the exit
status is 1 when a step grows faster.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nnshell
from nnshell import flow

_SIZES = (250, 500, 1000, 2000, 4000, 8000)
_STEPS = ("open", "adjust", "fuse", "quantize", "simulate")
_QUICK_S = 0.05  # what is faster has no measurable growth
_ENDLESS_S = 120.0  # a step that takes longer ends the line

Nodes = list[onnx.NodeProto]


def _convs(count: int) -> tuple[Nodes, list[str], dict[str, np.ndarray]]:
    weights = {"w": np.random.default_rng(0).normal(0, 0.2, (4, 4, 3, 3)).astype(np.float32)}
    nodes = []
    for i in range(count // 2):
        conv = helper.make_node("Conv", [f"t{i}", "w"], [f"c{i}"], f"conv{i}", pads=[1] * 4)
        nodes += [conv, helper.make_node("Relu", [f"c{i}"], [f"t{i + 1}"], f"relu{i}")]
    return nodes, [f"t{count // 2}"], weights


def _relus(count: int) -> tuple[Nodes, list[str], dict[str, np.ndarray]]:
    """With a leak, so that no two of them are one."""
    nodes = [
        helper.make_node("LeakyRelu", [f"t{i}"], [f"t{i + 1}"], f"act{i}", alpha=0.1)
        for i in range(count)
    ]
    return nodes, [f"t{count}"], {}


def _transposes(count: int) -> tuple[Nodes, list[str], dict[str, np.ndarray]]:
    nodes = []
    for i in range(0, count, 2):
        turn = helper.make_node(
            "Transpose", [f"t{i}"], [f"t{i + 1}"], f"turn{i}", perm=[0, 2, 3, 1]
        )
        act = helper.make_node("Relu", [f"t{i + 1}"], [f"t{i + 2}"], f"act{i}")
        nodes += [turn, act]
    return nodes, [f"t{count // 2 * 2}"], {}


def _adds(count: int) -> tuple[Nodes, list[str], dict[str, np.ndarray]]:
    nodes = [helper.make_node("Relu", ["t0"], ["t1"], "first")]
    nodes += [
        helper.make_node("Add", [f"t{i}", f"t{i - 1}"], [f"t{i + 1}"], f"add{i}")
        for i in range(1, count)
    ]
    return nodes, [f"t{count}"], {}


def _outputs(count: int) -> tuple[Nodes, list[str], dict[str, np.ndarray]]:
    """Half of the nodes are outputs."""
    nodes = [helper.make_node("LeakyRelu", ["t0"], ["first"], "first", alpha=0.2)]
    nodes += [
        helper.make_node("LeakyRelu", ["first"], [f"y{i}"], f"act{i}", alpha=0.1 + i / count)
        for i in range(count // 2)
    ]
    return nodes, [f"y{i}" for i in range(count // 2)], {}


def _sum(count: int) -> tuple[Nodes, list[str], dict[str, np.ndarray]]:
    nodes = [
        helper.make_node("LeakyRelu", ["t0"], [f"a{i}"], f"act{i}", alpha=0.1 + i / count)
        for i in range(count)
    ]
    nodes.append(helper.make_node("Sum", [f"a{i}" for i in range(count)], ["y"], "sum"))
    return nodes, ["y"], {}


KINDS: dict[str, Callable[[int], tuple[Nodes, list[str], dict[str, np.ndarray]]]] = {
    "convs": _convs,
    "relus": _relus,
    "transposes": _transposes,
    "adds": _adds,
    "outputs": _outputs,
    "sum": _sum,
}


def model_of(kind: str, count: int) -> onnx.ModelProto:
    """A network of about ``count`` nodes on an input of 4x6x6."""
    nodes, outputs, weights = KINDS[kind](count)
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        kind,
        [info("t0", onnx.TensorProto.FLOAT, [1, 4, 6, 6])],
        [info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def measure(kind: str, count: int, steps: tuple[str, ...], folder: Path) -> dict[str, float]:
    """CPU seconds by step; a step that the network cannot take ends the list."""
    path = folder / f"{kind}_{count}.onnx"
    path.write_bytes(model_of(kind, count).SerializeToString())
    project = None
    seconds: dict[str, float] = {}
    for step in steps:
        started = time.process_time()
        try:
            if step == "open":
                project = flow.open_graph(path)
            else:
                _ACTIONS[step](project)
        except nnshell.NNShellError as error:
            print(f"  {kind} {count}: {step} refused: {str(error)[:100]}")
            break
        seconds[step] = time.process_time() - started
        if seconds[step] > _ENDLESS_S:
            break
    return seconds


_ACTIONS: dict[str, Callable[[object], object]] = {
    "adjust": lambda project: flow.adjust(project),
    "fuse": lambda project: flow.fuse(project, "scale8"),
    "quantize": lambda project: flow.quantize(project, flow.calibrate_randomly(project)),
    "simulate": lambda project: flow.simulate(project),
}


def exponent(points: list[tuple[int, float]]) -> float | None:
    """The slope from first to last; None where the last takes no time to speak of."""
    if len(points) < 2 or points[-1][1] < _QUICK_S:
        return None
    (few, short), (many, long) = points[0], points[-1]
    return math.log(long / max(short, _QUICK_S / 10)) / math.log(many / few)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(_SIZES))
    parser.add_argument("--steps", nargs="+", choices=list(_STEPS), default=list(_STEPS))
    parser.add_argument("--most", type=float, help="exit with 1 when a step grows faster")
    arguments = parser.parse_args()
    steps, worst = tuple(arguments.steps), 0.0
    logging.getLogger("nnshell").setLevel(logging.ERROR)  # these networks are no sensible ones
    with tempfile.TemporaryDirectory() as name:
        measure("convs", 10, steps, Path(name))  # loads what has to be loaded
        for kind in arguments.kinds:
            print(f"{kind:>12}" + "".join(f"{step:>10}" for step in steps))
            points: dict[str, list[tuple[int, float]]] = {step: [] for step in steps}
            for count in arguments.sizes:
                seconds = measure(kind, count, steps, Path(name))
                print(f"{count:>12}" + "".join(f"{seconds[s]:>10.2f}" for s in seconds), flush=True)
                for step, value in seconds.items():
                    points[step].append((count, value))
                if max(seconds.values(), default=0) > _ENDLESS_S:
                    break
            growth = {step: exponent(entries) for step, entries in points.items()}
            worst = max([worst, *(value for value in growth.values() if value is not None)])
            texts = ["-" if growth[s] is None else f"{growth[s]:.2f}" for s in steps]
            print(f"{'exponent':>12}" + "".join(f"{text:>10}" for text in texts), flush=True)
    if arguments.most is not None and worst > arguments.most:
        print(f"a step grows with an exponent of {worst:.2f}; accepted: {arguments.most}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
