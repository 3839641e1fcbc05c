"""Makes the two worked examples among the samples: a 3-2-2-1 network and a small VAE.

    python scripts/make_sample_networks.py sample_images

``mlp.onnx`` has weights of two digits, so that every product can be checked with a pencil;
``mlp_inputs/`` holds 16 vectors. ``vae.onnx`` is a variational autoencoder of silhouettes of the
ten shapes, 16x16, grey: 256 -> 32 -> mean and log variance of 4 latents -> 32 -> 256. The file is
the network as it is used, without noise: the decoder reads the mean. ``vae_calibration/`` and
``vae_test/`` hold silhouettes.

The VAE is trained here with numpy: the gradients of

    loss = BCE(x, y) + KL(N(mean, exp(logvar)) || N(0, 1))        (summed over pixels and latents)

by hand (D. Kingma and M. Welling, "Auto-encoding variational Bayes", 2013), and Adam.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from make_sample_images import CLASSES, draw_shape
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.float64]
Weights = dict[str, Array]
SIDE, HIDDEN, LATENT = 16, 32, 4
PIXELS = SIDE * SIDE
EPOCHS, BATCH, RATE = 60, 50, 2e-3
TRAINING_SEED, CALIBRATION_SEED, TEST_SEED = 11, 12, 13

MLP: dict[str, list[list[float]] | list[float]] = {
    "W1": [[0.5, -0.4, 0.3], [-0.2, 0.6, 0.1]],
    "b1": [0.1, -0.1],
    "W2": [[0.7, -0.5], [0.4, 0.9]],
    "b2": [0.05, 0.2],
    "W3": [[1.2, -0.8]],
    "b3": [0.1],
}


def silhouettes(count: int, seed: int) -> NDArray[np.uint8]:
    """White shapes on black, (count, 16, 16): image i shows class i % 10."""
    images = []
    for number in range(count):
        mask = draw_shape(CLASSES[number % len(CLASSES)], np.random.default_rng([seed, number]))
        small = mask.reshape(SIDE, 2, SIDE, 2).mean(axis=(1, 3))
        images.append(np.rint(255 * small.clip(0, 1)).astype(np.uint8))
    return np.stack(images)


# Training


def first_weights(generator: np.random.Generator) -> Weights:
    """He's standard deviations, biases of 0."""
    sizes = {"1": (HIDDEN, PIXELS), "m": (LATENT, HIDDEN), "v": (LATENT, HIDDEN)}
    sizes |= {"2": (HIDDEN, LATENT), "3": (PIXELS, HIDDEN)}
    weights: Weights = {}
    for name, (rows, columns) in sizes.items():
        weights[f"W{name}"] = generator.normal(0, (2 / columns) ** 0.5, (rows, columns))
        weights[f"b{name}"] = np.zeros(rows)
    return weights


def gradients(w: Weights, x: Array, noise: Array) -> tuple[float, Weights]:
    """Loss of a batch (mean over samples) and its gradients."""
    hidden = np.maximum(x @ w["W1"].T + w["b1"], 0)
    mean, logvar = hidden @ w["Wm"].T + w["bm"], hidden @ w["Wv"].T + w["bv"]
    deviation = np.exp(0.5 * logvar)
    latent = mean + deviation * noise
    decoded = np.maximum(latent @ w["W2"].T + w["b2"], 0)
    logit = decoded @ w["W3"].T + w["b3"]
    y = 1 / (1 + np.exp(-logit))
    bce = np.logaddexp(0, logit) - x * logit
    kl = 0.5 * (mean**2 + np.exp(logvar) - 1 - logvar)
    count = len(x)

    d_logit = (y - x) / count
    d_decoded = (d_logit @ w["W3"]) * (decoded > 0)
    d_latent = d_decoded @ w["W2"]
    d_mean = d_latent + mean / count
    d_logvar = d_latent * noise * 0.5 * deviation + 0.5 * (np.exp(logvar) - 1) / count
    d_hidden = (d_mean @ w["Wm"] + d_logvar @ w["Wv"]) * (hidden > 0)
    pairs = {"3": (d_logit, decoded), "2": (d_decoded, latent), "m": (d_mean, hidden)}
    pairs |= {"v": (d_logvar, hidden), "1": (d_hidden, x)}
    result = {f"W{name}": d.T @ read for name, (d, read) in pairs.items()}
    result |= {f"b{name}": d.sum(axis=0) for name, (d, _) in pairs.items()}
    return float((bce.sum() + kl.sum()) / count), result


def train(images: NDArray[np.uint8]) -> Weights:
    """Adam; the rate falls from RATE to 0 along half a cosine."""
    generator = np.random.default_rng(TRAINING_SEED)
    weights, x = first_weights(generator), images.reshape(len(images), PIXELS) / 255
    first = {key: np.zeros_like(value) for key, value in weights.items()}
    second = {key: np.zeros_like(value) for key, value in weights.items()}
    step, steps = 0, EPOCHS * (len(x) // BATCH)
    for epoch in range(EPOCHS):
        losses = []
        for chosen in generator.permutation(len(x)).reshape(-1, BATCH):
            step += 1
            noise = generator.standard_normal((BATCH, LATENT))
            loss, gradient = gradients(weights, x[chosen], noise)
            losses.append(loss)
            rate = 0.5 * RATE * (1 + np.cos(np.pi * step / steps))
            for key, value in gradient.items():
                first[key] = 0.9 * first[key] + 0.1 * value
                second[key] = 0.999 * second[key] + 0.001 * value**2
                corrected = first[key] / (1 - 0.9**step)
                weights[key] -= rate * corrected / (np.sqrt(second[key] / (1 - 0.999**step)) + 1e-8)
        if (epoch + 1) % 10 == 0:
            print(f"epoch {epoch + 1:2d}: loss {np.mean(losses):.3f}", flush=True)
    return weights


# Export


def gemm(name: str, source: str, weights: str, bias: str) -> onnx.NodeProto:
    return helper.make_node("Gemm", [source, weights, bias], [name], name=name, transB=1)


def unary(operator: str, name: str, source: str) -> onnx.NodeProto:
    return helper.make_node(operator, [source], [name], name=name)


def write(
    path: Path,
    nodes: list[onnx.NodeProto],
    shape: list[int],
    outputs: dict[str, int],
    weights: dict[str, Array],
) -> None:
    """One sample, float32, opset 13."""
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, *shape])],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, [1, n]) for k, n in outputs.items()],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
        producer_name="make_sample_networks.py",
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def write_mlp(folder: Path) -> None:
    nodes = [
        gemm("hidden1", "input", "W1", "b1"),
        unary("Relu", "relu1", "hidden1"),
        gemm("hidden2", "relu1", "W2", "b2"),
        unary("Relu", "relu2", "hidden2"),
        gemm("score", "relu2", "W3", "b3"),
        unary("Sigmoid", "output", "score"),
    ]
    weights = {key: np.array(value) for key, value in MLP.items()}
    write(folder / "mlp.onnx", nodes, [3], {"output": 1}, weights)
    inputs = np.random.default_rng(3).uniform(-1, 1, (16, 3)).round(2).astype(np.float32)
    inputs[0] = 0.5, -1.0, 0.25
    (folder / "mlp_inputs").mkdir(exist_ok=True)
    np.save(folder / "mlp_inputs" / "inputs.npy", inputs)


def write_vae(folder: Path) -> None:
    weights = train(silhouettes(4000, TRAINING_SEED))
    nodes = [
        unary("Flatten", "flatten", "input"),
        gemm("encoder", "flatten", "W1", "b1"),
        unary("Relu", "encoder_relu", "encoder"),
        gemm("mean", "encoder_relu", "Wm", "bm"),
        gemm("logvar", "encoder_relu", "Wv", "bv"),
        gemm("decoder", "mean", "W2", "b2"),
        unary("Relu", "decoder_relu", "decoder"),
        gemm("logit", "decoder_relu", "W3", "b3"),
        unary("Sigmoid", "reconstruction", "logit"),
    ]
    outputs = {"reconstruction": PIXELS, "mean": LATENT, "logvar": LATENT}
    write(folder / "vae.onnx", nodes, [1, SIDE, SIDE], outputs, weights)
    for name, count, seed in (
        ("vae_calibration", 50, CALIBRATION_SEED),
        ("vae_test", 100, TEST_SEED),
    ):
        (folder / name).mkdir(exist_ok=True)
        labels = np.arange(count) % len(CLASSES)
        path = folder / name / "silhouettes.npz"
        np.savez_compressed(path, images=silhouettes(count, seed), labels=labels)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make sample:mlp and sample:vae.")
    parser.add_argument("folder", type=Path, help="folder of the samples")
    folder = parser.parse_args().folder
    write_mlp(folder)
    write_vae(folder)


if __name__ == "__main__":
    main()
