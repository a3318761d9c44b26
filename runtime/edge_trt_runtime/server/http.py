# SPDX-License-Identifier: Apache-2.0
"""The service over HTTP, by the standard library: a thread for each connection."""

from __future__ import annotations

import logging
import os
import socket
import stat
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


class Handler(BaseHTTPRequestHandler):
    """One connection; the names of its methods are the standard library's."""

    protocol_version = "HTTP/1.1"  # connections stay open: a new one for each frame is slow
    timeout = IDLE
    service: Service

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
        elif int(length) > self.service.limit:
            self._refuse(413, f"the body has {length} bytes, allowed are {self.service.limit}")
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


class UnixServer(Server):
    """On a Unix socket, which only this user and its group may use."""

    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        """Replace a socket that an earlier process left, and nothing else."""
        path = str(self.server_address)
        with suppress(FileNotFoundError):
            if not stat.S_ISSOCK(os.lstat(path).st_mode):
                raise EdgeTrtError(f"{path} is there and is no socket", hint="choose another path")
            os.unlink(path)
        before = os.umask(0o117)
        try:
            self.socket.bind(path)
        finally:
            os.umask(before)
        self.server_name, self.server_port = path, 0

    def get_request(self) -> tuple[socket.socket, Any]:
        """A connection, whose other side has no name."""
        connection, _ = self.socket.accept()
        return connection, ("unix", 0)

    def server_close(self) -> None:
        """Remove the socket's name too."""
        super().server_close()
        with suppress(OSError):
            os.unlink(str(self.server_address))


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
        raise EdgeTrtError(f"{where} can't be listened on ({error.strerror})") from error
