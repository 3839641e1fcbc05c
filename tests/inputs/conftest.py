"""Makers of input files: every format is written by the tests themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from nnshell.inputs.layout import InputSpec
from nnshell.ir.types import Layout

Bytes = npt.NDArray[np.uint8]


@pytest.fixture
def rgb() -> InputSpec:
    """A graph input of 3 channels, 8 rows, 6 columns."""
    return InputSpec("input_1", (3, 8, 6), Layout.CHW)


@pytest.fixture
def grey() -> InputSpec:
    return InputSpec("input_1", (1, 8, 6), Layout.CHW)


@pytest.fixture
def pixels() -> Callable[..., Bytes]:
    """Random pixels of a shape."""

    def make(*shape: int, seed: int = 0) -> Bytes:
        return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)

    return make


@pytest.fixture
def write_images(tmp_path: Path, pixels: Callable[..., Bytes]) -> Callable[..., list[Bytes]]:
    """Writes images of one shape under the given names and returns their pixels."""

    def write(names: list[str], shape: tuple[int, ...] = (8, 6, 3)) -> list[Bytes]:
        arrays = [pixels(*shape, seed=seed) for seed in range(len(names))]
        for name, array in zip(names, arrays, strict=True):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
        return arrays

    return write
