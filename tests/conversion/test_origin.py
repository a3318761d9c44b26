# SPDX-License-Identifier: Apache-2.0
"""Module paths and source lines read from the traces of torch.export."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest
import torch
from torch import fx, nn

from edge_trt.conversion.origin import module_of, origin_of, source_of

SITE = sysconfig.get_path("purelib")


def node_with(**meta):
    node = fx.Graph().placeholder("x")
    node.meta.update(meta)
    return node


def trace(*files):
    return "\n".join(
        f'  File "{file}", line {i + 7}, in forward\n    x' for i, file in enumerate(files)
    )


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3, 4, 1)])

    def forward(self, x):
        return self.layers[0](x) * 2


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(Block())

    def forward(self, x):
        return self.stem(x)


def test_of_an_exported_program():
    program = torch.export.export(Model(), (torch.randn(1, 3, 4, 4),))
    conv, mul = (
        program.graph.find_nodes(op="call_function", target=torch.ops.aten.conv2d.default)[0],
        (program.graph.find_nodes(op="call_function", target=torch.ops.aten.mul.Tensor)[0]),
    )
    assert module_of(conv) == "stem.0.layers.0"
    assert module_of(mul) == "stem.0"
    line = Block.forward.__code__.co_firstlineno + 1
    assert source_of(mul) == f"tests/conversion/test_origin.py:{line}"
    assert source_of(conv) == f"tests/conversion/test_origin.py:{line}"
    assert (
        str(origin_of(mul))
        == f"aten.mul.Tensor, module stem.0, tests/conversion/test_origin.py:{line}"
    )


@pytest.mark.parametrize(
    ("files", "source"),
    [
        ([], ""),
        ([str(Path.cwd() / "model.py")], "model.py:7"),
        ([f"{SITE}/timm/layers/mlp.py"], "timm/layers/mlp.py:7"),
        ([str(Path.cwd() / "a.py"), f"{SITE}/torch/nn/modules/conv.py"], "a.py:7"),
        ([f"{SITE}/torch/nn/modules/conv.py"], "torch/nn/modules/conv.py:7"),
        (["/home/someone/elsewhere/model.py"], "model.py:7"),
    ],
)
def test_source_is_the_innermost_frame_of_the_model(files, source):
    assert source_of(node_with(stack_trace=trace(*files))) == source


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("", ""),
        ("L__self__", ""),
        ("L['self']", ""),
        ("L['self'].a.0", "a.0"),
        ("L__self__.a", "a"),
        ("a", "a"),
    ],
)
def test_module_paths_are_those_of_named_modules(path, module):
    assert module_of(node_with(nn_module_stack={"key": (path, nn.Module)})) == module


def test_a_node_without_traces():
    assert str(origin_of(node_with())) == "x"
