"""NNTool's Python class: its methods give what nnshell's own functions give."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnshell
from nnshell.compat import NNGraph
from nnshell.compat.statistics import ActivationRangesCollector
from nnshell.compat.types import ConstantInputNode, ConvFusionNode, InputNode, LSTMNode
from nnshell.compat.utils import (
    FileImporter,
    RandomIter,
    import_data,
    model_settings,
    quantization_options,
)
from nnshell.support.errors import InputError, NNShellError, QuantizationError, UsageError


def samples(count: int = 4) -> list[np.ndarray[Any, Any]]:
    generator = np.random.default_rng(5)
    return [generator.uniform(-1, 1, (3, 32, 32)).astype(np.float32) for _ in range(count)]


def prepared() -> NNGraph:
    graph = NNGraph.load_graph("sample:lenet", load_quantization=False)
    graph.adjust_order()
    graph.fusions("scaled_match_group")
    return graph


def quantized() -> NNGraph:
    graph = prepared()
    graph.quantize(graph.collect_statistics(samples()))
    return graph


def by_hand() -> Any:
    """The same with nnshell's own functions."""
    project = nnshell.open_graph("sample:lenet")
    nnshell.adjust(project)
    nnshell.fuse(project, "scale8")
    nnshell.quantize(project, nnshell.calibrate(project, samples()))
    return project


FORMS = {
    "a list": lambda: samples(),
    "a generator": lambda: (array for array in samples()),
    "lists of one": lambda: [[array] for array in samples()],
    "a stack": lambda: np.stack(samples()),
    "with a batch axis": lambda: [array[np.newaxis] for array in samples()],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_statistics_of_any_iterable_are_those_of_calibrate(form: Any) -> None:
    project = nnshell.open_graph("sample:lenet")
    own = nnshell.calibrate(project, samples()).tensors["_conv1_Conv"]
    graph = NNGraph.load_graph("sample:lenet")
    (entry,) = graph.collect_statistics(form())["_conv1_Conv"]["range_out"]
    assert (entry["min"], entry["max"]) == (own.minimum, own.maximum)
    assert entry["std"] > 0


def test_steps_and_integers_are_those_of_run() -> None:
    graph, project = quantized(), by_hand()
    (sample,) = samples(1)
    own = nnshell.run(project, sample, engine="int8")
    result = graph.execute([sample], quantize=True)
    assert len(result) == len(project.steps())
    for step, node in enumerate(project.steps()):
        if node.name in own:
            np.testing.assert_array_equal(result[step][0], own[node.name])
    np.testing.assert_array_equal(result[-1][0], own["output_1"])
    floats = graph.execute(sample)
    np.testing.assert_array_equal(floats[-1][0], nnshell.run(project, sample)["output_1"])


def test_dequantized_results_are_real_values_close_to_float() -> None:
    graph = quantized()
    (sample,) = samples(1)
    floats, real = graph.execute(sample), graph.execute([sample], dequantize=True)
    assert real[-1][0].dtype == np.float32
    assert min(graph.qsnrs(floats, real)) > 15
    assert min(graph.cos_sim(floats, real)) > 0.98
    named = graph.execute(sample, dequantize=True, output_dict=True)
    np.testing.assert_array_equal(named["output_1"][0], real[-1][0])


def test_results_follow_what_was_done_to_the_graph_since() -> None:
    graph = quantized()
    (sample,) = samples(1)
    before = graph.execute(sample, quantize=True)[-1][0]
    graph.quantize(graph.collect_statistics([10 * array for array in samples()]))
    assert not np.array_equal(before, graph.execute(sample, quantize=True)[-1][0])


def test_changed_statistics_count() -> None:
    graph = prepared()
    stats = copy.deepcopy(graph.collect_statistics(samples()))
    stats["input_1"]["range_out"][0].update(min=-2.0, max=2.0)
    graph.quantize(stats, schemes=["scaled"])
    record = graph.quantization["input_1"].output
    assert record.first_scale == pytest.approx(2.0 / 128, rel=0.02)


def test_options_of_the_graph_and_of_nodes_count() -> None:
    graph = prepared()
    stats = graph.collect_statistics(samples())
    graph.quantize(
        stats,
        graph_options=quantization_options(quantize_dimension="tensor"),
        node_options={graph[6].name: {"clip_type": "std3"}},
    )
    chosen = graph.project.quantization_options
    assert chosen is not None and chosen.quantized_dimension == "tensor"
    assert chosen.for_node(graph[6].name).clip_type == "std3"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"graph_options": {"use_ne16": True}}, "GAP9"),
        ({"schemes": ["float"]}, "FLOAT"),
        ({"node_options": {"output_1": {"scheme": "float"}}}, "FLOAT"),
        ({"graph_options": {"no_such": 1}}, "no_such"),
    ],
)
def test_what_the_chip_does_not_have_is_refused(arguments: dict[str, Any], reason: str) -> None:
    graph = prepared()
    with pytest.raises(UsageError, match=reason):
        graph.quantize(graph.collect_statistics(samples(1)), **arguments)
    assert not graph.project.quantized


def test_statistics_are_needed_once() -> None:
    graph = prepared()
    with pytest.raises(UsageError, match="no statistics"):
        graph.quantize()
    graph.quantize(graph.collect_statistics(samples(1)))
    graph.quantize(graph_options={"clip_type": "none"})
    with pytest.raises(InputError, match="cannot be a list"):
        graph.quantize([1, 2])


def test_samples_can_be_collected_one_by_one() -> None:
    graph, collector = prepared(), ActivationRangesCollector()
    for array in samples():
        collector.collect_stats(graph, [array])
    assert collector.stats == graph.collect_statistics(samples())


def test_nodes_are_found_by_step_name_and_class() -> None:
    graph = prepared()
    assert graph[0].name == "input_1" == graph["input_1"].name == graph.input_nodes()[0].name
    assert graph[-1] == graph.output_nodes()[0] == graph["output_1"]
    assert graph["output_1"].step_idx == len(graph) - 1
    assert [node.step_idx for node in graph] == list(range(len(graph)))
    assert [n.name for n in graph.nodes(node_classes=ConvFusionNode)] == [
        "_conv1_Conv_fusion",
        "_conv2_Conv_fusion",
    ]
    ends = graph.nodes(node_classes=(InputNode, ConstantInputNode))
    assert "input_1" in [node.name for node in ends] and len(ends) > 1
    assert not isinstance(graph[3], LSTMNode) and not isinstance(3, ConvFusionNode)
    assert graph[0].out_dims[0].shape == [3, 32, 32]
    assert list(graph[3].in_dims[0]) == [3, 32, 32] and graph[3].in_dims[0].size() == 3072
    constant = graph.nodes(node_classes=ConstantInputNode)[0]
    assert constant.value is not None and constant.value.size == constant.out_dims[0].size()
    with pytest.raises(NNShellError, match="no node is called"):
        graph["nosuch"]


def test_sizes_are_those_of_the_graph() -> None:
    graph = prepared()
    most, parameters = graph.total_memory_usage
    assert graph.total_ops == 651_720
    assert parameters == graph.project.graph.parameters()
    assert most >= 3 * 32 * 32


def test_options_of_nodes_are_those_of_nodeoption() -> None:
    graph = prepared()
    graph[0].allocate = True
    graph[3].at_options.parallelfeatures = 0
    graph.set_node_option(graph[3], "node_cname", "first")
    assert graph[0].allocate and graph[0].at_options.allocate == "1"
    assert graph.project.graph["_conv1_Conv_fusion"].options["PARALLELFEATURES"] == "0"
    assert graph.get_node_option("_conv1_Conv_fusion", "NODE_CNAME") == "first"
    graph[0].at_options.allocate = None
    assert not graph[0].allocate
    with pytest.raises(UsageError, match="NO_SUCH"):
        graph[3].at_options.no_such = 1


def test_a_fixed_order_is_frozen() -> None:
    graph = NNGraph.load_graph("sample:lenet")
    graph[-1].fixed_order = True
    graph[-1].fixed_order = True
    assert graph[-1].fixed_order
    graph[-1].fixed_order = False
    assert not graph[-1].fixed_order


def test_tables_and_drawings_are_texts(tmp_path: Path) -> None:
    graph = quantized()
    assert "_conv2_Conv_fusion" in graph.show()
    assert "_conv2_Conv_fusion" not in graph.show([graph[3]])
    assert "_conv2_Conv_fusion" in graph.qshow()
    assert graph.draw(view=False, quant_labels=True).startswith("digraph")
    graph.draw(filepath=tmp_path / "picture", view=False)
    assert [path.stem for path in tmp_path.iterdir()] == ["picture"]


def test_states_are_written_and_read(tmp_path: Path) -> None:
    graph = quantized()
    path = graph.write_graph_state(tmp_path / "lenet.json")
    again = NNGraph.read_graph_state(path)
    (sample,) = samples(1)
    expected = graph.execute(sample, quantize=True)[-1][0]
    np.testing.assert_array_equal(again.execute(sample, quantize=True)[-1][0], expected)


def test_files_are_generated_where_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    graph = quantized()
    graph.name = "net"
    graph.generate(
        write_constants=True,
        settings={"tensor_directory": "t", "model_directory": "m", "model_file": "at.c"},
    )
    assert (tmp_path / "m/at.c").read_text().count('"t/S3_Mul_scale.tensor"') == 1
    assert (tmp_path / "t/S3_Mul_scale.tensor").is_file()
    assert "netModel" in (tmp_path / "m/at.c").read_text()


def test_a_target_is_the_simulator_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graph = quantized()
    (sample,) = samples(1)
    quantized_outputs = graph.execute(sample, quantize=True)
    with caplog.at_level(logging.WARNING, "nnshell"):
        result = graph.execute_on_target(
            directory=tmp_path / "run",
            input_tensors=quantized_outputs[0],
            settings=model_settings(l1_size=32000, graph_l1_promotion=2),
            write_out_to_file=True,
            platform="gvsoc",
        )
    assert "nothing runs on a target" in caplog.text
    assert graph.project.settings.l1_size == 32000
    report = nnshell.simulate(graph.project)
    assert result.performance[-1][:3] == ["Total", report.total_cycles, report.macs]
    assert sum(row[1] for row in result.performance[:-1]) == report.total_cycles
    assert result.returncode == 0 and "estimated" in result.stdout
    written = np.fromfile(tmp_path / "run/Output_1.bin", np.int8)
    np.testing.assert_array_equal(written, quantized_outputs[-1][0])
    np.testing.assert_array_equal(result.output_tensors[-1][0], quantized_outputs[-1][0])


def test_what_is_not_here_says_so() -> None:
    graph = prepared()
    with pytest.raises(AttributeError, match=r"docs/from_nntool\.md"):
        graph.auto_compress()
    with pytest.raises(UsageError, match="MFCC"):
        graph.insert_dsp_preprocessing(graph[0], "mfcc")
    with pytest.raises(UsageError, match="no option 'nosuch'"):
        NNGraph.load_graph("sample:lenet", nosuch=1)
    with pytest.raises(QuantizationError):
        graph.execute(samples(1)[0], quantize=True)
    with pytest.raises(InputError, match="2 arrays for 1 graph inputs"):
        graph.execute([samples(1)[0], samples(1)[0]])
    with pytest.raises(InputError, match="one sample"):
        graph.execute(np.stack(samples(2)))
    with pytest.raises(UsageError, match="setting"):
        model_settings(no_such_setting=1)


def test_random_samples_fit_and_are_the_same_each_time() -> None:
    graph = prepared()
    loader = RandomIter.fake(graph, count=2)
    first, again = list(loader), list(loader)
    assert len(first) == len(loader) == 2
    np.testing.assert_array_equal(first[1][0], again[1][0])
    graph.quantize(graph.collect_statistics(loader))
    assert graph.execute(loader)[0][0].shape == (3, 32, 32)


def test_files_become_samples(tmp_path: Path) -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.save(tmp_path / "b.npy", pixels)
    pixels.tofile(tmp_path / "c.dat")
    expected = (pixels.transpose(2, 0, 1) / 128 - 1).astype(np.float32)
    options: dict[str, Any] = {"transpose": True, "norm_func": "x: x/128-1", "height": -1}
    loader = FileImporter([tmp_path / "a.png", tmp_path / "b.npy"], **options)
    for array in loader:
        np.testing.assert_array_equal(array, expected)
    flat = import_data(tmp_path / "c.dat", nptype="uint8", divisor=128, offset=-1)
    np.testing.assert_array_equal(flat, (pixels.reshape(-1) / 128 - 1).astype(np.float32))
    with pytest.raises(UsageError, match="not read"):
        import_data(tmp_path / "d.wav")
    with pytest.raises(InputError, match="cannot be read"):
        import_data(tmp_path / "gone.npy")
