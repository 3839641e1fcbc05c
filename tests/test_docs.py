"""The documentation: pages of commands are as the commands say, examples run, links lead on."""

from __future__ import annotations

import doctest
import importlib.util
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import nnshell
from nnshell.chips.model.kernels import load_kernels
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


# -- the worked example of a new operator --------------------------------------------------


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's operator as a module."""
    folder = tmp_path_factory.mktemp("operator")
    (text,) = blocks("adding_an_operator.md", "python")
    (folder / "thresholded_relu.py").write_text(text, encoding="utf-8")
    return folder


def run_with(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A process of its own: the registry of this one stays as it is."""
    path = os.pathsep.join([str(folder), str(_ROOT)])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *words], cwd=_ROOT, env=environment, capture_output=True, text=True
    )


def asking_all_operators() -> list[str]:
    """Test files that look at the registry, but for this one and random graphs (below)."""
    tests = Path(__file__).parent
    files = [p for p in sorted(tests.rglob("test_*.py")) if "OPERATORS" in p.read_text("utf-8")]
    return [str(p) for p in files if p != Path(__file__) and p.parent.name != "company"]


def test_every_test_of_all_operators_passes_for_the_one_of_the_page(operator: Path) -> None:
    words = ["-p", "thresholded_relu", "-p", "no:cacheprovider", *asking_all_operators()]
    done = run_with(operator, "-m", "pytest", *words, "-k", "thresholded_relu")
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) >= 3 * 50, "three examples, at least fifty tests of each"


_COMPANY = """
import thresholded_relu
from tests.company.checks import CHECKS
from tests.company.graphs import company

graphs = (company(seed) for seed in range(300))
among = (case for case in graphs if "thresholded_relu" in case.kinds)
cases = [case for case, _ in zip(among, range(3))]
for case in cases:
    for check in CHECKS.values():
        check(case)
print("met" if len(cases) == 3 else "not met")
"""


def test_the_operator_of_the_page_stands_among_all_others(operator: Path) -> None:
    (operator / "among.py").write_text(_COMPANY)
    done = run_with(operator, str(operator / "among.py"))
    assert done.stdout == "met\n", done.stderr


_NETWORK = """
import numpy as np, onnx
from onnx import helper, numpy_helper
import onnxruntime
import thresholded_relu
from nnshell import flow

random = np.random.default_rng(0)
weights = random.normal(0, 0.5, (4, 3, 3, 3)).astype(np.float32)
nodes = [
    helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
    helper.make_node("ThresholdedRelu", ["c"], ["y"], "threshold", alpha=0.5),
]
value = helper.make_tensor_value_info
graph = helper.make_graph(
    nodes, "net",
    [value("x", onnx.TensorProto.FLOAT, [1, 3, 8, 8])],
    [value("y", onnx.TensorProto.FLOAT, [1, 4, 6, 6])],
    [numpy_helper.from_array(weights, "w")],
)
model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 13)])
onnx.save(model, "net.onnx")

opened = flow.open_graph("net.onnx")
flow.adjust(opened)
flow.fuse(opened, "scale8")
samples = random.uniform(-1, 1, (16, 3, 8, 8)).astype(np.float32)
np.save("samples.npy", samples)
images = flow.load_inputs("samples.npy")
float_results = flow.run(opened, images)["output_1"]
session = onnxruntime.InferenceSession("net.onnx")
expected = np.concatenate([session.run(None, {"x": s[None]})[0] for s in samples])
assert np.allclose(float_results, expected, atol=1e-5)
flow.quantize(opened, flow.calibrate(opened, images))
record = opened["output_1"].quantization.output
integers = flow.run(opened, images, engine="int8")["output_1"]
wrong = np.abs(record.dequantize(integers) - expected) > 3 * record.first_scale
assert not (wrong & (expected > 0.6)).any(), "only next to the threshold int8 may differ"
assert wrong.mean() < 0.02, wrong.mean()
assert flow.simulate(opened).total_cycles > 0
flow.save_state(opened, "net.json")
again = flow.run(flow.open_graph("net.json"), images, engine="int8")["output_1"]
assert np.array_equal(again, integers)
print("works")
"""


def test_a_network_with_the_operator_of_the_page_works(operator: Path) -> None:
    (operator / "network.py").write_text(f"import os; os.chdir({str(operator)!r})\n{_NETWORK}")
    done = run_with(operator, str(operator / "network.py"))
    assert done.stdout == "works\n", done.stderr


def test_the_row_of_the_page_is_read_by_the_kernel_table(tmp_path: Path) -> None:
    (row,) = blocks("adding_an_operator.md", "toml")
    name, _, cycles = row.splitlines()[1].partition(" = ")
    table = _ROOT / "nnshell" / "chips" / "tables" / "kernels_autotiler_sq8.toml"
    path = tmp_path / "table.toml"
    path.write_text(table.read_text().replace("[activation]\n", row))
    assert load_kernels(path).activation_cycles(name) == float(cycles.split()[0])
    assert load_kernels(table).activation_cycles(name) == load_kernels(table).activations["other"]


def test_the_operator_of_the_page_is_still_an_example() -> None:
    import nnshell.ops  # noqa: F401 - fills the registry
    from nnshell.ir.operator import OPERATORS

    assert "thresholded_relu" not in OPERATORS, "choose another example for the page"


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
