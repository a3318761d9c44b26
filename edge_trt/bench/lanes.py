# SPDX-License-Identifier: Apache-2.0
"""Lanes of one bundle: each DLA core and the GPU alone, and all of them at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from edge_trt.bench.loads import Told, side_by_side
from edge_trt.bench.record import Lane, Lanes
from edge_trt_jetson.telemetry.sampler import Sampler
from edge_trt_runtime.bench import sample_inputs
from edge_trt_runtime.bundle import OpenBundle
from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.pool.lanes import lanes_here
from edge_trt_runtime.pool.opening import load_pool
from edge_trt_runtime.pool.pool import Pool

if TYPE_CHECKING:
    from edge_trt.bench.measure import Plan


def lanes_alone_and_together(
    bundle: OpenBundle, plan: Plan, sampler: Sampler, told: Told
) -> tuple[Lanes | None, list[str]]:
    """Measures the lanes of a bundle, where it has several here and the plan wants it.

    Returns:
        What was measured, and sentences on what could not be: the session was measured already.
    """
    if not plan.lanes:
        return None, []
    try:
        if len(lanes_here(bundle, plan.device)) < 2:
            return None, []
        with load_pool(bundle, device=plan.device, frames=max(2, plan.callers)) as pool:
            return _measured(pool, plan, sampler, told), []
    except EngineError as error:
        return None, [f"its lanes were not measured: {error}"]


def _measured(pool: Pool, plan: Plan, sampler: Sampler, told: Told) -> Lanes | None:
    lanes = pool.lanes
    if len(lanes) < 2:  # the others fell back to the CPU
        return None
    inputs = sample_inputs(lanes[0].session)
    calls = [partial(lane.session.run, inputs) for lane in lanes]
    for call in calls:
        call()
    alone = [
        side_by_side(sampler, [call], plan.callers, plan.seconds, f"{lane.name} alone", told)[1]
        for lane, call in zip(lanes, calls, strict=True)
    ]
    each, total = side_by_side(sampler, calls, plan.callers, plan.seconds, "all lanes", told)
    found = [
        Lane(lane.name, lane.stream, {p.segment: p.lane for p in lane.places}, before, beside)
        for lane, before, beside in zip(lanes, alone, each, strict=True)
    ]
    return Lanes(found, total)
