"""Agreement of the simulated engine with the integers, and of the exported QDQ file with it.

For every ONNX model under a folder: outputs of the int8 engine, of the simulated one, and of the
file that ``export --form qdq`` writes, run by ONNX Runtime as anyone would. "Predictions" are
positions of the largest value along the last axis; "values" are output integers that are equal.

    python scripts/validate_simulated.py DATA_DIR [--count 1000]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

import nnshell
from nnshell import flow
from nnshell.execution.engines import make_engine
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.exporters.onnx import to_bytes
from nnshell.exporters.simulated import export_simulated
from nnshell.session.project import Project

IMAGENET = "x: (x/255-np.array([.485,.456,.406]).reshape(3,1,1))"
IMAGENET += "/np.array([.229,.224,.225]).reshape(3,1,1)"
CIFAR, MNIST, CROPS = "cifar10_test.npz", "t10k-images-idx3-ubyte.gz", "imagenet_32_crops.npz"
# Model, images, how they are prepared, whether they are resized to the input.
MODELS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("lab4/model_lab4", CIFAR, {"norm": "x: (x/255-0.5)/0.5"}),
    ("lenet_cifar10_jnulzl", CIFAR, {"norm": "x: x/127.5-1"}),
    ("lenet_mnist_ccoltong", MNIST, {"norm": "x: (x/255-0.1307)/0.3081"}),
    ("resnet20_cifar10", CIFAR, {"norm": IMAGENET}),
    ("resnet20_cifar10_convshortcut", CIFAR, {"norm": IMAGENET}),
    ("mobilenet_v2_128_0.5", CROPS, {"norm": "x: x/127.5-1", "height": 128, "width": 128}),
    (
        "pulp_dronet_v2",
        CROPS,
        {"norm": "x: x/255", "height": 200, "width": 200, "mode": "L"},
    ),
    ("ultraface_rfb_320", CROPS, {"norm": "x: (x-127)/128", "height": 240, "width": 320}),
)


def prepared(model: Path, images: Path, options: dict[str, Any]) -> Project:
    project = nnshell.open_graph(model)
    nnshell.adjust(project)
    nnshell.fuse(project, "scale8")
    seen = nnshell.calibrate(project, nnshell.load_inputs(images, limit=100, **options))
    nnshell.quantize(project, seen)
    return project


def compared(model: Path, images: Path, options: dict[str, Any], count: int) -> list[float]:
    """Per cent of equal predictions and values: simulated and int8, file and simulated."""
    project = prepared(model, images, options)
    graph = project.graph
    keys = [node.name for node in graph.outputs]
    integers, simulated = (make_engine(graph, name, keys=keys) for name in ("int8", "simulated"))
    file = onnxruntime.InferenceSession(
        to_bytes(export_simulated(graph, integers=True)), providers=["CPUExecutionProvider"]
    )
    records = {key: IntegerEngine(graph).record(key) for key in keys}
    equal = np.zeros(6)
    inputs = nnshell.load_inputs(images, limit=count, **options).open(project)
    for batch in inputs.batches(flow.batch_size(graph)):
        whole = integers.run(batch.arrays)
        names = [entry.name for entry in file.get_inputs()]
        given = dict(zip(names, batch.arrays, strict=True))
        found = dict(zip(keys, file.run(keys, given), strict=True))
        rounded = simulated.run(batch.arrays)
        for key in keys:
            real = records[key].dequantize(whole[key])
            scale = records[key].first_scale
            equal += (*_equal(rounded[key], real, scale), *_equal(found[key], rounded[key], scale))
    return [100 * float(equal[i] / equal[j]) for i, j in ((0, 1), (2, 1), (3, 4), (5, 4))]


def _equal(one: NDArray[Any], two: NDArray[Any], scale: float) -> tuple[float, float, float]:
    """Equal predictions, of how many, and the share of equal values times that."""
    rows = [array.reshape(-1, array.shape[-1]) for array in (one, two)]
    if rows[0].shape[1] == 1:
        rows = [array.reshape(len(array), -1) for array in (one, two)]
    same = np.abs(one - two) < 0.5 * scale
    answers = [row.argmax(axis=1) for row in rows]
    return float((answers[0] == answers[1]).sum()), len(rows[0]), float(same.mean() * len(rows[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path, help="folder with models/ and data/")
    parser.add_argument("--count", type=int, default=1000, help="samples at most (1000)")
    parser.add_argument("--only", default="", help="a part of the model's name")
    arguments = parser.parse_args()
    print("| model | simulated as int8 % | values | QDQ file as simulated % | values |")
    print("|---|---|---|---|---|")
    for name, images, options in MODELS:
        if arguments.only in name:
            model = arguments.data / "models" / f"{name}.onnx"
            row = compared(model, arguments.data / "data" / images, options, arguments.count)
            print(f"| {name} | {' | '.join(f'{value:.3f}' for value in row)} |", flush=True)


if __name__ == "__main__":
    main()
