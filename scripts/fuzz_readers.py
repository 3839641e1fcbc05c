"""Feeds the readers of files bytes that reach new code, and stops at the first that is not handled.

    pip install atheris
    python scripts/fuzz_readers.py                       every reader, three minutes each
    python scripts/fuzz_readers.py --only norm --seconds 60
    python scripts/fuzz_readers.py --only norm --keep    ... and keep a small corpus of it

Inputs that reach code of their own are in tests/fuzz/corpus, which the tests read. An input that
was not handled is written to the folder ``--found``. Exit status 1 when there was one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT / "scripts"), str(_ROOT)]
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

_CORPUS = _ROOT / "tests" / "fuzz" / "corpus"
_KEPT_FILES, _KEPT_BYTES = 40, 1500  # of each reader


def main() -> int:
    arguments = _arguments()
    if arguments.target:
        _fuzz(arguments.target, arguments.rest)
    failed = [
        name for name in ([arguments.only] if arguments.only else _names())
        if not _run(name, arguments)
    ]  # fmt: skip
    print(f"not handled: {', '.join(failed)}" if failed else "every input was handled")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--only", help="one reader")
    add("--seconds", type=int, default=180, help="for each reader (%(default)s)")
    add("--keep", action="store_true", help="put small inputs that reach new code in the corpus")
    add("--found", type=Path, default=Path("found"), help="folder for what was not handled")
    add("--target", help=argparse.SUPPRESS)
    add("rest", nargs="*", help=argparse.SUPPRESS)
    return parser.parse_args()


def _names() -> list[str]:
    return sorted(path.name for path in _CORPUS.iterdir())


def _run(name: str, arguments: argparse.Namespace) -> bool:
    """Fuzz one reader in a process of its own; whether all inputs were handled."""
    arguments.found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        (grown := Path(folder) / "grown").mkdir()
        options = [
            f"-max_total_time={arguments.seconds}",
            f"-artifact_prefix={arguments.found}/{name}-",
            *("-timeout=20", "-rss_limit_mb=4000", "-max_len=20000", "-print_final_stats=1"),
        ]
        done = _child(name, [str(grown), str(_CORPUS / name), *options])
        executed = [line for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        print(f"{name}: {executed[-1].split()[-1] if executed else 'no'} inputs", flush=True)
        if done.returncode:
            print(done.stderr[-3000:])
        elif arguments.keep:
            _keep(name, grown, Path(folder) / "merged")
    return done.returncode == 0


def _child(name: str, words: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, __file__, "--target", name, "--", *words]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


def _keep(name: str, grown: Path, merged: Path) -> None:
    """The smallest inputs that together reach what all of them reach."""
    merged.mkdir()
    for path in [*grown.iterdir()]:
        if path.stat().st_size > _KEPT_BYTES:
            path.unlink()
    _child(name, ["-merge=1", str(merged), str(_CORPUS / name), str(grown)])
    for path in sorted(merged.iterdir(), key=lambda path: path.stat().st_size)[:_KEPT_FILES]:
        path.replace(_CORPUS / name / path.name[:16])


def _fuzz(name: str, words: list[str]) -> None:
    """Does not return: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["nnshell"]):
        from fuzzing.readers import check

    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    atheris.Setup([sys.argv[0], *words], lambda data: check(name, data, folder) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
