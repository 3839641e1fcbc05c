"""The walkthroughs that come with nnshell: run without a person, every claim checked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nnshell
from nnshell.shell.app import Shell
from nnshell.shell.tutor import ShellHost
from nnshell.tutorials import folder, walkthrough
from nnshell.tutorials.checks import Evidence
from nnshell.tutorials.tour import run_all
from nnshell.tutorials.walkthrough import Step, Walkthrough

_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*\.\d+|(?<![\w.,/])\d[\d,]*\d{2}(?![\w.])")
_ON_DISK = (".h", ".json", ".nns")
_OF_THE_CHIP = "512"  # kB of L2: the only number that a reader cannot find on the screen


class Recorder(ShellHost):
    """Keeps everything that the commands printed, and what a step could see of it."""

    def __init__(self, shell: Shell, name: str) -> None:
        super().__init__(shell, name)
        self.seen: list[str] = []

    def evidence(self) -> Evidence:
        found = super().evidence()
        self.seen += [found.results, found.messages, *found.failures]
        return found


@pytest.mark.parametrize("name", walkthrough.names())
def test_everything_a_walkthrough_says_is_so(name: str, shell: Shell, tmp_path: Path) -> None:
    host = Recorder(shell, f"{name}.md")
    (tmp_path / "output").mkdir()
    tour = walkthrough.load(name).written_to("output")
    run_all(tour, host)
    written = [p.read_text() for p in tmp_path.rglob("*") if p.suffix in _ON_DISK]
    assert unfounded_numbers(tour, "\n".join(host.seen + written)) == []


def unfounded_numbers(tour: Walkthrough, printed: str) -> list[str]:
    """Numbers in the text that no command printed and no check or command has."""
    known = f"{_OF_THE_CHIP}\n{printed}".replace(",", "")
    for step in tour.steps:
        known += "\n".join([*(c.text for c in step.checks), *(c.text for c in step.commands)])
    return [
        f"{step.title}: {number}"
        for step in tour.steps
        for number in numbers_in(step)
        if number not in known
    ]


def numbers_in(step: Step) -> list[str]:
    return [found.replace(",", "") for found in _NUMBER.findall(f"{step.why}\n{step.look}")]


def test_numbers_in_text_are_found() -> None:
    parts = walkthrough.load("lenet").steps
    assert "93.50" in numbers_in(parts[5]) and "187" in numbers_in(parts[5])
    assert "0.00096298" in numbers_in(parts[8]) and "100000" in numbers_in(parts[8])


@pytest.mark.parametrize("name", walkthrough.names())
def test_every_step_says_why_and_what_to_look_at(name: str) -> None:
    tour = walkthrough.load(name)
    assert 5 <= len(tour.steps) <= 15
    for step in tour.steps:
        assert len(step.why) > 40 and len(step.look) > 100, step.title
        assert max(len(line) for line in step.why.splitlines()) <= 115


def test_the_path_from_model_to_chip_is_in_the_first_walkthrough() -> None:
    lines = [line.text.split()[0] for step in walkthrough.load("lenet").steps
             for line in step.commands]  # fmt: skip
    path = ["open", "show", "adjust", "fusions", "validate", "aquant", "qshow", "qerror",
            "simulate", "save_state", "gen", "dump"]  # fmt: skip
    positions = [lines.index(command) for command in path]
    assert positions == sorted(positions)


def test_auto_leaves_session_and_folder_as_they_were(shell: Shell, tmp_path: Path) -> None:
    shell.onecmd_plus_hooks("open sample:lenet")
    shell.onecmd_plus_hooks("set input_divisor 7")
    graph, steps = shell.session.graph, len(shell.session.graph)
    shell.onecmd_plus_hooks("tutorial questions --auto")
    assert shell.failures == 0
    assert shell.session.graph is graph and len(graph) == steps and not graph.quantized
    assert shell.session.settings.input_divisor == 7
    assert shell.session.settings.input_norm_func == ""
    assert [*tmp_path.iterdir()] == []


def test_auto_keeps_its_files_in_a_folder_of_ones_choice(shell: Shell, tmp_path: Path) -> None:
    shell.onecmd_plus_hooks("tutorial questions --auto --output 'my files'")
    assert shell.failures == 0
    assert (tmp_path / "my files" / "model.h").is_file()
    assert (tmp_path / "my files" / ".gitignore").read_text() == "*\n"
    assert json.loads((tmp_path / "my files" / "lenet.json").read_text())


def test_a_walkthrough_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nnshell.cli", "-e", "tutorial questions --auto"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(nnshell.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\nok: ") == sum(
        len(step.checks) for step in walkthrough.load("questions").steps
    )


def test_a_folder_that_was_there_gets_no_ignore_file(tmp_path: Path) -> None:
    folder.prepare(tmp_path)
    assert [*tmp_path.iterdir()] == []
    mine = tmp_path / "new"
    folder.prepare(mine)
    assert folder.tidy(mine) is False
    assert not mine.exists()
    folder.prepare(mine)
    (mine / "model.h").touch()
    assert folder.tidy(mine) is True
    assert (mine / "model.h").exists()


def test_a_walkthrough_hears_notes_whatever_the_log_level(shell: Shell, tmp_path: Path) -> None:
    text = """# Notes

One step.

## Validate

Notes are messages.

```nnshell
open sample:lenet
validate sample:test --limit 3
```

Here is one.

```check
warns "the first 3 of 200 samples"
```
"""
    (tmp_path / "notes.md").write_text(text)
    shell.session.settings.assign("log_level", "ERROR")
    shell.refresh()
    shell.onecmd_plus_hooks("tutorial notes.md --auto")
    assert shell.failures == 0, shell.last_failure
    assert shell.session.settings.log_level == "ERROR"
