"""Taking a tutorial at the prompt: what is typed: Type, step by step, and what the screen says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nnshell.shell.app import Shell
from nnshell.shell.tutor import guide
from nnshell.tutorials.walkthrough import load, parse

from .conftest import Output

Type = Callable[..., str]

SMALL = """# Small

A summary.

## Open

Why to open.

```nnshell
open sample:lenet
```

What was opened.

```check
node input_1 exists
```

## Fuse

Why to fuse.

```nnshell
adjust
# and then
fusions --scale8
```

What was fused.

```check
node _conv1_Conv_fusion exists
```

## Fail

Why to fail.

```nnshell
qshow
```

What failed.

```check
fails "not quantized"
```
"""


@pytest.fixture
def typed(shell: Shell, tmp_path: Path, output: Output) -> Type:
    """Type lines in a small tutorial that has begun; what they printed."""
    guide(shell, parse(SMALL, "small"), 1, tmp_path / "out")

    def _type(*lines: str) -> str:
        output.new()
        for line in lines:
            assert shell.guide is None or not shell.guide.busy
            shell.onecmd_plus_hooks(shell.guide.read(line) if shell.guide else line)
        return output.new()

    return _type


def test_a_tutorial_begins_with_its_first_step(shell: Shell, output: Output) -> None:
    shell.onecmd_plus_hooks("tutorial lenet")
    shown = output.new()
    assert "Step 1 of 15: Open the model" in shown
    assert "(NNT) open sample:lenet" in shown
    assert shell.guide is not None
    assert shell.get_bottom_toolbar().startswith(" lenet 1/15 | Enter: run it | back | skip")


def test_enter_runs_the_suggestion_and_then_goes_on(typed: Type, shell: Shell) -> None:
    shown = typed("")
    assert "lenet: inputs input_1 3x32x32" in shown
    assert "What was opened." in shown and "Step 2" not in shown
    assert "next step" in shell.get_bottom_toolbar()
    assert "Step 2 of 3: Fuse" in typed("")


def test_a_step_with_several_lines_takes_them_one_by_one(typed: Type) -> None:
    shown = typed("", "", "")
    assert "Next: fusions --scale8" in shown and "What was fused" not in shown
    assert "What was fused." in typed("fusions  --scale8   # typed by hand")


def test_another_way_to_the_same_result_counts(typed: Type) -> None:
    assert "What was fused." in typed("open sample:lenet", "", "fusions --scaled_match_group")


def test_other_commands_are_free_and_the_step_waits(typed: Type) -> None:
    shown = typed("doctor", "hlep", "open nothing.onnx")
    assert shown.count("Still to do: open sample:lenet (Enter runs it)") == 3
    assert "What was opened." in typed("open sample:lenet")


def test_a_suggestion_that_fails_says_what_is_missing(typed: Type, shell: Shell) -> None:
    shown = typed("", "", "extract _fc3_Gemm", "adjust", "fusions --scale8")
    assert "Not there yet: there is no node _conv1_Conv_fusion." in shown


def test_back_brings_the_session_to_what_it_was(typed: Type, shell: Shell) -> None:
    typed("", "", "", "", "")
    assert "_conv1_Conv_fusion" in shell.session.graph
    assert "Step 2 of 3: Fuse" in typed("back")
    assert "_conv1_Conv_fusion" not in shell.session.graph
    assert "Step 1 of 3: Open" in typed("back")
    assert not shell.session.opened
    assert "This is the first step." in typed("back")
    assert "What was opened." in typed("")
    assert "What was fused." in typed("", "", "")


def test_skip_does_the_step_without_showing_it(typed: Type, shell: Shell) -> None:
    shown = typed("skip")
    assert "lenet: inputs" not in shown and "Step 2 of 3" in shown
    assert shell.session.opened
    assert "fused _conv1" not in typed("skip")
    assert "_conv1_Conv_fusion" in shell.session.graph


def test_a_command_that_should_fail_ends_its_step(typed: Type, shell: Shell) -> None:
    shown = typed("skip", "skip", "")
    assert "What failed." in shown
    assert shell.failures == 0
    assert "This was the last step of 'Small'." in typed("")
    assert shell.guide is None and not shell.session.opened


def test_again_shows_the_step_and_its_result(typed: Type) -> None:
    assert "What was opened." not in typed("again")
    typed("")
    assert "Why to open." in (shown := typed("again")) and "What was opened." in shown


@pytest.mark.parametrize("word", ["quit", "exit"])
def test_quit_leaves_the_tutorial_and_then_nnshell(
    word: str, typed: Type, shell: Shell, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    typed("", "", word)
    assert "`tutorial small --step 2` goes on from here" in capfd.readouterr().err
    assert shell.guide is None and shell.transcript is None
    assert not (tmp_path / "out").exists()
    assert shell.onecmd_plus_hooks(word) is True


def test_the_end_of_input_leaves_the_tutorial_and_then_nnshell(
    typed: Type, shell: Shell, capfd: pytest.CaptureFixture[str]
) -> None:
    assert shell.onecmd_plus_hooks("_eof") is False
    assert "`tutorial small --step 1` goes on from here" in capfd.readouterr().err
    assert shell.onecmd_plus_hooks("_eof") is True


def test_ctrl_c_on_an_empty_line_runs_nothing(typed: Type, shell: Shell) -> None:
    shell.onecmd_plus_hooks("")  # what the prompt gives after Ctrl-C: not read, so no key
    assert not shell.session.opened


def test_ctrl_c_stops_a_step_that_is_skipped(
    typed: Type, shell: Shell, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("nnshell.flow.open_graph", interrupted)
        typed("skip")
    assert "stopped" in capfd.readouterr().err
    assert shell.guide is not None and not shell.guide.busy
    assert "What was opened." in typed("")


def test_graphs_and_settings_come_back_after_a_tutorial(shell: Shell, tmp_path: Path) -> None:
    shell.onecmd_plus_hooks("open sample:lenet")
    shell.onecmd_plus_hooks("set input_divisor 7")
    mine = shell.session.graph
    shell.onecmd_plus_hooks("tutorial lenet")
    assert not shell.session.opened and shell.session.settings.input_divisor != 7
    shell.onecmd_plus_hooks("open sample:lenet -n")
    shell.onecmd_plus_hooks("set input_divisor 9")
    shell.onecmd_plus_hooks("quit")
    assert shell.session.graph is mine and shell.session.settings.input_divisor == 7


def test_a_tutorial_can_begin_at_a_later_step(shell: Shell, output: Output) -> None:
    shell.onecmd_plus_hooks("tutorial lenet --step 5")
    shown = output.new()
    assert "Step 5 of 15" in shown and "Step 4" not in shown
    assert "_conv1_Conv_fusion" in shell.session.graph


def test_a_step_that_does_not_exist_begins_nothing(
    shell: Shell, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shell.onecmd_plus_hooks("tutorial lenet --step 16")
    assert "there is no step 16 - steps go from 1 to 15" in capfd.readouterr().err
    assert shell.guide is None and [*tmp_path.iterdir()] == []


def test_one_tutorial_at_a_time(shell: Shell, capfd: pytest.CaptureFixture[str]) -> None:
    shell.onecmd_plus_hooks("tutorial lenet")
    shell.onecmd_plus_hooks("tutorial mistakes")
    assert "a tutorial is running already - `quit` leaves it" in capfd.readouterr().err
    assert " lenet 1/15" in shell.get_bottom_toolbar()


def test_a_list_of_tutorials(shell: Shell, output: Output) -> None:
    shell.onecmd_plus_hooks("tutorial")
    shown = output.new()
    assert load("lenet").title in shown and load("mistakes").title in shown


def test_in_a_script_a_tutorial_needs_auto(shell: Shell, capfd: pytest.CaptureFixture[str]) -> None:
    from nnshell.shell.app import ScriptStopped

    with pytest.raises(ScriptStopped):
        shell.run_lines(["tutorial lenet"], "my.nns")
    assert "my.nns:1: a tutorial needs somebody at the prompt" in capfd.readouterr().err


def test_auto_stops_at_the_first_thing_that_is_not_so(
    shell: Shell, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = SMALL.replace("node _conv1_Conv_fusion exists", "node _conv3_fusion exists")
    monkeypatch.setattr("nnshell.tutorials.walkthrough.load", lambda *_: parse(wrong, "small"))
    shell.onecmd_plus_hooks("tutorial lenet --auto")
    error = capfd.readouterr().err
    assert (
        "step 'Fuse': there is no node _conv3_fusion (check 'node _conv3_fusion exists')" in error
    )
    assert "(small.md:19)" in error
    assert shell.failures == 1 and not shell.session.opened


def test_auto_stops_at_a_command_that_fails(
    shell: Shell, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = SMALL.replace("open sample:lenet", "open sample:lennet")
    monkeypatch.setattr("nnshell.tutorials.walkthrough.load", lambda *_: parse(wrong, "small"))
    shell.onecmd_plus_hooks("tutorial lenet --auto")
    error = capfd.readouterr().err
    assert "small.md:10: there is no sample 'lennet'" in error
    assert "step 'Open': 'open sample:lennet' failed (small.md:5)" in error


@pytest.mark.parametrize("line", ["tutorial lenet --auto --step 2", "tutorial --step 2"])
def test_a_step_needs_a_person(shell: Shell, capfd: pytest.CaptureFixture[str], line: str) -> None:
    shell.onecmd_plus_hooks(line)
    assert "--step is for a tutorial that a person takes" in capfd.readouterr().err
    assert shell.failures == 1


def test_a_tutorial_of_ones_own(shell: Shell, tmp_path: Path, output: Output) -> None:
    (tmp_path / "lab.md").write_text(SMALL)
    shell.onecmd_plus_hooks("tutorial lab.md --auto")
    assert shell.failures == 0 and "ok: fails" in output.new()
    shell.onecmd_plus_hooks("tutorial lab.md")
    assert " lab.md 1/3 |" in shell.get_bottom_toolbar()


def test_names_and_files_are_completed(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "lab.md").write_text(SMALL)
    for text, expected in (("le", "lenet"), ("la", "lab.md")):
        found = shell.complete(text, f"tutorial {text}", 9, 9 + len(text))
        assert [item.text.rstrip() for item in found] == [expected]
