"""Evaluation on many machines: the workers of a Dask cluster do what one process would.

What travels is plain: a graph as the text of its state file and the bytes of its model, samples as
.npy bytes, candidates and results as JSON. A worker builds the graph from that once, as `open`
builds a state, and keeps it; so it gives the numbers that this process would give. What a lost
worker had is done again by another, and graphs and samples are held by the scheduler, not by one
of the workers. Workers need nnshell of the same version, and neither the model nor the images.

Whoever reaches a scheduler at ``tcp://`` can run code on its workers. At ``tls://`` everybody shows
a certificate and all is encrypted; the files are those of Dask's own configuration, or ``ca.pem``,
``cert.pem`` and ``key.pem`` in the folder of ``tls_folder``.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
import os
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nnshell
from nnshell.chips import load_chip, network_from_graph
from nnshell.chips.insight.sweep import Point, Run, point_at
from nnshell.chips.model.parameters import Parameters
from nnshell.execution.engines import Engine, EngineName, make_engine
from nnshell.experiments.bench import Bench, Done, Outcome, Trials
from nnshell.experiments.sweep import Plan, Row, Spread, float_outputs, measured
from nnshell.flow import Runner, open_graph
from nnshell.inputs.input_set import Batch
from nnshell.quantization import QuantizationOptions, Statistics
from nnshell.session.project import Project
from nnshell.state.document import to_text
from nnshell.state.write import state_of
from nnshell.support.errors import NNShellError, UsageError

_LOG = logging.getLogger(__name__)

_TIMEOUT = "10s"  # for an address to answer, and for a first worker
_LOST = ("CancelledError", "FutureCancelledError", "CommClosedError", "StreamClosedError")
_AHEAD = 3  # batches for each worker that are sent before the first comes back
_INSTALL = "type `pip install 'nnshell[cluster]'`, then start the shell again"


class Cluster:
    """A connection to a scheduler; a context manager, which closes it."""

    def __init__(self, address: str) -> None:
        """UsageError when Dask is not installed, or no cluster with workers answers."""
        try:
            distributed: Any = import_module("distributed")
        except ImportError:
            raise UsageError("clusters need the package dask[distributed]", hint=_INSTALL) from None
        _silence()
        self.address = address
        security = _security(distributed, address)
        try:
            self._client: Any = distributed.Client(
                address, timeout=_TIMEOUT, set_as_default=False, security=security
            )
            self._client.wait_for_workers(1, timeout=10)
        except (OSError, ValueError, TypeError, TimeoutError) as error:
            start = "--protocol tls --tls-ca-file ..." if security else "--host localhost"
            raise UsageError(
                f"no cluster with workers answers at {address}: {_reason(error)}",
                hint=f"type `dask scheduler {start}`, then `dask worker ADDRESS`"
                " (docs/scripting.md, Many machines)",
            ) from None
        self._as_completed = distributed.as_completed

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    @property
    def workers(self) -> int:
        """How many workers there are now, at least 1."""
        return max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))

    # -- samples -------------------------------------------------------------------------------

    def runner(self, project: Project) -> Runner:
        """What ``flow.validate`` runs batches with instead of engines of its own."""

        def run(
            batches: Iterator[Batch], engine: EngineName, key: str
        ) -> tuple[Iterator[Batch], Engine, Engine]:
            stream = _Stream(self, project, engine, key)
            return stream.of(batches), _Arrived(stream, 0), _Arrived(stream, 1)

        return run

    # -- candidates ----------------------------------------------------------------------------

    def trials(self, project: Project, batches: Sequence[Batch]) -> Trials:
        """What ``sensitivity`` measures candidates with."""

        def run(tried: Sequence[QuantizationOptions], progress: Done | None) -> list[Outcome]:
            package, samples = self.hold(packed(project)), self.hold(_packed_batches(batches))
            texts = [json.dumps(options.to_mapping()) for options in tried]
            result = self._all(_try_candidate, texts, (package, samples), progress)
            return [Outcome(*entry) for entry in result]

        return run

    def rows(self, project: Project, batches: Sequence[Batch]) -> Spread:
        """What a sweep of options measures its rows with; they come as they get ready."""

        def run(plans: Sequence[tuple[Plan, Statistics]]) -> Iterator[tuple[int, Row]]:
            package, samples = self.hold(packed(project)), self.hold(_packed_batches(batches))
            futures = {}
            for place, (plan, statistics) in enumerate(plans):
                seen = self.hold(json.dumps(statistics.to_json()).encode())
                text = json.dumps([dict(plan.options), plan.quantization.to_mapping(), plan.what])
                futures[self.submit(_sweep_row, package, samples, seen, text)] = place
            for future in self._as_completed(list(futures), loop=self._client.loop):
                place = futures[future]
                engine, values, size = result_of(future)
                yield place, Row(plans[place][0].options, engine, Outcome(*values), size)

        return run

    def points(self, project: Project, chip: str | None) -> Run:
        """What a sweep simulates its points with; a text is why a point is impossible."""

        def run(candidates: Sequence[Parameters]) -> list[Point | str]:
            texts = [json.dumps([asdict(entry), chip]) for entry in candidates]
            result = self._all(_simulate_point, texts, (self.hold(packed(project)),), None)
            return [entry if isinstance(entry, str) else _point(entry) for entry in result]

        return run

    # -- tasks ---------------------------------------------------------------------------------

    def hold(self, data: bytes) -> Any:
        """Bytes that tasks refer to; the scheduler can have them made again."""
        return self._client.submit(_same, data, key=f"nnshell-{hashlib.sha256(data).hexdigest()}")

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """A future of ``work`` on some worker; done again when that is lost."""
        return self._client.submit(_guarded, work, *arguments, pure=False, retries=3)

    def _all(
        self,
        work: Callable[..., Any],
        texts: Sequence[str],
        held: Sequence[Any],
        progress: Done | None,
    ) -> list[Any]:
        futures = [self.submit(work, *held, text) for text in texts]
        for future in self._as_completed(futures, loop=self._client.loop):
            result_of(future)
            if progress is not None:
                progress(1)
        return [result_of(future) for future in futures]


def _silence() -> None:
    """Dask and what it runs on log, with tracebacks, what is raised here anyway."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def tls_folder() -> Path:
    """Where ca.pem, cert.pem and key.pem are looked for: the user's configuration."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "nnshell" / "tls"


def _security(distributed: Any, address: str) -> Any:
    """Certificates for a tls:// address, None for others; an open one is named as what it is."""
    scheme, _, rest = str(address).partition("://")
    if scheme != "tls":
        host = rest.rsplit(":", 1)[0].strip("[]")
        if scheme == "tcp" and host not in ("localhost", "::1") and not host.startswith("127."):
            _LOG.warning(
                "%s is open: whoever reaches it can read what is sent and run code on the workers;"
                " tls:// is closed",
                address,
            )
        return None
    security = distributed.Security(require_encryption=True)
    if security.tls_ca_file and security.tls_client_cert:  # Dask's own configuration
        return security
    folder = tls_folder()
    files = [folder / name for name in ("ca.pem", "cert.pem", "key.pem")]
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise UsageError(
            f"{address} needs certificates: there is no {missing[0]}",
            hint="docs/scripting.md, Many machines, says how to make them",
        )
    return distributed.Security(
        require_encryption=True,
        tls_ca_file=str(files[0]),
        tls_client_cert=str(files[1]),
        tls_client_key=str(files[2]),
    )


class _Stream:
    """Batches on their way through the cluster, in order."""

    def __init__(self, cluster: Cluster, project: Project, engine: EngineName, key: str) -> None:
        self._cluster, self._question = cluster, json.dumps([engine, key])
        self._graph = cluster.hold(packed(project))
        self.current: Any = None

    def of(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Each batch when its result may be asked for, with others on their way after it."""
        waiting: deque[tuple[Batch, Any]] = deque()
        limit = _AHEAD * self._cluster.workers
        for batch in batches:
            arrays = [_npy(array) for array in batch.arrays]
            future = self._cluster.submit(_run_batch, self._graph, self._question, *arrays)
            waiting.append((batch, future))
            if len(waiting) >= limit:
                yield self._next(waiting)
        while waiting:
            yield self._next(waiting)

    def _next(self, waiting: deque[tuple[Batch, Any]]) -> Batch:
        batch, self.current = waiting.popleft()
        return batch


class _Arrived:
    """An engine whose results come from the cluster."""

    def __init__(self, stream: _Stream, index: int) -> None:
        self._stream, self._index = stream, index

    def run(self, batch: Sequence[NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        key, *arrays = result_of(self._stream.current)
        return {key: _array(arrays[self._index])}


def result_of(future: Any) -> Any:
    """A task's result; what was wrong there is raised here, as one line."""
    try:
        result = future.result()
    except Exception as error:
        if type(error).__name__ in _LOST:
            raise NNShellError(
                "the connection to the cluster was lost", hint="does its scheduler still run?"
            ) from None
        raise NNShellError(
            f"the cluster failed: {_reason(error)}",
            hint=f"workers need nnshell {nnshell.__version__} and memory for the graph",
        ) from None
    if "error" in result:
        raise NNShellError(result["error"], where=result["where"], hint=result["hint"])
    return result["result"]


def _reason(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


# -- what travels ------------------------------------------------------------------------------


def packed(project: Project) -> bytes:
    """A project as JSON: its state, its model file."""
    source = project.graph.source
    assert source is not None
    model = source.path
    content = {
        "version": nnshell.__version__,
        "model": model.name,
        "bytes": base64.b64encode(model.read_bytes()).decode(),
        "state": to_text(state_of(project, model.with_suffix(".json"))),
    }
    return json.dumps(content).encode()


def _packed_batches(batches: Sequence[Batch]) -> bytes:
    content = [
        {
            "arrays": [base64.b64encode(_npy(array)).decode() for array in batch.arrays],
            "names": batch.names,
            "labels": batch.labels,
        }
        for batch in batches
    ]
    return json.dumps(content).encode()


def _npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()


def _array(data: bytes) -> NDArray[Any]:
    array: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return array


def _point(values: Mapping[str, Any]) -> Point:
    parameters = Parameters(**values["parameters"])
    return Point(**{**values, "parameters": parameters})


# -- on a worker -------------------------------------------------------------------------------

_LOCK = threading.Lock()  # workers run tasks in threads: one of them builds what others wait for


def _same(data: bytes) -> bytes:
    return data


def _guarded(work: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """A task's result, or what the user did wrong, as plain values."""
    try:
        return {"result": work(*arguments)}
    except NNShellError as error:
        return {"error": error.message, "where": error.where, "hint": error.hint}


@lru_cache(maxsize=2)
def _project(package: bytes) -> Project:
    content = json.loads(package)
    if content["version"] != nnshell.__version__:
        raise NNShellError(
            f"a worker has nnshell {nnshell.__version__}, this is {content['version']}",
            hint="install the same version on all machines",
        )
    with tempfile.TemporaryDirectory(prefix="nnshell-") as folder:
        model = Path(folder) / Path(content["model"]).name
        model.write_bytes(base64.b64decode(content["bytes"]))
        state = Path(folder) / "state.json"
        state.write_text(content["state"], encoding="utf-8")
        return open_graph(state, model_path=model)


@lru_cache(maxsize=4)
def _engines(package: bytes, question: str) -> tuple[str, Engine, Engine]:
    name, key = json.loads(question)
    project = _project(package)
    graph, target = project.graph, project.settings.int8_target
    floats = make_engine(graph, "float", keys=[key])
    if name == "float":
        return key, floats, floats
    return key, make_engine(graph, name, keys=[key], target=target), floats


def _run_batch(package: bytes, question: str, *arrays: bytes) -> tuple[str, bytes, bytes]:
    """What the chosen engine and the float engine make of a batch."""
    with _LOCK:
        key, engine, floats = _engines(package, question)
    batch = [_array(data) for data in arrays]
    result = _npy(engine.run(batch)[key])
    return key, result, result if engine is floats else _npy(floats.run(batch)[key])


@lru_cache(maxsize=2)
def _batches(samples: bytes) -> list[Batch]:
    return [
        Batch(
            tuple(_array(base64.b64decode(data)) for data in entry["arrays"]),
            tuple(entry["names"]),
            tuple(entry["labels"]),
        )
        for entry in json.loads(samples)
    ]


@lru_cache(maxsize=2)
def _bench(package: bytes, samples: bytes) -> Bench:
    project = _project(package)
    return Bench(project.graph, project.basis, _batches(samples))


@lru_cache(maxsize=2)
def _float_outputs(package: bytes, samples: bytes) -> list[NDArray[Any]]:
    return float_outputs(_project(package).graph, _batches(samples))


def _sweep_row(package: bytes, samples: bytes, seen: bytes, text: str) -> tuple[Any, ...]:
    """A row of a sweep: the engine, the outcome's values, the bytes of the weights."""
    options, quantization, what = json.loads(text)
    with _LOCK:
        graph, batches = _project(package).graph, _batches(samples)
        reference = _float_outputs(package, samples)
    statistics = Statistics.from_json(json.loads(seen))
    plan = Plan(options, QuantizationOptions.from_mapping(quantization), what, None)
    row = measured(graph, plan, statistics, batches, reference)
    values = astuple(row.outcome)
    return row.engine, values, row.size_bytes


def _try_candidate(package: bytes, samples: bytes, text: str) -> tuple[Any, ...]:
    with _LOCK:
        bench = _bench(package, samples)
    result = bench.try_options(QuantizationOptions.from_mapping(json.loads(text)))
    return astuple(result)


def _simulate_point(package: bytes, text: str) -> dict[str, Any] | str:
    values, chip = json.loads(text)
    with _LOCK:
        project = _project(package)
    network = network_from_graph(project.graph)
    result = point_at(network, Parameters(**values), load_chip(chip) if chip else None)
    return result if isinstance(result, str) else asdict(result)
