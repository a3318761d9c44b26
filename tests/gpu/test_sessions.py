# SPDX-License-Identifier: Apache-2.0
"""Sessions on a real GPU: PyTorch segments on our streams, ONNX Runtime between them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt_runtime import EngineError
from tests.support.gpu_bundles import kernels, write_torch

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chain")
    return write_torch(folder / "m.edge", [8, 1024], kernels(20))


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hybrid")
    return write_torch(folder / "m.edge", [0, 1024], kernels(3), kernels(2))


def batch(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(seed).standard_normal((n, 1024)).astype(np.float32)}


@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("name", ["chain", "hybrid"])
def test_results_are_those_of_the_cpu(
    name: str, graphs: bool, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(name)
    sizes = [8] * 5 if name == "chain" else [4, 4, 4, 1, 64, 4, 1, 1, 64, 64]
    with (
        edge_trt_runtime.load(path, device="cpu") as cpu,
        edge_trt_runtime.load(path, device="cuda:0", graphs=graphs) as gpu,
    ):
        assert gpu.places[0].lane == "gpu"
        for seed, n in enumerate(sizes):
            inputs = batch(n, seed)
            got, expected = gpu.run(inputs)["y"], cpu.run(inputs)["y"]
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_auto_takes_the_gpu(chain: Path) -> None:
    with edge_trt_runtime.load(chain) as session:
        assert [place.lane for place in session.places] == ["gpu"]


def test_threads_share_a_session(hybrid: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        edge_trt_runtime.load(hybrid, device="cpu") as cpu,
        edge_trt_runtime.load(hybrid, device="cuda", frames=3) as gpu,
        ThreadPoolExecutor(8) as threads,
    ):
        cases = [batch(1 + seed % 4, seed) for seed in range(200)]
        expected = [cpu.run(case)["y"] for case in cases]
        for got, right in zip(threads.map(gpu.run, cases), expected, strict=True):
            np.testing.assert_allclose(got["y"], right, rtol=1e-5, atol=1e-6)
    assert not caplog.records  # every graph was captured


def test_runs_in_a_steady_state_keep_memory_as_it_is(hybrid: Path) -> None:
    import psutil
    from pycuda import driver

    from edge_trt_runtime.cuda import open_device

    device = open_device(0)
    with edge_trt_runtime.load(hybrid, device="cuda") as session:
        inputs = batch(4)
        for _ in range(200):
            session.run(inputs)
        with device:
            free = driver.mem_get_info()[0]
        memory = psutil.Process().memory_info().rss
        for _ in range(5000):
            session.run(inputs)
        with device:
            assert driver.mem_get_info()[0] == free
        assert psutil.Process().memory_info().rss - memory < 1 << 20


def test_a_closed_session_gives_its_memory_back(tmp_path: Path) -> None:
    from pycuda import driver

    from edge_trt_runtime.cuda import open_device

    path = write_torch(tmp_path / "m.edge", [256, 65536], kernels(1))  # 64 MB in, 64 MB out
    device = open_device(0)
    frees: list[int] = []
    for _ in range(3):
        with edge_trt_runtime.load(path, device="cuda") as session:
            session.run({"x": np.ones((256, 65536), np.float32)})
        with device:
            frees.append(driver.mem_get_info()[0])
    assert frees[1] == frees[2]


def test_too_large_a_request_says_how_much_is_short() -> None:
    from edge_trt_runtime.cuda import open_device

    with pytest.raises(EngineError, match=r"MB short"), open_device(0) as device:
        device.memory(1 << 42)


ENDINGS = {
    "without closing": "session.run(x)",
    "after del": "session.run(x); del session",
    "in an exception": "session.run(x); raise SystemExit(0)",
    "in a thread": "import threading; t = threading.Thread(target=session.run, args=(x,)); "
    "t.start(); t.join()",
    "while a thread runs": "import threading; threading.Thread(target=lambda: "
    "[session.run(x) for _ in range(300)]).start()",
    "in a cycle": "class C: pass\nc = C(); c.c = c; c.s = session; session.run(x); del c, session",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_process_ends_well(hybrid: Path, ending: str) -> None:
    code = f"""
import numpy as np, edge_trt_runtime
session = edge_trt_runtime.load({str(hybrid)!r}, device="cuda")
x = {{"x": np.ones((4, 1024), np.float32)}}
{ENDINGS[ending]}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_forked_child_is_refused(hybrid: Path) -> None:
    code = f"""
        import os, numpy as np, edge_trt_runtime
        session = edge_trt_runtime.load({str(hybrid)!r}, device="cuda")
        x = {{"x": np.ones((4, 1024), np.float32)}}
        session.run(x)
        child = os.fork()
        try:
            session.run(x)
        except edge_trt_runtime.EngineError as error:
            print(error, flush=True)
            os._exit(7)
        assert child and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "was forked" in done.stdout


def test_no_context_stays_current(chain: Path) -> None:
    from pycuda import driver

    session = edge_trt_runtime.load(chain, device="cuda")
    session.run(batch(8))
    assert driver.Context.get_current() is None
    session.close()
    assert driver.Context.get_current() is None
    with pytest.raises(EngineError, match="is closed"):
        session.run(batch(8))
