"""The native engine gives the reference's integers, on every operator and on random networks."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nnshell.ops  # noqa: F401 - fills the registry
from nnshell.execution import native_compiler
from nnshell.execution.engines import make_engine, tensor_keys
from nnshell.execution.exact_engine import ExactEngine
from nnshell.execution.integer_engine import IntegerEngine
from nnshell.execution.native_compiler import VARIANTS, NoCompiler, Variant
from nnshell.execution.native_engine import NativeEngine
from nnshell.execution.native_library import shared_library, struct_class
from nnshell.ir.examples import graph_of, random_inputs
from nnshell.ir.graph import Graph
from nnshell.ir.operator import OPERATORS
from nnshell.ir.qparams import QParams
from nnshell.passes.manager import run_passes
from nnshell.passes.pipelines import ADJUST, SCALE8
from nnshell.quantization import calibrate_graph, quantize_graph
from nnshell.support.errors import InputError, QuantizationError
from nnshell.support.processor import processor_features
from nnshell.targets.c.structs import kernels, structs
from tests.passes.nets import Net, random_graph, stretched

NO_EXAMPLES = {"input", "output", "constant", "fusion", "fusion_input", "fusion_output"}
KINDS = sorted(set(OPERATORS) - NO_EXAMPLES)
FEATURES = processor_features()
USABLE = [v for v in VARIANTS if v.fast and v.features <= FEATURES] or [native_compiler.PLAIN]

pytestmark = pytest.mark.skipif(not native_compiler.compiler(), reason="there is no C compiler")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of compiled kernels of the tests' own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_compiler, "cache_folder", lambda: folder)
        yield folder


@pytest.fixture(scope="module", params=USABLE, ids=lambda variant: variant.name)
def variant(request: pytest.FixtureRequest, cache: Path) -> Variant:
    """Each kind of instructions that this machine has, compiled."""
    chosen: Variant = request.param
    native_compiler.library(chosen)
    return chosen


def assert_same(
    graph: Graph, batch: list[NDArray[Any]], variant: Variant, target: str = "simulation"
) -> None:
    """Equal integers and types, of all tensors together and of the outputs alone."""
    keys = tensor_keys(graph)
    expected = IntegerEngine(graph, target).run(batch, keys)
    for chosen, threads in ((keys, 1), (None, 2)):
        engine = NativeEngine(graph, chosen, target, threads, variant)
        results = engine.run(batch)
        assert list(results) == engine.keys
        for key, values in results.items():
            assert values.dtype == expected[key].dtype, key
            np.testing.assert_array_equal(values, expected[key], err_msg=key)


@pytest.mark.parametrize("target", ["simulation", "chip"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_operator_gives_the_integers_of_the_reference(
    kind: str, target: str, variant: Variant
) -> None:
    for example in OPERATORS[kind].examples():
        graph = graph_of(example)
        batch = random_inputs(graph, 5)
        quantize_graph(graph, calibrate_graph(graph, [batch]))
        wild = [a if a.dtype.kind != "f" else a * 5 for a in random_inputs(graph, 7, 1)]
        if example.op.sequence_axis is not None:
            with pytest.raises(QuantizationError, match=f"'{kind}' has no C form"):
                NativeEngine(graph, None, target, 1, variant)
            continue
        assert_same(graph, wild, variant, target)


def test_random_networks_give_the_integers_of_the_reference(variant: Variant) -> None:
    for seed in range(60):
        random = Random(seed)
        graph = random_graph(random, 14)
        if seed % 3 == 0:
            stretched(graph, random)
        if seed % 2 == 0:
            run_passes(graph, (*ADJUST, *SCALE8))
        batch = random_inputs(graph, 3, seed)
        try:
            quantize_graph(graph, calibrate_graph(graph, [batch]))
        except (QuantizationError, InputError):
            continue
        assert_same(graph, [array * np.float32(3) for array in batch], variant)


FILTERS = [
    # channels, filters, groups, kernel, stride, dilation, pads, height, width
    (1, 1, 1, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, 1),
    (3, 17, 1, (3, 3), (2, 2), (1, 1), (0, 0, 1, 1), 9, 7),
    (5, 33, 1, (2, 5), (1, 3), (2, 1), (1, 4, 0, 2), 11, 13),
    (16, 130, 1, (1, 1), (2, 1), (1, 1), (0, 0, 0, 0), 5, 9),
    (7, 40, 1, (3, 1), (1, 1), (1, 3), (2, 2, 2, 2), 6, 5),
    (24, 36, 4, (3, 3), (1, 2), (1, 1), (1, 1, 1, 1), 7, 8),
    (12, 24, 12, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 6, 6),
    (8, 8, 8, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 9, 11),
    (16, 16, 16, (5, 5), (1, 1), (1, 1), (2, 2, 2, 2), 9, 8),
    (70, 70, 70, (3, 3), (2, 2), (1, 1), (0, 1, 1, 0), 7, 9),
    (96, 96, 96, (5, 3), (1, 1), (2, 1), (4, 1, 4, 1), 8, 6),
    (1, 1, 1, (7, 7), (7, 7), (1, 1), (3, 3, 3, 3), 15, 15),
]


@pytest.mark.parametrize("shape", FILTERS, ids=str)
def test_filters_of_odd_shapes_give_the_integers_of_the_reference(
    shape: tuple[Any, ...], variant: Variant
) -> None:
    channels, filters, groups, kernel, strides, dilations, pads, height, width = shape
    net = Net(channels, height, width)
    x = net.conv(
        net.x, filters, kernel, pads=pads, strides=strides, dilations=dilations, groups=groups
    )
    graph = net.output(x)
    batch = random_inputs(graph, 4)
    quantize_graph(graph, calibrate_graph(graph, [batch]))
    assert_same(graph, [array * np.float32(4) for array in batch], variant)


@pytest.mark.parametrize("samples", [1, 2, 3, 7])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_batch_is_the_same_on_any_number_of_threads(
    samples: int, threads: int, variant: Variant
) -> None:
    net = Net(3, 9, 9)
    graph = net.output(net.linear(net.conv(net.x, 6, pads=(1, 1, 1, 1)), 5))
    batch = random_inputs(graph, samples)
    quantize_graph(graph, calibrate_graph(graph, [batch]))
    expected = IntegerEngine(graph).run(batch, ["output_1"])["output_1"]
    engine = NativeEngine(graph, threads=threads, kind=variant)
    for _ in range(2):
        np.testing.assert_array_equal(engine.run(batch)["output_1"], expected)


def test_structs_are_as_long_as_the_compiler_makes_them(variant: Variant, tmp_path: Path) -> None:
    """Offsets of all fields agree, so the last one of each struct is in its place."""
    import ctypes
    import subprocess

    from nnshell.targets.c.structs import fast_files, kernel_files

    for name, text in (kernel_files() | fast_files()).items():
        (tmp_path / name).write_text(text)
    names = [name for name in structs() if name != "step"]
    lines = [f'printf("%zu\\n", sizeof(nn_{name}));' for name in names]
    (tmp_path / "sizes.c").write_text(
        '#include <stdio.h>\n#include "nn_fast.h"\nint main(void)\n{\n'
        + "\n".join(lines) + "\nreturn 0;\n}\n"
    )  # fmt: skip
    command = [*native_compiler.compiler(), "sizes.c", "-o", "sizes"]
    subprocess.run(command, cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "sizes"], capture_output=True, text=True, check=True)
    sizes = [int(line) for line in printed.stdout.split()]
    assert sizes == [ctypes.sizeof(struct_class(name)) for name in names]


def test_every_kernel_of_the_headers_can_be_called() -> None:
    assert {"conv2d", "sum", "fast_conv2d", "move", "fill"} <= set(kernels())
    assert all(kernel.struct in structs() for kernel in kernels().values())


def small() -> tuple[Graph, list[NDArray[Any]]]:
    net = Net(2, 6, 6)
    graph = net.output(net.conv(net.x, 3))
    batch = random_inputs(graph, 4)
    quantize_graph(graph, calibrate_graph(graph, [batch]))
    return graph, batch


def test_all_exact_engines_agree(variant: Variant) -> None:
    graph, batch = small()
    expected = IntegerEngine(graph).run(batch, ["output_1"])["output_1"]
    for name in ("int8", "reference", "lowered", "native"):
        results = make_engine(graph, name, keys=["output_1"]).run(batch)  # type: ignore[arg-type]
        np.testing.assert_array_equal(results["output_1"], expected, err_msg=name)


def test_int8_runs_natively_where_the_kernels_are_compiled(variant: Variant) -> None:
    graph, _ = small()
    if variant is USABLE[0] and variant.fast:
        assert ExactEngine(graph).implementation == "native"


def test_int8_changes_over_once_the_kernels_are_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: Variant
) -> None:
    if variant is not USABLE[0] or not variant.fast:
        pytest.skip("only the best instructions are chosen")
    compiled = native_compiler.cache_folder()
    monkeypatch.setattr(native_compiler, "cache_folder", lambda: tmp_path)
    started: list[Variant] = []
    monkeypatch.setattr("nnshell.execution.exact_engine.compile_beside", started.append)
    monkeypatch.setattr("nnshell.execution.exact_engine._WORTH_COMPILING_SECONDS", 0.0)
    graph, batch = small()
    engine = ExactEngine(graph)
    assert engine.implementation == "lowered"
    first = engine.run(batch)
    assert started == [variant]
    monkeypatch.setattr(native_compiler, "cache_folder", lambda: compiled)
    np.testing.assert_array_equal(engine.run(batch)["output_1"], first["output_1"])
    assert engine.implementation == "native"


def test_without_a_compiler_the_native_engine_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(native_compiler, "compiler", lambda: ())
    with pytest.raises(NoCompiler, match=r"no C compiler.*nnshell\[native\]"):
        native_compiler.library(USABLE[0])
    assert not native_compiler.is_compiled(USABLE[0])


@pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")
def test_a_cache_that_others_can_write_to_is_not_loaded_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setattr(native_compiler, "cache_folder", lambda: folder)
    with pytest.raises(NoCompiler, match="others may write"):
        native_compiler.library(USABLE[0])
    assert not native_compiler.is_compiled(USABLE[0])


@pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")
def test_what_is_compiled_is_the_users_alone_and_nothing_is_left_beside_it(
    variant: Variant,
) -> None:
    folder = native_compiler.cache_folder()
    entries = list(folder.iterdir())
    assert {entry.suffix for entry in entries} == {".so"}
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in entries} == {0o700}


def test_a_compiler_that_fails_is_told_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(native_compiler, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(native_compiler, "compiler", lambda: ("false",))
    with pytest.raises(NoCompiler, match="cannot compile"):
        native_compiler.library(USABLE[0])
    assert list((tmp_path / "cache").iterdir()) == []


def test_inputs_become_the_integers_that_numpy_gives(variant: Variant) -> None:
    """At halves and beside them, far outside, and with scales of any size."""
    random = np.random.default_rng(0)
    quantize = shared_library(variant).quantize
    for trial in range(40):
        exponent = random.uniform(-4, 2) if trial < 30 else random.uniform(-37, 36)
        scale, zero_point = float(10.0**exponent), int(random.integers(-128, 128))
        steps = random.integers(-300, 300, 500)
        halves = ((steps + 0.5) * scale).astype(np.float32)
        x = np.concatenate(
            [
                (steps * scale).astype(np.float32),
                halves,
                np.nextafter(halves, np.float32(np.inf)),
                (random.normal(size=3000) * scale * 100).astype(np.float32),
                np.array([0.0, -0.0, 3e38, -3e38, 1e-45], np.float32),
            ]
        )
        with np.errstate(over="ignore"):
            expected = QParams(np.array([scale]), zero_point).quantize(x)
        integers = np.empty(x.shape, np.int8)
        bounds = (float(zero_point), -128.0, 127.0)
        quantize(x.ctypes.data, integers.ctypes.data, x.size, 0, scale, *bounds)
        np.testing.assert_array_equal(integers, expected)
