"""Files are for kernels of 8 bits."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnshell import flow
from nnshell.quantization import QuantizationOptions
from nnshell.support.errors import QuantizationError
from nnshell.targets import autotiler as codegen


def test_other_widths_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    graph = flow.open_graph("sample:lenet")
    flow.adjust(graph)
    flow.fuse(graph, "scale8")
    images = flow.load_inputs("sample:calibration", limit=4)
    flow.quantize(graph, flow.calibrate(graph, images), QuantizationOptions(weight_bits=4))
    for generate in (flow.generate, codegen.generate):
        with pytest.raises(QuantizationError, match="4-bit integers"):
            generate(graph, tensor_directory=tmp_path / "tensors")
    with pytest.raises(QuantizationError, match="4-bit integers"):
        codegen.render_model(graph)
    assert not list(tmp_path.iterdir())
