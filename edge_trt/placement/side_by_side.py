# SPDX-License-Identifier: Apache-2.0
"""The two streams of a placement as they are built: which engines, and how often each runs.

A bundle runs as a whole in stream 1 or in stream 2. A network with one placement has one engine,
which both run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_trt.placement.assignment import Assignment

STREAMS = 2
"""There are two resources, GPU and DLA cores, so that more placements give no more throughput."""


def assignments(entry: Mapping[str, Any]) -> list[Assignment]:
    """The placements of one network in `placement.json`: one, or those of streams 1 and 2.

    Stream 1 is the one with most on DLA, which is what the network runs as where nothing runs
    beside it.
    """
    first = Assignment.from_dict(entry["assignment"])
    beside = (Assignment.from_dict(stream["assignment"]) for stream in entry.get("streams", []))
    return [first, *(other for other in beside if other != first)][:STREAMS]


def rates_of(
    entries: Sequence[Mapping[str, Any]], batches: Mapping[str, int]
) -> tuple[float, float]:
    """How often the plan runs all networks in streams 1 and 2 in a second.

    Each network was planned as if it had the board for itself, so they take turns: with shares of
    streams 1 and 2 that are theirs, weighted by the time that each of them takes.

    Args:
        entries: of `placement.json`, one of each network.
        batches: inferences of a run, by network.
    """
    seconds = first = weight = 0.0
    for entry in entries:
        streams = planned_rates(entry)
        if len(streams) < STREAMS:
            seconds += batches[entry["network"]] / _alone(entry)
            continue
        time = 1 / sum(streams)
        seconds, weight = seconds + time, weight + time
        first += time * streams[0] / sum(streams)
    if not weight:
        return (1 / seconds if seconds else 0.0), 0.0
    share = first / weight
    return share / seconds, (1 - share) / seconds


def planned_rates(entry: Mapping[str, Any]) -> list[float]:
    """Runs in a second of a network's streams 1 and 2; empty where there is one."""
    streams: Sequence[Mapping[str, Any]] = entry.get("streams", [])
    if len(streams) < STREAMS:
        return []
    ours = [s["assignment"] == entry["assignment"] for s in streams]
    ordered = sorted(zip(ours, streams, strict=True), key=lambda pair: not pair[0])
    return [float(stream["runs_per_second"]) for _, stream in ordered][:STREAMS]


def _alone(entry: Mapping[str, Any]) -> float:
    """Inferences in a second of a network with one placement."""
    chosen = (a for a in entry["modes"][0]["alternatives"] if a["name"] == entry["chosen"])
    return float(next(chosen)["per_second"])
