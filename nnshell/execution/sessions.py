"""ONNX Runtime sessions, all opened here: on the CPU, quiet, and with optimizers that can fail."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

LOGGER = logging.getLogger(__name__)

RUNTIME_ERRORS = (
    runtime.EPFail,
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.InvalidProtobuf,
    runtime.NoSuchFile,
    runtime.NotImplemented,
    runtime.RuntimeException,
    RuntimeError,
    ValueError,
)

_ERROR_CODE = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")

# Makes pads of a border of zeros before a maximum, where they no longer win over negative numbers
# (seen in 1.31), and pads that the pool then finds larger than its kernel.
WRONG_OPTIMIZERS = ("Pad_Fusion",)


class Session:
    """A model in ONNX Runtime. Where its optimizers fail on a model, it is run as it is.

    Valid networks are seen to fail there, some when they are opened, some only when they run
    (1.31: a resize with ``axes`` between transposes).
    """

    def __init__(
        self,
        model: bytes,
        *,
        threads: int | None = None,
        entries: Mapping[str, str] | None = None,
        disabled: Sequence[str] = WRONG_OPTIMIZERS,
    ) -> None:
        """``threads`` are those of one operator, by default one per core; ``entries`` configure
        the session, ``disabled`` are optimizers that are not run. Raises RUNTIME_ERRORS."""
        self._model = model
        self._threads = threads
        self._entries = dict(entries or {})
        self._disabled = list(disabled)
        self._optimized = True
        try:
            self._session = self._open()
        except RUNTIME_ERRORS as error:
            self._session = self._without_optimizers(error)

    def run(
        self, names: Sequence[str] | None, feeds: Mapping[str, NDArray[Any]]
    ) -> list[NDArray[Any]]:
        """Outputs by ``names``, all for None. Raises RUNTIME_ERRORS."""
        wanted = list(names) if names is not None else None
        try:
            results: list[NDArray[Any]] = self._session.run(wanted, dict(feeds))
        except RUNTIME_ERRORS as error:
            if not self._optimized:
                raise
            plain = self._without_optimizers(error)
            results = plain.run(wanted, dict(feeds))
            self._session = plain
        return results

    def get_inputs(self) -> Sequence[Any]:
        """Names, types and shapes of the inputs."""
        inputs: Sequence[Any] = self._session.get_inputs()
        return inputs

    def get_outputs(self) -> Sequence[Any]:
        """Names, types and shapes of the outputs."""
        outputs: Sequence[Any] = self._session.get_outputs()
        return outputs

    def _without_optimizers(self, error: Exception) -> onnxruntime.InferenceSession:
        LOGGER.debug("running without optimizers: %s", error)
        session = self._open(onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
        self._optimized = False
        return session

    def _open(self, level: Any = None) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # fatal only: what is refused is raised as well
        if self._threads is not None:
            options.intra_op_num_threads = self._threads
        for key, value in self._entries.items():
            options.add_session_config_entry(key, value)
        if level is not None:
            options.graph_optimization_level = level
        return onnxruntime.InferenceSession(
            self._model,
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=self._disabled,
        )


def one_line(error: Exception) -> str:
    """An error of ONNX Runtime's without its code and line breaks."""
    text = _ERROR_CODE.sub("", " ".join(str(error).split()))
    return f"ONNX Runtime: {text}"
