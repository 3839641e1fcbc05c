"""docs/adding_an_operator.md: its operator passes every test that asks all operators."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nnshell.chips.model.kernels import load_kernels

_ROOT = Path(__file__).parents[2]
_PAGE = _ROOT / "docs" / "adding_an_operator.md"


def block(kind: str) -> str:
    """The page's only block of a kind."""
    (text,) = re.findall(rf"^```{kind}\n(.*?)^```$", _PAGE.read_text("utf-8"), re.M | re.S)
    return str(text)


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's operator as a module."""
    folder = tmp_path_factory.mktemp("operator")
    (folder / "thresholded_relu.py").write_text(block("python"), encoding="utf-8")
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
    registry = re.compile(r"OPERATORS|tests\.ops\.cases")
    files = sorted((_ROOT / "tests").rglob("test_*.py"))
    asking = [path for path in files if registry.search(path.read_text("utf-8"))]
    return [str(p) for p in asking if p != Path(__file__) and p.parent.name != "company"]


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
    row = block("toml")
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
