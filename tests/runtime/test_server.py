# SPDX-License-Identifier: Apache-2.0
"""A bundle behind HTTP: what it answers, refuses, and tells systemd."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt_runtime.errors import EdgeTrtError, EngineError, InputError
from edge_trt_runtime.metrics import Metrics
from edge_trt_runtime.server import notify
from edge_trt_runtime.server.__main__ import lane_readings, main
from edge_trt_runtime.server.arrays import decode, encode
from edge_trt_runtime.server.http import Server, make_server
from edge_trt_runtime.server.service import Service
from tests.cli import bundles
from tests.runtime.pool.stubs import Stub, pool_of

X = np.linspace(0, 1, 192, dtype=np.float32).reshape(1, 3, 8, 8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.write(tmp_path_factory.mktemp("server") / "model.edge")


@pytest.fixture(scope="module")
def service(bundle: Path) -> Iterator[Service]:
    with edge_trt_runtime.load(bundle, device="cpu") as session:
        yield Service(session, waiting=2, limit=100_000)


@pytest.fixture
def server(service: Service) -> Iterator[Server]:
    yield from serving(make_server(service, "127.0.0.1", 0, None))


def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def ask(server: Server, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=20)  # type: ignore[arg-type]
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def npz(**arrays: np.ndarray) -> bytes:
    return encode(arrays)


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def damaged(array: np.ndarray) -> bytes:
    """A `.npz` whose compressed content zlib refuses."""
    file = io.BytesIO()
    np.savez_compressed(file, image=array)
    content = bytearray(file.getvalue())
    content[45:75] = bytes(byte ^ 0xFF for byte in content[45:75])
    return bytes(content)


@pytest.mark.parametrize("body", [npz(image=X), npy(X)])
def test_a_run(server: Server, body: bytes) -> None:
    status, answer = ask(server, "POST", "/run", body)
    assert status == 200
    outputs = np.load(io.BytesIO(answer))
    np.testing.assert_allclose(outputs["scores"], X.mean((2, 3)), rtol=1e-5)


def test_what_else_it_tells(server: Server) -> None:
    status, text = ask(server, "GET", "/signature")
    assert (status, json.loads(text)["inputs"][0]["name"]) == (200, "image")
    assert ask(server, "GET", "/health") == (200, b'{"ok":true}')
    ask(server, "POST", "/run", npy(X))
    status, text = ask(server, "GET", "/metrics?x=1")
    assert status == 200
    assert b"edge_trt" in text


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/", None, 404, "/signature"),
        ("POST", "/health", b"x", 404, "nothing is at /health"),
        ("POST", "/run", b"", 400, "no file of numpy"),
        ("POST", "/run", b"PK\x03\x04 and no more", 400, "can't be read"),
        ("POST", "/run", npy(X)[:-1], 400, "can't be read"),
        ("POST", "/run", damaged(X), 400, "while decompressing"),
        ("POST", "/run", npy(np.array([{}], object)), 400, "can't be read"),
        ("POST", "/run", npy(X[:, :2]), 400, "image"),
        ("POST", "/run", npz(other=X), 400, "other"),
        ("POST", "/run", bytes(100_001), 413, "allowed are 100000"),
        ("PUT", "/run", b"x", 501, ""),
    ],
)
def test_refusals(
    server: Server, method: str, path: str, body: bytes | None, status: int, words: str
) -> None:
    got, text = ask(server, method, path, body)
    assert got == status
    assert words in text.decode()
    assert ask(server, "GET", "/health")[0] == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [("", 411), ("Content-Length: -1\r\n", 411), (f"Content-Length: {'9' * 5000}\r\n", 413)],
)
def test_lengths_that_are_refused(server: Server, head: str, status: int) -> None:
    with socket.create_connection(server.server_address[:2], 20) as raw:  # type: ignore[arg-type]
        raw.sendall(f"POST /run HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
        assert raw.recv(100).startswith(f"HTTP/1.1 {status} ".encode())


def test_a_file_that_promises_too_much(service: Service) -> None:
    file = io.BytesIO()
    np.savez_compressed(file, image=np.zeros(1_000_000, np.float32))
    assert len(file.getvalue()) < 100_000
    with pytest.raises(InputError, match="the arrays take 4000128 bytes"):
        decode(file.getvalue(), service.session.signature, service.limit)


def test_too_many_at_once(
    server: Server, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    monkeypatch.setattr(type(service.session), "run", lambda *_: go.wait(20) and {})
    statuses: list[int] = []
    callers = [
        threading.Thread(target=lambda: statuses.append(ask(server, "POST", "/run", npy(X))[0]))
        for _ in range(2)
    ]
    for caller in callers:
        caller.start()
    end = time.monotonic() + 10
    while service._room._value and time.monotonic() < end:  # type: ignore[attr-defined]
        time.sleep(0.005)
    assert ask(server, "POST", "/run", npy(X))[0] == 429
    go.set()
    for caller in callers:
        caller.join()
    assert statuses == [200, 200]


def test_a_run_that_fails(
    server: Server, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise EngineError("segment main: out of memory")

    monkeypatch.setattr(type(service.session), "run", fails)
    monkeypatch.setattr(type(service.session), "broken", "block0 on gpu")
    assert ask(server, "POST", "/run", npy(X)) == (503, b'{"error":"segment main: out of memory"}')
    assert ask(server, "GET", "/health") == (503, b'{"broken":"block0 on gpu"}')


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def test_a_unix_socket(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "s"
    for _ in range(2):  # the second time a socket is left over
        server = make_server(service, "", 0, str(path))
        assert path.stat().st_mode & 0o777 == 0o660
        for _ in serving(server):
            connection = UnixConnection(str(path))
            connection.request("GET", "/health")
            assert connection.getresponse().read() == b'{"ok":true}'
            connection.close()
        assert not path.exists()
        with socket.socket(socket.AF_UNIX) as left_over:
            left_over.bind(str(path))
    path.unlink()
    path.write_text("mine")
    with pytest.raises(EdgeTrtError, match="is no socket"):
        make_server(service, "", 0, str(path))
    assert path.read_text() == "mine"


def test_a_unix_socket_of_another_process(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = make_server(service, "", 0, str(path))
    with pytest.raises(EdgeTrtError, match="another process serves"):
        make_server(service, "", 0, str(path))
    path.rename(tmp_path / "moved")
    second = make_server(service, "", 0, str(path))
    first.server_close()
    assert path.is_socket()
    second.server_close()
    assert not path.exists()


def test_an_address_that_is_taken(server: Server, service: Service) -> None:
    with pytest.raises(EdgeTrtError, match="can't be listened on"):
        make_server(service, "127.0.0.1", server.server_address[1], None)  # type: ignore[arg-type]


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(path)
        channel.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        yield channel


def test_signs_of_life(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    problems = iter(["", "", "block0 hangs"])
    heart = notify.Heartbeat(lambda: next(problems))
    heart.start()
    told = [systemd.recv(100) for _ in range(3)]
    assert told == [b"WATCHDOG=1", b"WATCHDOG=1", b"STATUS=broken: block0 hangs"]
    heart.stop()
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert notify.watchdog_seconds() is None
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert not notify.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    assert not notify.notify("READY=1")


@pytest.mark.parametrize("lanes", ["one", "all"])
def test_the_whole_process(systemd: socket.socket, bundle: Path, lanes: str) -> None:
    command = [sys.executable, "-m", "edge_trt_runtime.server", str(bundle), "--port", "0",
               "--device", "cpu", "--verbose", "--lanes", lanes]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:  # fmt: skip
        assert process.stdout is not None
        where = process.stdout.readline()
        assert f"serving {bundle} on http://127.0.0.1:" in where
        assert systemd.recv(100) == b"READY=1\nSTATUS=serving"
        port = int(where.rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for _ in range(2):  # by one connection
            connection.request("POST", "/run", npy(X))
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
        connection.request("GET", "/metrics")
        metrics = connection.getresponse().read()
        assert (b'edge_trt_lane_runs_total{lane="cpu"} 2.0' in metrics) == (lanes == "all")
        assert b'edge_trt_run_seconds_count{session="server"} 2' in metrics
        process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert systemd.recv(100) == b"STOPPING=1"
        _, log = process.communicate(timeout=20)  # the open connection does not keep it
    connection.close()
    assert process.returncode == 0, log
    assert f"reloaded {bundle}" in log
    assert "Traceback" not in log


def test_a_bundle_that_is_not_there(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edge_trt_runtime.server", str(tmp_path / "no.edge")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert os.fspath(tmp_path) in done.stderr


def test_metrics_name_the_lane_that_is_broken() -> None:
    """The pool itself is not, while another lane takes runs."""
    hung, well = Stub(dict), Stub(dict)
    hung.broken = "main did not end in time"
    with pool_of(hung, well) as pool:
        pool.run({})
        metrics = Metrics()
        metrics.add_provider(partial(lane_readings, pool))
        lines = metrics.text().splitlines()
        assert not pool.broken
    assert "# TYPE edge_trt_lane_runs_total counter" in lines
    assert "# TYPE edge_trt_lane_broken gauge" in lines
    assert [line for line in lines if line.startswith("edge_trt_lane_")] == [
        'edge_trt_lane_runs_total{lane="0"} 0.0', 'edge_trt_lane_runs_total{lane="1"} 1.0',
        'edge_trt_lane_broken{lane="0"} 1.0', 'edge_trt_lane_broken{lane="1"} 0.0',
    ]  # fmt: skip


def test_one_core_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["m.edge", "--lanes", "all", "--dla-core", "1"]) == 1
    assert "and --dla-core 1 one of them: leave one of the two out" in capsys.readouterr().err


def test_an_interrupt_while_it_loads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edge_trt_runtime.server.__main__.load", interrupted)
    assert main(["m.edge"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    ("flag", "value", "range_"),
    [
        ("--port", "99999", "0 to 65535"),
        ("--port", "-1", "0 to 65535"),
        ("--waiting", "0", "1 to 1048576"),
    ],
)
def test_numbers_out_of_range(
    flag: str, value: str, range_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["m.edge", f"{flag}={value}"])
    assert f"argument {flag}: {value} is not from {range_}" in capsys.readouterr().err
