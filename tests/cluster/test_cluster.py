"""A Dask cluster of two workers on this machine gives what one process gives."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnshell import flow
from nnshell.cluster.dask import Cluster, tls_folder
from nnshell.experiments.sensitivity import sensitivity
from nnshell.experiments.sweep import sweep
from nnshell.inputs.input_set import Batch
from nnshell.ir.graph import Graph
from nnshell.quantization import QuantizationOptions
from nnshell.session import simulation
from nnshell.support.errors import NNShellError, UsageError


@pytest.fixture(scope="module")
def distributed() -> Any:
    return pytest.importorskip(
        "distributed", reason="needs dask[distributed]: pip install '.[cluster]'"
    )


@pytest.fixture(scope="module")
def local(distributed: Any) -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as running:
        yield running


@pytest.fixture
def cluster(local: Any) -> Iterator[Cluster]:
    with Cluster(local.scheduler_address) as found:
        yield found


@pytest.fixture(scope="module")
def lenet() -> Graph:
    graph = flow.open_graph("sample:lenet")
    flow.adjust(graph)
    flow.fuse(graph, "scale8")
    images = flow.load_inputs("sample:calibration", norm="x: x/128-1")
    seen = flow.calibrate(graph, images, clip_type="mse")
    flow.quantize(graph, seen, QuantizationOptions(clip_type="mse"))
    return graph


def batches(count: int = 16) -> list[Batch]:
    x = np.random.default_rng(0).uniform(-1, 1, (count, 3, 32, 32)).astype(np.float32)
    return [Batch((x,), tuple(map(str, range(count))), (0,) * count)]


def test_predictions_are_those_of_one_process(cluster: Cluster, lenet: Graph) -> None:
    images = flow.load_inputs("sample:test")
    here = flow.validate(lenet, images, "simulated")
    there = flow.validate(lenet, images, "simulated", runner=cluster.runner(lenet))
    assert there.predictions == here.predictions
    assert there.agreement_with_float == here.agreement_with_float


def test_sensitivity_and_sweeps_are_those_of_one_process(cluster: Cluster, lenet: Graph) -> None:
    trials = cluster.trials(lenet, batches())
    assert sensitivity(lenet.graph, lenet.basis, batches(), trials=trials) == sensitivity(
        lenet.graph, lenet.basis, batches()
    )
    lists = {"l1": "32k,48k", "cores": "4,8,99"}
    there = simulation.sweep(lenet, lists, run=cluster.points(lenet, None))
    assert there == simulation.sweep(lenet, lists)
    assert there.left_out


def test_a_table_of_options_is_that_of_one_process(cluster: Cluster, lenet: Graph) -> None:
    axes = {"quantize": ["nothing", "all", "bias=unscaled"], "bits": [8, 4]}
    given = (lenet.graph, axes, batches(), lambda samples, clips: lenet.statistics)
    here = dict(sweep(*given))
    assert dict(sweep(*given, spread=cluster.rows(lenet, batches()))) == here and len(here) == 6


def test_a_worker_that_is_lost_changes_nothing(
    local: Any, cluster: Cluster, lenet: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnshell.flow.batch_size", lambda graph: 4)
    images = flow.load_inputs("sample:test")
    here, done = flow.validate(lenet, images, "int8"), 0

    def kill_one(count: int) -> None:
        nonlocal done
        if done < 40 <= done + count:
            os.kill(next(iter(local.workers.values())).process.pid, signal.SIGKILL)
        done += count

    there = flow.validate(lenet, images, "int8", progress=kill_one, runner=cluster.runner(lenet))
    assert there.complete and there.predictions == here.predictions


def test_what_the_user_did_wrong_is_one_line_from_there_too(cluster: Cluster, lenet: Graph) -> None:
    with pytest.raises(NNShellError, match="'nobody' is not computed") as error:
        flow.validate(
            lenet, flow.load_inputs("sample:test"), "float", output="nobody",
            runner=cluster.runner(lenet),
        )  # fmt: skip
    assert "\n" not in str(error.value)


def test_without_the_package_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match="dask") as error:
        Cluster("tcp://127.0.0.1:8786")
    assert "pip install 'nnshell[cluster]'" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.usefixtures("distributed")
def test_an_address_where_nothing_answers_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnshell.cluster.dask._TIMEOUT", "1s")
    with pytest.raises(UsageError, match=r"no cluster .* tcp://127\.0\.0\.1:9") as error:
        Cluster("tcp://127.0.0.1:9")
    assert "\n" not in str(error.value) and "dask scheduler" in str(error.value)


def _command(*words: str) -> Any:
    return subprocess.Popen(
        [str(Path(sys.executable).parent / "dask"), *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


_PARTS = ("scheduler", "worker", "client")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def test_a_scheduler_that_dies_is_one_line(
    distributed: Any, lenet: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    address = f"tcp://localhost:{(port := _free_port())}"
    scheduler = _command("scheduler", "--host", "localhost", "--port", str(port), "--no-dashboard")
    worker = _command("worker", address, "--nthreads", "1", "--no-dashboard")
    images = flow.load_inputs("sample:test")

    def kill(_: int) -> None:
        scheduler.kill()

    try:
        with (
            Cluster(address) as cluster,
            pytest.MonkeyPatch.context() as patch,
            pytest.raises(NNShellError, match="the connection to the cluster was lost - does its"),
        ):
            patch.setattr("nnshell.flow.batch_size", lambda graph: 2)
            flow.validate(lenet, images, "int8", progress=kill, runner=cluster.runner(lenet))
    finally:
        worker.kill()
        scheduler.kill()
        worker.wait()
        scheduler.wait()
    assert capfd.readouterr().err == ""


def _certificates(folder: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder.mkdir(parents=True)
    for line in (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca-key.pem -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=nnshell -keyout key.pem -out request.pem",
        "x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2"
        " -out cert.pem",
    ):
        subprocess.run(["openssl", *line.split()], cwd=folder, check=True, capture_output=True)


def test_tls_takes_the_usual_files_and_nobody_without_them(
    distributed: Any, lenet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(UsageError, match=r"needs certificates: there is no .*ca\.pem - docs"):
        Cluster("tls://localhost:1")
    folder = tls_folder()
    _certificates(folder)
    security = distributed.Security(
        require_encryption=True,
        tls_ca_file=str(folder / "ca.pem"),
        **{
            f"tls_{who}_cert": str(folder / "cert.pem") for who in ("scheduler", "worker", "client")
        },
        **{f"tls_{who}_key": str(folder / "key.pem") for who in _PARTS},
    )
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None,
        protocol="tls://", security=security,
    ) as closed:  # fmt: skip
        assert closed.scheduler_address.startswith("tls://")
        with Cluster(closed.scheduler_address) as cluster:
            images = flow.load_inputs("sample:test")
            there = flow.validate(lenet, images, "int8", runner=cluster.runner(lenet))
            assert there.predictions == flow.validate(lenet, images, "int8").predictions


@pytest.mark.parametrize(
    ("address", "warns"),
    [
        ("tcp://localhost:1", False),
        ("tcp://127.0.0.1:1", False),
        ("tcp://[::1]:1", False),
        ("tcp://192.168.0.5:8786", True),
        ("tcp://node7:8786", True),
    ],
)
def test_an_open_address_is_called_open(
    distributed: Any, address: str, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    from nnshell.cluster.dask import _security

    assert _security(distributed, address) is None
    assert ("is open: whoever reaches it" in caplog.text) == warns
