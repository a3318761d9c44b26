# SPDX-License-Identifier: Apache-2.0
"""Whether a bundle may take the place of another one while a session runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edge_trt_runtime.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.manifest import Signature
    from edge_trt_runtime.session import Session


def check_same_signature(signature: Signature, bundle: OpenBundle) -> None:
    """Refuse a bundle that takes or gives something else.

    Raises:
        EngineError: Naming the first difference.
    """
    for difference in _differences(signature, bundle.manifest.signature):
        raise EngineError(
            f"{bundle.root} can't take the place of the bundle that runs: {difference}",
            hint="load it as a session of its own",
        )


def _differences(old: Signature, new: Signature) -> Iterator[str]:
    for kind, before, after in (
        ("input", old.inputs, new.inputs),
        ("output", old.outputs, new.outputs),
    ):
        names = [[spec.name for spec in specs] for specs in (before, after)]
        if names[0] != names[1]:
            yield f"its {kind}s are {', '.join(names[1])}, not {', '.join(names[0])}"
        for one, other in zip(before, after, strict=False):
            if one != other:
                yield (
                    f"its {kind} {other.name!r} is {other.dtype} of shape {other.shape}, not "
                    f"{one.dtype} of shape {one.shape}"
                    if (one.dtype, one.shape) != (other.dtype, other.shape)
                    else f"its {kind} {other.name!r} is prepared in another way"
                )
    for name, range_ in old.dims.items():
        there = new.dims.get(name)
        if there != range_:
            said = "fixed" if there is None else msgspec.to_builtins(there)
            yield f"its size {name!r} is {said}, not {msgspec.to_builtins(range_)}"
    if old.profiles != new.profiles or old.states != new.states:
        yield "its profiles or states are others"


def check_self_test(session: Session) -> None:
    """Refuse a bundle that does not answer as eager PyTorch did when it was built.

    Raises:
        EngineError: Naming the first output that is wrong.
    """
    from edge_trt_runtime.selftest import run_self_test

    for result in run_self_test(session):
        if not result.passed:
            raise EngineError(
                f"{session.bundle.root} fails its self-test here: case {result.case}, output "
                f"{result.output!r}: {result.problem}",
                hint="build it again on this machine; the session goes on with the bundle before",
            )
