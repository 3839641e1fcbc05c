"""Runtimes that model files are made for, sample by sample: ONNX Runtime and LiteRT.

Their native code may end the process over some files; ``file_process`` runs them in one that can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnshell.execution.sessions import RUNTIME_ERRORS, Session
from nnshell.support.errors import NNShellError

Array = NDArray[Any]
Key = str | int
# From one sample for each input, in the file's order of axes, to tensors by the file's key; the
# network's output is under OUTPUT, as real numbers.
FileRunner = Callable[[Sequence[Array]], Mapping[Key, Array]]

OUTPUT = ""


def litert_runner(model: bytes, keys: Sequence[int], output: str) -> FileRunner:
    """LiteRT's own kernels on a TFLite file; ``keys`` are indices of tensors.

    ``output`` names the tensor that is under OUTPUT, ``NAME`` or ``NAME#INDEX``; without such a
    tensor it is the file's first. Raises NNShellError where LiteRT is not installed, or refuses.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError:
        raise NNShellError(
            "LiteRT, which runs TFLite files, is not installed",
            hint="pip install 'nnshell[bench]'",
        ) from None
    try:
        interpreter = Interpreter(
            model_content=model,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise _refused("LiteRT", error) from error
    inputs = interpreter.get_input_details()
    last = _tensor_called(output, interpreter) or interpreter.get_output_details()[0]

    def run(samples: Sequence[Array]) -> dict[Key, Array]:
        for entry, sample in zip(inputs, samples, strict=True):
            real = sample.reshape(entry["shape"])
            interpreter.set_tensor(entry["index"], _stored(real, entry))
        interpreter.invoke()
        results: dict[Key, Array] = {key: interpreter.get_tensor(key).copy() for key in keys}
        results[OUTPUT] = _real(interpreter.get_tensor(last["index"]), last)
        return results

    return run


def _tensor_called(name: str, interpreter: Any) -> Mapping[str, Any] | None:
    for entry in interpreter.get_tensor_details():
        if name in (entry["name"], f"{entry['name'] or 'tensor'}#{entry['index']}"):
            details: Mapping[str, Any] = entry
            return details
    return None


def _stored(real: Array, entry: Mapping[str, Any]) -> Array:
    """Real numbers as the tensor of an interpreter holds them."""
    dtype = np.dtype(entry["dtype"])
    if dtype.kind == "f":
        return real.astype(dtype)
    scale, zero = entry["quantization"]
    limits = np.iinfo(dtype)
    codes: Array = np.clip(np.rint(real / (scale or 1)) + zero, limits.min, limits.max)
    return codes.astype(dtype)


def _real(values: Array, entry: Mapping[str, Any]) -> Array:
    scale, zero = entry["quantization"]
    return values if values.dtype.kind == "f" else (values.astype(np.float64) - zero) * (scale or 1)


def onnxruntime_runner(model: bytes, names: Sequence[str]) -> FileRunner:
    """ONNX Runtime on a model with ``names`` among its outputs; OUTPUT is its first output."""
    try:
        session = Session(model)
    except RUNTIME_ERRORS as error:
        raise _refused("ONNX Runtime", error) from error
    inputs = session.get_inputs()
    first = session.get_outputs()[0].name

    def run(samples: Sequence[Array]) -> dict[Key, Array]:
        feeds = {}
        for entry, sample in zip(inputs, samples, strict=True):
            shape = [n if isinstance(n, int) else -1 for n in entry.shape]
            one = [1 if n == -1 else n for n in shape]
            feeds[entry.name] = np.asarray(sample, np.float32).reshape(one)
        try:
            results = session.run([first, *names], feeds)
        except RUNTIME_ERRORS as error:
            raise _refused("ONNX Runtime", error) from error
        entries: dict[Key, Array] = dict(zip(names, results[1:], strict=True))
        entries[OUTPUT] = results[0]
        return entries

    return run


def _refused(runtime: str, error: Exception) -> NNShellError:
    text = " ".join(str(error).split())[:200]
    return NNShellError(f"{runtime} does not run the file: {text}")
