# SPDX-License-Identifier: Apache-2.0
"""Converters of users: registration, installed packages, and the check that users call."""

from __future__ import annotations

import importlib.metadata
import operator
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

import edge_trt
import edge_trt.testing
from edge_trt import Input, OptionError
from edge_trt.conversion import plugins, registry

aten = torch.ops.aten
LIBRARY = torch.library.Library("edge_trt_tests", "FRAGMENT")
LIBRARY.define("soft_clip(Tensor x, float limit=1.0) -> Tensor")
LIBRARY.impl(
    "soft_clip", lambda x, limit=1.0: limit * torch.tanh(x / limit), "CompositeExplicitAutograd"
)
torch.library.register_fake("edge_trt_tests::soft_clip", lambda x, limit=1.0: torch.empty_like(x))
soft_clip = torch.ops.edge_trt_tests.soft_clip


@pytest.fixture(autouse=True)
def registry_as_before(monkeypatch: pytest.MonkeyPatch):
    registry.lookup(aten.relu.default)
    monkeypatch.setattr(registry, "CONVERTERS", dict(registry.CONVERTERS))


def convert_soft_clip(ctx, x, limit):
    scaled = ctx.elementwise("DIV", x, ctx.constant(limit, x.dtype))
    return ctx.elementwise("PROD", ctx.activation("TANH", scaled), ctx.constant(limit, x.dtype))


def test_an_operator_of_layers():
    with pytest.raises(edge_trt.UnsupportedError, match=r"soft_clip\.default has no converter"):
        edge_trt.testing.check(lambda x: soft_clip(x, 2.0), torch.randn(2, 3))
    edge_trt.converter(soft_clip.default)(convert_soft_clip)
    bundle = edge_trt.testing.check(lambda x: soft_clip(x.exp(), 2.0), torch.randn(2, 3))
    assert [
        str(node.layer.type) for node in bundle.networks[0].nodes if hasattr(node.layer, "type")
    ]
    edge_trt.testing.check(soft_clip, Input(("n", 3), min=1, opt=4, max=9), precision="fp32")
    edge_trt.converter(soft_clip.default)(convert_soft_clip)  # a cell that is run again


def test_a_condition_makes_a_call_fall_back():
    edge_trt.converter(
        soft_clip.default, when=lambda limit: None if limit > 0 else "limit must be positive"
    )(convert_soft_clip)
    edge_trt.testing.check(lambda x: soft_clip(x, 2.0), torch.randn(2, 3))
    with pytest.raises(edge_trt.UnsupportedError, match="limit must be positive"):
        edge_trt.testing.check(lambda x: soft_clip(x, -2.0), torch.randn(2, 3))


def test_the_check_sees_a_wrong_number_and_a_wrong_shape():
    edge_trt.converter(soft_clip.default)(lambda ctx, x, limit: ctx.activation("TANH", x))
    with pytest.raises(AssertionError, match=r"output of the example differs in .* first at \(0"):
        edge_trt.testing.check(lambda x: soft_clip(x, 3.0), torch.full((2, 3), 4.0), build=False)
    edge_trt.converter(soft_clip.default, override=True)(lambda ctx, x: ctx.permute(x, [1, 0]))
    with pytest.raises(edge_trt.ConversionError, match=r"soft_clip.*\[2, 3\] and \[3, 2\] differ"):
        edge_trt.testing.check(lambda x: soft_clip(x, 3.0), torch.randn(2, 3))


def test_a_built_in_converter_is_replaced_only_when_asked():
    def relu(ctx, self):
        return ctx.elementwise("MAX", self, ctx.constant(0.0, self.dtype))

    with pytest.raises(OptionError, match=r"aten.relu.default has a converter already.*override"):
        edge_trt.converter(aten.relu.default)(relu)
    edge_trt.converter(aten.relu.default, override=True)(relu)
    bundle = edge_trt.testing.check(torch.relu, torch.randn(2, 3))
    assert [type(node.layer).__name__ for node in bundle.networks[0].nodes] == ["ElementWise"]


def test_an_evaluator_is_replaced_too():
    seen = []

    @edge_trt.evaluator(operator.mul, override=True)
    def product(ctx, a, b):
        seen.append((a, b))
        return ctx.calculate("PROD", a, b)

    edge_trt.testing.check(
        lambda x: x.reshape(x.shape[0] * 3).relu(), Input(("n", 3), min=1, opt=4, max=9)
    )
    with pytest.raises(OptionError, match="has a converter already"):
        edge_trt.evaluator(operator.add)(lambda ctx, a, b: a)
    assert isinstance(seen, list)


@pytest.mark.parametrize(
    ("target", "function", "says"),
    [
        (soft_clip, convert_soft_clip, "several overloads: name them: .*soft_clip.default"),
        ("mylib::scale", convert_soft_clip, "no operator"),
        (soft_clip.default, lambda ctx, y: y, r"\['y'\] not in the schema"),
    ],
)
def test_what_is_no_converter(target, function, says):
    with pytest.raises(OptionError, match=says):
        edge_trt.converter(target)(function)


class Installed:
    """An entry point of a package that is not there."""

    dist = types.SimpleNamespace(name="mylib", version="1.2")

    def __init__(self, name, load) -> None:
        self.name, self.value, self.load = name, "mylib.edge", load


def test_installed_packages_are_loaded_and_a_broken_one_is_left_out(monkeypatch):
    def broken():
        edge_trt.converter(aten.special_i0.default)(lambda ctx, self: self)
        raise ImportError("no module named cupy")

    def good():
        return lambda: edge_trt.converter(soft_clip.default)(convert_soft_clip)

    module = types.ModuleType("mylib.edge")
    found = [Installed("broken", broken), Installed("good", good), Installed("m", lambda: module)]
    asked = []
    monkeypatch.setattr(plugins, "entry_points", lambda group: asked.append(group) or found)
    with pytest.warns(
        edge_trt.EdgeTrtWarning,
        match=r"'broken' of the package mylib 1.2 are left out: ImportError: no module named cupy",
    ):
        plugins.load_installed()
    assert asked == ["edge_trt.converters"]
    assert registry.CONVERTERS[soft_clip.default].function is convert_soft_clip
    assert aten.special_i0.default not in registry.CONVERTERS


def test_an_entry_point_of_a_real_distribution(tmp_path: Path, monkeypatch):
    info = tmp_path / "mylib-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mylib\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edge_trt.converters]\nm = mylib_edge:missing\n")
    (tmp_path / "mylib_edge.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.metadata.version("mylib") == "1.0"
    with pytest.warns(edge_trt.EdgeTrtWarning, match=r"'m' of the package mylib 1\.0 are left out"):
        plugins.load_installed()


OPERATOR = """
import torch

LIBRARY = torch.library.Library("edge_trt_plugin", "DEF")
LIBRARY.define("twice(Tensor x) -> Tensor")
LIBRARY.impl("twice", lambda x: x * 2, "CompositeExplicitAutograd")
torch.library.register_fake("edge_trt_plugin::twice", lambda x: torch.empty_like(x))
"""
CONVERTER = """
import edge_trt
import torch


@edge_trt.converter(torch.ops.edge_trt_plugin.twice.default)
def twice(ctx, x):
    return ctx.elementwise("SUM", x, x)
"""
MODEL = """
import torch
import ops


class Net(torch.nn.Module):
    def forward(self, x):
        return torch.ops.edge_trt_plugin.twice(x)


def create():
    return Net().eval(), (torch.ones(2, 3),)
"""


def test_a_models_file_and_a_plugin_register(tmp_path: Path):
    (tmp_path / "ops.py").write_text(OPERATOR + CONVERTER)
    (tmp_path / "model.py").write_text(MODEL)
    made = edge_trt.compile(f"{tmp_path / 'model.py'}:create", fallback="forbid")
    x = torch.randn(2, 3)
    torch.testing.assert_close(made.module()(x), x * 2)
    program = torch.export.export(
        sys.modules["edge_trt_model_model"].Net().eval(), (torch.ones(2, 3),)
    )
    del registry.CONVERTERS[torch.ops.edge_trt_plugin.twice.default]
    again = tmp_path / "again.py"
    again.write_text(CONVERTER)
    bundle = edge_trt.compile(program, plugins=str(again), fallback="forbid")
    assert bundle.options.plugins == (str(again),)
    assert np.allclose(bundle.module()(x).numpy(), x.numpy() * 2)
    with pytest.raises(edge_trt.CaptureError, match="there is no module 'nowhere_at_all'"):
        edge_trt.compile(program, plugins="nowhere_at_all")
