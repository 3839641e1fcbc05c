"""ONNX's own native code, run where it can die alone.

The checker, the converter, the inliner and shape inference of the onnx package are C++ that aborts
the process over some files. They run in a child process here, with limits on time, memory and
output: a file that kills the child is refused in words, and the session goes on.

On Linux the child is a fork (2 ms, nothing is imported twice), elsewhere a process of its own. It
lives as long as one file is being read, and answers one request after the other. Large tensors do
not travel (see ``weights``): a request is as long as the file without its weights.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, BinaryIO, NoReturn

import onnx
import onnx.inliner
import onnx.version_converter
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from nnshell.support.interrupts import interrupts_waiting

SECONDS = 60  # for one request, by the clock
CPU_SECONDS = 60  # for all requests of a file
MEMORY_BYTES = 2 << 30  # beside what the process had when the child began
REPLY_BYTES = 1 << 30
_MOST_DEATHS = 40  # of children over one file

_FORKS = sys.platform == "linux"
_HEADER = struct.Struct("<BQ")  # what, bytes that follow
_DONE, _REFUSED = 0, 1


class Refused(RuntimeError):
    """ONNX refuses the model; the text is its own."""


class Died(Refused):
    """The child did not survive the model; the text says what ended it."""


def _check(model: onnx.ModelProto, _opset: int) -> None:
    onnx.checker.check_model(model)


def _convert(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    return onnx.version_converter.convert_version(model, opset)


def _infer(model: onnx.ModelProto, _opset: int) -> onnx.ModelProto:
    return onnx.shape_inference.infer_shapes(model)


def _inline(model: onnx.ModelProto, _opset: int) -> onnx.ModelProto:
    return onnx.inliner.inline_local_functions(model)


_Task = Callable[[onnx.ModelProto, int], onnx.ModelProto | None]
_TASKS: tuple[_Task, ...] = (_check, _convert, _infer, _inline)
_CHECK, _CONVERT, _INFER, _INLINE = range(len(_TASKS))


class Native:
    """A context manager; its methods raise Refused, or Died, and nothing else of ONNX's.

    A model that kills the child is tried again in pieces, so that ``Died`` can name the node.
    """

    def __init__(self) -> None:
        self._child: _Child | None = None
        self._deaths = 0

    def __enter__(self) -> Native:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def check(self, model: onnx.ModelProto) -> None:
        """onnx's checker, in the child; its complaint is raised here."""
        self._ask(_CHECK, model)

    def convert(self, model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
        """The model at another opset, by onnx's version converter in the child."""
        return self._ask(_CONVERT, model, opset)

    def infer(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """The model with the types and shapes that onnx infers in the child."""
        return self._ask(_INFER, model)

    def inline(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """The model without functions, each call in the child replaced by its nodes."""
        return self._ask(_INLINE, model)

    def _ask(self, task: int, model: onnx.ModelProto, opset: int = 0) -> onnx.ModelProto:
        try:
            return self._try(task, model, opset)
        except Died as death:
            where = self._culprit(task, model, opset) if len(model.graph.node) > 1 else model
            nodes = where.graph.node if where is not None else ()
            at = f", at {nodes[-1].op_type} '{nodes[-1].name}'" if nodes else ""
            raise Died(f"{death}{at}") from None

    def _try(self, task: int, model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
        if self._deaths >= _MOST_DEATHS:
            raise Died("ONNX's own code ends again and again over this file")
        if self._child is None:
            self._child = _forked() if _FORKS else _spawned()
        try:
            reply = self._child.ask(task, bytes([opset]) + model.SerializeToString())
            answer = onnx.ModelProto()
            answer.ParseFromString(reply)
            return answer
        except (Died, DecodeError) as error:
            self._deaths += 1
            self._end()
            raise Died(str(error)) from None
        except BaseException as error:  # Ctrl-C too: the answer would be taken for the next one
            if not isinstance(error, Refused):
                self._end()
            raise

    def _culprit(self, task: int, model: onnx.ModelProto, opset: int) -> onnx.ModelProto | None:
        """The shortest beginning of the model that ends the child, found by halving."""
        alive, dead, shortest = 0, len(model.graph.node), None
        while dead - alive > 1 and self._deaths < _MOST_DEATHS:
            middle = (alive + dead) // 2
            piece = _beginning(model, middle)
            try:
                self._try(task, piece, opset)
                alive = middle
            except Died:
                dead, shortest = middle, piece
            except Refused:
                alive = middle
        return shortest if shortest is not None else model

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


def _beginning(model: onnx.ModelProto, count: int) -> onnx.ModelProto:
    """The first ``count`` nodes; what they make last are the outputs."""
    piece = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = piece.graph
    graph.name = model.graph.name
    graph.input.extend(model.graph.input)
    graph.initializer.extend(model.graph.initializer)
    graph.value_info.extend(model.graph.value_info)
    graph.node.extend(model.graph.node[:count])
    graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in graph.node[-1].output
        if name
    )
    return piece


# -- the parent's side ---------------------------------------------------------------------


class _Child:
    """A process that answers requests; ``kill`` ends it and ``reap`` gives its exit status."""

    def __init__(
        self,
        requests: BinaryIO,
        replies: BinaryIO,
        kill: Callable[[], None],
        reap: Callable[[], int],
    ) -> None:
        self._requests, self._replies = requests, replies
        self._kill, self._reap = kill, reap
        self._late = False
        self._busy = False  # with a request whose answer has not been read

    def ask(self, what: int, content: bytes) -> bytes:
        """The answer; Refused with ONNX's text, or Died."""
        clock = threading.Timer(SECONDS, self._stop)
        clock.daemon = True
        clock.start()
        self._busy = True
        try:
            self._requests.write(_HEADER.pack(what, len(content)))
            self._requests.write(content)
            self._requests.flush()
            status, size = _HEADER.unpack(_exactly(self._replies, _HEADER.size))
            if size > REPLY_BYTES:
                raise Died(f"ONNX's own code makes more than {REPLY_BYTES:,} bytes of it")
            reply = _exactly(self._replies, size)
            self._busy = False
        except (OSError, EOFError):
            raise Died(self._reason()) from None
        finally:
            clock.cancel()
        if status != _DONE:
            raise Refused(reply.decode("utf-8", "replace"))
        return reply

    def _stop(self) -> None:
        self._late = True
        self._kill()

    def _reason(self) -> str:
        status = self._reap()  # its end of the pipe is closed: it has ended, or does now
        if self._late or status == -getattr(signal, "SIGXCPU", 0):
            return f"ONNX's own code works on it for more than {SECONDS} s"
        if status < 0:
            name = signal.Signals(-status).name
            return f"ONNX's own code ends with {name} over it"
        return "ONNX's own code ends over it"

    def end(self) -> int:
        """End the process; its exit status, negative for a signal."""
        if self._busy:
            self._kill()
        for stream in (self._requests, self._replies):
            with contextlib.suppress(OSError):
                stream.close()
        return self._reap()  # one that waits for a request ends when there can be none


def _exactly(stream: BinaryIO, count: int) -> bytes:
    content = stream.read(count)
    if len(content) != count:
        raise EOFError
    return content


def _forked() -> _Child:
    onnx.defs.has("Conv")  # the registry is made here, once, and not in every child
    theirs, requests = map(_above_standard, os.pipe())
    replies, answers = map(_above_standard, os.pipe())
    with warnings.catch_warnings(), interrupts_waiting():  # not inside what runs after a fork
        warnings.simplefilter("ignore", DeprecationWarning)  # threads: the child starts none
        pid = os.fork()
        if pid == 0:
            _be_the_child(theirs, answers)
    os.close(theirs)
    os.close(answers)
    statuses: list[int] = []

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError):
            if not statuses:  # else the number may be another process's by now
                os.kill(pid, signal.SIGKILL)

    def reap() -> int:
        if not statuses:
            try:
                statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            except ChildProcessError:  # somebody else took it
                statuses.append(1)
        return statuses[0]

    return _Child(os.fdopen(requests, "wb"), os.fdopen(replies, "rb"), kill, reap)


def _spawned() -> _Child:
    program = "from nnshell.importers.onnx.native import serve_standard_streams as serve; serve()"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    return _Child(process.stdin, process.stdout, process.kill, process.wait)  # type: ignore[arg-type]


def _above_standard(descriptor: int) -> int:
    """A descriptor that is none of the standard streams, where those are closed."""
    if descriptor > 2:
        return descriptor
    import fcntl

    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(descriptor)
    return copy


# -- the child's side ----------------------------------------------------------------------


def serve_standard_streams() -> None:
    """What a process of its own does: requests on standard input, answers on standard output."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _limit_itself()
    _serve(sys.stdin.buffer, answers)


def _be_the_child(requests: int, answers: int) -> NoReturn:
    status = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)
        first, second = sorted((requests, answers))
        for low, high in ((3, first), (first + 1, second), (second + 1, second + 4096)):
            os.closerange(low, high)  # locks and pipes of others do not live on here
        _limit_itself()
        _serve(os.fdopen(requests, "rb"), os.fdopen(answers, "wb"))
        status = 0
    finally:
        os._exit(status)


def _limit_itself() -> None:
    try:
        import resource
    except ImportError:  # Windows: the clock is all the limit there is
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(usage.ru_utime + usage.ru_stime)
    limits = [(resource.RLIMIT_CPU, spent + CPU_SECONDS)]
    with contextlib.suppress(OSError), open("/proc/self/statm", encoding="ascii") as stream:
        pages = int(stream.read().split()[0])
        limits.append((resource.RLIMIT_AS, pages * resource.getpagesize() + MEMORY_BYTES))
    for what, limit in limits:
        with contextlib.suppress(OSError, ValueError):
            hard = resource.getrlimit(what)[1]
            lower = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(what, (lower, hard))


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    while header := requests.read(_HEADER.size):
        what, size = _HEADER.unpack(header)
        content = requests.read(size)
        status, reply = _answer(_TASKS[what], content)
        answers.write(_HEADER.pack(status, len(reply)))
        answers.write(reply)
        answers.flush()


def _answer(task: _Task, content: bytes) -> tuple[int, bytes]:
    try:
        model = onnx.ModelProto.FromString(content[1:])
        result: Any = task(model, content[0])
        return _DONE, b"" if result is None else result.SerializeToString()
    except Exception as error:  # what ONNX refuses, it raises in many ways
        text = str(error) or type(error).__name__
        return _REFUSED, text.encode("utf-8", "replace")
