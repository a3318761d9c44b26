# SPDX-License-Identifier: Apache-2.0
"""A Jetson that is made up: its files, its GPU and its TensorRT, judged by the API of 10.3."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edge_trt as compiler
from edge_trt.engines import board, plans
from edge_trt.network.graph import Network
from edge_trt_jetson.detect import detect
from tests.jetson.trees import TREES, plant
from tests.support.fake_tensorrt import FakeTensorRt, plan_bytes
from tests.support.trt_contract import Plan, tensor_types

ORIN = "agx orin 64gb devkit, JetPack 6.2.1"
TARGET = "agx-orin-64gb"


class Jetson:
    """What the test may ask and change of the board."""

    def __init__(self, trt: FakeTensorRt, bundle: Path) -> None:
        self.trt, self.function, self.built = trt, "relu", list[str]()
        self.networks: dict[str, Network] = {n.name: n for n in compiler.load(bundle).networks}
        self.interrupt_at: int | None = None
        self.layers: dict[str, str] = {}  # of finished engines, with their metadata
        self.on_dla: list[str] = []

    def build(self, builder: Any, network: Any, config: Any) -> Any:
        if len(self.built) == self.interrupt_at:
            raise KeyboardInterrupt
        self.built.append(network.name)
        ours = self.networks[network.name]
        ends = [{t.name: (3, 4)} for t in (*ours.inputs, *ours.outputs)]
        return Plan(plan_bytes(self.function, *ends, layers=self.layers, on_dla=self.on_dla))


def make_jetson(
    bundle: Path,
    folder: Path,
    machine: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    *,
    version: str = "10.3.0",
    cores: int = 0,
) -> Jetson:
    """Makes this machine the board, with a TensorRT of that version and so many DLA cores."""
    tree = next(tree for tree in TREES if tree.name == ORIN)
    found = detect(plant(tree, folder / "root"))
    made = machine(version, cores=cores)
    for module in (board, plans):
        monkeypatch.setattr(module, "open_device", lambda: made.device)
    monkeypatch.setattr("edge_trt.cli.tested.open_device", lambda: made.device)
    monkeypatch.setattr(board, "this_board", lambda: found)
    monkeypatch.setattr("edge_trt.placement.native.this_board", lambda: found)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    jetson = Jetson(made.trt, bundle)
    monkeypatch.setattr(FakeTensorRt, "_build_serialized_network", jetson.build, raising=False)
    real = plans.build_plan

    def build_plan(network: Network, **more: Any) -> Any:
        made.trt.types = tensor_types(network)
        return real(network, **more)

    monkeypatch.setattr(plans, "build_plan", build_plan)
    return jetson
