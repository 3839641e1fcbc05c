"""kill -9 at any operation on files of a whole command; then what is there is opened."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

from fuzzing.cases import ACCEPTED, REFUSED, Violation, snapshot
from fuzzing.folders import EVENTS, KILLED, in_child, status_of, tidy
from fuzzing.scripts import prepare
from nnshell.shell.app import Shell
from nnshell.shell.commands import command_sets
from nnshell.shell.session import Session

_OPEN = ("open model.onnx", "adjust", "fusions --scale8")
_WRITERS: dict[str, str] = {  # what writes, and how the result is opened
    "save_state": "open model.json",
    "save_state new/state.json": "open new/state.json",
    "save_stats stats.json": "fquant",
    "gen model.c -M out -T out/tensors -t -H model.h": "show",
    "gen_project project": "show",
    "export --form float float.onnx": "open float.onnx",
    "export --form qdq quantized.onnx": "open -q quantized.onnx",
    "export c portable": "show",
    "draw -f net.dot": "show",
    "dump x.npz -q --npz tensors.npz": "show",
    "simulate --json sim.json --trace trace.json": "simulate",
    "qerror x.npz -c errors.csv": "show",
    "qshow > table.txt": "show",
    "qshow >> table.txt": "show",
}


def command_killed_case(random: Random, folder: Path) -> str:
    """The set that a command writes is the old one or the new one, and opens."""
    prepare(random, folder)
    line = random.choice(sorted(_WRITERS))
    if random.random() < 0.7:
        _run(line, seed=1)
    before = _kept(folder)
    backup = folder.with_name(f"{folder.name}_before")
    shutil.copytree(folder, backup, symlinks=True)
    operations = _run(line, seed=2)
    after = _kept(folder)
    _restore(folder, backup)
    killed = _run(line, seed=2, kill_at=random.randrange(operations + 1)) < 0
    _open(folder, _WRITERS[line])
    for place in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        tidy(place)
    state = _kept(folder)
    if state not in (before, after) or not (killed or state == after):
        names = sorted(n for n in {*state, *after} if state.get(n) != after.get(n))
        raise Violation(f"'{line}' leaves a mixture, {names[:4]} are not new")
    return REFUSED if killed else ACCEPTED


def _kept(folder: Path) -> dict[str, str]:
    """Files by digest; empty folders do not count."""
    return {name: digest for name, digest in snapshot(folder).items() if digest != "folder"}


def _restore(folder: Path, backup: Path) -> None:
    for path in folder.iterdir():
        if path.name != ".fuzz":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in backup.iterdir():
        if path.name != ".fuzz":
            target = folder / path.name
            shutil.copytree(path, target) if path.is_dir() else shutil.copy2(path, target)
    shutil.rmtree(backup)


def _run(line: str, seed: int, kill_at: int | None = None) -> int:
    """Operations on files that the line took; -1 where it was killed."""
    count, listening = 0, False

    def watch(event: str, _: object) -> None:
        nonlocal count
        if listening and event in EVENTS:
            if count == kill_at:
                os._exit(KILLED)
            count += 1

    def act() -> None:
        nonlocal listening
        shell = _shell()
        for each in (*_OPEN, f"fquant --seed {seed}"):
            shell.onecmd_plus_hooks(each, add_to_history=False)
        sys.addaudithook(watch)
        listening = True
        shell.onecmd_plus_hooks(line, add_to_history=False)
        listening = False
        if shell.failures:
            os._exit(1)
        os.write(pipe[1], str(count).encode())

    return _counted(act, line, pipe := os.pipe())


def _counted(act: Callable[[], object], line: str, pipe: tuple[int, int]) -> int:
    try:
        status = status_of(in_child(act))
        if status not in (0, KILLED):
            raise Violation(f"'{line}' fails with status {status}")
        return int(os.read(pipe[0], 20)) if status == 0 else -1
    finally:
        for descriptor in pipe:
            os.close(descriptor)


def _shell() -> Shell:
    return Shell(Session(), command_sets(), stdin=io.StringIO(), stdout=io.StringIO())


def _open(folder: Path, line: str) -> None:
    """What was written is opened by a session of its own."""

    def act() -> None:
        shell = _shell()
        lines = [line] if line.startswith("open") else [*_OPEN, line]
        exists = not line.startswith("open") or (folder / line.split()[-1]).exists()
        for each in lines if exists else []:
            shell.onecmd_plus_hooks(each, add_to_history=False)
        if shell.failures:
            print(shell.last_failure, file=sys.stderr)
            os._exit(1)

    if status_of(in_child(act)):
        raise Violation(f"'{line}' refuses what was left")
