"""Time of the int8 engines and their peers as ratios to ONNX Runtime's float run of the network.

Everything runs in one process, in turns: each round gives every engine some runs in a row, and the
fastest round of each counts, which a busy machine disturbs least. The peer of all is ONNX Runtime
over the model file itself, or over the exported float graph where that is no ONNX file or has a
fixed batch. Before anything is timed, the engines' integers are compared with the reference.

    python scripts/bench_int8.py DATA_DIR
    python scripts/bench_int8.py DATA_DIR --networks lenet resnet20 --threads 1 --json times.json
    python scripts/bench_int8.py --model net.onnx --images 'images/*.png' --norm 'x: x/255'

DATA_DIR (or the environment variable NNSHELL_TEST_DATA) holds models/, more_models/ and data/.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

import nnshell
from nnshell import flow
from nnshell.execution.fast_engine import FastEngine
from nnshell.execution.float_engine import FloatEngine
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.execution.native_compiler import VARIANTS
from nnshell.execution.native_engine import NativeEngine
from nnshell.session.project import Project
from nnshell.support.processor import processor_features

MEAN, STD = "[0.485,0.456,0.406]", "[0.229,0.224,0.225]"
RESNET_NORM = f"x: (x/255-np.array({MEAN}).reshape(3,1,1))/np.array({STD}).reshape(3,1,1)"
CIFAR = "data/cifar10_test.npz"
LEAST_ROUND_SECONDS = 0.01
CLOCKS = {"wall": perf_counter, "cpu": process_time}

Run = Callable[[], object]


@dataclass(frozen=True)
class Network:
    """A model with images of its size ("" for random ones), and what NNTool takes, if published."""

    model: str
    images: str
    norm: str
    litert: str = ""  # the same network in int8, for LiteRT
    nntool_ms: float | None = None


NETWORKS = {
    "lenet": Network("models/lenet_cifar10_jnulzl.onnx", CIFAR, "x: x/127.5-1", "", 5.3),
    "resnet20": Network("models/resnet20_cifar10.onnx", CIFAR, RESNET_NORM, "", 22.0),
    "resnet8": Network(
        "models/mlperf_tiny/pretrainedResnet.tflite",
        "",
        "",
        "models/mlperf_tiny/pretrainedResnet_quant.tflite",
    ),
    "vww": Network(
        "models/mlperf_tiny/vww_96_float.tflite", "", "", "models/mlperf_tiny/vww_96_int8.tflite"
    ),
    "mobilenet_v2": Network("models/mobilenet_v2_128_0.5.onnx", "", "", "", 51.0),
    "dronet": Network(
        "models/pulp_dronet_v2.onnx", "data/dronet_images/calib/*.pgm", "x: x/255", "", 250.0
    ),
    "resnet18": Network("more_models/resnet18_cifar10_64.onnx", "", ""),
}


@dataclass(frozen=True)
class Time:
    """One engine on one network: milliseconds of an image, and as a ratio to float."""

    network: str
    engine: str
    threads: int
    batch: int
    ms_per_image: float
    times_float: float


def opened(model: Path, images: str, norm: str, count: int) -> tuple[Project, NDArray[Any]]:
    """A quantized project, and samples to time it on."""
    project = nnshell.open_graph(model)
    nnshell.adjust(project)
    nnshell.fuse(project, "scale8")
    if images:
        calibration = nnshell.load_inputs(images, norm=norm, limit=20)
        nnshell.quantize(project, nnshell.calibrate(project, calibration))
        inputs = nnshell.load_inputs(images, norm=norm, limit=count)
        samples = np.concatenate([b.arrays[0] for b in flow.batches_of(project, inputs)])
    else:
        shape = project.graph.inputs[0].type.shape
        random = np.random.default_rng(0)
        samples = random.uniform(-1, 1, (count, *shape)).astype(np.float32)
        nnshell.quantize(project, nnshell.calibrate(project, samples[:20]))
    return project, np.resize(samples, (count, *samples.shape[1:]))


def session(model: str, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def float_peer(project: Project, model: Path, threads: int) -> Callable[[NDArray[Any]], object]:
    if model.suffix == ".onnx":
        peer = session(str(model), threads)
        given = peer.get_inputs()[0]
        if not isinstance(given.shape[0], int) or given.shape[0] == 1:
            fixed = isinstance(given.shape[0], int)
            if not fixed:
                return lambda batch: peer.run(None, {given.name: batch})
            return lambda batch: [peer.run(None, {given.name: row[np.newaxis]}) for row in batch]
    exported = FloatEngine(project.graph, threads=threads)
    return lambda batch: exported.run([batch])


def qdq_peer(project: Project, threads: int) -> Callable[[NDArray[Any]], object]:
    """ONNX Runtime over the file that `export --form qdq` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "qdq.onnx")
        flow.export(project, path, "qdq")
        peer = session(path, threads)
    name = peer.get_inputs()[0].name
    return lambda batch: peer.run(None, {name: batch})


def litert_peer(model: Path, threads: int) -> Callable[[NDArray[Any]], object]:
    """LiteRT with XNNPACK over an int8 file: one image at a time, integers in."""
    from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-not-found]

    interpreter = Interpreter(model_path=str(model), num_threads=threads)
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]
    image = np.zeros(entry["shape"], entry["dtype"])

    def run(batch: NDArray[Any]) -> None:
        for _ in batch:
            interpreter.set_tensor(entry["index"], image)
            interpreter.invoke()

    return run


def engines(
    project: Project, model: Path, litert: Path | None, threads: int
) -> Iterator[tuple[str, Callable[[NDArray[Any]], object]]]:
    """What is timed; float first."""
    graph = project.graph
    yield "float", float_peer(project, model, threads)
    features = processor_features()
    for variant in VARIANTS:
        if variant.fast and variant.features <= features:
            native = NativeEngine(graph, threads=threads, kind=variant)
            yield f"native {variant.name}", lambda batch, e=native: e.run([batch])
    lowered = FastEngine(graph, threads=threads)
    yield "lowered", lambda batch: lowered.run([batch])
    yield "onnxruntime qdq", qdq_peer(project, threads)
    if litert is not None and find_spec("ai_edge_litert") is not None:
        yield "litert int8", litert_peer(litert, threads)


def best_seconds(runs: dict[str, Run], rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    """Seconds of one run in the fastest round of each, all taking turns."""
    repeats = {}
    for name, run in runs.items():
        run()
        start = clock()
        run()
        repeats[name] = max(1, int(LEAST_ROUND_SECONDS / max(clock() - start, 1e-9)))
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            start = clock()
            for _ in range(repeats[name]):
                run()
            best[name] = min(best[name], (clock() - start) / repeats[name])
    return best


def check(project: Project, samples: NDArray[Any]) -> None:
    """The native engine's integers on a few samples are the reference's."""
    graph = project.graph
    keys = [node.name for node in graph.outputs]
    expected = IntegerEngine(graph).run([samples[:2]], keys)
    for variant in VARIANTS:
        if variant.features <= processor_features():
            results = NativeEngine(graph, kind=variant).run([samples[:2]])
            for key in keys:
                assert np.array_equal(results[key], expected[key]), (graph.name, variant.name, key)


def bench(name: str, network: Network, root: Path, arguments: argparse.Namespace) -> Iterator[Time]:
    model = root / network.model
    images = str(root / network.images) if network.images else ""
    project, samples = opened(model, images, network.norm, arguments.batch)
    check(project, samples)
    litert = root / network.litert if network.litert else None
    for threads in arguments.threads:
        timed = dict(engines(project, model, litert, threads))
        for batch in (samples[:1], samples):
            runs: dict[str, Run] = {
                key: lambda run=run, batch=batch: run(batch) for key, run in timed.items()
            }
            seconds = best_seconds(runs, arguments.rounds, CLOCKS[arguments.clock])
            for key, value in seconds.items():
                ms = 1e3 * value / len(batch)
                yield Time(name, key, threads, len(batch), ms, value / seconds["float"])


def line(time: Time) -> str:
    return (
        f"{time.network:13} {time.engine:18} {time.threads} threads  batch {time.batch:3}  "
        f"{time.ms_per_image:8.3f} ms  {time.times_float:5.2f} times float"
    )


def surroundings() -> str:
    """Processor and versions, to stand beside the figures."""
    packages = []
    for name in ("onnxruntime", "ai-edge-litert", "numpy"):
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    lines = []
    if Path("/proc/cpuinfo").exists():
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
        lines = [row.partition(":")[2].strip() for row in text.splitlines() if "model name" in row]
    return f"{lines[0] if lines else platform.processor()}; {', '.join(packages)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add = parser.add_argument
    add("data", nargs="?", default=os.environ.get("NNSHELL_TEST_DATA", ""))
    add("--networks", nargs="+", choices=tuple(NETWORKS), default=list(NETWORKS))
    add("--model", type=Path)
    add("--images", default="")
    add("--norm", default="x: x/255")
    add("--batch", type=int, default=64, help="images of a batch (64)")
    add("--threads", type=int, nargs="+", default=[1, 2])
    add("--rounds", type=int, default=15)
    add("--clock", choices=tuple(CLOCKS), default="wall",
        help="cpu: time of this process, for one thread on a machine that others load")  # fmt: skip
    add("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.model is None and not arguments.data:
        parser.error("give DATA_DIR, or --model")
    chosen = {name: NETWORKS[name] for name in arguments.networks}
    if arguments.model is not None:
        network = Network(str(arguments.model.absolute()), arguments.images, arguments.norm)
        chosen = {arguments.model.stem: network}
    print(surroundings())
    times = []
    for name, network in chosen.items():
        for time in bench(name, network, Path(arguments.data), arguments):
            print(line(time), flush=True)
            times.append(time)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(time) for time in times], indent=1))


if __name__ == "__main__":
    main()
