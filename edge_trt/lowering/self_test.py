# SPDX-License-Identifier: Apache-2.0
"""Records what the model itself answers, for the bundle to be checked with wherever it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from edge_trt.capture.conditions import draws_random_numbers
from edge_trt.errors import CaptureError
from edge_trt.lowering.eager import eager, vary
from edge_trt.warning import warn

if TYPE_CHECKING:
    from edge_trt.capture import Captured


def record(captured: Captured, count: int) -> dict[str, np.ndarray]:
    """Arrays `<case>/in/<name>` and `<case>/out/<name>`: the example inputs, and variations.

    Raises:
        CaptureError: the model fails on its own example inputs.
    """
    if draws_random_numbers(captured.program):
        warn("there is no self-test: the model draws random numbers, so each run gives others")
        return {}
    others = (vary(captured.examples, seed) for seed in range(1, count))
    return _record(captured, [captured.examples, *others][:count])


def record_samples(
    captured: Captured, samples: Sequence[Mapping[str, np.ndarray]], count: int
) -> dict[str, np.ndarray]:
    """The same of samples by name: int8 is right only on the kind of data it was calibrated for."""
    names = captured.input_names
    cases = [[torch.from_numpy(np.array(s[n])) for n in names] for s in samples[:count]]
    if count and not cases:
        warn("there is no self-test: int8 is judged on sample data; add --calibration DATA")
    return _record(captured, cases)


def _record(captured: Captured, cases: Sequence[Sequence[torch.Tensor]]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    run = eager(captured.program) if cases else None
    for case, inputs in enumerate(cases):
        assert run is not None
        try:
            outputs = run(inputs)
        except Exception as error:  # whatever an operator's kernel raises
            reason = str(error).partition("\n")[0]
            if case == 0:
                raise CaptureError(
                    f"the model fails on its own example inputs: {reason}"
                ) from error
            count = len(cases)
            warn(f"the self-test has {case} of {count} cases: the model refuses others ({reason})")
            break
        for name, tensor in zip(captured.input_names, inputs, strict=True):
            arrays[f"{case}/in/{name}"] = tensor.numpy()
        for name, array in zip(captured.output_names, outputs, strict=True):
            arrays[f"{case}/out/{name}"] = array
    return arrays
