"""Programs that import ``nntool.api`` run as they are."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nnshell.cli import main
from nnshell.compat.names import as_nntool

PROGRAM = """
import pickle, sys
from nntool.api import NNGraph
from nntool.api.utils import RandomIter, model_settings, quantization_options
from nntool.api.types import ConstantInputNode
from nntool.stats.activation_ranges_collector import ActivationRangesCollector
import nntool.api.utils

G = NNGraph.load_graph(sys.argv[1])
G.adjust_order()
G.fusions("scaled_match_group")
with open("stats.pickle", "wb") as file:
    pickle.dump(G.collect_statistics(RandomIter.fake(G)), file)
with open("stats.pickle", "rb") as file:
    G.quantize(pickle.load(file), graph_options=quantization_options(narrow_weights=True))
result = G.execute_on_target(settings=model_settings(l2_size=250000))
print("cycles", result.performance[-1][1])
"""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "program.py").write_text(PROGRAM)


def test_a_program_runs_as_it_is() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nnshell.compat", "program.py", "sample:lenet"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cycles 1")


def test_errors_of_a_program_are_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nnshell.compat", "program.py", "gone.onnx"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "gone.onnx" in done.stderr and len(done.stderr.splitlines()) == 1


def test_statistics_that_a_program_pickled_are_read_by_aquant(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["-e", "run_pyscript program.py sample:lenet"]) == 0
    lines = ("open sample:lenet", "adjust", "fusions --scale8", "aquant --stats stats.pickle")
    assert main([word for line in lines for word in ("-e", line)]) == 0
    assert "Quantization set" in capfd.readouterr().out
    assert isinstance(pickle.loads(Path("stats.pickle").read_bytes()), dict)


def test_run_pyscript_gives_the_graph_in_nntools_form(capfd: pytest.CaptureFixture[str]) -> None:
    Path("g.py").write_text(
        "from nntool.api import NNGraph\nprint(isinstance(G, NNGraph), G[0].name, G.num_inputs)\n"
    )
    assert main(["-e", "open sample:lenet", "-e", "run_pyscript g.py"]) == 0
    assert "True input_1 1" in capfd.readouterr().out
    assert not [name for name in sys.modules if name.split(".")[0] == "nntool"]


def test_other_programs_keep_nnshells_own_graph(capfd: pytest.CaptureFixture[str]) -> None:
    Path("g.py").write_text("import nnshell\nprint(nnshell.simulate(G).total_cycles > 0)\n")
    assert main(["-e", "open sample:lenet", "-e", "fquant", "-e", "run_pyscript g.py"]) == 0
    assert "True" in capfd.readouterr().out


@pytest.mark.parametrize("module", ["execution.kernels", "nntool.interpreter.commands"])
def test_inner_modules_of_nntool_say_what_to_import(
    capfd: pytest.CaptureFixture[str], module: str
) -> None:
    Path("g.py").write_text(f"import {module}\n")
    assert main(["-e", "run_pyscript g.py"]) == 1
    assert "`from nntool.api import NNGraph`" in capfd.readouterr().err


OLD_PROGRAM = """
from execution.graph_executer import GraphExecuter
from execution.quantization_mode import QuantizationMode
from utils.data_importer import import_data
from graph.types import ImageFormatParameters

in_node = [node for node in G.input_nodes()][0]
formatters = [node for node in G.nodes(node_classes=ImageFormatParameters)]
data = import_data("x.npy", norm_func="x: x/128-1", transpose=in_node.in_dims[0].shape[0] == 3)
executer = GraphExecuter(G, qrecs=G.quantization)
modes = (QuantizationMode.none(), QuantizationMode.all(), QuantizationMode.all_dequantize())
outputs = [executer.execute([data], qmode=mode, silent=True)[-1][0] for mode in modes]
print(len(formatters), [output.dtype.name for output in outputs])
"""


def test_programs_of_versions_before_the_interface_run(capfd: pytest.CaptureFixture[str]) -> None:
    Path("old.py").write_text(OLD_PROGRAM)
    np.save("x.npy", np.zeros((32, 32, 3), np.uint8))
    lines = ("open sample:lenet", "fquant", "run_pyscript old.py")
    assert main([word for line in lines for word in ("-e", line)]) == 0
    assert "0 ['float32', 'int8', 'float32']" in capfd.readouterr().out
    assert not [name for name in sys.modules if name.split(".")[0] in ("execution", "graph")]


def test_modules_beside_a_program_are_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    Path("utils").mkdir()
    Path("utils/__init__.py").write_text("")
    Path("utils/data_importer.py").write_text("name = 'mine'\n")
    Path("g.py").write_text(
        "import nntool.api\nfrom utils.data_importer import name\nprint(name)\n"
    )
    assert main(["-e", "run_pyscript g.py"]) == 0
    assert "mine" in capfd.readouterr().out


def test_another_package_of_that_name_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    other = types.ModuleType("nntool")
    monkeypatch.setitem(sys.modules, "nntool", other)
    with as_nntool():
        assert sys.modules["nntool"] is not other
        from nntool.api import NNGraph  # type: ignore[import-not-found]

        assert NNGraph.__module__ == "nnshell.compat.graph"
    assert sys.modules["nntool"] is other
    assert "nntool.api" not in sys.modules
