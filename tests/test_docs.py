"""The documentation: pages of commands are as the commands say, examples run, links lead on."""

from __future__ import annotations

import doctest
import importlib.util
import io
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import nnshell
from nnshell.cli import main
from nnshell.compat import NNGraph
from nnshell.compat import utils as compat_utils
from nnshell.shell import suggestions
from nnshell.shell.app import Shell
from nnshell.shell.commands import command_sets
from nnshell.shell.commands.help import example, summary
from nnshell.shell.legacy import modernize
from nnshell.shell.lines import scan
from nnshell.shell.session import Session
from nnshell.tutorials import walkthrough
from nnshell.tutorials.checks import FORMS

_ROOT = Path(__file__).parents[1]
_DOCS = _ROOT / "docs"
_PAGES = sorted([*_DOCS.rglob("*.md"), _ROOT / "README.md"])
_LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(?:#[^)\s]*)?\)")
_BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_OF_CMD2 = {"alias", "edit", "macro", "py", "run_pyscript", "shell"}


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, _ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    with io.StringIO() as nowhere:
        yield Shell(Session(), command_sets(), stdin=nowhere, stdout=nowhere)


def blocks(page: str, kind: str) -> list[str]:
    text = (_DOCS / page).read_text(encoding="utf-8")
    return [found["text"] for found in _BLOCK.finditer(text) if found["kind"] == kind]


def test_pages_of_commands_are_as_the_commands_say() -> None:
    maker = script("make_command_docs")
    again = "python scripts/make_command_docs.py makes them"
    assert maker.stale(maker.pages()) == [], again


def test_stale_missing_and_left_over_pages_are_noticed(tmp_path: Path) -> None:
    maker = script("make_command_docs")
    maker.FOLDER = tmp_path
    (tmp_path / "a.md").write_text("old")
    (tmp_path / "b.md").write_text("same")
    (tmp_path / "c.md").write_text("of no command")
    wanted = {"a.md": "new", "b.md": "same", "d.md": "new"}
    assert sorted(maker.stale(wanted)) == [
        "a.md is stale",
        "c.md is of no command",
        "d.md is missing",
    ]


def test_every_command_has_a_summary_and_its_own_ones_an_example(shell: Shell) -> None:
    for name in shell.get_visible_commands():
        assert summary(shell, name), f"{name} has no help"
        assert example(shell, name) or name in _OF_CMD2, f"{name} has no example"


@pytest.mark.parametrize("page", _PAGES, ids=lambda path: str(path.relative_to(_ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links {target}"


def test_the_index_links_every_page() -> None:
    linked = set(_LINK.findall((_DOCS / "index.md").read_text(encoding="utf-8")))
    pages = {path.name for path in _DOCS.glob("*.md")} - {"index.md"}
    assert pages <= linked and "commands/index.md" in linked


def test_the_index_names_every_tutorial() -> None:
    text = (_DOCS / "index.md").read_text(encoding="utf-8")
    assert all(f"`tutorial {name}`" in text for name in walkthrough.names())


@pytest.mark.parametrize("page", _PAGES, ids=lambda path: str(path.relative_to(_ROOT)))
def test_commands_on_a_page_can_be_read(page: Path, shell: Shell) -> None:
    """Lines of ```nnshell blocks: existing commands with existing options."""
    shell.session.variables.own.update(IMAGES="x", OUT="y")
    for found in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        for line in found["text"].splitlines() if found["kind"] == "nnshell" else ():
            statement = shell.statement(line)
            if statement.command:
                shell.parsed_arguments(statement)


def test_every_form_of_check_is_documented() -> None:
    text = (_DOCS / "writing_tutorials.md").read_text(encoding="utf-8")
    for form in FORMS:
        assert f"| `{form.words}` | {form.meaning} |" in text, form.words


def test_the_example_of_a_tutorial_can_be_read() -> None:
    text = (_DOCS / "writing_tutorials.md").read_text(encoding="utf-8")
    example_text = text.partition("````markdown\n")[2].partition("````\n")[0]
    assert len(walkthrough.parse(example_text, "example").steps) == 1


def test_the_script_of_the_scripting_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (text,) = blocks("scripting.md", "nnshell")
    (tmp_path / "build.nns").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert main(["-s", "build.nns"]) == 0, capfd.readouterr().err
    assert {"int8.json", "scales.csv", "build"} <= {path.name for path in tmp_path.iterdir()}


def test_the_page_on_nntool_lists_the_commands_that_are_missing() -> None:
    text = (_DOCS / "from_nntool.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\w+)` \| ", text.partition("## Not here")[2], re.MULTILINE))
    assert listed == set(suggestions._ELSEWHERE)
    for name, instead in suggestions._ELSEWHERE.items():
        assert f"| `{name}` | {instead} |" in text, name


def test_old_spellings_on_the_page_on_nntool_are_read_as_it_says() -> None:
    text = (_DOCS / "from_nntool.md").read_text(encoding="utf-8")
    for old, today in (
        ("qtune * float float16", "qtune --step * scheme=float float_type=float16"),
        ("qtune 3 option --hwc", "qtune --step 3 hwc=true"),
        ("set graph_warm_construct true", "set graph_warm_construct 1"),
    ):
        assert f"`{old}`" in text
        words, _ = modernize(scan(old, {}).words)
        assert " ".join(word.text for word in words) == today


def test_the_methods_on_the_page_on_python_of_nntool_are_there() -> None:
    text = (_DOCS / "compat.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (.*?) \| .* \| .* \|$", text.partition("## Old and new")[2], re.MULTILINE
    )
    names = {name for row in rows for name in re.findall(r"`(?:NNGraph\.)?([a-z]\w+)`", row)}
    graph = NNGraph.load_graph("sample:lenet")
    of_others = {"model_settings", "quantization_options", "import_data", "allocate", "step_idx"}
    of_others |= {"fixed_order", "in_dims", "out_dims", "value", "op_name"}
    assert len(names) > 30
    for name in names - of_others:
        assert hasattr(graph, name), name
    for name in of_others:
        assert hasattr(graph[0], name) or hasattr(compat_utils, name), name


def test_the_message_on_the_scripting_page_is_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build.nns").write_text("\n" * 6 + "set input_norm_fun 'x: x'\n")
    assert main(["-s", "build.nns"]) == 1
    text = (_DOCS / "scripting.md").read_text(encoding="utf-8")
    assert f"    {capfd.readouterr().err.strip()}\n" in text


def test_the_session_of_the_python_page_runs_as_it_stands() -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    outcome = doctest.testfile(str(_DOCS / "python.md"), module_relative=False, optionflags=flags)
    assert outcome.attempted > 40 and outcome.failed == 0


def test_every_public_name_exists_and_is_on_the_python_page() -> None:
    page = (_DOCS / "python.md").read_text(encoding="utf-8")
    for name in nnshell.__all__:
        assert getattr(nnshell, name) is not None
        assert name == "__version__" or f"`{name}`" in page, name
