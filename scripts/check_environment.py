"""Runs nnshell in environments as they are found, and checks that it works or says one line.

    python scripts/check_environment.py                 all of them with this Python, a minute
    python scripts/check_environment.py --short         the ones that break most often
    python scripts/check_environment.py --python python3.12 python3.13       also with these

Homes, terminals, languages, names of folders, closed streams, full disks, limits, one core,
Python's own switches. Exit status 1 when one ends in a traceback, a wrong status or with files
left over.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_SECONDS = 300
_LINES = ("open sample:lenet", "adjust", "fusions --scale8", "fquant", "qshow > q.txt", "simulate",
          "gen -t -T tensors", "save_state state/", "open state/lenet.json", "show")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Environment:
    """Variables (None: unset), words before the program, Python's switches, what the shell adds."""

    name: str
    variables: Mapping[str, str | None] = field(default_factory=dict)
    before: str = ""
    switches: str = ""
    after: str = ""
    folder: str = "work"
    statuses: tuple[int, ...] = (0,)
    short: bool = False


ENVIRONMENTS = (
    Environment("as it is", short=True),
    Environment("no HOME", {"HOME": None, "XDG_STATE_HOME": None}, short=True),
    Environment("a HOME that does not exist", {"HOME": "/no/such/home"}),
    Environment("a HOME that cannot be written", {"HOME": "/proc"}),
    Environment("no TERM", {"TERM": None}),
    Environment("TERM=dumb", {"TERM": "dumb"}),
    Environment("an unknown TERM", {"TERM": "no-such-terminal"}),
    Environment("language C", {"LC_ALL": "C", "LANG": None}, short=True),
    Environment("ASCII streams", {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}),
    Environment("a language that is not installed", {"LC_ALL": "xx_YY.UTF-8"}),
    Environment("no variables but PATH", {name: None for name in os.environ if name != "PATH"}),
    Environment("blanks and quotes in the folder", folder="a b'c\"d", short=True),
    Environment("other scripts in the folder", folder="größe 层 😀"),
    Environment("a line feed in the folder", folder="a\nb"),
    Environment("no standard input", after="<&-", short=True),
    Environment("no standard output", after=">&-", short=True),
    Environment("no standard error", after="2>&-"),
    Environment("no streams at all", after="<&- >&- 2>&-", short=True),
    Environment("a full disk behind the output", after="> /dev/full", statuses=(1,), short=True),
    Environment("nobody reads", after="| head -c 1 > /dev/null", statuses=(0,)),
    Environment("few open files", before="ulimit -n 40;", short=True),
    Environment("little memory", before="ulimit -v 2500000;", statuses=(0, 1)),
    Environment("small files only", before="ulimit -f 8;", statuses=(1, 153, -25)),
    Environment("a small stack", before="ulimit -s 512;"),
    Environment("one core", before="taskset -c 0"),
    Environment("optimized Python", switches="-O", short=True),
    Environment("without docstrings", switches="-OO"),
    Environment("warnings are errors", switches="-W error", short=True),
    Environment("development mode", switches="-X dev"),
    Environment("isolated from the user's packages", switches="-s"),
)


def run(environment: Environment, python: str, base: Path) -> str:
    """What is wrong, or ""."""
    folder = base / environment.folder
    folder.mkdir(parents=True)
    (folder / "script.nns").write_text("\n".join(_LINES))
    variables = {**os.environ, "XDG_STATE_HOME": str(base / "state"), "PYTHONPATH": str(_ROOT)}
    for name, value in environment.variables.items():
        variables.pop(name, None)
        if value is not None:
            variables[name] = value
    if environment.before.startswith("taskset") and not _has("taskset"):
        return ""
    program = f"{shlex.quote(python)} {environment.switches} -m nnshell -s script.nns"
    command = f"{environment.before} {program}"
    done = subprocess.run(
        ["bash", "-c", f"{command} {environment.after}"],
        cwd=folder,
        env=variables,
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    errors = done.stderr.decode(errors="replace")
    if "Traceback" in errors or "Warning:" in errors:
        return errors[-1500:]
    if done.returncode not in environment.statuses:
        return f"status {done.returncode}: {errors[-500:]}"
    left = [path.name for path in folder.rglob(".nnshell-*")]
    return f"files are left: {left[:3]}" if left and done.returncode in (0, 1) else ""


def _has(program: str) -> bool:
    return shutil.which(program) is not None


def _with_nnshell(python: str, base: Path) -> str:
    """Another Python with the packages that nnshell needs, in a new virtual environment."""
    subprocess.run([python, "-m", "venv", str(base)], check=True)
    inside = str(base / "bin" / "python")
    subprocess.run([inside, "-m", "pip", "install", "--quiet", str(_ROOT)], check=True)
    return inside


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--short", action="store_true", help="the ones that break most often")
    parser.add_argument("--only", help="environments whose name contains this")
    parser.add_argument("--python", nargs="*", default=[], help="other Pythons to try as well")
    arguments = parser.parse_args()
    chosen = [e for e in ENVIRONMENTS if e.short or not arguments.short]
    chosen = [e for e in chosen if not arguments.only or arguments.only in e.name]
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        pythons = {"": sys.executable}
        for other in arguments.python:
            pythons[f"{other}: "] = _with_nnshell(other, base / f"venv{len(pythons)}")
        for number, (label, python) in enumerate(pythons.items()):
            for index, environment in enumerate(chosen):
                wrong = run(environment, python, base / f"{number}-{index}")
                failures += bool(wrong)
                print(f"{label}{environment.name}: {wrong or 'ok'}", flush=True)
    print(f"{failures} of {len(pythons) * len(chosen)} environments fail")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
