# SPDX-License-Identifier: Apache-2.0
"""float16 networks in the real builder: a strongly typed network that it takes and compiles."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge_trt.engines.tensorrt import BuildSettings, build_plan, load_flavour
from edge_trt.network.graph import Network
from edge_trt.precision import to_fp16
from edge_trt_runtime.manifest import Range
from tests.precision.networks import attention_net, conv_net

pytestmark = pytest.mark.rtx

SETTINGS = BuildSettings(
    optimization_level=0, ranges={"batch": Range(1, 2, 4)}, compute_capabilities=("8.6",)
)


@pytest.mark.parametrize("make", [conv_net, attention_net])
@pytest.mark.parametrize("keep", [(), ("block", "attn"), ("convolution", "matrixmultiply")])
def test_it_builds(make: Callable[[], Network], keep: tuple[str, ...]) -> None:
    network, _ = to_fp16(make(), keep_fp32=keep)
    result = build_plan(network, flavour=load_flavour("tensorrt_rtx"), settings=SETTINGS)
    assert len(result.plan) > 1000
