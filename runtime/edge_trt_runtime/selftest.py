# SPDX-License-Identifier: Apache-2.0
"""Running the recorded cases of a bundle: a board proves its own engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_trt_runtime.errors import BundleError
from edge_trt_runtime.opening import load
from edge_trt_runtime.pool.lanes import lanes_here
from edge_trt_runtime.session import Session
from edge_trt_runtime.vectors import read_tensors

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from edge_trt_runtime.manifest import SelfTest

    _Case = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


class SelfTestResult(NamedTuple):
    """One output of one case against what eager PyTorch gave.

    ``max_abs`` is the greatest absolute difference, ``max_rel`` that divided by the greatest
    expected magnitude. ``problem`` is empty when the output passed, else a sentence. ``stream`` is
    which of the bundle's placements ran, where several are asked for.
    """

    case: str
    output: str
    max_abs: float
    max_rel: float
    problem: str
    stream: int = 1

    @property
    def passed(self) -> bool:
        """Whether the output is within the tolerance."""
        return not self.problem


def run_self_test(session: Session | str | os.PathLike[str]) -> list[SelfTestResult]:
    """Run every recorded case.

    Args:
        session: A session, or the path of a bundle, which is then loaded and closed again in each
            of its streams.

    Returns:
        One result per case and output; empty when the bundle was built without a self-test.

    Raises:
        BundleError: When the recorded cases are damaged.
        EngineError: When an engine can't run.
    """
    if not isinstance(session, Session):
        return run_in_streams(lambda stream: load(session, stream=stream), "auto")
    test = session.manifest.self_test
    return [] if test is None else _run_cases(session, test)


def run_in_streams(open_stream: Callable[[int], Session], device: str) -> list[SelfTestResult]:
    """Run every recorded case in each stream that has engines of its own where this runs.

    Args:
        open_stream: Loads the bundle in a stream; each session is closed before the next one.
        device: Where, as of :func:`edge_trt_runtime.load`.

    Raises:
        BundleError: As :func:`run_self_test`.
        EngineError: Likewise.
    """
    with open_stream(1) as session:
        results = run_self_test(session)
        streams = {lane.stream for lane in lanes_here(session.bundle, device)} - {1}
    for stream in sorted(streams):
        with open_stream(stream) as session:
            results += [result._replace(stream=stream) for result in run_self_test(session)]
    return results


def recorded_inputs(session: Session) -> dict[str, np.ndarray] | None:
    """Return the inputs of the first recorded case, or None where there is none.

    Raises:
        BundleError: When the recorded cases are damaged.
    """
    test = session.manifest.self_test
    if test is None:
        return None
    return next((inputs for inputs, _ in _read_cases(session, test).values()), None)


def _run_cases(session: Session, test: SelfTest) -> list[SelfTestResult]:
    outputs = [spec.name for spec in session.signature.outputs]
    return [
        _compare(case, name, got[name], expected[name], test)
        for case, (inputs, expected) in _read_cases(session, test).items()
        for got in [session.run(inputs)]
        for name in outputs
    ]


def _read_cases(session: Session, test: SelfTest) -> dict[str, _Case]:
    path = session.bundle.path(test.path)
    cases = _cases(read_tensors(path))
    outputs = [spec.name for spec in session.signature.outputs]
    if len(cases) != test.cases or any(set(outs) != set(outputs) for _, outs in cases.values()):
        raise BundleError(
            f"{path} does not hold {test.cases} cases with the outputs of the signature",
            bundle=session.bundle.root,
            file=test.path,
            hint="build the bundle again",
        )
    return cases


def _cases(tensors: dict[str, np.ndarray]) -> dict[str, _Case]:
    """Group ``<case>/in/<name>`` and ``<case>/out/<name>`` by case."""
    cases: dict[str, _Case] = {}
    for key in sorted(tensors):
        case, _, rest = key.partition("/")
        kind, _, name = rest.partition("/")
        if kind in {"in", "out"} and name:
            cases.setdefault(case, ({}, {}))[kind == "out"][name] = tensors[key]
    return cases


def _compare(
    case: str, output: str, got: np.ndarray, expected: np.ndarray, test: SelfTest
) -> SelfTestResult:
    """Compare element by element; NaN and infinities must be in the same places."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        problem = f"is {got.dtype}{list(got.shape)}, not {expected.dtype}{list(expected.shape)}"
        return SelfTestResult(case, output, np.inf, np.inf, problem)
    wide = np.complex128 if expected.dtype.kind == "c" else np.float64
    a, b = got.astype(wide), expected.astype(wide)
    finite = np.isfinite(a) & np.isfinite(b)
    error = np.abs(np.subtract(a, b, where=finite, out=np.zeros_like(a)))
    scale = np.abs(np.where(finite, b, 0))
    good = error <= test.atols.get(output, test.atol) + test.rtol * scale
    good &= finite | (got == expected) | ((got != got) & (expected != expected))
    max_abs = float(error.max(initial=0))
    max_rel = max_abs / (float(scale.max(initial=0)) or 1.0)
    wrong = int(good.size - np.count_nonzero(good))
    problem = f"{wrong} of {good.size} values differ by more than the tolerance" if wrong else ""
    return SelfTestResult(case, output, max_abs, max_rel, problem)
