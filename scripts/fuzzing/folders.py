"""Folders as units: writers that are killed, end by a signal, or write at the same time."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from fuzzing.cases import ACCEPTED, REFUSED, Violation
from fuzzing.models import FIXED
from nnshell.cli import main
from nnshell.support import units
from nnshell.support.files import append_atomically, finish, write_all_atomically

KILLED = 9
EVENTS = {"open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.chmod"}
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

Set = dict[Path, bytes]


def _a_set(random: Random, folder: Path) -> Set:
    """A set of files in a folder or two, of any size."""
    places = ("", "", "tensors/", "a/b/")
    count = random.choice((1, 2, 3, 3, 8))
    return {
        folder / f"{random.choice(places)}f{i}": random.randbytes(random.choice((0, 9, 70_000)))
        for i in range(count)
    }


def in_child(act: Callable[[], object]) -> int:
    """Run in a process of its own; the process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.setitimer(signal.ITIMER_PROF, 0)
        act()
        status = 0
    finally:
        os._exit(status)


def status_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def tidy(folder: Path) -> None:
    """What the next run does, as if a minute had passed; nothing of ours may be left then."""
    kept, units._OLD_SECONDS = units._OLD_SECONDS, -1.0
    try:
        for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            finish(place)
    finally:
        units._OLD_SECONDS = kept
    if left := [path.name for path in folder.rglob(".nnshell-*")]:
        raise Violation(f"files are left after a later run: {left[:3]}")


def _content(files: Set) -> Set:
    return {path: path.read_bytes() for path in files if path.exists()}


def killed_case(random: Random, folder: Path) -> str:
    """kill -9 at any operation on files: the old set or the new one."""
    target = folder / "out"
    after = _a_set(random, target)
    before = {path: random.randbytes(20) for path in after} if random.random() < 0.7 else {}
    if before:
        write_all_atomically(before)
    left = random.randrange(12 * len(after) + 12)

    def watch(event: str, _: object) -> None:
        nonlocal left
        if event in EVENTS:
            left -= 1
            if left < 0:
                os._exit(KILLED)

    def write() -> None:
        sys.addaudithook(watch)
        write_all_atomically(after)

    killed = status_of(in_child(write)) == KILLED
    if target.exists():
        tidy(target)
    found = _content(after)
    if found not in (before, after) or (not killed and found != after):
        raise Violation(f"{len(after)} files are a mixture, killed at {left}")
    return REFUSED if killed else ACCEPTED


def pair_case(random: Random, folder: Path) -> str:
    """Two writers of one set, or of one log, at the same time."""
    target = folder / "out"
    one = _a_set(random, target)
    other = {path: random.randbytes(30) for path in one}
    log = target / "log"

    def write(files: Set, who: str) -> None:
        for number in range(5):
            write_all_atomically(files)
            append_atomically(log, f"{who}{number}\n".encode())

    pids = [in_child(lambda f=f, w=w: write(f, w)) for f, w in ((one, "a"), (other, "b"))]
    statuses = [status_of(pid) for pid in pids]
    if any(statuses):
        raise Violation("a writer failed")
    tidy(target)
    if _content(one) not in (one, other):
        raise Violation("two sets are mixed")
    lines = sorted(log.read_text().splitlines())
    if lines != sorted(f"{who}{number}" for who in "ab" for number in range(5)):
        raise Violation(f"lines are lost: {lines}")
    return ACCEPTED


def signal_case(random: Random, folder: Path) -> str:
    """A script of commands that write, ended by a signal at any moment."""
    (folder / "model.onnx").write_bytes(FIXED["lenet"](random).model().SerializeToString())
    lines = ["open model.onnx", "adjust", "fusions --scale8", "fquant", "save_state", "gen -T t"]
    writers = ("gen model.c -M out -T out/tensors -t -H model.h", "save_state new/", "show > a.txt")
    lines += [random.choice((*writers, "simulate --json s.json", "qshow >> b.txt"))] * 40
    (folder / "script.nns").write_text("\n".join(lines))
    number = random.choice(_ENDING)

    def run() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for entry in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(entry, signal.SIG_DFL)
        try:
            status = main(["-s", "script.nns"])
        except SystemExit as end:
            status = int(end.code or 0)
        os._exit(status)

    pid = in_child(run)
    time.sleep(random.uniform(0.05, 0.6))  # it is past its own beginning
    os.kill(pid, number)
    status = status_of(pid)
    expected = (128 + number, 0, -number)  # by us; too late; before there was a shell
    if status not in expected:
        raise Violation(f"{number.name} ends with status {status}")
    if status != -number and (left := [p.name for p in folder.rglob(".nnshell-*")]):
        raise Violation(f"{number.name} leaves {left[:3]}")
    _check_whole(folder)
    return REFUSED if status else ACCEPTED


def _check_whole(folder: Path) -> None:
    model = folder / "out" / "model.c"
    if model.exists() and not (folder / "out" / "model.h").exists():
        raise Violation("a part of a set")
    for path in (model, folder / "a.txt"):
        if path.exists() and not path.read_bytes().endswith(b"\n"):
            raise Violation(f"{path.name} is cut off")
