"""A model file in its own runtime, in a process that can die alone.

A request is the samples, an answer the tensors, both as arrays in .npz form (never pickled). A
file that ends the process ends a comparison in words, and the session goes on.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from nnshell.execution.file_runners import (
    Array,
    FileRunner,
    Key,
    litert_runner,
    onnxruntime_runner,
)
from nnshell.support.errors import NNShellError

SECONDS = 120  # for the file or one sample, by the clock

_HEADER = struct.Struct("<BQ")  # whether it went well, bytes that follow
_FAILED, _DONE = 0, 1
_PROGRAM = "from nnshell.execution.file_process import serve_standard_streams as s; s()"
_RUNTIMES = {"litert": "LiteRT", "onnxruntime": "ONNX Runtime"}


class FileProcess:
    """A context manager; called with one sample for each input it gives tensors by key.

    ``runtime`` is "litert", with indices as ``keys`` and ``output`` as ``litert_runner`` takes it,
    or "onnxruntime", with names of outputs. Raises NNShellError for a file that the runtime
    refuses, that ends it, or that it works on for too long.
    """

    def __init__(self, runtime: str, model: bytes, keys: Sequence[Key], output: str = "") -> None:
        self._name = _RUNTIMES[runtime]
        self._late = False
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        start = json.dumps({"runtime": runtime, "keys": list(keys), "output": output})
        try:
            self._ask(struct.pack("<I", len(start)) + start.encode() + model)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> FileProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __call__(self, samples: Sequence[Array]) -> Mapping[Key, Array]:
        """Tensors of the file by key, and the output under OUTPUT."""
        reply = self._ask(_packed({str(i): sample for i, sample in enumerate(samples)}))
        with np.load(io.BytesIO(reply), allow_pickle=False) as arrays:
            keys = json.loads(str(arrays["keys"]))
            return {key: arrays[f"tensor{number}"] for number, key in enumerate(keys)}

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._process.wait()

    def _ask(self, content: bytes) -> bytes:
        requests, replies = self._process.stdin, self._process.stdout
        assert requests is not None
        assert replies is not None
        clock = threading.Timer(SECONDS, self._stop)
        clock.daemon = True
        clock.start()
        try:
            requests.write(_HEADER.pack(_DONE, len(content)) + content)
            requests.flush()
            status, size = _HEADER.unpack(_exactly(replies, _HEADER.size))  # type: ignore[arg-type]
            reply = _exactly(replies, size)  # type: ignore[arg-type]
        except (OSError, EOFError):
            raise self._death() from None
        finally:
            clock.cancel()
        if status == _FAILED:
            message, hint = json.loads(reply)
            raise NNShellError(message, hint=hint)
        return reply

    def _stop(self) -> None:
        self._late = True
        self._process.kill()

    def _death(self) -> NNShellError:
        status = self._process.wait()
        if self._late:
            return NNShellError(f"{self._name} works on the file for more than {SECONDS} s")
        by = f" with {signal.Signals(-status).name}" if status < 0 else ""
        return NNShellError(f"{self._name} ends{by} over the file")


def _exactly(stream: BinaryIO, count: int) -> bytes:
    content = stream.read(count)
    if len(content) != count:
        raise EOFError
    return content


def _packed(arrays: Mapping[str, Array]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


# -- the child's side ----------------------------------------------------------------------


def serve_standard_streams() -> None:
    """What the process does: requests on standard input, answers on standard output."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a runtime prints belongs to nobody
    requests = sys.stdin.buffer
    runner: list[FileRunner] = []

    def start(content: bytes) -> bytes:
        runner.append(_runner(content))
        return b""

    def sample(content: bytes) -> bytes:
        return _answer(runner[0], content)

    step: Callable[[bytes], bytes] = start
    while header := requests.read(_HEADER.size):
        content = requests.read(_HEADER.unpack(header)[1])
        status, reply = _tried(step, content)
        answers.write(_HEADER.pack(status, len(reply)) + reply)
        answers.flush()
        step = sample


def _tried(step: Callable[[bytes], bytes], content: bytes) -> tuple[int, bytes]:
    try:
        return _DONE, step(content)
    except NNShellError as error:
        return _FAILED, json.dumps([error.message, error.hint]).encode()
    except Exception as error:  # what a runtime refuses, it raises in many ways
        text = " ".join(str(error).split())[:200] or type(error).__name__
        return _FAILED, json.dumps([f"the file does not run: {text}", ""]).encode()


def _runner(content: bytes) -> FileRunner:
    size = struct.unpack_from("<I", content)[0]
    start: dict[str, Any] = json.loads(content[4 : 4 + size])
    model = content[4 + size :]
    if start["runtime"] == "litert":
        return litert_runner(model, start["keys"], start["output"])
    return onnxruntime_runner(model, start["keys"])


def _answer(runner: FileRunner, content: bytes) -> bytes:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        results = runner([arrays[str(number)] for number in range(len(arrays.files))])
    tensors = {f"tensor{number}": value for number, value in enumerate(results.values())}
    return _packed({"keys": np.array(json.dumps(list(results))), **tensors})
