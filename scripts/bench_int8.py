"""Time of the int8 and simulated engines as a ratio to ONNX Runtime's float run of the network.

All run the same batches in one process, alternating; the ratio is of the fastest rounds, which a
busy machine disturbs least. The peer is ONNX Runtime over the model file itself.

    python scripts/bench_int8.py DATA_DIR
    python scripts/bench_int8.py --model net.onnx --images 'images/*.png' --norm 'x: x/255'

DATA_DIR (or the environment variable NNSHELL_TEST_DATA) holds models/ and data/.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import onnxruntime
from numpy.typing import NDArray

import nnshell
from nnshell.execution.engines import make_engine
from nnshell.execution.fast_engine import FastEngine
from nnshell.execution.simulated_engine import SimulatedEngine

MEAN, STD = "[0.485,0.456,0.406]", "[0.229,0.224,0.225]"
RESNET_NORM = f"x: (x/255-np.array({MEAN}).reshape(3,1,1))/np.array({STD}).reshape(3,1,1)"
# Published for NNTool's own engine: milliseconds per image.
NNTOOL_MS = {"resnet20_cifar10": 22.0, "lenet_cifar10_jnulzl": 5.0}


def float_peer(model: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def best_seconds(
    runs: dict[str, Callable[[NDArray[np.float32]], object]],
    batches: list[NDArray[np.float32]],
    rounds: int,
) -> dict[str, float]:
    """Fastest round of each run over all batches, the runs alternating."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            start = perf_counter()
            for batch in batches:
                run(batch)
            best[name] = min(best[name], perf_counter() - start)
    return best


def bench(model: Path, images: str, norm: str, arguments: argparse.Namespace) -> None:
    project = nnshell.open_graph(model)
    nnshell.adjust(project)
    nnshell.fuse(project, "scale8")
    calibration = nnshell.load_inputs(images, norm=norm, limit=20)
    nnshell.quantize(project, nnshell.calibrate(project, calibration))
    graph = project.graph
    inputs = nnshell.load_inputs(images, norm=norm, limit=arguments.count).open(project)
    batches = [batch.arrays[0] for batch in inputs.batches(arguments.batch)]
    peer = float_peer(model, arguments.threads)
    name = peer.get_inputs()[0].name
    engine = FastEngine(graph, threads=arguments.threads)
    simulated = SimulatedEngine(graph, threads=arguments.threads)
    runs = {
        "float": lambda batch: peer.run(None, {name: batch}),
        "int8": lambda batch: engine.run([batch]),
        "simulated": lambda batch: simulated.run([batch]),
    }
    # A file with a fixed batch is run sample by sample; then the exported graph is the peer.
    if isinstance(peer.get_inputs()[0].shape[0], int):
        exported = make_engine(graph, "float")
        runs["float"] = lambda batch: exported.run([batch])
    seconds = best_seconds(runs, batches, arguments.rounds)
    count = sum(len(batch) for batch in batches)
    ms = {key: 1e3 * value / count for key, value in seconds.items()}
    known = NNTOOL_MS.get(model.stem)
    faster = f", {known / ms['int8']:.0f} times as fast as NNTool's {known:g} ms" if known else ""
    fallback = f" (reference: {engine.fallback_reason})" if engine.fallback_reason else ""
    print(
        f"{model.stem}: float {ms['float']:.3f} ms, int8 {ms['int8']:.3f} ms per image, "
        f"ratio {ms['int8'] / ms['float']:.2f}{faster}{fallback}; "
        f"simulated {ms['simulated']:.3f} ms, ratio {ms['simulated'] / ms['float']:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", nargs="?", default=os.environ.get("NNSHELL_TEST_DATA", ""))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--images")
    parser.add_argument("--norm", default="x: x/255")
    parser.add_argument("--count", type=int, default=500, help="images (500)")
    parser.add_argument("--batch", type=int, default=64, help="samples per run (64)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    if arguments.model is not None:
        bench(arguments.model, arguments.images, arguments.norm, arguments)
        return
    if not arguments.data:
        parser.error("give DATA_DIR, or --model and --images")
    data = Path(arguments.data)
    images = str(data / "data" / "cifar10_test.npz")
    bench(data / "models" / "resnet20_cifar10.onnx", images, RESNET_NORM, arguments)
    bench(data / "models" / "lenet_cifar10_jnulzl.onnx", images, "x: x/127.5-1", arguments)


if __name__ == "__main__":
    main()
