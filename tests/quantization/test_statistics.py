"""Statistics files: our own form, NNTool's state, and hostile ones."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnshell.quantization import Statistics, TensorStatistics, load_statistics
from nnshell.quantization.ranges.nntool_state import statistics_of_state
from nnshell.support.errors import InputError, NNShellError

ROLLING = {
    "__type": "JsonSerializable",
    "__module_name": "nntool.stats.activation_ranges_collector",
    "__class_name": "Rolling",
    "__contents": 0.25,
}


def nntool_state(entries: list[Any]) -> dict[str, Any]:
    stats = {
        "__type": "dict",
        "__module_name": "collections",
        "__class_name": "OrderedDict",
        "__contents": entries,
    }
    return {"history": ["open tiny.onnx", "aquant cal/*"], "stats": stats}


def write(folder: Path, data: Any) -> Path:
    path = folder / "stats.json"
    path.write_text(json.dumps(data))
    return path


def test_what_was_saved_is_read_again(tmp_path: Path) -> None:
    stats = Statistics(
        {"input_1": TensorStatistics(-1.0, 0.5), "f/a": TensorStatistics(0.0, 2.0, 0.1, 0.2, 0.3)}
    )
    stats.save(tmp_path / "s.json")
    assert load_statistics(tmp_path / "s.json").tensors == stats.tensors
    saved = json.loads((tmp_path / "s.json").read_text())
    assert saved["input_1"] == {"min": -1.0, "max": 0.5}


def test_a_node_is_found_by_its_own_name() -> None:
    stats = Statistics({"f_fusion/act": TensorStatistics(0.0, 1.0)})
    for path in ("f_fusion/act", "act", "g_fusion/act"):
        assert stats.find(path) is stats["f_fusion/act"]
    assert stats.find("other") is None


def test_the_statistics_of_an_nntool_state_are_read(tmp_path: Path) -> None:
    entries = [
        ["input_1", {"range_in": [], "range_out": [{"min": -1.0, "max": 0.75, "mean": ROLLING}]}],
        [["c_fusion", "c"], {"range_in": [None], "range_out": [{"min": -3.5, "max": 2.25}]}],
        ["broken", {"range_out": None}],
        ["also", None],
    ]
    stats = load_statistics(write(tmp_path, nntool_state(entries)))
    assert stats["input_1"] == TensorStatistics(-1.0, 0.75, 0.25)
    assert stats["c_fusion/c"].minimum == -3.5
    assert set(stats) == {"input_1", "c_fusion/c", "c_fusion"}


def test_old_and_plain_keys_of_nntool_states_are_read(tmp_path: Path) -> None:
    node = {"__type": "JsonSerializable", "__class_name": "NodeId", "__contents": "f###c"}
    array = {"__type": "numpy.ndarray", "__contents": [-1.5], "__dtype": "float32"}
    entry = {"range_out": [{"min": array, "max": 2}]}
    stats = load_statistics(write(tmp_path, nntool_state([[node, entry]])))
    assert stats["f/c"] == TensorStatistics(-1.5, 2.0)
    plain = {"history": [], "stats": {"conv": {"range_out": [{"min": 0, "max": 1}]}}}
    assert load_statistics(write(tmp_path, plain))["conv"].maximum == 1.0


@pytest.mark.parametrize("stats", [None, [None], [], {}, {"a": {"range_out": []}}, "x"])
def test_a_state_without_statistics_says_so(tmp_path: Path, stats: Any) -> None:
    with pytest.raises(InputError, match="statistics"):
        load_statistics(write(tmp_path, {"history": [], "stats": stats}))


@pytest.mark.parametrize(
    "data",
    [
        [1],
        {"a": 1},
        {"a": {"min": 1}},
        {"a": {"min": 2, "max": 1}},
        {"a": {"min": "x", "max": 1}},
        {"a": {"min": True, "max": 1}},
        {"a": {"min": 0, "max": float("nan")}},
        {"a": {"min": 0, "max": 10**400}},
        {"a": {"min": None, "max": 1}},
    ],
)
def test_ranges_that_are_none_are_refused_by_name(tmp_path: Path, data: Any) -> None:
    with pytest.raises(InputError, match=r"stats\.json"):
        load_statistics(write(tmp_path, data))


def test_files_that_are_missing_or_no_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_statistics(tmp_path / "no.json")
    (tmp_path / "x.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(InputError, match="is not JSON"):
        load_statistics(tmp_path / "x.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(InputError):
        load_statistics(tmp_path / "deep.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["history", "stats", "min", "max", "range_out", "__type", "__contents", "a", "b"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_json_value_does_more_than_raise_our_error(data: Any) -> None:
    with contextlib.suppress(NNShellError):
        Statistics.from_json(data)
    with contextlib.suppress(NNShellError):
        statistics_of_state({"history": [], "stats": data}, "state.json")
