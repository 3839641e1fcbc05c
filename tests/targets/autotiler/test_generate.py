"""The file set: complete or untouched, the same each time, and equal to NNTool's."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from nnshell.importers.onnx.importer import import_onnx
from nnshell.ir.examples import graph_of
from nnshell.ir.graph import Graph
from nnshell.ops.conv2d import Conv2D
from nnshell.ops.exp import Exp
from nnshell.passes.manager import run_passes
from nnshell.passes.pipelines import SCALE8, adjust_passes
from nnshell.quantization import load_statistics, quantize_graph
from nnshell.support.errors import NNShellError, UsageError
from nnshell.support.settings import Settings
from nnshell.targets.autotiler import generate, render_model

Quantizer = Callable[..., Graph]


@pytest.fixture
def conv(quantized: Quantizer) -> Graph:
    return quantized(graph_of(Conv2D.examples()[0]))


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_all_files_of_a_run(conv: Graph, in_folder: Path) -> None:
    files = generate(
        conv,
        model_directory="out",
        model_file="net.c",
        tensor_directory="tensors",
        header_file="net.h",
    )
    assert sorted(contents(in_folder)) == [
        "out/Expression_Kernels.c",
        "out/Expression_Kernels.h",
        "out/net.c",
        "out/net.h",
        "tensors/Constant_1.tensor",
        "tensors/Constant_2.tensor",
        "tensors/S3_Infos.tensor",
        "tensors/S3_Mul_scale.tensor",
        "tensors/S3_Mul_shift.tensor",
    ]
    assert sorted(str(path) for path in files.all()) == sorted(contents(in_folder))
    assert files.constant_bytes == 6 * 4 * 9 + 6 * 4 + 6 + 6 + 13
    assert stat.S_IMODE(Path("tensors").stat().st_mode) == 0o750


def test_generating_twice_gives_the_same_files(conv: Graph, tmp_path: Path) -> None:
    for name in ("one", "two"):
        generate(
            conv,
            model_directory=tmp_path / name,
            tensor_directory=tmp_path / "tensors",
            header_file="model.h",
        )
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    before = contents(tmp_path)
    generate(
        conv,
        model_directory=tmp_path / "one",
        tensor_directory=tmp_path / "tensors",
        header_file="model.h",
    )
    assert contents(tmp_path) == before


def test_the_settings_name_what_is_not_given(conv: Graph, in_folder: Path) -> None:
    settings = Settings()
    settings.assign("model_directory", "build")
    settings.assign("model_file", "at.c")
    settings.assign("tensor_directory", "weights")
    generate(conv, settings)
    assert Path("build/at.c").is_file() and Path("weights/S3_Infos.tensor").is_file()
    assert 'ConstInfo("weights/S3_Infos.tensor", 1, 1, 8, 0)' in Path("build/at.c").read_text()
    assert 'ConstInfo("weights/Constant_2.tensor", 1, 1, 32, 0)' in render_model(conv, settings)


def test_constants_can_be_left_out(conv: Graph, in_folder: Path) -> None:
    files = generate(conv, model_directory=".", tensor_directory="tensors", dump_tensors=False)
    assert files.tensors == () and not Path("tensors").exists()
    assert "Constant_1.tensor" in Path("model.c").read_text()


def test_a_graph_without_own_kernels_still_has_their_files(conv: Graph, in_folder: Path) -> None:
    generate(conv, model_directory=".", tensor_directory="tensors")
    assert re.fullmatch(r"/\*.*\*/\n", Path("Expression_Kernels.c").read_text())


def test_own_kernels_are_loaded_and_included(quantized: Quantizer, in_folder: Path) -> None:
    settings = Settings()
    settings.assign("basic_kernel_header_file", "Own.h")
    settings.assign("basic_kernel_source_file", "Own.c")
    graph = quantized(graph_of(Exp.examples()[1]))
    generate(graph, settings, model_directory=".", tensor_directory="tensors")
    text = Path("model.c").read_text()
    assert '"Own.h"' in text and "LoadExpressionKernels();" in text
    assert 's1_kernel_gen("S1_Act_Exp");' in text
    assert '#include "Own.h"' in Path("Own.c").read_text()


@pytest.mark.parametrize("folder", ["blocked", "blocked/deeper"])
def test_a_folder_that_cannot_be_made_leaves_everything(
    folder: str, conv: Graph, in_folder: Path
) -> None:
    Path("blocked").write_text("a file")
    before = contents(in_folder)
    for names in (("out", folder), (folder, "tensors")):
        with pytest.raises(NNShellError, match="cannot write") as caught:
            generate(conv, model_directory=names[0], tensor_directory=names[1])
        assert "\n" not in str(caught.value)
        assert contents(in_folder) == before
        assert os.listdir() == ["blocked"]


def test_a_folder_in_the_place_of_a_file_is_named(conv: Graph, in_folder: Path) -> None:
    Path("model.h").mkdir()
    with pytest.raises(NNShellError, match=r"cannot write model\.h"):
        generate(conv, model_directory=".", tensor_directory="t", header_file="model.h")
    assert sorted(os.listdir()) == ["model.h"]


def test_two_files_of_one_name_are_refused(conv: Graph, in_folder: Path) -> None:
    with pytest.raises(UsageError, match="two generated files"):
        generate(conv, model_directory=".", model_file="x", header_file="x", tensor_directory="t")
    assert os.listdir() == []


def test_a_graph_with_own_kernels_is_accepted_by_a_compiler(
    quantized: Quantizer, check_syntax: Callable[..., None], in_folder: Path
) -> None:
    graph = quantized(graph_of(Exp.examples()[0]))
    settings = Settings()
    for name in ("graph_monitor_cycles", "graph_produce_node_names", "graph_arg2struct"):
        settings.assign(name, True)
    settings.assign("graph_dump_one_node", "S1_Act_Exp")
    settings.assign("graph_pref_l3_home", "AT_MEM_L3_QSPIFLASH")
    graph["node"].options["VCD_TRACE_ON"] = "1"
    files = generate(
        graph, settings, model_directory=".", tensor_directory="tensors", header_file="model.h"
    )
    check_syntax(files.model, *files.kernels[:1])
    assert files.header is not None
    check_syntax(files.header)


# -- against NNTool ------------------------------------------------------------------------


def prepared(folder: Path) -> Graph:
    graph = import_onnx(folder / "model.onnx").graph
    run_passes(graph, adjust_passes(graph))
    run_passes(graph, SCALE8)
    quantize_graph(graph, load_statistics(folder / "stats.json"))
    return graph


@pytest.mark.parametrize("name", ["lenet", "mbv2mini"])
def test_tensors_and_header_are_those_of_nntool(
    name: str, test_data: Path, check_syntax: Callable[..., None], tmp_path: Path
) -> None:
    folder = test_data / "vectors" / name
    files = generate(
        prepared(folder),
        model_directory=tmp_path,
        tensor_directory=tmp_path / "tensors",
        header_file="model.h",
    )
    lines = (folder / "tensors.sha256").read_text().split("\n")
    wanted = {line.split()[1]: line.split()[0] for line in lines if line}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files.tensors}
    assert found == wanted
    macros = (tmp_path / "model.h").read_text()
    values = {k: float(v) for k, v in re.findall(r"#define (\w+)\t(\S+)", macros)}
    assert values == dict(_corrected(json.loads((folder / "model_h.json").read_text())))
    check_syntax(files.model)


def _corrected(macros: dict[str, float]) -> list[tuple[str, float]]:
    """NNTool's numbers, with the shift of a mantissa that it rounds to 128 put right."""
    found = []
    for key, value in macros.items():
        prefix, _, kind = key.rpartition("_OUT_")
        scale = macros[f"{prefix}_OUT_SCALE"]
        mantissa = macros[f"{prefix}_OUT_QSCALE"]
        exact = mantissa * 2.0 ** -macros[f"{prefix}_OUT_QNORM"]
        wrong = kind == "QNORM" and mantissa == 64 and exact < scale / 2
        found.append((key, value - 2 if wrong else value))
    return found


def test_a_network_with_gaps_in_its_step_numbers(
    test_data: Path, quantized: Quantizer, check_syntax: Callable[..., None], tmp_path: Path
) -> None:
    graph = import_onnx(test_data / "models" / "pulp_dronet_v2.onnx").graph
    run_passes(graph, adjust_passes(graph))
    run_passes(graph, SCALE8)
    files = generate(
        quantized(graph),
        model_directory=tmp_path,
        tensor_directory=tmp_path,
        header_file="model.h",
    )
    assert files.header is not None
    names = re.findall(r"define \w+?_v2_(\w+)_OUT_SCALE", files.header.read_text())
    assert {"S33_MatAdd_128x7x7_Relu6", "S42_Op_Sigmoid_36_qin0", "S43_Act_Sigmoid"} <= set(names)
    assert not [name for name in names if re.match(r"S(38|40|41)_", name)]
    check_syntax(files.model)
