"""Scripts: where they stop, what they print, the exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[2]

Run = Any  # the fixture of conftest.py


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def script(name: str, *lines: str, end: str = "\n") -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((end.join(lines)).encode())
    return name


def test_a_script_that_succeeds_ends_with_0(run: Run) -> None:
    outcome = run("-s", script("a.nns", "# settings", "", "set l1_size 48000", "set l1_size", ""))
    assert outcome.status == 0
    assert outcome.out == "l1_size - was: 64000\nnow: 48000\nl1_size: 48000\n"
    assert outcome.err == ""


def test_windows_line_ends_and_a_missing_last_one_are_fine(run: Run) -> None:
    text = ("\ufeffset quiet true", "set l1_size 48000  # budget", "set l1_size")
    outcome = run("-s", script("a.nns", *text, end="\r\n"))
    assert (outcome.status, outcome.out.splitlines()[-1]) == (0, "l1_size: 48000")


FAILURES = {
    "an unknown command": ("hlep", "there is no command 'hlep' - did you mean help?"),
    "an unknown option": ("set --verbos=1", "verbose"),
    "an unknown option with a near one": ("doctor --fromat csv", "did you mean --format?"),
    "a wrong value": ("doctor --format xml", "'xml' is not one of"),
    "a missing argument": ("run_script", "required: script"),
    "one argument too many": ("set l1_size 1 2", "unexpected argument '2'"),
    "an open quote": ("set l1_size '1", "column 13 is never closed"),
    "an undefined variable": ("set l1_size $(SIZE)", "variable SIZE is not defined"),
    "a command after a semicolon": ("set l1_size 1; set", "';'"),
    "a folder that does not exist": ("set > no/such/folder/x", "no/such/folder/x"),
    "a program that does not exist": ("set | no-such-program-here", "no-such-program-here"),
    "a program that fails": ("!exit 3", "exit status 3"),
    "a program that fails on results": ("set | false", "'false' ended with exit status 1"),
    "a full disk": ("set > /dev/full", "cannot write /dev/full: No space left"),
    "a folder as a file": ("set >> .", "cannot write .: Is a directory"),
    "a script that does not exist": ("run_script gone.nns", "gone.nns"),
    "an unknown setting": ("set l1size 1", "did you mean l1_size"),
    "a wrong setting": ("set l1_size many", "l1_size does not take 'many'"),
    "an unknown help topic": ("help hlep", "did you mean help?"),
    "a command of NNTool only": ("compress auto", "NNTool's compress is not part of nnshell"),
    "a setting as a command": ("set_input_divisor 255", "`set input_divisor VALUE`"),
    "alias of nothing": ("alias delete x", "x"),
    "a wrong variable name": ("set_var 1x y", "'1x' is not the name of a variable"),
}


@pytest.mark.parametrize(("line", "message"), FAILURES.values(), ids=FAILURES)
def test_a_failing_line_stops_the_script(run: Run, line: str, message: str) -> None:
    outcome = run("-s", script("a.nns", "# why", line, "set_var REACHED yes", "set_var"))
    assert outcome.status == 1
    assert "REACHED" not in outcome.out
    assert message in outcome.err
    first = outcome.err.splitlines()[-1]
    assert first.startswith("a.nns:2: "), outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(("line", "message"), FAILURES.values(), ids=FAILURES)
def test_keep_going_runs_on_and_still_ends_with_1(run: Run, line: str, message: str) -> None:
    name = script("a.nns", line, "set_var REACHED yes", "set_var")
    outcome = run("--keep-going", "-s", name)
    assert outcome.status == 1
    assert "REACHED" in outcome.out
    assert message in outcome.err


def test_a_file_gets_all_results_or_nothing(run: Run) -> None:
    name = script("a.nns", "set l1_size > sizes", "set l2_size >> sizes", "show > steps")
    assert run("-s", name).status == 1  # no graph is open
    assert Path("sizes").read_text() == "l1_size: 64000\nl2_size: 300000\n"
    assert not Path("steps").exists()
    assert run("-e", "set l1_size > sizes", "-e", "set l2_size | cat >> sizes").status == 0
    assert Path("sizes").read_text() == "l1_size: 64000\nl2_size: 300000\n"


def test_help_for_a_command_is_no_failure(run: Run) -> None:
    outcome = run("-s", script("a.nns", "set -h", "help set", "help", "set quiet true"))
    assert outcome.status == 0
    assert "Example: set input_norm_func" in outcome.out


def test_quit_ends_the_script_with_0(run: Run) -> None:
    outcome = run("-s", script("a.nns", "quit", "hlep"))
    assert (outcome.status, outcome.err) == (0, "")
    assert run("-e", "exit", "-e", "hlep").status == 0


def test_quit_after_a_failure_with_keep_going_ends_with_1(run: Run) -> None:
    assert run("--keep-going", "-s", script("a.nns", "hlep", "quit")).status == 1


def test_nested_scripts_report_both_lines(run: Run) -> None:
    script("sub/inner.nns", "set quiet true", "", "hlep")
    outcome = run("-s", script("outer.nns", "# outer", "run_script sub/inner.nns", "set"))
    assert outcome.status == 1
    assert outcome.err.startswith("outer.nns:2: sub/inner.nns:3: there is no command 'hlep'")
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize("command", ["run_script next.nns", "@next.nns", "@@next.nns"])
def test_a_nested_path_is_relative_to_its_script(run: Run, command: str) -> None:
    script("deep/next.nns", "set_var FOUND yes")
    script("deep/first.nns", command)
    outcome = run("-s", "deep/first.nns", "-e", "set_var")
    assert outcome.status == 0
    assert "FOUND" in outcome.out


def test_a_nested_quit_quits(run: Run) -> None:
    script("inner.nns", "quit")
    assert run("-s", script("outer.nns", "@inner.nns", "hlep")).status == 0


def test_a_script_that_runs_itself_fails(run: Run) -> None:
    outcome = run("-s", script("a.nns", "run_script a.nns"))
    assert outcome.status == 1
    assert "a script cannot run itself" in outcome.err


def test_a_nested_failure_with_keep_going_runs_all_lines(run: Run) -> None:
    script("inner.nns", "hlep", "set_var INNER 1")
    name = script("outer.nns", "@inner.nns", "set_var OUTER 1", "set_var")
    outcome = run("--keep-going", "-s", name)
    assert outcome.status == 1
    assert "INNER" in outcome.out and "OUTER" in outcome.out
    assert len(outcome.err.splitlines()) == 1


def test_scripts_and_commands_run_in_order(run: Run) -> None:
    one, two = script("1.nns", "set_var X 1"), script("2.nns", "set_var Y $(X)2")
    outcome = run("-s", one, "-e", "set_var X 3", "-s", two, "-e", "set_var Y")
    assert (outcome.status, outcome.out) == (0, "Y: '32'\n")


def test_a_failing_command_is_named_by_its_number(run: Run) -> None:
    outcome = run("-e", "set quiet true", "-e", "hlep", "-e", "set")
    assert outcome.err.startswith("-e:2: ")


def test_standard_input_is_a_script(run: Run) -> None:
    outcome = run(stdin="set_var A 1\r\n# comment\nset_var A\nhlep\nset_var B 2\nset_var B")
    assert outcome.status == 1
    assert outcome.out == "A: '1'\n"
    assert outcome.err.startswith("<stdin>:4: ")


def test_empty_standard_input_is_fine(run: Run) -> None:
    outcome = run()
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")


def test_interactive_reads_standard_input_after_scripts(run: Run) -> None:
    outcome = run("-e", "set_var A 1", "-i", stdin="set_var A")
    assert (outcome.status, outcome.out) == (0, "A: '1'\n")


@pytest.mark.parametrize("how", ["option", "command", "environment"])
def test_variables_come_from_three_places(
    run: Run, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = script("a.nns", "set l3_flash_device $(FLASH)", "set l3_flash_device")
    options = {"option": ["-D", "FLASH=AT_X=Y"], "command": ["-e", "set_var FLASH AT_X=Y"]}
    if how == "environment":
        monkeypatch.setenv("FLASH", "AT_X=Y")
    outcome = run(*options.get(how, []), "-s", name)
    assert outcome.out.endswith("l3_flash_device: 'AT_X=Y'\n")


def test_the_rules_are_the_same_everywhere(run: Run) -> None:
    line = 'set input_norm_func "x: x/$(N)-1" # comment {N} \'open'
    wanted = "now: 'x: x/128-1'\n"
    define = ("-D", "N=128")
    assert run(*define, "-e", line).out.endswith(wanted)
    assert run(*define, "-s", script("a.nns", line)).out.endswith(wanted)
    assert run(*define, stdin=line).out.endswith(wanted)
    assert run(*define, "-e", "run_script a.nns").out.endswith(wanted)


def test_results_go_to_files_and_programs(run: Run) -> None:
    run("-e", "set l1_size > one.txt", "-e", "set l2_size >> one.txt")
    assert Path("one.txt").read_text() == "l1_size: 64000\nl2_size: 300000\n"
    assert run("-e", "set l1_size | tr a-z A-Z > two.txt").status == 0
    assert Path("two.txt").read_text() == "L1_SIZE: 64000\n"


def test_old_spellings_warn_with_their_line_and_work(run: Run) -> None:
    outcome = run("-s", script("a.nns", "", "doctor \u2013format json", "set gen_name_suffix _x"))
    assert outcome.status == 0
    assert outcome.err.splitlines()[0].startswith("a.nns:2: warning: '\u2013format' is read as")
    assert outcome.err.splitlines()[1].startswith("a.nns:3: warning: setting gen_name_suffix")


def test_an_unexpected_exception_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr("nnshell.shell.environment.report", fail)
    outcome = run("-e", "doctor")
    assert outcome.err == "-e:1: ZeroDivisionError: by zero - `set debug true` shows where\n"
    traced = run("-e", "set debug true", "-e", "doctor")
    assert "Traceback" in traced.err and traced.status == 1


def test_an_interrupted_script_ends_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnshell.shell.environment.report", lambda: signal.raise_signal(2))
    script("inner.nns", "doctor")
    outcome = run("-s", script("a.nns", "", "@inner.nns", "set"), "-e", "set")
    assert outcome.status == 130
    assert outcome.err == "a.nns:2: inner.nns:1: interrupted\n"
    assert outcome.out == ""


def test_scripts_that_are_no_text_fail(run: Run) -> None:
    Path("binary.nns").write_bytes(b"\xff\xfe\x00set")
    Path("folder").mkdir()
    for name in ("binary.nns", "folder", "gone.nns", "a\0b"):
        outcome = run("-s", name)
        assert outcome.status == 1
        assert len(outcome.err.splitlines()) == 1


CHECKED = (
    "set_var IMAGES img",
    "doctor --format csv > $(IMAGES)/x",
    "hlep",
    "doctor --fromat csv",
    "set l1_sise 1",
    "set image_mode GREY",
    "set f 'open",
    "doctor $(MISSING)",
    "set -h",
    "alias create where doctor --format plain",
    "where",
    "compress 4",
)


def test_check_reports_every_line_and_runs_nothing(run: Run) -> None:
    outcome = run("--check", "-s", script("a.nns", *CHECKED), "-e", "doctor -x")
    assert outcome.status == 1
    places = [line.split(": ")[0] for line in outcome.err.splitlines()]
    assert places == [*(f"a.nns:{n}" for n in (3, 4, 5, 6, 7, 8, 12)), "-e:1"]
    assert outcome.out == ""
    assert not Path("img").exists()


def test_check_follows_nested_scripts(run: Run) -> None:
    script("sub/inner.nns", "hlep", "run_script ../a.nns")
    outcome = run("--check", "-s", script("a.nns", "@sub/inner.nns", "run_script gone.nns"))
    lines = outcome.err.splitlines()
    assert lines[0].startswith("a.nns:1: sub/inner.nns:1: there is no command")
    assert "cannot run itself" in lines[1]
    assert lines[2].startswith("a.nns:2: cannot read script gone.nns")


def test_check_of_a_good_script_ends_with_0(run: Run) -> None:
    outcome = run("--check", "-s", script("a.nns", *CHECKED[:2]))
    assert (outcome.status, outcome.err) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-option"],
        ["a.onnx", "b.onnx"],
        ["-D", "NAME"],
        ["-D", "1A=2"],
        ["-l", "loud"],
        ["-g"],
        ["-g", "a.json", "-e", "show"],
        ["--check"],
        ["-c", "template.h", "-g", "a.json"],
        ["-s"],
    ],
)
def test_wrong_usage_ends_with_2(run: Run, arguments: list[str]) -> None:
    outcome = run(*arguments)
    assert outcome.status == 2
    assert outcome.err


def test_version_and_usage_end_with_0(run: Run) -> None:
    assert run("--version").out.startswith("nnshell ")
    assert run("-v", "-l", "info").out == run("-v").out
    assert "-s FILE" in run("--help").out


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_closed_output_is_no_failure(
    run: Run, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = script("a.nns", "set l1_size > out.txt")
    monkeypatch.setattr(f"sys.{stream}", None)
    assert run("-s", name).status == 0
    assert Path("out.txt").read_text() == "l1_size: 64000\n"


def test_closed_standard_input_is_an_empty_script(run: Run) -> None:
    assert run(stdin=None).status == 0


def test_nobody_reading_the_version_is_no_failure() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "nnshell", "--version"]
    done = subprocess.run(command, cwd=_ROOT, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
