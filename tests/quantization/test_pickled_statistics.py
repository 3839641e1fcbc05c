"""NNTool's statistics in pickles: read as data, whatever the protocol, and never unpickled."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import random
import sys
import types
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnshell.quantization import Statistics, load_statistics
from nnshell.quantization.ranges import pickled
from nnshell.support.errors import InputError

RANGES = {"input_1": (-1.0, 0.9921875), "conv1": (-3.25, 4.5), "conv1_fusion": (0.0, 4.5)}
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def entry(low: Any, high: Any, **others: Any) -> dict[str, Any]:
    return {
        "range_in": [{"min": -9.0, "max": 9.0}],
        "range_out": [{"min": low, "max": high, **others}],
    }


def ranges(statistics: Statistics) -> dict[str, tuple[float, float]]:
    return {key: (value.minimum, value.maximum) for key, value in statistics.tensors.items()}


def stored(folder: Path, value: Any, protocol: int = 4, name: str = "stats.pickle") -> Path:
    path = folder / name
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


FORMS = {
    "numbers": lambda low, high: entry(low, high),
    "numpy scalars": lambda low, high: entry(np.float32(low), np.float64(high)),
    "arrays of one": lambda low, high: entry(np.array([low], np.float32), np.array(high)),
    "arrays by columns": lambda low, high: entry(np.asfortranarray([[low]]), np.array([[high]])),
    "big endian": lambda low, high: entry(np.array([low], ">f4"), np.array([high], ">f8")),
    "ordered": lambda low, high: OrderedDict(entry(low, high)),
    "with a default": lambda low, high: defaultdict(list, entry(low, high)),
    "tuples for lists": lambda low, high: {"range_out": ({"min": low, "max": high},)},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_protocol_and_form_gives_the_ranges(tmp_path: Path, form: Any, protocol: int) -> None:
    value = {name: form(low, high) for name, (low, high) in RANGES.items()}
    assert ranges(load_statistics(stored(tmp_path, value, protocol))) == RANGES


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_moments_come_along(tmp_path: Path, protocol: int) -> None:
    value = {"conv1": entry(-1.0, 2.0, mean=np.float32(0.5), std=0.25, b=0.125)}
    found = load_statistics(stored(tmp_path, value, protocol)).tensors["conv1"]
    assert (found.mean, found.std, found.b) == (0.5, 0.25, 0.125)


def test_names_of_old_numpy_are_known(tmp_path: Path) -> None:
    value = {"conv1": entry(np.float32(-1.0), np.float32(2.0))}
    data = pickle.dumps(value, protocol=2).replace(b"numpy._core.", b"numpy.core.")
    (tmp_path / "old.json").write_bytes(data)  # NNTool's scripts call them .json as well
    assert ranges(load_statistics(tmp_path / "old.json")) == {"conv1": (-1.0, 2.0)}


class _Node:
    """As NNTool's keys of nodes inside fusions: an object around a tuple of names."""

    def __init__(self, *names: str | None) -> None:
        self._id = names

    def __hash__(self) -> int:
        return hash(self._id)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nodes_inside_fusions_have_paths(
    tmp_path: Path, protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("nodes_of_another_program")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(_Node, "__module__", module.__name__)
    monkeypatch.setattr(module, "_Node", _Node, raising=False)
    value: dict[Any, Any] = {
        ("f", "conv"): entry(-1.0, 1.0),
        _Node("f", "relu"): entry(0.0, 1.0),
        _Node("g", None): entry(0.0, 2.0),
        "h###pool": entry(0.0, 3.0),
    }
    path = stored(tmp_path, value, protocol)
    monkeypatch.delitem(sys.modules, module.__name__)  # a reader has no such class
    assert ranges(load_statistics(path)) == {
        "f/conv": (-1.0, 1.0),
        "f": (0.0, 1.0),
        "f/relu": (0.0, 1.0),
        "g": (0.0, 2.0),
        "h/pool": (0.0, 3.0),
        "h": (0.0, 3.0),
    }


def test_a_pickle_that_numpy_saved_is_read(tmp_path: Path) -> None:
    value = {name: entry(*extremes) for name, extremes in RANGES.items()}
    np.save(tmp_path / "stats.npy", np.array(value, dtype=object), allow_pickle=True)
    assert ranges(load_statistics(tmp_path / "stats.npy")) == RANGES


def test_ranges_in_plain_json_are_read(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps({"conv1": entry(-1.0, 2.0)}))
    assert ranges(load_statistics(tmp_path / "s.json")) == {"conv1": (-1.0, 2.0)}


class _Attack:
    def __reduce__(self) -> Any:
        return os.mkdir, ("owned",)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_in_a_pickle_is_called(
    tmp_path: Path, protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    value = {"conv1": entry(-1.0, 2.0), "conv2": _Attack(), "conv3": entry(_Attack(), 1.0)}
    assert ranges(load_statistics(stored(tmp_path, value, protocol))) == {"conv1": (-1.0, 2.0)}
    assert not Path("owned").exists()


HOSTILE = {
    "no statistics": pickle.dumps([1, 2, 3]),
    "an attack alone": pickle.dumps(_Attack()),
    "cut short": pickle.dumps({"conv1": entry(-1.0, 2.0)})[:-9],
    "an empty stack": b"\x80\x04.",
    "a memo that is not there": b"\x80\x04h\x07.",
    "a mark that is not there": b"\x80\x04e.",
    "items for a number": b"\x80\x04K\x01(K\x01K\x02u.",
    "a persistent object": b"\x80\x04K\x01Q.",
    "a long that is too long": b"\x80\x04\x8b\xff\xff\xff\x7f.",
    "itself": b"\x80\x04}q\x00X\x01\x00\x00\x00ah\x00s.",
    "an array of its own size": pickle.dumps({"a": entry(np.float32(1), np.float32(2))}).replace(
        b"f4", b"O8"
    ),
    "an npy file without an end": b"\x93NUMPY\x01\x00\xff\xff",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_pickles_end_in_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.pickle").write_bytes(data)
    with pytest.raises(InputError) as raised:
        load_statistics(tmp_path / "x.pickle")
    assert "\n" not in str(raised.value)


def test_damaged_pickles_never_end_in_another_error(tmp_path: Path) -> None:
    generator = random.Random(3)
    value = {name: entry(np.float32(low), high) for name, (low, high) in RANGES.items()}
    for protocol in PROTOCOLS:
        data = bytearray(pickle.dumps(value, protocol=protocol))
        for _ in range(150):
            damaged = bytearray(data)
            for _ in range(generator.randint(1, 4)):
                damaged[generator.randrange(len(damaged))] = generator.randrange(256)
            path = tmp_path / "x.pickle"
            path.write_bytes(damaged)
            with contextlib.suppress(InputError):
                load_statistics(path)


def test_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickled, "MAX_OPERATIONS", 100)
    with pytest.raises(pickled.Malformed, match="too many operations"):
        pickled.read_pickle(pickle.dumps(list(range(1000))))
    shared: Any = []
    for _ in range(30):
        shared = [shared, shared]  # 2**30 entries when written out
    buffer = io.BytesIO()
    pickle.dump({"a": shared}, buffer)
    monkeypatch.setattr(pickled, "MAX_OPERATIONS", 10_000)
    assert pickled.plain(pickled.read_pickle(buffer.getvalue())) is not None
