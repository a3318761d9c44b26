# SPDX-License-Identifier: Apache-2.0
"""What torch.export leaves out for us is nothing that is read."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.fx import proxy

from edge_trt.capture.unread import nothing_unread
from edge_trt.conversion.origin import source_of


def _halved(x: torch.Tensor) -> torch.Tensor:
    return x[:, :2] * 0.5


class _Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _halved(self.layer(x).relu())


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Sequential(_Inner(), nn.Softmax(-1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.parts(x) + 1


EXAMPLE = (torch.ones(1, 4),)


@pytest.mark.skipif(
    not hasattr(proxy.TracerBase, "_record_forward_stack_traces_only"), reason="stacks are whole"
)
def test_stacks_are_those_that_torch_keeps(monkeypatch: pytest.MonkeyPatch):
    model = _Model()
    usual = torch.export.export(model, EXAMPLE, strict=False)
    monkeypatch.setattr(proxy, "CapturedTraceback", None)  # fails if a whole stack is recorded
    with nothing_unread():
        ours = torch.export.export(model, EXAMPLE, strict=False)
    assert any(node.stack_trace for node in ours.graph.nodes)
    stacks = [[(n.name, n.stack_trace) for n in p.graph.nodes] for p in (usual, ours)]
    assert stacks[0] == stacks[1]


@pytest.mark.skipif(
    not hasattr(proxy.TracerBase, "_record_forward_stack_traces_only"), reason="stacks are whole"
)
def test_a_forward_of_another_name_has_its_lines():
    model = _Model()
    model.parts[1].forward = lambda x: torch.lgamma(x)  # type: ignore[assignment]
    with nothing_unread():
        program = torch.export.export(model, EXAMPLE, strict=False)
    line = model.parts[1].forward.__code__.co_firstlineno
    (call,) = program.graph.find_nodes(op="call_function", target=torch.ops.aten.lgamma.default)
    assert source_of(call) == f"tests/capture/test_unread.py:{line}"


def test_a_program_runs_and_knows_its_shapes():
    model = _Model()
    with nothing_unread():
        program = torch.export.export(model, EXAMPLE, strict=False)
    assert torch.equal(program.module()(*EXAMPLE), model(*EXAMPLE))
    values = [node for node in program.graph.nodes if node.op == "call_function"]
    assert [n.meta["val"].shape[-1] for n in values] == [4, 4, 2, 2, 2, 2]
    assert not any(node.meta.get("tensor_meta") for node in values)
