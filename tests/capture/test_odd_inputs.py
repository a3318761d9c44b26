# SPDX-License-Identifier: Apache-2.0
"""Inputs, files and layers that look like others and are not."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

import edge_trt
from edge_trt.capture import capture
from edge_trt.errors import CaptureError
from edge_trt.lowering.eager import eager
from edge_trt_runtime import run_self_test

ODD = {
    "sparse": (lambda: torch.eye(4).to_sparse(), r"'x' is sparse: give its .to_dense\(\)"),
    "compressed": (lambda: torch.eye(4).to_sparse_csr(), "'x' is sparse"),
    "quantized": (
        lambda: torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8), "'x' is quantized"
    ),
    "meta": (lambda: torch.ones(4, device="meta"), "'x' is on the meta device"),
    "nested": (
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "'x' is nested: pad it"
    ),
}  # fmt: skip


class Identity(nn.Module):
    def forward(self, x):
        return x + 1


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize(("make", "message"), ODD.values(), ids=list(ODD))
def test_tensors_without_dense_values_are_refused(make, message):
    with pytest.raises(CaptureError, match=f"the example input {message}"):
        capture(Identity().eval(), (make(),))


@pytest.mark.parametrize("part", [0.0, 0.5, 0.95])
def test_a_damaged_program_is_told_in_one_sentence(part, tmp_path: Path, capsys):
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(Identity(), (torch.ones(2),)), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)] or b"no program")
    with pytest.raises(CaptureError, match=r"is not a program of torch\.export\.save"):
        capture(path)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")


@pytest.mark.parametrize("function", [torch.nansum, torch.nanmean])
def test_shapes_that_export_gets_wrong_are_refused(function):
    class Sum(nn.Module):
        def forward(self, x):
            return function(x, dim=()) + x

    with pytest.raises(
        CaptureError, match=r"wrong shape for nan\w+ .*test_odd_inputs.py:\d+: give"
    ):
        capture(Sum().eval(), (torch.ones(2, 3),))


@pytest.mark.parametrize("norm_type", [2.0, 1.0])
def test_embeddings_are_bounded_once(norm_type):
    table = nn.Embedding(10, 4, max_norm=0.7, norm_type=norm_type).eval()
    before = copy.deepcopy(table)
    ids = torch.tensor([[1, 2, 9], [2, 2, 0]])
    captured = capture(table, (ids,))
    assert torch.equal(table.weight, before.weight)
    assert table.max_norm == 0.7
    run = eager(captured.program)
    for _ in range(2):  # the model's own table changes in the first call
        (result,) = run([ids])
        torch.testing.assert_close(torch.from_numpy(result), before(ids))


def test_a_shared_table_is_still_refused():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(10, 4, max_norm=0.7)
            self.out = nn.Linear(4, 10, bias=False)
            self.out.weight = self.table.weight

        def forward(self, ids):
            return self.out(self.table(ids))

    with pytest.raises(edge_trt.CaptureError, match=r"writes to its weight 'out.weight'"):
        capture(Tied().eval(), (torch.tensor([1, 2]),))


@pytest.mark.parametrize("name", ["uint16", "uint32", "uint64", "int16", "complex64"])
def test_rare_types_pass_through_a_bundle(name, tmp_path: Path):
    class Real(nn.Module):
        def forward(self, x):
            return (x.real if x.is_complex() else x).to(torch.float32) * 2

    x = torch.arange(3).to(getattr(torch, name))
    bundle = edge_trt.compile(Real().eval(), (x,))
    bundle.save(tmp_path / "m.edge")
    assert all(result.passed for result in run_self_test(tmp_path / "m.edge"))
    assert torch.equal(bundle.module()(x), Real()(x))


def test_a_type_that_no_file_holds_is_refused():
    with pytest.raises(CaptureError, match=r"'x' is complex128, .* cast inside forward"):
        capture(Identity().eval(), (torch.ones(3, dtype=torch.complex128),))
