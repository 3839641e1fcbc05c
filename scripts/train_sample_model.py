"""Trains the sample LeNet on freshly drawn images and writes it as ONNX (needs the extra `train`).

    python scripts/train_sample_model.py sample_images/lenet.onnx --check sample_images/test

The network is LeNet-5 for RGB images, relu before pooling:

    input 3x32x32 -> conv 6@5x5, relu, max pool 2x2 -> conv 16@5x5, relu, max pool 2x2
                  -> fully connected 120, relu -> 84, relu -> 10 logits

It is trained on x/128-1, in [-1, 0.9921875]: whoever runs the model has to do the same. The
training images are drawn in memory by make_sample_images.py, with another seed than the folders in
sample_images/. The ONNX file is put together node by node, with the names PyTorch's exporter gives.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import torch
from make_sample_images import ImageArray, draw_set
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch import nn

TRAINING_SEED, VALIDATION_SEED = 1000, 2000
FloatImages = NDArray[np.float32]
Labels = NDArray[np.int64]


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = x.flatten(1)
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.fc3(x)


def normalise(images: ImageArray) -> FloatImages:
    """(count, 32, 32, 3) bytes to (count, 3, 32, 32) floats, x/128-1."""
    return images.transpose(0, 3, 1, 2).astype(np.float32) / 128.0 - 1.0


def drawn(count: int, seed: int) -> tuple[FloatImages, Labels]:
    images, labels = zip(*draw_set(count, seed), strict=True)
    return normalise(np.stack(images)), np.array(labels, dtype=np.int64)


def read_folder(folder: Path) -> tuple[FloatImages, Labels]:
    paths = sorted(folder.glob("*_*.png"))
    labels = [int(path.stem.rpartition("_")[2]) for path in paths]
    return normalise(np.stack([np.asarray(Image.open(path)) for path in paths])), np.array(labels)


def accuracy(model: LeNet, images: FloatImages, labels: Labels) -> float:
    with torch.no_grad():
        predictions = model(torch.from_numpy(images)).argmax(dim=1).numpy()
    return float((predictions == labels).mean())


def train(model: LeNet, images: FloatImages, labels: Labels, epochs: int, batch: int = 64) -> None:
    """Cross-entropy and AdamW; the learning rate falls from 2e-3 to 0 along half a cosine."""
    inputs, targets = torch.from_numpy(images), torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(epochs):
        losses = []
        for chosen in torch.randperm(len(inputs)).split(batch):
            loss = nn.functional.cross_entropy(model(inputs[chosen]), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        schedule.step()
        print(f"epoch {epoch + 1:2d}: loss {np.mean(losses):.4f}", flush=True)


# Export


def window(size: int, stride: int) -> dict[str, list[int]]:
    """What Conv and MaxPool need to know of their square, unpadded window."""
    return {"kernel_shape": [size] * 2, "strides": [stride] * 2, "pads": [0] * 4}


def lenet_nodes() -> list[onnx.NodeProto]:
    """LeNet.forward, a node per call. Each node reads what the one before it wrote."""
    conv = {**window(5, 1), "dilations": [1, 1], "group": 1}
    gemm = {"alpha": 1.0, "beta": 1.0, "transB": 1}
    calls = (
        ("Conv", "/conv1/Conv", "conv1", conv),
        ("Relu", "/Relu", None, {}),
        ("MaxPool", "/pool/MaxPool", None, window(2, 2)),
        ("Conv", "/conv2/Conv", "conv2", conv),
        ("Relu", "/Relu_1", None, {}),
        ("MaxPool", "/pool_1/MaxPool", None, window(2, 2)),
        ("Flatten", "/Flatten", None, {"axis": 1}),
        ("Gemm", "/fc1/Gemm", "fc1", gemm),
        ("Relu", "/Relu_2", None, {}),
        ("Gemm", "/fc2/Gemm", "fc2", gemm),
        ("Relu", "/Relu_3", None, {}),
        ("Gemm", "/fc3/Gemm", "fc3", gemm),
    )
    nodes = []
    source = "input"
    for operator, name, layer, attributes in calls:
        result = "output" if name == "/fc3/Gemm" else f"{name}_output_0"
        constants = [f"{layer}.weight", f"{layer}.bias"] if layer else []
        nodes.append(
            helper.make_node(operator, [source, *constants], [result], name=name, **attributes)
        )
        source = result
    return nodes


def export(model: LeNet, path: Path) -> None:
    graph = helper.make_graph(
        lenet_nodes(),
        "lenet",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(value.numpy(), key) for key, value in model.state_dict().items()],
    )
    opset = [helper.make_opsetid("", 13)]
    exported = helper.make_model(
        graph, opset_imports=opset, ir_version=8, producer_name="train_sample_model.py"
    )
    onnx.checker.check_model(exported, full_check=True)
    onnx.save(exported, path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the sample LeNet and write it as ONNX.")
    parser.add_argument("model", type=Path, help="the ONNX file to write")
    parser.add_argument("--images", type=int, default=30000, help="training images to draw")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1, help="of the first weights and the order")
    parser.add_argument("--check", type=Path, help="a folder of labelled images to report on")
    options = parser.parse_args()

    torch.set_num_threads(1)  # the order of summation, and so the result, depends on the threads
    torch.manual_seed(options.seed)
    model = LeNet()
    train(model, *drawn(options.images, TRAINING_SEED), options.epochs)
    print(f"accuracy on 2000 new images: {accuracy(model, *drawn(2000, VALIDATION_SEED)):.2%}")
    if options.check:
        print(f"accuracy on {options.check}: {accuracy(model, *read_folder(options.check)):.2%}")
    export(model, options.model)


if __name__ == "__main__":
    main()
