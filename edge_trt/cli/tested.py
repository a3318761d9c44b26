# SPDX-License-Identifier: Apache-2.0
"""Saving a bundle whose engines were built for this very machine: they prove themselves first."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_trt.bundle.bundle import Bundle
from edge_trt.bundle.writer import BundleWriter
from edge_trt.engines.tensorrt import flavour_of
from edge_trt_runtime.cuda import open_device
from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.opening import load
from edge_trt_runtime.selftest import run_in_streams

if TYPE_CHECKING:
    from edge_trt.stages import Progress
    from edge_trt_runtime.session import Session


def save_tested(
    bundle: Bundle, writer: BundleWriter, targets: Sequence[str], progress: Progress
) -> None:
    """Writes a bundle; engines of this machine's GPU run its recorded cases before.

    Args:
        bundle: with its engines.
        writer: of its place.
        targets: what was built now; what TensorRT measured for them runs here.
        progress: as for `compile`.

    Raises:
        EngineError: results differ from those of PyTorch; nothing was written.
        EdgeTrtError: as `Bundle.save`.
    """
    here = {plan.target for plan in bundle.plans if flavour_of(plan.target) == "tensorrt"}
    if not here & set(targets):
        bundle.save(writer.target)
        return
    try:
        open_device()
    except EngineError as error:
        bundle.remarks = [*bundle.remarks, f"the engines have not run yet: {error}"]
        bundle.save(writer.target)
        return
    source = bundle.source
    if source is not None and source.opened.root == writer.target:
        bundle.source = dataclasses.replace(source, leaving=True)  # it is replaced, or nothing is
    with writer.sibling("untested") as folder:
        candidate = bundle.save(Path(folder, "model.edge"))
        progress("self-test", 0.0, "")
        _test(candidate, writer.target)
        progress("self-test", 1.0, "")
        writer.move_in(str(candidate))
    bundle.path = Path(writer.target)


def _test(candidate: Path, name: str) -> None:
    """Runs the recorded cases on the GPU, in each stream.

    Raises:
        EngineError: results differ from those of PyTorch.
    """
    device = "cuda:0"

    def opened(stream: int) -> Session:
        return load(candidate, device=device, verify=False, stream=stream)

    failed = [result for result in run_in_streams(opened, device) if not result.passed]
    if failed:
        first = failed[0]
        stream = f" in stream {first.stream}" if first.stream > 1 else ""
        raise EngineError(
            f"the engines built here fail {len(failed)} of the recorded cases of {name}: output "
            f"{first.output!r} of {first.case}{stream}: {first.problem} (greatest difference "
            f"{first.max_abs:.3g})",
            hint="nothing was written; try --optimization-level 0 or another precision, report it, "
            "or write them with --untested to look into it with edge_trt verify",
        )
