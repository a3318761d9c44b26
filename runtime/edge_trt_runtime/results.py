# SPDX-License-Identifier: Apache-2.0
"""Handing results over: as fresh arrays, or in arrays of the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge_trt_runtime.errors import InputError
from edge_trt_runtime.foreign import OnDevice, is_foreign, open_foreign
from edge_trt_runtime.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge_trt_runtime.cuda import Device
    from edge_trt_runtime.plan import Result


class Stay:
    """Asks for a result on the GPU, in memory of its own; see :data:`STAY`."""


STAY = Stay()
Target = np.ndarray | OnDevice | Stay | None
"""Where a result goes: into an array of the caller, or into a fresh one, on the host for None."""


def stays_on_device(target: Target) -> bool:
    """Whether a result goes to a place on the GPU."""
    return isinstance(target, (OnDevice, Stay))


def targets_of(
    out: Mapping[str, Any], names: Sequence[str], device: Device | None, *, stay: bool
) -> list[Target]:
    """Return where results go, in their order.

    Args:
        out: The caller's arrays by name, also on the GPU.
        names: Of all results.
        device: The GPU of the session, or None.
        stay: Whether results without an array stay on the GPU.

    Raises:
        InputError: When a name is none of an output, or something is no array to write to.
    """
    targets: dict[str, Target] = dict.fromkeys(names, STAY if stay else None)
    for name, array in out.items():
        if name not in targets:
            raise InputError(
                f"out has {name!r}, which is no output", hint=did_you_mean(name, names)
            )
        target = open_foreign(array, f"out[{name!r}]", device) if is_foreign(array) else array
        if not _is_writable(target):
            raise InputError(
                f"out[{name!r}] is no array that can be written to",
                hint="give one made by numpy.empty, or as torch.empty makes it on the GPU",
            )
        targets[name] = target
    return [*targets.values()]


def _is_writable(target: Any) -> bool:
    if isinstance(target, np.ndarray):
        return target.flags.writeable
    return isinstance(target, OnDevice) and not target.read_only


def check_target(name: str, target: np.ndarray | OnDevice, shape: Any, dtype: np.dtype) -> None:
    """Refuse an array of the caller that is not like the output.

    Raises:
        InputError: When it has another shape or type.
    """
    if target.shape != tuple(shape) or target.dtype != dtype:
        raise InputError(
            f"out[{name!r}] is {target.dtype} of shape {list(target.shape)}, and the output is "
            f"{dtype} of shape {list(shape)}",
            hint="give an array like it, or leave it out",
        )


def deliver(
    values: Sequence[Any], results: Sequence[Result], targets: Sequence[Any]
) -> list[np.ndarray]:
    """Return the results of a run, each in its target where it has one.

    Raises:
        InputError: When a target has another shape or type.
    """
    arrays: list[np.ndarray] = []
    for (name, slot, copy), target in zip(results, targets, strict=True):
        value: np.ndarray = values[slot]
        if target is None:
            arrays.append(value.copy() if copy else value)
            continue
        check_target(name, target, value.shape, value.dtype)
        np.copyto(target, value)
        arrays.append(target)
    return arrays
