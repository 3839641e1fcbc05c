"""What ``nntool.api.utils`` has: options as dictionaries, random samples, files as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.metrics import compare_arrays
from nnshell.inputs.images import ImageReader
from nnshell.inputs.norm_parser import parse_norm
from nnshell.inputs.options import InputOptions
from nnshell.support.errors import InputError, UsageError
from nnshell.support.settings import describe

if TYPE_CHECKING:
    from nnshell.compat.graph import NNGraph

Array = NDArray[Any]
Outputs = Sequence[Sequence[Array]]

_IMAGES = frozenset({".png", ".jpg", ".jpeg", ".pgm", ".ppm", ".bmp"})


def quantization_options(**options: Any) -> dict[str, Any]:
    """Quantization options as the dictionary that ``NNGraph.quantize`` takes."""
    return options


def model_settings(**settings: Any) -> dict[str, Any]:
    """Settings as the dictionary that ``generate`` and ``execute_on_target`` take."""
    return {name: value for name, value in settings.items() if _known(name)}


def _known(name: str) -> bool:
    from nnshell.support.settings import why_dropped

    if why_dropped(name):
        return False
    describe(name)
    return True


class RandomIter:
    """Random samples, for looking at a graph when its accuracy does not matter."""

    def __init__(
        self, shapes: Sequence[Sequence[int]], *, count: int = 1, scale: float = 0.2, seed: int = 0
    ) -> None:
        self._shapes = [tuple(shape) for shape in shapes]
        self._count, self._scale, self._seed = count, scale, seed

    @classmethod
    def fake(cls, graph: NNGraph, count: int = 1) -> RandomIter:
        """Samples for the inputs of a graph, normal with deviation 0.2; the same each time."""
        return cls([node.out_dims[0].shape for node in graph.input_nodes()], count=count)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[Array]]:
        generator = np.random.default_rng(self._seed)
        for _ in range(self._count):
            yield [
                generator.normal(0.0, self._scale, shape).astype(np.float32)
                for shape in self._shapes
            ]


def import_data(filename: str | Path, **options: Any) -> Array:
    """One image, .npy or .dat file as float32, by the input options of `aquant`.

    ``height``, ``width``, ``mode``, ``transpose`` (rows, columns, channels to channels first),
    ``divisor``, ``offset``, ``norm_func``, ``nptype``.
    """
    values = {name: value for name, value in options.items() if _is_given(name, value)}
    chosen, path = InputOptions(**values), Path(filename)
    array = _read(path, chosen)
    if chosen.transpose:
        array = array.transpose(2, 0, 1) if array.ndim == 3 else array.transpose()
    real = array.astype(np.float64)
    if chosen.norm_func:
        real = parse_norm(chosen.norm_func)(real)
    else:
        real = real / (chosen.divisor or 1.0) + (chosen.offset or 0.0)
    return real.astype(np.float32)


def _is_given(name: str, value: Any) -> bool:
    """NNTool's programs spell "not given" as None, "" or -1."""
    return value is not None and value != "" and not (name in ("height", "width") and value == -1)


def _read(path: Path, options: InputOptions) -> Array:
    suffix = path.suffix.lower()
    try:
        if suffix in _IMAGES:
            return ImageReader.from_options(options, []).read(str(path))
        if suffix == ".npy":
            return np.asarray(np.load(path, allow_pickle=False))
        if suffix == ".dat":
            return np.fromfile(path, np.dtype(options.nptype or "float32"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from None
    raise UsageError(
        f"files that end in '{suffix}' are not read",
        where=str(path),
        hint="give .png, .jpg, .pgm, .ppm, .npy or .dat",
    )


class FileImporter:
    """Files as samples, one at a time; ``options`` are those of ``import_data``."""

    def __init__(self, files: Iterable[str | Path], **options: Any) -> None:
        self._files, self._options = list(files), options

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[Array]:
        return (import_data(path, **self._options) for path in self._files)


def qsnrs(first: Outputs, second: Outputs, idx: int = 0) -> list[float]:
    """Signal to noise in dB of each step's output ``idx``, of two results of ``execute``."""
    return [
        compare_arrays(a[idx], b[idx]).qsnr_db if len(a) > idx else float("inf")
        for a, b in zip(first, second, strict=True)
    ]


def cos_sim(first: Outputs, second: Outputs, idx: int = 0) -> list[float]:
    """Cosine of the angle between each step's output ``idx`` in two results of ``execute``."""
    return [
        compare_arrays(a[idx], b[idx]).cosine if len(a) > idx else 1.0
        for a, b in zip(first, second, strict=True)
    ]
