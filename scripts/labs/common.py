"""What the labs share: models and data under a folder, tables as Markdown, lines to type."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnshell import flow
from nnshell.images import Images
from nnshell.ir.graph import Graph
from nnshell.quantization import QuantizationOptions

_IMAGENET = (
    "x: (x/255-np.array([.485,.456,.406]).reshape(3,1,1))/np.array([.229,.224,.225]).reshape(3,1,1)"
)


@dataclass(frozen=True, slots=True)
class Model:
    """A model file and how its input is normalized."""

    file: str
    norm: str


MODELS = {
    "resnet20": Model("models/resnet20_cifar10.onnx", _IMAGENET),
    "lenet": Model("models/lenet_cifar10_jnulzl.onnx", "x: x/127.5-1"),
    "lab4": Model("models/lab4/model_lab4.onnx", "x: (x/255-0.5)/0.5"),
}
CALIBRATION, TEST = "data/cifar10_train_25k.npz", "data/cifar10_test.npz"


@dataclass(frozen=True, slots=True)
class Lab:
    """The options of a lab: where data is, how many images are used."""

    data: Path
    count: int
    calibration: int

    def open(self, name: str, *, fused: bool = True) -> Graph:
        graph = flow.open_graph(self.data / MODELS[name].file)
        flow.adjust(graph)
        if fused:
            flow.fuse(graph, "scale8")
        return graph

    def images(self, name: str, *, norm: str | None = None) -> Images:
        return flow.load_inputs(self.data / TEST, norm=norm or MODELS[name].norm, limit=self.count)

    def quantize(self, graph: Graph, name: str, **options: Any) -> None:
        """Calibrate on the first images of the training set (balanced), then quantize."""
        chosen = QuantizationOptions(**options)
        if graph.statistics is None:
            images = flow.load_inputs(
                self.data / CALIBRATION, norm=MODELS[name].norm, limit=self.calibration
            )
            graph.statistics = flow.calibrate(graph, images, clip_type=("mse", chosen.clip_type))
        flow.quantize(graph, graph.statistics, chosen)

    def accuracy(self, graph: Graph, name: str, engine: Any = "simulated") -> float:
        """Per cent of the test images."""
        report = flow.validate(graph, self.images(name), engine)
        return 100 * (report.accuracy or 0.0)


def lab_options(description: str, count: int = 1000) -> Lab:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("data", type=Path, help="folder with models/ and data/")
    parser.add_argument("--count", type=int, default=count, help="test images")
    parser.add_argument("--calibration", type=int, default=256, help="calibration images")
    args = parser.parse_args()
    return Lab(args.data, args.count, args.calibration)


def show(title: str, lab: Lab, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A section of the report: Markdown, which reads as text too."""
    print(f"## {title}\n\n{lab.count} test images, {lab.calibration} calibration images.\n")
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(_text(cell) for cell in row)} |", flush=True)
    print()


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)


def at_the_prompt(model: str, *lines: str) -> None:
    """The commands that give one of the rows."""
    norm = MODELS[model].norm
    opening = [
        f"open DATA/{MODELS[model].file}",
        "adjust",
        "fusions --scale8",
        f'set input_norm_func "{norm}"',
    ]
    print("At the prompt:\n\n" + "\n".join(f"    {line}" for line in (*opening, *lines)) + "\n")
