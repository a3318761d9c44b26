# SPDX-License-Identifier: Apache-2.0
"""Looking at the tensors of a network: all of them, right, and in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from edge_trt.engines.onnx import CpuRunner
from edge_trt.engines.onnx.observer import Group, Observer
from edge_trt.network.graph import Network
from edge_trt.network.layers import Unary
from edge_trt.network.types import DType, TensorType

ROW = 1 << 17  # values: half a megabyte
NAMES = ["x", *(f"t{i}" for i in range(8))]


def _network() -> Network:
    """Eight layers, one after the other; the last one's result is the output as well."""
    net = Network("net")
    y = net.input("x", TensorType(DType.FLOAT32, ("rows", ROW)))
    for i in range(8):
        y = net.add(Unary("NEG" if i % 2 else "ABS"), y, name=f"t{i}")
    net.mark_output(y, "t7")
    return net


@pytest.mark.parametrize(
    ("rows", "groups", "sets"),
    [
        (1, 1, 2),  # some megabytes: in one piece
        (4, 2, 1),  # in two, of which one is looked at while the other runs
        (16, 3, 0),  # more than a piece may have: fresh arrays
    ],
)
def test_shown_tensors_are_in_memory_once(rows: int, groups: int, sets: int) -> None:
    net, rng = _network(), np.random.default_rng(0)
    limit = 24 << 20
    observer = Observer(net, NAMES, {"x": (rows, ROW)}, limit=limit, threads=1)
    whole = CpuRunner(net, outputs=NAMES, threads=1)
    places: list[int] = []
    before, wanted = Group(), Group()
    for _ in range(4):
        feed = {"x": rng.standard_normal((rows, ROW), np.float32)}
        expected, seen, count = whole.run(feed), set[str](), 0
        for group in observer.run(feed):
            for name, array in before.items():  # of the group before: not yet overwritten
                np.testing.assert_array_equal(array, wanted[name])
            for name, array in group.items():
                np.testing.assert_array_equal(array, expected[name])
            before, wanted = group, expected
            seen |= set(group)
            count += 1
        assert (seen, count) == (set(NAMES), groups)
        np.testing.assert_array_equal(observer.outputs["t7"], expected["t7"])
        places.append(before["t7"].ctypes.data)
    if sets:
        assert len(set(places)) == sets
