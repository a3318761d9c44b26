# SPDX-License-Identifier: Apache-2.0
"""``python -m edge_trt_runtime.server BUNDLE``: serve a bundle until SIGTERM or Ctrl-C.

SIGHUP loads the bundle anew, beside the old one, which goes on if the new one is refused.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from edge_trt_runtime.errors import EdgeTrtError, EngineError
from edge_trt_runtime.opening import load
from edge_trt_runtime.pool.opening import load_pool
from edge_trt_runtime.pool.pool import Pool
from edge_trt_runtime.server.http import make_server
from edge_trt_runtime.server.notify import Heartbeat, notify
from edge_trt_runtime.server.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from edge_trt_runtime.metrics import Reading
    from edge_trt_runtime.server.http import Server

log = logging.getLogger("edge_trt_runtime.server")


def parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(
        prog="python -m edge_trt_runtime.server", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("bundle", help="directory that `edge_trt build` wrote")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=_port, default=8500, help="0 takes any that is free")
    parser.add_argument("--socket", metavar="PATH", help="a Unix socket in place of a port")
    parser.add_argument("--device", default="auto", help="auto, cpu, or a GPU such as cuda:0")
    parser.add_argument(
        "--dla-core", type=int, choices=(0, 1), metavar="N",
        help="DLA core, 0 or 1, of plans for one (default: the core that they were built on)",
    )  # fmt: skip
    parser.add_argument(
        "--lanes", choices=("one", "all"), default="one",
        help="all: run on the GPU and all DLA cores that the bundle has plans for, at once",
    )  # fmt: skip
    parser.add_argument(
        "--watchdog", type=float, metavar="S", help="seconds that a run may take (default: any)"
    )
    parser.add_argument("--waiting", type=_count, default=16, help="runs in work and in the queue")
    parser.add_argument("--verbose", action="store_true", help="log every request")
    return parser


def _port(text: str) -> int:
    return _number(text, 0, 65535)


def _count(text: str) -> int:
    return _number(text, 1, 1 << 20)


def _number(text: str, least: int, greatest: int) -> int:
    number = int(text)
    if not least <= number <= greatest:
        raise argparse.ArgumentTypeError(f"{number} is not from {least} to {greatest}")
    return number


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status (0 ended as asked, 1 refused or broken)."""
    options = parser().parse_args(arguments)
    level = logging.DEBUG if options.verbose else logging.INFO
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(message)s")
    try:
        return _serve(options)
    except EdgeTrtError as error:
        if os.environ.get("EDGE_TRT_DEBUG") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # while the bundle was loaded
        print("interrupted", file=sys.stderr)
        return 130


def _serve(options: argparse.Namespace) -> int:
    frames = max(2, min(4, options.waiting))
    more: dict[str, Any] = {
        "device": options.device, "frames": frames, "watchdog": options.watchdog,
    }  # fmt: skip
    if options.lanes == "all" and options.dla_core is not None:
        raise EngineError(
            f"--lanes all takes every DLA core, and --dla-core {options.dla_core} one of them",
            hint="leave one of the two out",
        )
    with (
        load_pool(options.bundle, **more)
        if options.lanes == "all"
        else load(options.bundle, dla_core=options.dla_core, **more)
    ) as session:
        service = Service(session, waiting=options.waiting)
        service.metrics.watch_board()
        if isinstance(session, Pool):
            service.metrics.add_provider(partial(lane_readings, session))
        server = make_server(service, options.host, options.port, options.socket)
        heartbeat = Heartbeat(lambda: service.problem)
        _handle_signals(server, service)
        try:
            where = options.socket or "http://{}:{}".format(*server.server_address[:2])
            print(f"serving {session.bundle.root} on {where}", flush=True)
            notify("READY=1\nSTATUS=serving")
            heartbeat.start()
            server.serve_forever(poll_interval=0.2)
            notify("STOPPING=1")
        finally:
            heartbeat.stop()
            server.server_close()  # waits for requests in work
        return 1 if service.problem else 0


def lane_readings(pool: Pool) -> Iterator[Reading]:
    """What each lane has done, for Prometheus, and which take no runs any more: others go on."""
    for lane in pool.lanes:
        labels, broken = {"lane": lane.name}, float(bool(lane.broken))
        yield "edge_trt_lane_runs_total", "Runs that a lane has done.", labels, float(lane.runs)
        yield "edge_trt_lane_broken", "1 after a run that did not end in time.", labels, broken


def _handle_signals(server: Server, service: Service) -> None:
    """End by SIGTERM and Ctrl-C, reload by SIGHUP; both in other threads, as they may take long."""

    def end(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown).start()

    def reload(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=service.reload).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    signal.signal(signal.SIGHUP, reload)


if __name__ == "__main__":
    sys.exit(main())
