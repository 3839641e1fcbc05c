"""Labs: tables of courses on any model and data, with what is published and what follows.

`lab NAME` prints one. Each is a function that yields tables and lines of text; ``LABS`` lists them
with their titles, the published figures, what to conclude, and the lines that do a part of it at
the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from nnshell import flow
from nnshell.execution.engines import make_engine
from nnshell.experiments.steps import weight_bytes
from nnshell.inputs.input_set import Batch
from nnshell.ir.basic_operators import Output
from nnshell.ir.graph import Node, Ref
from nnshell.learning.judged import Change
from nnshell.quantization import QuantizationOptions
from nnshell.reports import scales
from nnshell.reports.distribution_tables import distribution_table
from nnshell.reports.distributions import constant_distributions
from nnshell.reports.experiment_tables import advice_lines, mixture_table, sensitivity_table
from nnshell.reports.size_table import size_table
from nnshell.reports.table import Cell, Column, Table
from nnshell.session import studies
from nnshell.session.project import Project
from nnshell.session.sizes import measure_sizes
from nnshell.support.errors import UsageError
from nnshell.tutorials.lab_work import JUDGED, LabWork, judged_cells, kl_divergence
from nnshell.tutorials.lesson_data import SAMPLE, LessonData

Part = Table | str
_FEWEST = 100  # values of a tensor that is worth a row
_SIX_CALIBRATORS = ("none", "percentile", "entropy", "mse", "histogram", "kth")
_VAE = LessonData("sample:vae", "sample:vae_calibration", "sample:vae_test", "x: x/255")


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab: what it measures, what others found, what follows, and a part of it by hand."""

    name: str
    title: str
    run: Callable[[LabWork], Iterator[Part]]
    published: str
    conclusion: str
    prompt: tuple[str, ...]
    sample: LessonData = SAMPLE


def find(name: str) -> Lab:
    """A lab by its name; UsageError when there is none."""
    if name.lower() not in LABS:
        raise UsageError(f"there is no lab '{name}'", hint=f"labs: {', '.join(LABS)}")
    return LABS[name.lower()]


def labs_table() -> Table:
    """All labs, a row each."""
    columns = (Column("Name"), Column("Title", wraps=True))
    rows = tuple((lab.name, lab.title) for lab in LABS.values())
    note = "`lab NAME` runs one on sample data, `lab NAME --data FOLDER` on yours (`help data`)"
    return Table("Labs", columns, rows, notes=(note,))


# -- what they measure ---------------------------------------------------------------------


def _weights(work: LabWork) -> Iterator[Part]:
    project = flow.open_graph(work.data.model)
    entries = [e for e in constant_distributions(project.graph) if e.count >= _FEWEST]
    yield distribution_table(f"{project.name}: weights", entries)


def _clipping(work: LabWork) -> Iterator[Part]:
    rules = ("none", "std3", "std2", "std1", "mse")
    axes = {
        "quantized_dimension": ("tensor", "channel"),
        "weight_bits": (8, 4),
        "weight_clip": rules,
    }
    yield work.sweep(axes)


def _what(work: LabWork) -> Iterator[Part]:
    parts = ("nothing", "weights", "activations", "all")
    yield work.sweep({"quantize": (*parts, "bias=float", "bias=int32", "bias=unscaled")})


def _scales(work: LabWork) -> Iterator[Part]:
    project = work.quantized(work.project())
    yield scales.scales_text(project.graph, "*", 0)


def _memory(work: LabWork) -> Iterator[Part]:
    sizes = measure_sizes(work.quantized(work.project()))
    yield size_table(f"{sizes.model}: sizes", sizes.rows(), sizes.sentences(), sizes.to_json())


def _calibrators(work: LabWork) -> Iterator[Part]:
    yield work.sweep({"bits": (8, 6, 4, 3), "clip_type": _SIX_CALIBRATORS})


def _selective(work: LabWork) -> Iterator[Part]:
    project = work.quantized(work.project(), weight_bits=4, act_bits=4, clip_type="mse")
    batches = work.training(project)[:4]
    ranked = studies.sensitivity(project, batches)
    advice = studies.advise(project, batches, ranked)
    yield sensitivity_table(f"{project.name}: 4 bits", ranked, advice)
    yield from advice_lines(advice)
    project = work.quantized(work.project(), clip_type="mse")
    size = weight_bytes(project.graph, QuantizationOptions(weight_bits=5))
    mixture = studies.mixed(project, batches, size_bytes=size)
    yield mixture_table(f"{project.name}: widths within the bytes of 5 bits", mixture)
    row = judged_cells(work.judge(project))
    yield Table("the mixture on the test samples", JUDGED, (row,))


def _calibration_set(work: LabWork) -> Iterator[Part]:
    project, norm = work.project(), work.data.norm or "x: x"
    known = work.training(project)
    dark = re.sub(r"(?<![\w.])x(?![\w.])", "(x/3)", norm.partition(":")[2])
    sets: dict[str, list[Batch]] = {
        f"the first {count}": [_few(known, count)] for count in (1, 3, 10, 30)
    }
    sets["all samples"] = known
    labels = [label for batch in known for label in batch.labels if label is not None]
    if labels:
        sets[f"class {labels[0]} only"] = [_of_class(known, labels[0])]
    files, count = work.data.calibration, work.images
    if work.data.norm:
        sets["a third of the light"] = work.read(project, files, count, f"x:{dark}")
        sets["not normalized"] = work.read(project, files, count, "x: x")
    columns = (Column("Calibration"), Column("Samples", "right"), Column("Output range"), *JUDGED)
    rows = []
    for what, batches in sets.items():
        work.quantized_on(project, batches)
        record = project.outputs[0].quantization
        assert record is not None
        low, high = (float(np.ravel(v)[0]) for v in (record.output.minimum, record.output.maximum))
        cells: tuple[Cell, ...] = (what, sum(map(len, batches)), f"{low:.2f} .. {high:.2f}")
        rows.append((*cells, *judged_cells(work.judge(project))))
    yield Table(f"{project.name}: calibration sets", columns, tuple(rows))


def _activation(work: LabWork) -> Iterator[Part]:
    unequal = work.project(fused=False)
    for node in [node for node in unequal.graph if node.op.makes_wide]:
        op = Output(len(unequal.graph.outputs))  # what is read twice keeps a record of its own
        unequal.graph.add(Node(f"{node.name}_seen", op, [Ref(node.name)], op.infer((node.type,))))
    rows = []
    for what, project in (
        ("fused", work.project()),
        ("unfused, equal scales", work.project(fused=False)),
        ("unfused, a scale of its own before the activation", unequal),
    ):
        rows.append((what, *judged_cells(work.judge(work.quantized(project)))))
    yield Table("before or after the activation", (Column("Activation"), *JUDGED), tuple(rows))


def _learned(work: LabWork) -> Iterator[Part]:
    methods: Mapping[str, Callable[[Project, list[Batch]], Change] | None] = {
        "nearest integers, mse clipping": None,
        "bcorr": studies.correct_biases,
        "scale_search": studies.search_scales,
        "adaround": studies.adaround,
    }
    rows = []
    for bits in (4, 3):
        for name, learn in methods.items():
            options = {"weight_bits": bits, "act_bits": bits, "clip_type": "mse"}
            project, started = work.quantized(work.project(), **options), perf_counter()
            if learn is not None:
                learn(project, work.training(project))
            seconds = round(perf_counter() - started, 1)
            rows.append((bits, name, *judged_cells(work.judge(project)), seconds))
    columns = (Column("Bits", "right"), Column("Method"), *JUDGED, Column("Time", "right", "s"))
    yield Table("integers that are chosen by what layers make", columns, tuple(rows))


def _losses(work: LabWork) -> Iterator[Part]:
    """Losses of an autoencoder; with outputs called or placed as mean and logvar, KL as well."""
    rows = []
    for what, options in (
        ("float", {"weight_bits": 32, "act_bits": 32}),
        ("8 bits", {}),
        ("weights 4 bits", {"weight_bits": 4}),
        ("4 bits", {"weight_bits": 4, "act_bits": 4}),
    ):
        project = work.quantized(work.project(), **options)
        rows.append((what, *_losses_of(project, work.tests(project))))
    columns = (Column("Quantized"), *(Column(name, "right", digits=4) for name in _LOSSES))
    note = "sums over pixels and latents, means over samples, in nats (MSE: mean over pixels)"
    yield Table(f"{project.name}: losses", columns, tuple(rows), notes=(note,))


_LOSSES = ("MSE", "BCE", "KL", "BCE + KL")


def _losses_of(project: Project, batches: list[Batch]) -> tuple[Cell, ...]:
    keys = [node.name for node in project.outputs]
    if project[keys[0]].type.size != project.inputs[0].type.size:
        raise UsageError("the first output is not as large as the input", where=project.name)
    engine = make_engine(project.graph, "simulated", keys=keys)
    outputs = [engine.run(batch.arrays) for batch in batches]
    y = np.concatenate([entry[keys[0]].reshape(len(entry[keys[0]]), -1) for entry in outputs])
    t = np.concatenate([batch.arrays[0].reshape(len(batch), -1) for batch in batches])
    y, t = y.astype(np.float64), t.astype(np.float64)
    kept = np.clip(y, 1e-7, 1 - 1e-7)
    bce = float(-(t * np.log(kept) + (1 - t) * np.log1p(-kept)).sum(axis=1).mean())
    mse = float(np.square(y - t).mean())
    if len(keys) < 3 or project[keys[1]].type.size != project[keys[2]].type.size:
        return (mse, bce, None, None)
    mean, logvar = (np.concatenate([out[key] for out in outputs]) for key in keys[1:3])
    kl = kl_divergence(mean, logvar)
    return (mse, bce, kl, bce + kl)


def _few(batches: list[Batch], count: int) -> Batch:
    """The first ``count`` samples."""
    first = batches[0]
    return Batch(
        tuple(array[:count] for array in first.arrays), first.names[:count], first.labels[:count]
    )


def _of_class(batches: list[Batch], label: int) -> Batch:
    """The samples of one class."""
    chosen = [np.array([own == label for own in batch.labels]) for batch in batches]
    arrays = tuple(
        np.concatenate([b.arrays[n][c] for b, c in zip(batches, chosen, strict=True)])
        for n in range(len(batches[0].arrays))
    )
    count = len(arrays[0])
    return Batch(arrays, ("",) * count, (label,) * count)


# -- the list ------------------------------------------------------------------------------

_OPEN = ("open MODEL", "adjust", "fusions --scale8", 'set input_norm_func "NORM"')
_AQUANT = (*_OPEN, "aquant CALIBRATION")

_ALL = (
    Lab(
        "a",
        "How are weights spread, and how many lie outside 1, 2 and 3 sigma?",
        _weights,
        "A trained LeNet: conv1 -0.575 .. 0.531, 0.0 to 0.7 % outside 3 sigma.",
        "About normal weights have 32, 5 and 0.3 % outside 1, 2 and 3 sigma; first layers are "
        "small and far from normal, linear layers have long tails.",
        ("open MODEL", "weights"),
    ),
    Lab(
        "b",
        "What does accuracy lose when weights are clipped at 3, 2 and 1 sigma?",
        _clipping,
        "LeNet on CIFAR-10, 8 bits: 53.41 % with all, 52.67, 51.33, 41.40 % at 3, 2, 1 sigma.",
        "At 8 bits clipping only costs: steps are fine enough for the extremes. With fewer bits a "
        "tighter range has finer steps and some clipping gains; mse finds how much.",
        (*_AQUANT, "sweep TEST --calibrate_on CALIBRATION --weight_clip none,std3,std2,std1"),
    ),
    Lab(
        "c",
        "Quantize nothing, weights, activations, biases: what costs accuracy?",
        _what,
        "LeNet on CIFAR-10: 52.07 % float, 52.05 weights, 52.2 weights and activations; 47.58 with "
        "biases of a scale of their own.",
        "Activations make more noise than weights, which have a scale for each channel. A bias is "
        "added to sums of products: its integers must have their unit, input scale x weight scale.",
        (
            *_AQUANT,
            "sweep TEST --calibrate_on CALIBRATION --quantize nothing,weights,activations,all",
        ),
    ),
    Lab(
        "d",
        "Where do scales, multipliers and biases come from?",
        _scales,
        "The same formulas, by hand, in the labs of courses.",
        "Every integer of a kernel follows from three scales; a layer's sI is sO of the last.",
        (*_AQUANT, "explain scales *", "explain formula"),
    ),
    Lab(
        "e",
        "How much memory is saved, and where?",
        _memory,
        "0.2356 MB before and after where integers sit in floats; 25.24 % of the size as int8.",
        "8 of 32 bits, and a little for biases and multipliers. Integers that are kept in floats "
        "save nothing.",
        (*_AQUANT, "size"),
    ),
    Lab(
        "f",
        "Which calibrator at how many bits?",
        _calibrators,
        "ResNet-50 on CIFAR-10: 8 bits 93.62 (min/max), 93.52, 93.41 %; 4 bits 64.62 (histogram) "
        "to 88.55 %; 3 bits 50.76 %.",
        "At 8 bits all are within chance. The fewer bits, the more the choice of the range "
        "decides, and ranges alone do not save 3 bits (lab j).",
        (*_AQUANT, "sweep TEST --calibrate_on CALIBRATION --bits 8,6,4,3 --clip_type none,mse,kth"),
    ),
    Lab(
        "g",
        "Which layers hurt, and what do mixed widths gain at equal size?",
        _selective,
        "ResNet-18, selective quantization at 25 % of the size: 0.43 points lost.",
        "Few layers make most of the noise. Bits taken from large layers that hardly disturb the "
        "output pay for small ones that do.",
        (*_AQUANT, "sensitivity CALIBRATION --limit 100", "mixed CALIBRATION --size BYTES"),
    ),
    Lab(
        "h",
        "How many calibration images, and which?",
        _calibration_set,
        "Courses name variety, all classes and sizes of 10 to 1000 images, without figures.",
        "10 to 100 images of all classes, prepared exactly as in training. One misses extremes; "
        "hundreds add outliers. The class matters little, the preparation more than all else.",
        (*_AQUANT, "sweep TEST --calibrate_on CALIBRATION --calibration 1,10,100"),
    ),
    Lab(
        "i",
        "Quantize before or after the activation?",
        _activation,
        "Asked by courses, without figures.",
        "Fused, or unfused with equal scales, all 256 steps are values that the relu lets through. "
        "With a scale of its own before, half of the steps are thrown away and a second rounding "
        "follows.",
        ("open MODEL", "adjust", "aquant CALIBRATION", "qshow"),
    ),
    Lab(
        "j",
        "How few bits are enough when integers are chosen by what layers make?",
        _learned,
        "ResNet-50 on CIFAR-10 by ranges alone: 4 bits 64.62 to 88.55 %, 3 bits 50.76 %.",
        "Roundings that are chosen together win back most of what few bits lose, without labels "
        "and in seconds.",
        (*_OPEN, "aquant CALIBRATION --weight_bits 3 --act_bits 3", "adaround CALIBRATION"),
    ),
    Lab(
        "vae",
        "What does an autoencoder lose: squared error, cross-entropy, KL divergence?",
        _losses,
        "Reports train with quantization and compare losses before and after; without training, no "
        "figures are published.",
        "At 8 bits the losses hardly move: what cannot be reconstructed is the larger part. With "
        "few bits the reconstruction suffers, hardly the KL divergence: `adaround` or training "
        "wins much of it back.",
        (*_AQUANT, "validate TEST -q", "validate TEST -q --metric bce"),
        _VAE,
    ),
)
LABS: Mapping[str, Lab] = {lab.name: lab for lab in _ALL}
