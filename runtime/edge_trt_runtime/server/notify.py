# SPDX-License-Identifier: Apache-2.0
"""Telling systemd that the service is ready, alive, reloading or stopping (sd_notify(3))."""

from __future__ import annotations

import logging
import os
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("edge_trt_runtime.server")


def notify(state: str) -> bool:
    """Send a state such as ``READY=1``; returns whether anybody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # the abstract namespace
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto(state.encode(), address)
    except OSError as error:
        log.warning("systemd could not be told %r: %s", state, error)
        return False
    return True


def watchdog_seconds() -> float | None:
    """How often systemd wants a sign of life; None where it wants none of this process."""
    wanted = os.environ.get("WATCHDOG_USEC", "")
    if not wanted.isdecimal() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(
        os.getpid()
    ):
        return None
    return int(wanted) / 1e6


class Heartbeat:
    """Signs of life, twice as often as systemd wants them, for as long as all is well."""

    def __init__(self, problem: Callable[[], str]) -> None:
        """Prepare; ``problem`` says what is wrong, or an empty text."""
        self._problem = problem
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, if systemd wants signs of life at all."""
        seconds = watchdog_seconds()
        if seconds is not None:
            arguments = (seconds / 2,)
            self._thread = threading.Thread(target=self._beat, args=arguments, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _beat(self, interval: float) -> None:
        while not self._stop.wait(interval):
            if problem := self._problem():
                # Silence makes systemd start the service anew, which is what helps.
                log.error("no sign of life to systemd: %s", problem)
                notify(f"STATUS=broken: {problem}")
                return
            notify("WATCHDOG=1")
