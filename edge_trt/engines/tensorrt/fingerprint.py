# SPDX-License-Identifier: Apache-2.0
"""The name under which a bundle keeps a target's plans."""

from __future__ import annotations

import hashlib
import json
import re

from edge_trt.engines.tensorrt.flavours import Flavour
from edge_trt.engines.tensorrt.settings import BuildSettings
from edge_trt_jetson import boards

PORTABLE = "sm80plus"
"""Stands for tensorrt_rtx's default: every GPU from compute capability 8.0 on."""


def fingerprint(target: str, flavour: Flavour, settings: BuildSettings, *, gpu: str = "") -> str:
    """A stable name for what a plan depends on besides the network.

    Args:
        target: Board, `rtx` or `cuda`.
        flavour: What builds the plan.
        settings: Options of the build. The timing cache changes how long a build takes, not what
            its plan may run on, and does not count.
        gpu: Compute capability of the device (`8.7`), where the target does not say it.

    Returns:
        A folder name: readable parts and a short hash of everything, such as
        `rtx-1.7.1-sm80plus-1f0c2a9e` or `agx-orin-64gb-10.3.0-sm87-8a41d0b3`.
    """
    names = _architectures(target, settings, gpu)
    facts: dict[str, object] = {
        "target": target,
        "flavour": flavour.name,
        "version": flavour.version,
        "architectures": names,
        "optimization_level": settings.optimization_level,
        "workspace": settings.workspace,
        "ranges": {n: (r.min, r.opt, r.max) for n, r in settings.ranges.items()},
        "values": {n: [list(v) for v in vs] for n, vs in settings.values.items()},
    }
    if settings.profiles:  # only then, as names of bundles without any are not to change
        facts["profiles"] = [
            {n: (r.min, r.opt, r.max) for n, r in profile.items()} for profile in settings.profiles
        ]
    if settings.dla is not None:
        dla = settings.dla
        facts["dla"] = [sorted(dla.layers), dla.core, dla.weak, sorted(dla.scales.items())]
    if settings.weight_streaming:
        facts["weight_streaming"] = True
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
    prefix = "-".join([target, flavour.release, ".".join(names)])
    return f"{re.sub(r'[^A-Za-z0-9.]+', '-', prefix)}-{digest}"


def _architectures(target: str, settings: BuildSettings, gpu: str) -> list[str]:
    """GPUs in CUDA's short form: `sm87`."""
    if settings.compute_capabilities:
        return [_short(capability) for capability in settings.compute_capabilities]
    board = boards.find(target)
    if board is not None:
        return [_short(board.sm)]
    if gpu:
        return [_short(gpu)]
    return [PORTABLE if target == "rtx" else "anygpu"]


def _short(capability: str) -> str:
    return "sm" + capability.replace(".", "")
