# SPDX-License-Identifier: Apache-2.0
"""A Jetson that is made up: its files, its GPU and its TensorRT, judged by the API of 10.3."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edge_trt as compiler
from edge_trt.engines import board, finished, plans
from edge_trt.network.graph import Network, Tensor
from edge_trt_jetson.detect import detect
from tests.jetson.trees import plant, tree
from tests.support.fake_tensorrt import FakeTensorRt, plan_bytes
from tests.support.trt_contract import Plan, tensor_types

ORIN = "agx orin 64gb devkit, JetPack 6.2.1"
TARGET = "agx-orin-64gb"
SHAPE = (1, 16, 64, 64)


class Jetson:
    """What the test may ask and change of the board."""

    def __init__(self, trt: FakeTensorRt, bundle: Path) -> None:
        self.trt, self.function, self.built = trt, "relu", list[str]()
        self.networks: dict[str, Network] = {n.name: n for n in compiler.load(bundle).networks}
        self.interrupt_at: int | None = None
        self.layers: dict[str, str] = {}  # of finished engines, with their metadata
        self.on_dla: list[str] = []
        self.functions: dict[int, str] = {}  # of single engines by their number, not `function`

    def build(self, builder: Any, network: Any, config: Any) -> Any:
        if len(self.built) == self.interrupt_at:
            raise KeyboardInterrupt
        function = self.functions.get(len(self.built), self.function)
        self.built.append(network.name)
        ours = self.networks[network.name]
        ends = [{t.name: sizes(t)} for t in (*ours.inputs, *ours.outputs)]
        return Plan(plan_bytes(function, *ends, layers=self.layers, on_dla=self.on_dla))


def sizes(tensor: Tensor) -> list[int]:
    """The shape of a tensor without symbolic sizes."""
    return [size for size in tensor.shape if isinstance(size, int)]


def make_jetson(
    bundle: Path,
    folder: Path,
    machine: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    *,
    version: str = "10.3.0",
    cores: int = 0,
    board_tree: str = ORIN,
) -> Jetson:
    """Makes this machine the board, with a TensorRT of that version and so many DLA cores."""
    found = detect(plant(tree(board_tree), folder / "root" / board_tree))
    made = machine(version, cores=cores)
    for module in (board, finished):
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


def network(*, gelu: bool) -> nn.Module:
    torch.manual_seed(0)
    middle = nn.GELU() if gelu else nn.Identity()
    layers = [nn.Conv2d(16, 64, 3, padding=1), nn.ReLU(), middle, nn.Conv2d(64, 64, 3, padding=1)]
    return nn.Sequential(*layers, nn.ReLU()).eval()


def compiled(folder: Path, **options: Any) -> Path:
    samples = np.random.default_rng(0).standard_normal((4, *SHAPE[1:])).astype(np.float32)
    given: dict[str, Any] = {"target": TARGET, "precision": "int8", "calibration": samples}
    given |= {"dla": "auto", "dla_objective": "throughput", "self_test": 0} | options
    if given["precision"] != "int8":
        del given["calibration"]
    gelu = given.pop("gelu", False)
    bundle = compiler.compile(network(gelu=gelu), (torch.zeros(SHAPE),), **given)
    return bundle.save(folder / "m.edge")


def configuration(jetson: Jetson) -> tuple[list[str], dict[str, str]]:
    """Flags that were set, and the device that each layer was given last."""
    calls = jetson.trt.log
    flags = [a["flag"].name for m, a in calls if m == "set_flag"]
    devices = {a["layer"].name: a["device_type"].name for m, a in calls if m == "set_device_type"}
    return flags, devices
