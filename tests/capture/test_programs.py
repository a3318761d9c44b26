# SPDX-License-Identifier: Apache-2.0
"""Programs that were exported elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim, export

from edge_trt.capture import Input, capture
from edge_trt.errors import CaptureError, OptionError
from edge_trt.lowering import lower
from edge_trt_runtime.manifest import Range


class Model(nn.Module):
    def forward(self, x, flag=True, *, mask):
        return {"sum": x + mask["m"] if flag else x, "twice": torch.cat([x, x])}


def program(dim=None, size=4):
    dynamic = {0: dim} if dim is not None else None
    shapes = {"x": dynamic, "flag": None, "mask": {"m": dynamic}}
    x, m = torch.randn(size, 3), torch.randn(size, 3)
    return export(Model().eval(), (x, True), {"mask": {"m": m}}, dynamic_shapes=shapes)


def test_everything_is_derived_from_the_program():
    exported = program()
    captured = capture(exported)
    assert captured.program is exported
    assert captured.input_names == ["x", "mask_m"]
    assert captured.output_names == ["sum", "twice"]
    assert [s.shape for s in captured.signature.outputs] == [[4, 3], [8, 3]]
    own = exported.example_inputs[0][0]
    assert torch.equal(captured.examples[0], own)


@pytest.mark.parametrize("saved", [False, True])
def test_ranges_come_from_the_program(saved, tmp_path):
    given = program(Dim("n", min=2, max=8))
    if saved:
        torch.export.save(given, tmp_path / "p.pt2")
        given = tmp_path / "p.pt2"
    captured = capture(given)
    assert captured.signature.dims == {"batch": Range(2, 4, 8)}
    assert [s.shape for s in captured.signature.inputs] == [["batch", 3]] * 2
    assert [s.shape for s in captured.signature.outputs] == [["batch", 3], ["2*batch", 3]]
    assert [list(e.shape) for e in captured.examples] == [[4, 3]] * 2


def test_a_size_without_a_limit():
    unlimited = program(Dim("n"))
    with pytest.raises(CaptureError, match=r"no upper limit for the dimension 'batch'.*max="):
        capture(unlimited)
    captured = capture(unlimited, {"x": Input(("n", 3), min=1, opt=2, max=16)})
    assert captured.signature.dims == {"n": Range(1, 2, 16)}
    assert [list(e.shape) for e in captured.examples] == [[2, 3]] * 2


@pytest.mark.parametrize(
    ("inputs", "dims"),
    [
        ({"x": Input(("n", 3), min=2, opt=3, max=5)}, {"n": Range(2, 3, 5)}),
        ({"mask_m": Input(("n", 3), min=2, opt=3, max=5)}, {"n": Range(2, 3, 5)}),
        ([Input.parse("x=2..3..5x3")], {"batch": Range(2, 3, 5)}),
        ({"x": Input((6, 3))}, {"batch": Range(6, 6, 6)}),
        ({"x": torch.randn(5, 3)}, {"batch": Range(2, 5, 8)}),
        ({"x": torch.randn(5, 3).numpy()}, {"batch": Range(2, 5, 8)}),
        ((torch.randn(5, 3), True, {"m": torch.randn(5, 3)}), {"batch": Range(2, 5, 8)}),
    ],
)
def test_inputs_narrow_the_ranges(inputs, dims):
    captured = capture(program(Dim("n", min=2, max=8)), inputs)
    assert captured.signature.dims == dims
    (found,) = dims.values()
    assert [list(e.shape) for e in captured.examples] == [[found.opt, 3]] * 2


@pytest.mark.parametrize(
    ("inputs", "error", "says"),
    [
        ({"y": Input((4, 3))}, CaptureError, "no input 'y'"),
        ({"x": Input((4, 3), dtype="float16")}, OptionError, "float32 of 2 dimensions"),
        ({"x": Input((4, 3, 1))}, OptionError, "float32 of 2 dimensions"),
        ({"x": Input((4, 5))}, OptionError, "dimension 1 of 'x' is 3 in the program, and 5"),
        ({"x": Input(("n", 3), min=1, max=8)}, OptionError, r"the program takes 2..8"),
        ({"x": Input(("n", 3), min=2, max=9)}, OptionError, r"the program takes 2..8"),
        ({"x": Input(("n", 3), min=2, max=4), "mask_m": Input(("n", 3), min=2, max=5)},
         OptionError, "is one size in the program"),
        ({"x": 3}, CaptureError, "'x' is a tensor, and 3 was given"),
        ((torch.randn(4, 3),), CaptureError, "takes 3 inputs"),
    ],
)  # fmt: skip
def test_inputs_that_contradict_the_program(inputs, error, says):
    with pytest.raises(error, match=says):
        capture(program(Dim("n", min=2, max=8)), inputs)


def test_a_size_that_is_an_expression():
    class Halves(nn.Module):
        def forward(self, x):
            return x[::2]

    given = export(
        Halves().eval(), (torch.randn(4, 3),), dynamic_shapes=({0: 2 * Dim("half", min=2, max=5)},)
    )
    captured = capture(given)
    assert captured.signature.dims == {"batch": Range(4, 4, 10, 2)}
    assert captured.signature.inputs[0].shape == ["batch", 3]
    assert captured.signature.outputs[0].shape == ["(batch//2)", 3]
    assert list(captured.examples[0].shape) == [4, 3]
    narrower = capture(given, Input(("n", 3), min=5, opt=7, max=9))
    assert narrower.signature.dims == {"n": Range(6, 8, 8, 2)}
    with pytest.raises(OptionError, match=r"asked to be 4..12.*takes 4..10 in multiples of 2"):
        capture(given, Input(("n", 3), min=4, opt=7, max=12))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch about itself
def test_a_decomposed_program_is_taken_too():
    decomposed = export(nn.Linear(3, 2).eval(), (torch.randn(4, 3),)).run_decompositions()
    assert capture(decomposed).output_names == ["output"]


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch about itself
def test_a_program_that_writes_to_a_buffer():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            self.count += 1
            return x + self.count

    given = export(Counts().eval(), (torch.randn(2),))
    for each in (given, given.run_decompositions()):
        with pytest.raises(CaptureError, match="buffer 'count'"):
            capture(each)


WRITES = {
    "part": lambda y: y[0].add_(1),
    "grid": lambda y: torch.meshgrid(y[0, :1], y[0, :1], indexing="ij")[0].add_(1),
    "reshaped": lambda y: y.reshape(-1).relu_(),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch about itself
@pytest.mark.parametrize("name", WRITES)
def test_what_a_loaded_program_writes_to_a_view_is_seen_in_the_whole(name, tmp_path):
    class Writes(nn.Module):
        def forward(self, x):
            y = x * 2
            WRITES[name](y)
            return y

    class WritesToInput(nn.Module):
        def forward(self, x):
            return WRITES[name](x) * 2

    x = torch.randn(2, 3)
    for model in (Writes(), WritesToInput()):
        torch.export.save(export(model.eval(), (x,)), tmp_path / f"{type(model).__name__}.pt2")
    captured = capture(tmp_path / "Writes.pt2", (x,))
    assert torch.equal(lower(captured.program)(x)[0], Writes()(x))
    with pytest.raises(CaptureError, match="changes its input 'x' in place"):
        capture(tmp_path / "WritesToInput.pt2", (x,))


def test_a_program_that_takes_a_size():
    class Repeats(nn.Module):
        def forward(self, x, count):
            return x.expand(count, 3)

    given = export(
        Repeats().eval(),
        (torch.randn(1, 3), 4),
        dynamic_shapes={"x": None, "count": Dim.DYNAMIC},
    )
    with pytest.raises(CaptureError, match="neither a tensor nor a constant"):
        capture(given)
