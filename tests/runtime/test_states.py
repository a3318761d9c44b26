# SPDX-License-Identifier: Apache-2.0
"""First values of states: as they were written, or a refusal that names the state."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

import edge_trt_runtime
from edge_trt_runtime import BundleError
from tests.fuzz import damage

GOOD = -np.ones((1, 4), np.float32)


def test_first_values_belong_to_the_caller(tmp_path: Path) -> None:
    with edge_trt_runtime.load(damage.make_bundle(tmp_path / "m.edge")) as session:
        first = session.initial_states()
        np.testing.assert_array_equal(first["h"], GOOD)
        first["h"][:] = 7
        np.testing.assert_array_equal(session.initial_states()["h"], GOOD)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "state 'h' in 'state.safetensors' of .* is missing"),
        ({"i": GOOD}, "is missing"),
        ({"h": GOOD.astype(np.float64)}, r"is float64\[1, 4\]: build the bundle again"),
        ({"h": GOOD[:, :3]}, r"is float32\[1, 3\]"),
        ({"h": GOOD[0]}, r"is float32\[4\]"),
    ],
)
def test_first_values_that_do_not_fit_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    bundle = damage.make_bundle(tmp_path / "m.edge")
    (bundle / damage.STATE).write_bytes(save(arrays))
    damage.sealed(bundle, json.loads((bundle / "manifest.json").read_bytes()) | {"digest": ""})
    with edge_trt_runtime.load(bundle) as session, pytest.raises(BundleError, match=message):
        session.initial_states()
