# SPDX-License-Identifier: Apache-2.0
"""The service over HTTP, by the standard library: a thread for each connection."""

from __future__ import annotations

import logging
import os
import socket
import stat
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from edge_trt_runtime.errors import EdgeTrtError
from edge_trt_runtime.server.service import Answer, Service

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("edge_trt_runtime.server")

IDLE = 60.0
"""Seconds after which a silent connection is closed."""


DIGITS = 18
"""Of the longest size of a body that is looked at: Python refuses to read thousands of them."""


class Handler(BaseHTTPRequestHandler):
    """One connection; the names of its methods are the standard library's."""

    protocol_version = "HTTP/1.1"  # connections stay open: a new one for each frame is slow
    timeout = IDLE
    service: Service
    server: Server  # type: ignore[assignment] (what starts it is always one)

    def handle_one_request(self) -> None:
        """Wait for a request and answer it, unless the server is ending."""
        if self.server.may_wait(self.connection):
            super().handle_one_request()
        else:
            self.close_connection = True

    def parse_request(self) -> bool:
        """Read the head; from here on the connection is in work, and is let finish."""
        self.server.begins(self.connection)
        return super().parse_request()

    def do_GET(self) -> None:
        """Answer what changes nothing."""
        self._answer(self.service.get(self._path()))

    def do_POST(self) -> None:
        """Run."""
        length = self.headers.get("Content-Length", "")
        if self._path() != "/run":
            self.close_connection = True  # its body is not read
            self._answer(self.service.unknown(self._path()))
        elif not (length.isascii() and length.isdecimal()):
            self._refuse(411, "the request does not say how long its body is")
        elif len(length) > DIGITS or int(length) > self.service.limit:
            said = length[:DIGITS] + "..." * (len(length) > DIGITS)
            self._refuse(413, f"the body has {said} bytes, allowed are {self.service.limit}")
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):  # otherwise the other side has left
                self._answer(self.service.run(body))

    def _path(self) -> str:
        return self.path.partition("?")[0]

    def _refuse(self, status: int, text: str) -> None:
        self.close_connection = True
        self._answer(Answer(status, "text/plain", text.encode()))

    def _answer(self, answer: Answer) -> None:
        if self.server.ending:
            self.close_connection = True
        with suppress(ConnectionError):
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name there)
        """Into the log of the package, and not on the terminal."""
        log.debug(format, *args)

    def address_string(self) -> str:
        """Of who asks; a Unix socket has no name."""
        return str(self.client_address[0]) if self.client_address else "unix"

    def setup(self) -> None:
        """Small answers leave at once."""
        super().setup()
        if self.connection.family != socket.AF_UNIX:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Server(ThreadingHTTPServer):
    """On a port."""

    daemon_threads = False  # requests in work are finished at the end
    block_on_close = True
    ending = False

    def __init__(self, address: Any, handler: Callable[..., Handler]) -> None:
        """Listen."""
        self._lock, self._idle = threading.Lock(), set[socket.socket]()
        super().__init__(address, handler)

    def may_wait(self, connection: socket.socket) -> bool:
        """Note that a connection waits for a request; false once the server is ending."""
        with self._lock:
            if not self.ending:
                self._idle.add(connection)
            return not self.ending

    def begins(self, connection: socket.socket) -> None:
        """Note that a request has come on a connection."""
        with self._lock:
            self._idle.discard(connection)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that has ended."""
        self.begins(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Wait for requests in work; connections that are merely open are closed at once."""
        with self._lock:
            self.ending = True
            for connection in self._idle:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Into the log: one line for a side that left, the traceback of what nobody foresaw."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            log.info("a connection broke: %s", error)
        else:
            log.exception("a request failed")


class UnixServer(Server):
    """On a Unix socket, which only this user and its group may use."""

    address_family = socket.AF_UNIX

    _bound: tuple[int, int] | None = None

    def server_bind(self) -> None:
        """Replace a socket that an earlier process left, and nothing else."""
        path = str(self.server_address)
        with suppress(FileNotFoundError):
            if not stat.S_ISSOCK(os.lstat(path).st_mode):
                raise EdgeTrtError(f"{path} is there and is no socket", hint="choose another path")
            if _answers(path):
                raise EdgeTrtError(
                    f"another process serves {path}", hint="end it, or choose another path"
                )
            os.unlink(path)
        before = os.umask(0o117)
        try:
            self.socket.bind(path)
        finally:
            os.umask(before)
        self._bound = _identity(path)
        self.server_name, self.server_port = path, 0

    def get_request(self) -> tuple[socket.socket, Any]:
        """A connection, whose other side has no name."""
        connection, _ = self.socket.accept()
        return connection, ("unix", 0)

    def server_close(self) -> None:
        """Remove the socket's name too, if it is still that of this server."""
        super().server_close()
        path = str(self.server_address)
        with suppress(OSError):
            if self._bound is not None and _identity(path) == self._bound:
                os.unlink(path)


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _answers(path: str) -> bool:
    """Whether a process listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.settimeout(1.0)
        try:
            channel.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True  # its queue is full, or it belongs to somebody else
        return True


def make_server(service: Service, host: str, port: int, path: str | None) -> Server:
    """Listen, on a port or on a Unix socket.

    Raises:
        EdgeTrtError: The address can't be used.
    """
    handler: Callable[..., Handler] = type("Handler", (Handler,), {"service": service})
    try:
        if path is not None:
            return UnixServer(path, handler)  # type: ignore[arg-type]
        return Server((host, port), handler)
    except OSError as error:
        where = path or f"{host}:{port}"
        raise EdgeTrtError(
            f"{where} can't be listened on ({error.strerror or error})",
            hint="choose another --port, --host or --socket",
        ) from error
