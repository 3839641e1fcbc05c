"""Lab K: what training with fake quantization wins back, and what it costs (extra train).

Each network is trained or taken as it is, then trained with each quantizer and measured on test
data that nothing was chosen by. ``--fast`` takes few samples and shows directions, not figures;
``--networks`` names some of vae, lenet, resnet20, resnet18, kws.
"""

from __future__ import annotations

import resource
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np
from common import Lab, lab_options, show
from networks import variational_autoencoder

from nnshell import flow
from nnshell.inputs.binding import Images
from nnshell.inputs.input_set import Batch
from nnshell.session.project import Project
from nnshell.session.samples import batches_of
from nnshell.session.training import initialize, train

IMAGENET = (
    "x: (x/255-np.array([.485,.456,.406]).reshape(3,1,1))/np.array([.229,.224,.225]).reshape(3,1,1)"
)
TRAINING, TEST = "data/cifar10_train_25k.npz", "data/cifar10_test.npz"
QUANTIZERS = ("qat", "dorefa", "lsq")
_FEW = 300  # samples that suffice to quantize without training
VAE_PUBLISHED = {
    ("qat", 8): "105.47 / 103.92", ("qat", 4): "105.61 / 111.31",
    ("dorefa", 8): "105.59 / 105.73", ("dorefa", 4): "105.62 / 106.02",
    ("lsq", 8): "105.75 / 104.58", ("lsq", 4): "105.33 / 108.04",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sizes:
    """Samples of a table: trained on, and measured on; and the epochs in float and rounded."""

    training: int
    test: int
    floating: int = 10
    rounded: int = 1


def sizes_of(lab: Lab, fast: Sizes, whole: Sizes) -> Sizes:
    """Those of the form that was asked for, with as many samples to train on as --training says."""
    sizes = fast if lab.fast else whole
    return replace(sizes, training=lab.training) if lab.training else sizes


def megabytes() -> int:
    """Most memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


# -- a variational autoencoder -------------------------------------------------------------


def vae_loss(project: Project, batches: list[Batch], engine: Any) -> tuple[float, float]:
    """Binary cross-entropy plus KL divergence of a sample, with noise; seconds of the run."""
    random, total, count, seconds = np.random.default_rng(0), 0.0, 0, 0.0
    names = [node.name for node in project.outputs]
    for batch in batches:
        noise = random.standard_normal(batch.arrays[1].shape, np.float32)
        started = perf_counter()
        fed = Batch((batch.arrays[0], noise), batch.names, batch.labels)
        results = flow.run(project, [fed], engine)
        seconds += perf_counter() - started
        made, mean, variance = (results[name].reshape(len(batch), -1) for name in names)
        target = batch.arrays[0].reshape(len(batch), -1)
        made = np.clip(made, 1e-6, 1 - 1e-6)
        total -= float((target * np.log(made) + (1 - target) * np.log(1 - made)).sum())
        total -= 0.5 * float((1 + variance - mean**2 - np.exp(variance)).sum())
        count += len(batch)
    return total / count, seconds


def vae(lab: Lab) -> None:
    sizes = sizes_of(lab, Sizes(4000, 1000, 4, 2), Sizes(60_000, 10_000, 10, 2))
    with tempfile.TemporaryDirectory() as folder:
        start = opened(variational_autoencoder(Path(folder) / "vae.onnx"))
    data, test = (
        flow.load_inputs(str(lab.data / f"data/{name}-images-idx3-ubyte.gz"), norm="x: x/255",
                         limit=count)
        for name, count in (("train", sizes.training), ("t10k", sizes.test))
    )  # fmt: skip
    batches = list(batches_of(start, test))
    started = perf_counter()
    train(start, data, "none", loss="vae", epochs=sizes.floating, batch=128, rate=1e-3)
    lab.say(f"vae in float: {perf_counter() - started:.0f} s")
    before, evaluation = vae_loss(start, batches, "float")
    rows: list[tuple[Any, ...]] = []
    for quantizer in QUANTIZERS:
        for bits in (8, 4):
            project, started = start.copy(), perf_counter()
            train(project, data, quantizer, loss="vae", epochs=sizes.rounded, batch=128,
                  weight_bits=bits, act_bits=bits)  # fmt: skip
            seconds = perf_counter() - started
            after, simulated = vae_loss(project, batches, "simulated")
            lab.say(f"vae {quantizer} {bits}: {after:.2f}")
            times = (round(seconds / sizes.rounded), evaluation, simulated)
            rows.append((quantizer, bits, before, after, 100 * (after / before - 1), *times,
                         megabytes(), VAE_PUBLISHED[quantizer, bits]))  # fmt: skip
    header = ["quantizer", "bits", "loss before", "after", "above float %", "seconds an epoch"]
    header += ["evaluation s, float", "simulated", "peak MB", "published, before / after"]
    what = f"{sizes.training:,} training images, {sizes.floating} epochs in float, then "
    title = "K. A variational autoencoder (MNIST, 784-400-20-400-784)"
    show(title, lab, header, rows, sizes.test)
    print(f"{what}{sizes.rounded} rounded. Loss: binary cross-entropy + KL divergence an image.\n")


# -- classifiers ---------------------------------------------------------------------------


def opened(path: Path) -> Project:
    project = flow.open_graph(path)
    flow.adjust(project)
    flow.fuse(project, "scale8")
    return project


def images(lab: Lab, name: str, norm: str, limit: int, **options: Any) -> Images:
    return flow.load_inputs(str(lab.data / name), norm=norm, limit=limit, **options)


def right(project: Project, test: Images, engine: Any) -> float:
    """Per cent of the test images."""
    return 100 * float(flow.validate(project, test, engine).accuracy)


Row: TypeAlias = tuple[str, int, int, dict[str, Any]]  # quantizer, bits of W and A, options


def trained_rows(
    lab: Lab,
    start: Project,
    data: Images,
    test: Images,
    rows: Sequence[Row],
) -> Iterator[tuple[Any, ...]]:
    """Quantizer, bits, accuracy in float, quantized only, trained; seconds an epoch, memory."""
    floating = right(start, test, "float")
    untrained: dict[tuple[int, int], float] = {}
    for quantizer, weights, activations, options in rows:
        key = (weights, activations)
        if key not in untrained:
            project = start.copy()
            frozen = {"rate": 1e-30, "epochs": 1, "optimizer": "sgd"}  # quantized, that is all
            train(project, data[:_FEW], quantizer, weight_bits=weights, act_bits=activations,
                  **{**options, **frozen})  # fmt: skip
            untrained[key] = right(project, test, "simulated")
        project, started = start.copy(), perf_counter()
        train(project, data, quantizer, weight_bits=weights, act_bits=activations, **options)
        seconds = (perf_counter() - started) / options.get("epochs", 1)
        ours = right(project, test, "simulated")
        lab.say(f"{start.name} {quantizer} {weights}/{activations}: {ours:.2f} %")
        yield (quantizer, f"{weights}/{activations}", floating, untrained[key], ours,
               ours - floating, round(seconds), megabytes())  # fmt: skip


HEADER = ["quantizer", "bits W/A", "float %", "untrained %", "trained %", "points from float",
          "seconds an epoch", "peak MB"]  # fmt: skip


def lenet(lab: Lab) -> None:
    sizes = sizes_of(lab, Sizes(1500, 1000, 2, 1), Sizes(25_000, 10_000, 10, 2))
    norm = "x: x/127.5-1"
    data, test = images(lab, TRAINING, norm, sizes.training), images(lab, TEST, norm, sizes.test)
    start = opened(lab.data / "models/lenet_cifar10_jnulzl.onnx")
    options: dict[str, Any] = {"epochs": sizes.rounded, "flip": True, "crop": 2}
    widths = (4, 2) if lab.fast else (8, 4, 3, 2)
    chosen = [(q, bits, bits, options) for q in (*QUANTIZERS, "pact") for bits in widths]
    rows = list(trained_rows(lab, start, data, test, chosen))
    show("K. LeNet on CIFAR-10, from the trained graph", lab, HEADER, rows, sizes.test)
    print(f"{sizes.training:,} training images, {sizes.rounded} epochs.\n")
    initialize(start, "all", seed=0)
    train(start, data, "none", epochs=sizes.floating, rate=1e-3, flip=True, crop=2)
    rows = list(trained_rows(lab, start, data, test, chosen))
    show("K. LeNet on CIFAR-10, from nothing", lab, HEADER, rows, sizes.test)
    print(f"{sizes.floating} epochs in float, then {sizes.rounded}.")
    print("Published: 52.07 float, 52.1 int8.\n")


def resnet20(lab: Lab) -> None:
    sizes = sizes_of(lab, Sizes(600, 500), Sizes(25_000, 10_000, 0, 3))
    data, test = (
        images(lab, TRAINING, IMAGENET, sizes.training),
        images(lab, TEST, IMAGENET, sizes.test),
    )
    start = opened(lab.data / "models/resnet20_cifar10.onnx")
    options: dict[str, Any] = {"epochs": sizes.rounded, "loss": "distill", "batch": 32,
                               "flip": True, "crop": 2}  # fmt: skip
    chosen = [("lsq", bits, bits, options) for bits in ((4,) if lab.fast else (4, 3, 2))]
    if not lab.fast:
        chosen += [("lsq", bits, bits, {**options, "end_bits": bits}) for bits in (4, 3)]
        chosen += [("pact", 3, 4, options), ("dorefa", 3, 8, options)]
    rows = list(trained_rows(lab, start, data, test, chosen))
    show("K. ResNet-20 on CIFAR-10, distilled", lab, HEADER, rows, sizes.test)
    print(
        f"{sizes.training:,} training images, {sizes.rounded} epochs; the first and last filter "
        "have 8-bit weights but in the rows that repeat a width. Published (200 epochs, first and "
        "last layer float, float 92.2): PACT W3A4 91.44, DoReFa W3A8 91.6, distilled 92.2.\n"
    )


def resnet18(lab: Lab) -> None:
    sizes = sizes_of(lab, Sizes(60, 100), Sizes(25_000, 10_000))
    size = {"height": 64, "width": 64}
    data = images(lab, TRAINING, IMAGENET, sizes.training, **size)
    test = images(lab, TEST, IMAGENET, sizes.test, **size)
    start = opened(lab.data / "more_models/resnet18_cifar10_64.onnx")
    chosen = [("lsq", 8, 8, {"epochs": 1, "loss": "distill", "batch": 16, "rate": 3e-5})]
    rows = list(trained_rows(lab, start, data, test, chosen))
    show("K. ResNet-18, ten classes, 64x64, one epoch", lab, HEADER, rows, sizes.test)
    print("Published: 25.24 % of the size, 2.2 times faster, -0.43 point; training failed there.\n")


def keywords(lab: Lab) -> None:
    """MLPerf Tiny's keyword spotting: half of the clips, without labels, to learn from."""
    half = 100 if lab.fast else 500
    archive = np.load(lab.data / "data/mlperf_kws01_1000_mfcc_int8.npz")
    start = opened(lab.data / "models/mlperf_tiny/kws_ref_model_float32.tflite")
    norm, features = "x: (x-83)*0.5847029", archive["features"].astype(np.float32)
    labels = archive["labels"].astype(int).tolist()
    data = flow.load_inputs(features[-half:], norm=norm, labels=labels[-half:])
    test = flow.load_inputs(features[:500], norm=norm, labels=labels[:500])
    epochs = 2 if lab.fast else 20
    options: dict[str, Any] = {"epochs": epochs, "loss": "distill", "batch": 16}
    rows = list(
        trained_rows(lab, start, data, test, [("lsq", 4, 8, options), ("lsq", 3, 8, options)])
    )
    show(
        "K. Keyword spotting (MLPerf Tiny, DS-CNN), distilled without labels",
        lab,
        HEADER,
        rows,
        500,
    )
    print(
        f"{half} clips to learn from, {epochs} epochs. Published: int8 within 1 point of float.\n"
    )


NETWORKS: dict[str, Callable[[Lab], None]] = {
    "vae": vae, "lenet": lenet, "resnet20": resnet20, "resnet18": resnet18,
    "kws": keywords,
}  # fmt: skip


def main() -> None:
    lab = lab_options(__doc__)
    chosen = lab.networks or tuple(NETWORKS)
    unknown = [name for name in chosen if name not in NETWORKS]
    if unknown:
        sys.exit(f"no network {unknown[0]}: one of {', '.join(NETWORKS)}")
    for name in chosen:
        NETWORKS[name](lab)


main()
