"""Runs cases in child processes: bounded time and memory, and a crash is a finding like others.

Case ``number`` of a category depends on the seed, the category and the number alone, so that one
case can be run again. A child can write nowhere but in its own folder and start no program, so that
no spoiled path or command does harm.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from fuzzing.cases import Category, check_no_leftovers, check_printed

MEMORY_BYTES = 2 << 30  # what a case may take beside what the imports took
CASE_SECONDS = 20  # of CPU: other programs may be busy
_PATIENCE = 6  # by the clock, for what waits or hangs in foreign code
_CASES_PER_CHILD = 400  # then a fresh one: what a case leaves behind does not add up
_WRITES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.chmod"}
_WRITES |= {"os.truncate", "os.chown", "os.utime", "shutil.rmtree"}
_PROGRAMS = ("cat", "head -1", "false", "nosuchprogram")  # that scripts may pipe to
_WRITABLE = ("/dev/null", "/dev/full", "/dev/stdout", "/dev/stderr")
_STACK_LINES = 14


class TimedOut(BaseException):
    """A case took too long; no handler of the code under test takes it for its own."""


@dataclass(frozen=True, slots=True)
class Job:
    """One case."""

    category: str
    number: int
    seed: int

    def random(self) -> Random:
        return Random(f"{self.seed} {self.category} {self.number}")

    def __str__(self) -> str:
        return f"--only {self.category} --case {self.number} --seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Finding:
    """A case in which something that must hold did not."""

    job: Job
    text: str


@dataclass(slots=True)
class Summary:
    """Cases by category and result, and what was found."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def table(self) -> str:
        names = sorted({category for category, _ in self.counts})
        results = ("refused", "accepted", "finding")
        rows = [[name, *(self.counts[name, result] for result in results)] for name in names]
        total = ["all", *(sum(row[i] for row in rows) for i in range(1, 4))]  # type: ignore[misc]
        lines = [f"{'category':<18}{'cases':>8}" + "".join(f"{r:>10}" for r in results)]
        for name, *numbers in [*rows, total]:
            lines.append(f"{name:<18}{sum(numbers):>8}" + "".join(f"{n:>10}" for n in numbers))
        return "\n".join(lines)


def run_all(
    jobs: Sequence[Job], categories: Sequence[Category], processes: int, *, progress: bool = False
) -> Summary:
    """Run the cases in ``processes`` children at a time."""
    summary, waiting = Summary(), list(reversed(jobs))
    children: dict[Connection, _Child] = {}
    started = time.monotonic()
    try:
        while waiting or children:
            while waiting and len(children) < processes:
                batch = [waiting.pop() for _ in range(min(_CASES_PER_CHILD, len(waiting)))]
                child = _Child(batch, categories)
                children[child.connection] = child
            for ready in wait(list(children), timeout=1.0):
                assert isinstance(ready, Connection)
                children[ready].receive(summary)
            for connection, child in list(children.items()):
                if child.ended(summary):
                    waiting += reversed(child.left)
                    del children[connection]
            if progress:
                _show(summary, len(jobs), time.monotonic() - started)
    finally:
        for child in children.values():
            child.process.kill()
    return summary


def _show(summary: Summary, total: int, seconds: float) -> None:
    done, found = sum(summary.counts.values()), len(summary.findings)
    sys.stderr.write(f"\r{done}/{total} cases, {found} findings, {seconds:.0f} s ")
    sys.stderr.flush()


class _Child:
    """A process that works through a list of cases and reports each."""

    def __init__(self, jobs: list[Job], categories: Sequence[Category]) -> None:
        context = multiprocessing.get_context("fork")
        self.connection, other = context.Pipe(duplex=False)
        self.left = jobs
        self.heard = time.monotonic()
        self.process = context.Process(target=_work, args=(other, list(jobs), categories))
        self.process.start()
        other.close()

    def receive(self, summary: Summary) -> None:
        """Take the results that have arrived."""
        with contextlib.suppress(EOFError):
            while self.connection.poll():
                result, text = self.connection.recv()
                self._count(summary, result, text)

    def _count(self, summary: Summary, result: str, text: str) -> None:
        job = self.left.pop(0)
        self.heard = time.monotonic()
        summary.counts[job.category, result] += 1
        if text:
            summary.findings.append(Finding(job, text))

    def ended(self, summary: Summary) -> bool:
        """Whether the process is gone; one that hangs in foreign code is killed."""
        if self.process.is_alive():
            if time.monotonic() - self.heard < _PATIENCE * CASE_SECONDS:
                return False
            self.process.kill()
        self.process.join()
        self.receive(summary)
        if self.left and self.process.exitcode:
            code = self.process.exitcode
            what = "hung in foreign code" if code == -signal.SIGKILL else f"crashed with {code}"
            self._count(summary, "finding", f"the process {what}")
        return True


def _work(connection: Connection, jobs: list[Job], categories: Sequence[Category]) -> None:
    """The child: one case after the other, each in an empty folder of its own."""
    by_name = {category.name: category for category in categories}
    base = Path(tempfile.mkdtemp(prefix="nnshell-fuzz-"))
    try:
        _confine(base)
        for job in jobs:
            connection.send(_run_job(job, by_name[job.category], base))
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _confine(base: Path) -> None:
    used = _virtual_bytes() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (used, used))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, _on_alarm)
    output = os.open(base / "output", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    errors = os.open(base / "errors", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(errors, 2)
    os.environ.update(HOME=str(base), XDG_STATE_HOME=str(base), NO_COLOR="1")
    inside = os.path.realpath(base)
    sys.addaudithook(lambda event, given: _audit(event, given, inside))


def _audit(event: str, given: tuple[Any, ...], inside: str) -> None:
    """Refuse what could do harm, as an operating system refuses it."""
    if event == "subprocess.Popen" and str(given[1][-1]) not in _PROGRAMS:
        raise PermissionError(13, "the fuzzer starts no programs", str(given[1]))
    if event in ("os.system", "os.exec", "os.posix_spawn"):
        raise PermissionError(13, "the fuzzer starts no programs", str(given[0]))
    if event == "open":
        writes = bool(given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
    else:
        writes = event in _WRITES
    if not writes or isinstance(given[0], int):
        return
    path = os.path.realpath(os.fsdecode(given[0]))
    if path not in _WRITABLE and not path.startswith(inside):
        raise PermissionError(13, "Permission denied", os.fsdecode(given[0]))


def _virtual_bytes() -> int:
    with contextlib.suppress(OSError), open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[0]) * resource.getpagesize()
    return MEMORY_BYTES


def _on_alarm(_number: int, _frame: FrameType | None) -> None:
    raise TimedOut


def _run_job(job: Job, category: Category, base: Path) -> tuple[str, str]:
    """(result, what was found or "")."""
    folder = Path(tempfile.mkdtemp(dir=base))
    os.chdir(folder)
    _take_printed(base)
    signal.setitimer(signal.ITIMER_PROF, CASE_SECONDS)
    try:
        with _python_warnings() as warned:
            result = category.run(job.random(), folder)
            check_no_leftovers(folder)
        check_printed(_take_printed(base))
        if warned:
            return "finding", f"Python warned: {warned[0].category.__name__} {warned[0]}"
        return result, ""
    except TimedOut:
        return "finding", f"took more than {CASE_SECONDS} s\n{_stack()}"
    except BaseException:
        return "finding", _stack()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        os.chdir(base)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _python_warnings() -> Iterator[list[Any]]:
    """What would appear on standard error by Python's ``warnings``."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        yield warned


def _take_printed(base: Path) -> str:
    """What was printed to standard error since the last call."""
    sys.stdout.flush()
    sys.stderr.flush()
    text = (base / "errors").read_text(errors="replace")
    os.truncate(base / "errors", 0)
    os.truncate(base / "output", 0)
    return text


def _stack() -> str:
    lines = traceback.format_exc().strip().splitlines()
    return "\n".join(lines[-_STACK_LINES:])
