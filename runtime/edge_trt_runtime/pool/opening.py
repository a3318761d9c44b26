# SPDX-License-Identifier: Apache-2.0
"""Opening a bundle as a pool."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from edge_trt_runtime.devices import check_device
from edge_trt_runtime.errors import BundleError, EngineError
from edge_trt_runtime.opening import checked_opener, load
from edge_trt_runtime.pool.lanes import Lane, lanes_here, on_cpu, open_lanes
from edge_trt_runtime.pool.pool import Pool
from edge_trt_runtime.reloading import check_same_signature, check_self_test

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.keys import TrustedKey
    from edge_trt_runtime.manifest import Signature
    from edge_trt_runtime.pool.lanes import OpenLane
    from edge_trt_runtime.session import Session

log = logging.getLogger("edge_trt_runtime")


def load_pool(
    path: str | os.PathLike[str] | OpenBundle,
    *,
    device: str = "auto",
    lanes: Sequence[Lane] | None = None,
    frames: int = 2,
    verify: bool = True,
    trusted_keys: Iterable[TrustedKey] | None = None,
    least_counter: int = 0,
    **options: Any,
) -> Pool:
    """Open the bundle at ``path`` on everything that it has been placed on, behind one call.

    ::

        with edge_trt_runtime.load_pool("model.edge") as pool:
            for outputs in pool.map(inputs):
                ...

    There is a session for each *lane*: for each stream of the bundle that has plans for this
    machine, one on every DLA core that TensorRT offers if it uses a DLA, else one on the GPU.
    Where the bundle has nothing of that, there is one lane, so that the same program runs on
    any machine. Lanes share what they can: each plan is loaded once for the GPU, and once for
    each core.

    Args:
        path: As of :func:`load`.
        device: Likewise; for all lanes that name none.
        lanes: Which lanes to open, in place of those that are found.
        frames: How many runs each lane has at once; more callers wait.
        verify: As of :func:`load`; done once.
        trusted_keys: As of :func:`load`.
        least_counter: Likewise.
        options: All others of :func:`load`, for each session.

    Raises:
        BundleError: As :func:`load`, or when it is exchanged for another one meanwhile.
        EngineError: Likewise, or when ``lanes`` is empty or a rate is no number above 0.
    """
    _check(lanes, options)
    check_device(device)
    if isinstance(trusted_keys, Iterator):
        trusted_keys = [*trusted_keys]  # each lane asks for them
    open_checked = checked_opener(trusted_keys, least_counter, verify=verify)
    options = {
        "frames": frames, "verify": verify, "trusted_keys": trusted_keys,
        "least_counter": least_counter, **options,
    }  # fmt: skip

    def reopen(
        path: str | os.PathLike[str], signature: Signature
    ) -> tuple[OpenBundle, list[OpenLane]]:
        bundle = open_checked(path)
        check_same_signature(signature, bundle)
        return bundle, _tested(_open_all(bundle, device, lanes, options))

    bundle = open_checked(path)
    return Pool(bundle, _open_all(bundle, device, lanes, options), reopen)


def _open_all(
    bundle: OpenBundle, device: str, lanes: Sequence[Lane] | None, options: dict[str, Any]
) -> list[OpenLane]:
    """A session for each lane, or none and an error."""
    chosen = lanes_here(bundle, device) if lanes is None else [*lanes]
    with ExitStack() as opened:
        sessions: list[Session] = []
        for lane in chosen:
            session = load(
                bundle, device=lane.device or device, dla_core=lane.dla_core, stream=lane.stream,
                **options,
            )  # fmt: skip
            sessions.append(opened.enter_context(session))
            if session.manifest != bundle.manifest:  # each session reads it from the disk
                raise BundleError(
                    f"{bundle.root} was exchanged for another bundle while its lanes were opened",
                    bundle=bundle.root,
                    hint="load it again",
                )
        if lanes is None:
            chosen, sessions = _without_idle(chosen, sessions)
        opened.pop_all()
    return open_lanes(chosen, sessions, options["frames"])


def _tested(lanes: list[OpenLane]) -> list[OpenLane]:
    """Lanes that passed the recorded cases; closes them all where one does not."""
    try:
        for lane in lanes:
            check_self_test(lane.session)
    except BaseException:
        for lane in lanes:
            lane.session.close()
        raise
    return lanes


def _without_idle(lanes: list[Lane], sessions: list[Session]) -> tuple[list[Lane], list[Session]]:
    """Close lanes that fell back to the CPU where others did not: they would hold those up."""
    useful = [session for session in sessions if not on_cpu(session)] or sessions[:1]
    for lane, session in zip(lanes, sessions, strict=True):
        if session not in useful:
            log.warning(
                "a lane of stream %d of %s is left out of the pool: it would run on the CPU",
                lane.stream,
                session.bundle.root,
            )
            session.close()
    return [lane for lane, s in zip(lanes, sessions, strict=True) if s in useful], useful


def _check(lanes: Sequence[Lane] | None, options: dict[str, Any]) -> None:
    for name in ("dla_core", "stream"):
        if name in options:
            raise EngineError(
                f"{name} is a matter of each lane", hint=f"give lanes=[Lane({name}=...), ...]"
            )
    if lanes is not None and not lanes:
        raise EngineError("lanes is empty", hint="give one or more, or None for all there are")
    for lane in lanes or ():
        given: object = lane
        if not isinstance(given, Lane):
            raise EngineError(
                f"{given!r} is no lane", hint="give lanes=[Lane(dla_core=0), Lane(stream=2), ...]"
            )
        if lane.rate is not None and not 0 < lane.rate < math.inf:
            raise EngineError(f"the rate of a lane is {lane.rate}", hint="give a number above 0")
