"""What the labs share: models and data under a folder, tables as Markdown, lines to type."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell import flow
from nnshell.execution.engines import make_engine
from nnshell.experiments.bench import Outcome, outcome
from nnshell.inputs.binding import Images
from nnshell.inputs.input_set import Batch
from nnshell.quantization import QuantizationOptions
from nnshell.session.project import Project

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


@dataclass(slots=True)
class Lab:
    """The options of a lab: where data is, how many images are used, where tables go."""

    data: Path
    count: int
    calibration: int
    tables: Path | None = None
    fast: bool = False
    networks: tuple[str, ...] = ()
    training: int = 0
    _batches: dict[tuple[str, int], list[Batch]] = field(default_factory=dict)
    _floats: dict[tuple[str, int], list[NDArray[Any]]] = field(default_factory=dict)
    _started: float = field(default_factory=perf_counter)

    def open(self, name: str, *, fused: bool = True) -> Project:
        project = flow.open_graph(self.data / MODELS[name].file)
        flow.adjust(project)
        if fused:
            flow.fuse(project, "scale8")
        return project

    def images(self, name: str, *, norm: str | None = None) -> Images:
        return flow.load_inputs(self.data / TEST, norm=norm or MODELS[name].norm, limit=self.count)

    def training_images(self, name: str, count: int) -> Images:
        """The first of the training set, which is balanced."""
        return flow.load_inputs(self.data / CALIBRATION, norm=MODELS[name].norm, limit=count)

    def quantize(self, project: Project, name: str, **options: Any) -> None:
        """Calibrate on the first images of the training set, then quantize."""
        chosen = QuantizationOptions(**options)
        if project.statistics is None:
            images = self.training_images(name, self.calibration)
            project.statistics = flow.calibrate(
                project, images, clip_type=("mse", chosen.clip_type)
            )
        flow.quantize(project, project.statistics, chosen)

    def judge(
        self, project: Project, name: str, engine: Any = "simulated", count: int | None = None
    ) -> Outcome:
        """Accuracy on the test images, and noise and agreement beside the float graph."""
        key, output = (name, count or self.count), project.outputs[0].name
        if key not in self._batches:
            images = flow.load_inputs(self.data / TEST, norm=MODELS[name].norm, limit=key[1])
            self._batches[key] = flow.batches_of(project, images)
        batches = self._batches[key]
        if key not in self._floats:
            floats = make_engine(project.graph, "float", keys=[output])
            self._floats[key] = [floats.run(batch.arrays)[output] for batch in batches]
        found = self._floats[key]
        if engine != "float":
            runner = make_engine(project.graph, engine, keys=[output])
            found = [runner.run(batch.arrays)[output] for batch in batches]
        if engine == "int8":
            made = project.outputs[0].quantization
            assert made is not None
            found = [made.output.dequantize(array) for array in found]
        return outcome(batches, found, self._floats[key])

    def accuracy(
        self, project: Project, name: str, engine: Any = "simulated", count: int | None = None
    ) -> float:
        """Per cent of the test images."""
        return 100 * (self.judge(project, name, engine, count).accuracy or 0.0)

    def say(self, what: str) -> None:
        """Progress, with the seconds since the start."""
        print(f"  {perf_counter() - self._started:5.0f} s  {what}", file=sys.stderr, flush=True)


def lab_options(description: str | None, count: int = 1000) -> Lab:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("data", type=Path, help="folder with models/ and data/")
    parser.add_argument("--count", type=int, default=count, help=f"test images ({count})")
    parser.add_argument("--calibration", type=int, default=256, help="calibration images (256)")
    parser.add_argument("--tables", type=Path, help="folder for each table as csv and json")
    parser.add_argument("--fast", action="store_true", help="few samples: directions, not figures")
    parser.add_argument("--networks", nargs="*", default=(), help="of the lab of training: some")
    parser.add_argument("--training", type=int, default=0, help="samples to train on")
    args = parser.parse_args()
    names = tuple(args.networks)
    sizes = args.data, args.count, args.calibration, args.tables
    return Lab(*sizes, args.fast, names, args.training)


def show(
    title: str,
    lab: Lab,
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    count: int | None = None,
    kind: str = "test",
) -> None:
    """A section of the report: Markdown, which reads as text too."""
    images = f"{count or lab.count:,} {kind} images, {lab.calibration} for calibration"
    print(f"## {title}\n\n{images}.\n")
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")
    rows = list(rows)
    for row in rows:
        assert len(row) == len(header), f"{title}: {row} does not fit the columns"
        print(f"| {' | '.join(_text(cell) for cell in row)} |", flush=True)
    print()
    if lab.tables is not None:
        _write(lab.tables, title, header, rows)


def _write(folder: Path, title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / title.partition(" (")[0].lower().replace(". ", "_").replace(" ", "_")
    with open(f"{stem}.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    entries = [dict(zip(header, row, strict=True)) for row in rows]
    Path(f"{stem}.json").write_text(f"{json.dumps(entries, indent=1)}\n", encoding="utf-8")


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return "" if np.isnan(cell) else f"{cell:.2f}"
    return f"{cell:,}" if isinstance(cell, int) and cell >= 10_000 else str(cell)


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
