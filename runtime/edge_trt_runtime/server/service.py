# SPDX-License-Identifier: Apache-2.0
"""What the server answers to each path; nothing here knows of HTTP but the numbers."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from edge_trt_runtime.errors import EdgeTrtError, InputError
from edge_trt_runtime.metrics import Metrics
from edge_trt_runtime.server.arrays import decode, encode

if TYPE_CHECKING:
    from edge_trt_runtime.pool.pool import Pool
    from edge_trt_runtime.session import Session

log = logging.getLogger("edge_trt_runtime.server")

PATHS = {
    "/run": "POST a .npz of inputs, get a .npz of outputs",
    "/signature": "GET names, types and sizes of inputs and outputs",
    "/health": "GET 200 while it works, 503 with the reason otherwise",
    "/metrics": "GET counts and times for Prometheus",
}


class Answer(NamedTuple):
    """Status, type and body of an answer."""

    status: int
    kind: str
    body: bytes


class Service:
    """A session or a pool that several threads may ask at once."""

    def __init__(self, session: Session | Pool, *, waiting: int = 16, limit: int = 1 << 28) -> None:
        """Serve a session or a pool.

        Args:
            session: What runs.
            waiting: Requests in work and in the queue; more are refused, so that a robot learns at
                once that it asks for too much.
            limit: Bytes of a body and of the arrays in it.
        """
        self.session, self.limit = session, limit
        self.metrics = Metrics()
        self.metrics.watch(session, "server")
        self._room = threading.Semaphore(waiting)
        self._waiting = waiting

    @property
    def problem(self) -> str:
        """Why nothing runs any more; empty while it does."""
        return self.session.broken

    def get(self, path: str) -> Answer:
        """Answer what changes nothing."""
        if path == "/signature":
            return _json(200, msgspec.to_builtins(self.session.signature))
        if path == "/health":
            problem = self.problem
            return _json(503 if problem else 200, {"broken": problem} if problem else {"ok": True})
        if path == "/metrics":
            return Answer(200, "text/plain; version=0.0.4", self.metrics.text().encode())
        return self.unknown(path)

    def run(self, body: bytes) -> Answer:
        """Run once."""
        if not self._room.acquire(blocking=False):
            return _error(429, f"{self._waiting} runs are waiting already")
        try:
            start = time.perf_counter()
            outputs = self.session.run(decode(body, self.session.signature, self.limit))
            log.debug("ran in %.3f ms", (time.perf_counter() - start) * 1e3)
            return Answer(200, "application/zip", encode(outputs))
        except InputError as error:
            return _error(400, str(error))
        except EdgeTrtError as error:
            log.error("a run failed: %s", error)
            return _error(503, str(error))
        finally:
            self._room.release()

    def reload(self) -> None:
        """Exchange the bundle for the one that is now at its path; a bad one changes nothing."""
        try:
            self.session.reload()
            log.info("reloaded %s", self.session.bundle.root)
        except (EdgeTrtError, OSError) as error:
            log.error("the new bundle is refused, the old one goes on: %s", error)

    def unknown(self, path: str) -> Answer:
        """Refuse a path."""
        return _json(404, {"error": f"nothing is at {path}", "paths": PATHS})


def _json(status: int, content: object) -> Answer:
    return Answer(status, "application/json", msgspec.json.encode(content))


def _error(status: int, text: str) -> Answer:
    return _json(status, {"error": text})
