"""The commands of a session on a small network, as a user types them."""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nnshell.shell.app import Shell
from nnshell.shell.commands import command_sets
from nnshell.shell.session import Session
from nnshell.support import samples as samples_folder

Run = Any

QUANTIZE = ("open net.onnx", "adjust", "fusions --scale8", "aquant img/* -D 128 -O -1")


@pytest.fixture(autouse=True)
def _in_the_project(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def commands(run: Run) -> Any:
    """Run lines as -e commands."""

    def _commands(*lines: str, options: tuple[str, ...] = ()) -> Any:
        return run(*options, *[word for line in lines for word in ("-e", line)])

    return _commands


@pytest.fixture
def shell() -> Iterator[Shell]:
    made = Shell(Session(), command_sets(), stdin=io.StringIO(), stdout=io.StringIO())
    made.run_lines(["open net.onnx", "adjust", "fusions --scale8"], "setup")
    yield made
    made.stdout.close()


def test_the_whole_path_from_a_model_to_generated_files(commands: Any, run: Run) -> None:
    outcome = commands(*QUANTIZE, "save_state", "show")
    assert (outcome.status, outcome.err) == (0, "")
    assert "1x8x8" in outcome.out.splitlines()[0]
    assert "fused conv1, pool1, relu1 into conv1_fusion" in outcome.out
    assert Path("net.json").is_file()
    generated = run("-g", "-M", "out", "-m", "model.c", "-T", "out/t", "-H", "model.h", "net.json")
    assert (generated.status, generated.err) == (0, "")
    assert {"model.c", "model.h", "t"} <= {path.name for path in Path("out").iterdir()}
    assert list(Path("out/t").glob("*.tensor"))


def test_generate_without_constants_leaves_the_folder_out(commands: Any, run: Run) -> None:
    commands(*QUANTIZE, "save_state")
    assert run("-g", "-d", "-M", "out", "-T", "out/t", "net.json").status == 0
    named = ("--basic_kernel_source_file", "E.c", "--basic_kernel_header_file", "E.h")
    assert run("-g", "-M", "named", "-T", "named/t", *named, "net.json").status == 0
    assert Path("named/E.c").is_file() and Path("named/E.h").is_file()
    assert not Path("out/t").exists()


def test_gen_alone_prints_the_model(commands: Any) -> None:
    outcome = commands(*QUANTIZE, "gen > printed.c", "gen -M out")
    assert outcome.status == 0
    assert Path("printed.c").read_text() == Path("out/model.c").read_text()


def test_a_positional_graph_is_opened_before_the_script(run: Run) -> None:
    Path("a.nns").write_text("show\n")
    outcome = run("-s", "a.nns", "net.onnx")
    assert outcome.status == 0
    assert "conv1" in outcome.out


def test_a_graph_that_cannot_be_opened_ends_with_1(run: Run) -> None:
    outcome = run("gone.onnx", "-e", "help")
    assert outcome.status == 1
    assert outcome.out == ""
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("show nosuch", "nosuch"),
        ("open gone.onnx", "gone.onnx"),
        ("open net.onnx --subs batch", "NAME=VALUE"),
        ("open net.onnx --use_hard_tanh", "--use_hard_tanh is not part of nnshell"),
        ("graph 3", "there is no graph 3"),
        ("fusions -a nosuch_fusion", "nosuch_fusion"),
        ("aquant", "no input files"),
        ("aquant nosuch/*.png", "nosuch"),
        ("aquant -f 16 img/*", "POW2"),
        ("aquant -s POW2 -f 32 img/*", "-f 8 or -f 16"),
        ("aquant --stats gone.json", "gone.json"),
        ("aquant --json gone.json img/*", "gone.json"),
        ("qtune", "nothing to tune"),
        ("nodeoption conv1 NOSUCH 1", "NOSUCH"),
        ("imageformat input_1 rgb888", "the normalization is missing"),
        ("imageformat input_1 rgb999 none", "'rgb999' is not one of"),
        ("save_state", "not quantized"),
        ("save_stats x.json", "run aquant first"),
        ("gen", "not quantized"),
        ("undo", "nothing to undo"),
        ("remove nosuch", "nosuch"),
        ("draw -f x.bmp", "'.bmp' is not a format"),
        ("show -x sheet.xls", "Excel"),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(commands: Any, line: str, message: str) -> None:
    before = sorted(Path().iterdir())
    outcome = commands("open net.onnx", line)
    assert outcome.status == 1
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize("line", ["show", "adjust", "aquant img/*", "undo", "gen", "draw", "temps"])
def test_commands_without_a_graph_say_to_open_one(commands: Any, line: str) -> None:
    outcome = commands(line)
    assert outcome.status == 1
    assert "no graph is open - open one" in outcome.err


@pytest.mark.parametrize("line", ["show", "statistics", "temps", "passes"])
@pytest.mark.parametrize("form", ["plain", "csv", "json"])
def test_tables_come_in_every_form(commands: Any, line: str, form: str) -> None:
    commands("open net.onnx", f"{line} --format {form} > table.txt")
    text = Path("table.txt").read_text()
    if form == "json":
        assert isinstance(json.loads(text), list)
    elif form == "csv":
        assert len({row.count(",") for row in text.splitlines()[:1]}) == 1
    assert text


def test_a_table_goes_to_a_csv_file(commands: Any) -> None:
    outcome = commands("open net.onnx", "show -c steps.csv")
    assert "conv1" not in outcome.out
    assert "conv1" in Path("steps.csv").read_text()


def test_selectors_choose_rows(commands: Any) -> None:
    out = commands("open net.onnx", "show -s --format csv 'conv1, fc' > a.csv").out
    names = [line.split(",")[1] for line in Path("a.csv").read_text().splitlines()[1:]]
    assert out and names == ["conv1", "fc"]


@pytest.mark.parametrize("function", ["{x}", "x: x/", "x: foo(x)"])
def test_a_mistaken_norm_function_is_refused_where_it_is_set(run: Run, function: str) -> None:
    outcome = run("-e", f"set input_norm_func '{function}'")
    assert outcome.status == 1 and "norm function" in outcome.err and "x: x/128-1" in outcome.err


@pytest.mark.parametrize(
    ("option", "words_of_it"),
    [
        ("-q", "holds no quantization; quantize it with aquant"),
        ("--load-quantization", "holds no quantization; quantize it with aquant"),
        ("--no_rescale_perchannel", "--no_rescale_perchannel changes nothing"),
    ],
)
def test_options_about_quantization_in_models_warn(run: Run, option: str, words_of_it: str) -> None:
    for words in (("-e", f"open net.onnx {option}"), ("net.onnx", option, "-e", "show")):
        outcome = run(*words)
        assert outcome.status == 0 and words_of_it in outcome.err


def test_undo_takes_back_one_command(commands: Any) -> None:
    outcome = commands("open net.onnx", "fusions --scale8", "undo", "show --format csv")
    assert "took back: fusions --scale8" in outcome.out
    assert "conv1_fusion" not in outcome.out.split("took back")[1]


def test_undo_of_a_setting_gives_it_its_former_value_and_leaves_the_graph(commands: Any) -> None:
    outcome = commands(
        "open net.onnx", "set input_divisor 2", "fusions --scale8", "set input_divisor 4",
        "open -n net.onnx", "graph 0", "undo", "set input_divisor", "show --format csv", "undo",
        "undo", "set input_divisor",
    )  # fmt: skip
    assert outcome.status == 0
    taken = [line for line in outcome.out.splitlines() if line.startswith("took back")]
    assert [line.split(": ")[1] for line in taken] == [
        "set input_divisor 4", "fusions --scale8", "set input_divisor 2",
    ]  # fmt: skip
    values = [line for line in outcome.out.splitlines() if line.startswith("input_divisor: ")]
    assert values == ["input_divisor: 2.0", "input_divisor: 1.0"]
    assert "conv1_fusion" in outcome.out.split("took back")[1]


def test_history_is_a_script_that_makes_the_graph_again(commands: Any, run: Run) -> None:
    first = commands(*QUANTIZE, "hlep", "nodeoption 0 ALLOCATE 1", "history -s > again.nns")
    assert first.status == 1  # of hlep
    commands(*QUANTIZE, "nodeoption 0 ALLOCATE 1", "history -s > again.nns", "gen > first.c")
    assert Path("again.nns").read_text().splitlines()[0] == "open net.onnx"
    assert run("-s", "again.nns", "-e", "gen > second.c").status == 0
    assert Path("first.c").read_text() == Path("second.c").read_text()


def test_history_holds_values_of_variables_and_only_the_last_aquant(commands: Any) -> None:
    lines = (*QUANTIZE, "set_var D 255", "aquant img/* -D $(D)", "history")
    history = commands(*lines).out.splitlines()[-4:]
    assert [line.split(None, 1)[1] for line in history][-1] == "aquant img/* -D 255"
    assert sum("aquant" in line for line in history) == 1


def test_settings_follow_into_the_state(commands: Any, run: Run) -> None:
    commands("set l1_size 50000", *QUANTIZE, "set graph_name other", "save_state")
    outcome = run("net.json", "-e", "set l1_size", "-e", "set graph_name")
    assert outcome.out.endswith("l1_size: 50000\ngraph_name: 'other'\n")


def test_history_holds_settings_made_before_the_model_was_opened(commands: Any, run: Run) -> None:
    norm = 'set input_norm_func "x: x/128-1"'
    aquant = "aquant img/*"
    commands(norm, "open net.onnx", aquant, 'set input_norm_func ""',
             "history -s > again.nns", "qshow --format json > 1")  # fmt: skip
    lines = Path("again.nns").read_text().splitlines()
    assert lines[1:3] == ["set input_norm_func 'x: x/128-1'", aquant]
    assert run("-s", "again.nns", "-e", "qshow --format json > 2").status == 0
    assert Path("1").read_text() == Path("2").read_text()


def test_how_images_are_laid_out_is_told_once_for_a_graph(commands: Any) -> None:
    validate = "validate sample:test --limit 2"
    twice = commands("open sample:lenet", validate, validate)
    assert (twice.out + twice.err).count("transposed HWC to CHW by itself") == 1
    again = commands("open sample:lenet", validate, "open sample:lenet", validate)
    assert (again.out + again.err).count("transposed HWC to CHW by itself") == 2


def test_undo_after_opening_a_state_leaves_the_lines_as_typed(commands: Any) -> None:
    commands(*QUANTIZE, "nodeoption 0 ALLOCATE 1", "save_state")
    out = commands("open net.json", "undo", "undo", "history -s").out
    assert out.splitlines()[-3:] == list(QUANTIZE[:3])


def test_the_state_of_an_installed_sample_is_no_file_of_the_package(
    commands: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "package" / "samples"
    installed.mkdir(parents=True)
    shutil.copy("net.onnx", installed)
    monkeypatch.setattr(samples_folder, "_INSTALLED", installed)
    out = commands("open sample:net", *QUANTIZE[1:], "save_state").out
    assert out.endswith("saved state to net.json\n")
    assert Path("net.json").is_file() and len(list(installed.iterdir())) == 1
    assert commands("open net.json", "qshow").status == 0


def test_graph_says_that_none_is_open(commands: Any) -> None:
    outcome = commands("graph")
    assert (outcome.status, outcome.out.count("\n")) == (0, 1)
    assert "no graph is open" in outcome.out


def test_several_graphs_are_open_at_once(commands: Any) -> None:
    shutil.copy("net.onnx", "second.onnx")
    outcome = commands("open net.onnx", "open -n second.onnx", "graph", "graph 0")
    assert "  0 - net.onnx\n* 1 - second.onnx\n" in outcome.out
    assert outcome.out.endswith("* 0 - net.onnx\n  1 - second.onnx\n")


def test_node_options_are_set_shown_and_cleared(commands: Any) -> None:
    lines = ("nodeoption input_1 ALLOCATE 1", "nodeoption", "nodeoption input_1 allocate")
    outcome = commands("open net.onnx", *lines, "nodeoption")
    assert outcome.out.count("input_1: ALLOCATE 1") == 1
    assert "clear option ALLOCATE of input_1" in outcome.out


def test_the_lab_session_runs_as_its_sheet_says(commands: Any, run: Run) -> None:
    lines = ["open net.onnx", "adjust", "fusions --scale8"]
    lines += ["aquant img/* -H 8 -W 8 --scheme SQ8 -D 255"]
    lines += ["imageformat input_1 bw8 offset_int8", "save_state"]
    assert commands(*lines).status == 0
    arguments = ["-g", "-M", ".", "-m", "model.c", "-T", "tensors", "-H", "model.h", "net.json"]
    assert run(*arguments).status == 0
    assert "_OUT_SCALE" in Path("model.h").read_text()


def test_ctrl_c_leaves_graph_settings_and_prompt_as_they_were(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from nnshell.session.project import Project

    shell.onecmd_plus_hooks("aquant img/* -D 128 -O -1")
    before = (list(shell.session.graph.nodes), list(shell.session.project.recipe), shell.prompt)
    real = Project.quantize

    def interrupted(*arguments: Any) -> None:
        real(*arguments)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Project, "quantize", interrupted)
    assert not shell.onecmd_plus_hooks("aquant img/*")
    project = shell.session.project
    assert (list(project.graph.nodes), list(project.recipe), shell.prompt) == before
    assert project.quantized and project.input_options.divisor == 128
    assert "stopped; graph and settings are as before" in capfd.readouterr().err


def completions(shell: Shell, line: str) -> list[str]:
    begin = max(line.rfind(" "), line.rfind('"')) + 1
    found = shell.complete(line[begin:], line, begin, len(line))
    assert not found.error, found.error
    return [item.text.rstrip() for item in found]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("open ne", ["net.onnx"]),
        ("show conv1_fusion/c", ["conv1_fusion/conv1"]),
        ("show fc,inp", ["fc,input_1"]),
        ("nodeoption inp", ["input_1"]),
        ("nodeoption input_1 ALL", ["ALLOCATE"]),
        ("imageformat input_1 rgb8", ["rgb888"]),
        ("imageformat input_1 rgb888 off", ["offset_int8"]),
        ("imageformat ", ["input_1"]),
        ("freeze out", ["output_1"]),
        ("fusions -a fold_b", ["fold_batch_norm", "fold_bias"]),
        ("fusions --sc", ["--scale8"]),
        ("aquant --clip_type st", ["std1", "std2", "std3", "std4", "std5"]),
        ("aquant img/image_0", ["img/image_0_0.png"]),
        ("graph ", ["0"]),
    ],
)
def test_completion_knows_the_graph(shell: Shell, line: str, expected: list[str]) -> None:
    assert completions(shell, line) == expected


def test_check_knows_the_commands_and_needs_no_files(commands: Any) -> None:
    lines = ("open gone.onnx", "adjust", "fusions --scale9", "aquant gone/* -Q", "save_state")
    outcome = commands(*lines, options=("--check",))
    assert outcome.status == 1
    assert [line[:5] for line in outcome.err.splitlines()] == ["-e:3:", "-e:4:"]
    assert re.search(r"did you mean --scale8", outcome.err)


def test_drawings_have_every_node_and_edge(commands: Any) -> None:
    commands("open net.onnx", "fusions --scale8", "draw -F -s -f open.dot", "draw -y -f closed.gv")
    opened, closed = Path("open.dot").read_text(), Path("closed.gv").read_text()
    assert '"input_1" -> "conv1_fusion/conv1"' in opened
    assert '"conv1_fusion/relu1" -> ' in opened
    assert "fc" in opened and "weights" in opened
    assert 'label="3 conv1' not in closed and closed.count("->") < opened.count("->")


def test_a_python_script_drives_the_shell(commands: Any) -> None:
    Path("check.py").write_text(
        "import sys\n"
        "steps = app('show --format csv').stdout.splitlines()\n"
        "arrays = app('dump img/* --limit 2 -s conv1').data\n"
        "print(len(steps), G.name, arrays['conv1'].shape, sys.argv[1:])\n"
    )
    outcome = commands("open net.onnx", "run_pyscript check.py -x 1 > out.txt")
    assert outcome.status == 0
    assert Path("out.txt").read_text().endswith("net (2, 4, 8, 8) ['-x', '1']\n")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\nraise ValueError('why')", "ValueError: why (bad.py:2)"),
        ("app('hlep')", "there is no command 'hlep' - did you mean help? (bad.py:1)"),
        ("import sys; sys.exit(3)", "bad.py ended with exit status 3"),
        ("x =", "SyntaxError"),
    ],
)
def test_a_failing_python_script_stops_the_script(commands: Any, code: str, message: str) -> None:
    Path("bad.py").write_text(code)
    outcome = commands("run_pyscript bad.py", "set l1_size")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.startswith(f"-e:1: {message}")
    assert len(outcome.err.splitlines()) == 1


def test_a_python_script_may_expect_failures(commands: Any) -> None:
    Path("ok.py").write_text("try:\n    app('hlep')\nexcept Exception:\n    print('expected')\n")
    outcome = commands("run_pyscript ok.py", "run_pyscript gone.py")
    assert outcome.out == "expected\n"
    assert outcome.err.startswith("-e:2: there is no Python script gone.py")


def test_adjust_order_adjusts_models_as_they_are_opened(commands: Any) -> None:
    outcome = commands("set adjust_order on", "open net.onnx", "history")
    assert [line.split(None, 1)[1] for line in outcome.out.splitlines()[-3:]] == [
        "open net.onnx",
        "set adjust_order True",
        "adjust",
    ]
