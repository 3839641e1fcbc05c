"""Settings, help, doctor and completion as commands of a shell."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nnshell.shell.app import Shell
from nnshell.shell.commands import command_sets
from nnshell.shell.commands.help import GROUPS, commands_by_group, example, summary
from nnshell.shell.environment import PACKAGES
from nnshell.shell.session import Session
from nnshell.shell.topics import TOPICS
from nnshell.support.settings import SETTINGS

Run = Any
_OF_CMD2 = {"alias", "edit", "macro", "py", "shell"}


@pytest.fixture
def shell() -> Iterator[Shell]:
    made = Shell(Session(), command_sets(), stdin=io.StringIO(), stdout=io.StringIO())
    yield made
    made.stdout.close()


def completions(shell: Shell, line: str) -> list[str]:
    begin = max(line.rfind(" "), line.rfind("'"), line.rfind('"')) + 1
    found = shell.complete(line[begin:], line, begin, len(line))
    assert not found.error, found.error
    return [item.text.rstrip() for item in found]


def own_commands(shell: Shell) -> list[str]:
    return [name for name in shell.get_visible_commands() if name not in _OF_CMD2]


def test_every_setting_is_listed_and_documented(run: Run) -> None:
    outcome = run("-e", "set -v")
    for setting in SETTINGS.values():
        assert re.search(rf"^{setting.name} .*{re.escape(setting.doc)}$", outcome.out, re.MULTILINE)
    assert "\ndebug" in outcome.out


def test_a_setting_keeps_floats_signs_and_empty_words(run: Run) -> None:
    lines = ["set input_offset -0.5", "set input_divisor 0.5", 'set input_norm_func "x: x"']
    lines += ['set input_norm_func ""', "set input_offset", "set input_divisor"]
    outcome = run(*[word for line in lines for word in ("-e", line)])
    assert "now: -0.5" in outcome.out and "now: 0.5" in outcome.out
    assert "input_norm_func - was: 'x: x'\nnow: ''" in outcome.out


def test_settings_of_the_shell_are_set_the_same_way(run: Run) -> None:
    outcome = run("-e", "set debug true", "-e", "set timing on", "-e", "set quiet maybe")
    assert "debug - was: False\nnow: True" in outcome.out
    assert "setting quiet does not take 'maybe'" in outcome.err
    assert re.search(r"^-e:2: [0-9.]+ s$", outcome.err, re.MULTILINE)


def test_echo_shows_each_line_of_a_script(run: Run) -> None:
    outcome = run("-e", "set echo true", "-e", "set l1_size  # why")
    assert "(NNT) set l1_size  # why\nl1_size: 64000\n" in outcome.out


def test_every_command_has_help_a_task_and_an_example_that_parses(shell: Shell) -> None:
    groups = [group for group, _ in GROUPS]
    by_group = commands_by_group(shell)
    assert set(by_group) <= set(groups)
    for name in own_commands(shell):
        assert summary(shell, name), name
        line = example(shell, name)
        assert line.split()[0] in (name, "quit"), f"{name} has no example"
        shell.session.variables.own["IMAGES"] = "x"
        shell.parsed_arguments(shell.statement(line))


def test_help_lists_every_command_once_under_its_task(run: Run, shell: Shell) -> None:
    out = run("-e", "help").out
    for name in shell.get_visible_commands():
        assert len(re.findall(rf"^  {name} ", out, re.MULTILINE)) == 1, name
    assert all(topic in out for topic in TOPICS)
    assert example(shell, "set") in run("-e", "help -v").out


@pytest.mark.parametrize("files", ["onnx", "tflite"])
def test_help_knows_all_operators_before_anything_is_opened(run: Run, files: str) -> None:
    command = [sys.executable, "-m", "nnshell", "-e", f"help {files}"]
    first = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert first == run("-e", "open sample:lenet", "-e", f"help {files}").out.split("\n", 1)[1]
    assert re.search(r"\bS(oftmax|OFTMAX)\b", first.split("constants")[0])


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_has_text_without_wide_lines(run: Run, topic: str) -> None:
    out = run("-e", f"help {topic}").out
    assert len(out) > 200
    assert max(map(len, out.splitlines())) <= 100


def test_help_of_a_command_explains_every_option(shell: Shell) -> None:
    for name in own_commands(shell):
        function = shell.get_command_func(name)
        assert function is not None
        parser = shell.command_parsers.get(function)
        assert parser is not None and parser.description, name
        for action in parser._actions:
            assert action.help, f"{name} {action.dest}"


def test_doctor_reports_in_every_form(run: Run) -> None:
    rows = json.loads(run("-e", "doctor --format json").out)
    assert {"nnshell", "Python", "cores", "numpy"} <= {row["what"] for row in rows}
    assert run("-e", "doctor --format csv").out.startswith("what,found,for,do\n")


def test_doctor_says_what_to_do_about_a_missing_package(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nnshell.shell.environment as environment

    versions = {"torch": "", "onnx": "1.2.0"}
    real = environment._version
    monkeypatch.setattr(environment, "_version", lambda p: versions.get(p.name, real(p)))
    out = run("-e", "doctor").out
    assert "pip install 'nnshell[train]'" in out
    assert "pip install 'onnx>=1.18'" in out
    assert "missing: onnx" in out


def test_doctor_knows_the_packages_that_the_project_requires() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    required = [re.split(r"[>=,;\s]+", text)[:2] for text in project["dependencies"]]
    known = {package.name: package.minimum for package in PACKAGES if not package.extra}
    assert dict(required) == known


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("doc", ["doctor"]),
        ("set l3_fl", ["l3_flash_device", "l3_flash_ext_managed", "l3_flash_mb"]),
        ("set int8_target ", ["chip", "simulation"]),
        ("set anonymise t", ["true"]),
        ("set debug f", ["false"]),
        ("doctor --fo", ["--format"]),
        ("doctor --format p", ["plain"]),
        ("help sel", ["selectors"]),
        ("open sample:l", ["sample:lenet"]),
        ("aquant sample:cal", ["sample:calibration"]),
        ("aquant input_1=sample:cal", ["input_1=sample:calibration"]),
        ("qtune --step conv1 weight_b", ["weight_bits="]),
        (
            "qtune --step conv1 weight_bits=4 clip_type=st",
            [f"clip_type=std{n}" for n in range(1, 6)],
        ),
        ("qtune --step conv1 narrow_weights=f", ["narrow_weights=false"]),
    ],
)
def test_completion(shell: Shell, line: str, expected: list[str]) -> None:
    assert completions(shell, line) == expected


def test_files_are_completed(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quick.nns").touch()
    monkeypatch.chdir(tmp_path)
    assert completions(shell, "run_script qu") == ["quick.nns"]
    assert completions(shell, "set l1_size > qu") == ["quick.nns"]
    assert completions(shell, "aquant input_1=qu") == ["input_1=quick.nns"]
    assert completions(shell, "aquant 'input_1=qu") == ["input_1=quick.nns"]


def test_the_prompt_names_the_graph_and_the_toolbar_its_state(shell: Shell) -> None:
    from nnshell.ir.graph import Graph
    from nnshell.session.project import Project
    from nnshell.session.steps import Step
    from nnshell.shell.session import Opened

    assert shell.prompt == "(NNT) "
    assert "no graph" in shell.get_bottom_toolbar()
    shell.session.add(Opened(Project(Graph("lenet")), "models/lenet.onnx"), keep=False)
    shell.refresh()
    assert shell.prompt == "(NNT lenet.onnx 0) "
    assert "as opened" in shell.get_bottom_toolbar()
    shell.session.project.recipe.append(Step("adjust"))
    assert "unsaved changes" in shell.get_bottom_toolbar()
