# SPDX-License-Identifier: Apache-2.0
"""What a user reads when torch.export can't take a model: the line, the reason, the remedy."""

from __future__ import annotations

import inspect
import re

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

import edge_trt
from edge_trt.capture import Input, capture
from edge_trt.errors import CaptureError

X = torch.randn(4, 3)


class Branch(nn.Module):
    def forward(self, x):
        if x.sum() > 0:  # culprit
            return x + 1
        return x


class Item(nn.Module):
    def forward(self, x):
        count = int(x.sum().item())  # culprit
        return x[:count]


class Loop(nn.Module):
    def forward(self, x):
        while x.abs().max() > 1:  # culprit
            x = x / 2
        return x


class Numpy(nn.Module):
    def forward(self, x):
        return torch.from_numpy(x.numpy() * 2)  # culprit


class Listed(nn.Module):
    def forward(self, x):
        return torch.tensor([value * 2 for value in x.flatten().tolist() if value > 0])  # culprit


class Counted(nn.Module):
    def forward(self, x):
        return x.new_zeros(len(x[x > 0]))  # culprit


class Reference(nn.Module):
    """As convert_to_reference_fx writes it."""

    def forward(self, x):
        scales, zeros = torch.ones(3), torch.zeros(3, dtype=torch.int64)
        x = torch.quantize_per_channel(x, scales, zeros, 1, torch.qint8)  # culprit
        return x.dequantize()


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.recurrence = nn.LSTM(3, 2)

    def forward(self, x):
        packed = nn.utils.rnn.pack_sequence([x, x[:2]])
        return self.recurrence(packed)[1][0]  # culprit


class Shapes(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(5, 2)

    def forward(self, x):
        return self.proj(x)  # culprit


class Raises(nn.Module):
    def forward(self, x):
        if x.shape[-1] != 5:
            raise ValueError("five channels are needed")  # culprit
        return x


class Grid(nn.Module):
    """In half precision, which is not what is wrong here."""

    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(3, 3).half()

    def forward(self, x):
        rows, columns = torch.meshgrid(torch.arange(4), torch.arange(3.0), indexing="ij")  # culprit
        return self.proj(x) + rows + columns


class Caches(nn.Module):
    """Gives a class that torch.export does not know, as models of transformers do."""

    class DynamicCache:
        pass

    def forward(self, x):
        return x, self.DynamicCache()


class PlaceInBuffer(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("k", torch.zeros(5, 4))
        self.register_buffer("n", torch.tensor(0))

    def forward(self, x):
        self.k[:, self.n] = x[0]  # culprit
        return self.k.sum()


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.ReLU(), Branch())

    def forward(self, x):
        return self.inner(x)


@pytest.mark.filterwarnings("ignore:The tensor attributes self")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor, torch.quantize_per_channel")
@pytest.mark.parametrize(
    ("model", "reason", "remedy"),
    [
        (Branch(), "depends on the values of a tensor", "torch.where"),
        (Item(), "depends on the values of a tensor", "torch.cond"),
        (Loop(), "depends on the values of a tensor", "torch.where"),
        (Listed(), "depends on the values of a tensor", r"\.tolist\(\)"),
        (Counted(), "depends on the values of a tensor", r"x\.shape\[0\]"),
        (Numpy(), "numpy", "the same with torch functions"),
        (Reference(), "quantized nyi in meta tensors", "_convert_to_reference_decomposed_fx"),
        (Packed(), "must be tuple of ints", "the padded batch"),
        (Grid(), "expects all tensors to have the same dtype", "the values that meet there"),
        (Shapes(), r"\[4, 3\]", "check the sizes of the inputs"),
        (Raises(), "five channels are needed", "torch.export traces forward once"),
        (PlaceInBuffer(), "depends on the values of a tensor", r"self\.k\.index_copy_"),
        (Deep(), "depends on the values of a tensor", "torch.where"),
    ],
)
def test_the_error_has_line_reason_and_remedy(model, reason, remedy, capfd):
    with pytest.raises(CaptureError, match=reason) as caught:
        capture(model.eval(), X)
    assert caught.value.message.startswith("torch.export can't take the model: ")
    assert "x float32[4, 3]" in caught.value.message
    assert re.search(remedy, caught.value.hint)
    culprit = type(model) if not isinstance(model, Deep) else Branch
    lines, start = inspect.getsourcelines(culprit)
    number = start + next(i for i, line in enumerate(lines) if "# culprit" in line)
    assert caught.value.source == f"{__file__}:{number}"
    assert f"{__file__}:{number} in " in str(caught.value)
    assert caught.value.__cause__ is not None
    assert capfd.readouterr().err == ""  # torch's own log and half-traced graph stay away


class Gradient(nn.Module):
    """The forces of an energy, as models of molecules give them."""

    def __init__(self, derive):
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
        self.derive = derive

    def forward(self, x):
        return self.derive(lambda v: self.energy(v).sum(), x)


def recorded(energy, x):
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(energy(x), x)[0]


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's forward mode
@pytest.mark.parametrize(
    "derive",
    [
        lambda energy, x: torch.func.grad(energy)(x),
        lambda energy, x: torch.func.vmap(torch.func.grad(energy))(x),
        lambda energy, x: torch.func.jvp(energy, (x,), (x,))[1],
        lambda energy, x: torch.func.jacrev(energy)(x),
        lambda energy, x: torch.func.hessian(energy)(x[0]),
        recorded,
    ],
    ids=["grad", "vmap of grad", "jvp", "jacrev", "hessian", "autograd"],
)
def test_a_gradient_in_forward_is_refused_with_a_way_out_that_works(derive, capfd):
    model = Gradient(derive).eval()
    with pytest.raises(CaptureError, match=r"it loses values .* by a gradient") as caught:
        capture(model, X)
    assert "make_fx(model)(*inputs).eval()" in caught.value.hint
    assert capfd.readouterr().err == ""
    traced = make_fx(model)(X).eval()
    run = edge_trt.compile(traced, X, fallback="forbid").module()
    torch.testing.assert_close(run(X), model(X).detach())


def test_debugging_shows_what_torch_says(monkeypatch, capfd):
    monkeypatch.setenv("EDGE_TRT_DEBUG", "1")
    with pytest.raises(CaptureError):
        capture(Branch().eval(), X)
    assert "def forward(self" in capfd.readouterr().err


def test_what_the_model_prints_still_shows(capfd):
    class Prints(nn.Module):
        def forward(self, x):
            import sys

            print("from the model", file=sys.stderr)
            return x + 1

    capture(Prints().eval(), X)
    assert "from the model" in capfd.readouterr().err


class Box:
    def __init__(self, tensor):
        self.tensor = tensor


def test_an_unknown_class_among_the_inputs():
    class Unboxes(nn.Module):
        def forward(self, box):
            return box.tensor

    with pytest.raises(CaptureError, match=r"Box.*register_dataclass"):
        capture(Unboxes().eval(), (Box(X),))


@pytest.mark.parametrize(
    ("dtype", "remedy"),
    [
        (torch.float16, r"as in Input\(..., dtype='float16'\)"),
        (torch.bfloat16, r"as in self.model\(x.bfloat16\(\)\).float\(\)"),
    ],
)
@pytest.mark.parametrize("layer", [nn.Linear(3, 3), nn.Conv1d(4, 2, 1), nn.GRU(3, 2)], ids=type)
@pytest.mark.filterwarnings("ignore:The tensor attributes self")
def test_weights_and_inputs_of_different_types(layer, dtype, remedy):
    model = nn.Sequential(layer.to(dtype)).eval()
    with pytest.raises(CaptureError, match=r"inputs .*of the weights' type") as caught:
        capture(model, Input((4, 3)))
    assert re.search(remedy, caught.value.hint)
    assert "site-packages" not in str(caught.value)


class CastTooFar(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(3, 3)

    def forward(self, x):
        return self.proj(x.half())  # culprit


class Placed(nn.Module):
    def forward(self, x):
        y = torch.zeros(4, 3, dtype=torch.float16)
        y[torch.tensor([0, 2])] = x[:2]  # culprit
        return y


class Product(nn.Module):
    def forward(self, x):
        return x @ torch.eye(3, dtype=torch.float64)  # culprit


@pytest.mark.parametrize("model", [CastTooFar(), Placed(), Product()], ids=type)
def test_types_that_the_model_mixes_itself(model):
    with pytest.raises(CaptureError, match=" mixes float") as caught:
        capture(model.eval(), Input((4, 3)))
    assert "the values that meet there" in caught.value.hint
    lines, start = inspect.getsourcelines(type(model))
    number = start + next(i for i, line in enumerate(lines) if "# culprit" in line)
    assert caught.value.source == f"{__file__}:{number}"


@pytest.mark.parametrize("layer", [nn.Conv1d(4, 2, 1), nn.PReLU(), nn.Linear(3, 3)], ids=type)
def test_inputs_in_double_precision(layer):
    with pytest.raises(CaptureError, match=r"inputs of the weights' type.*dtype='float32'"):
        capture(layer.eval(), torch.ones(4, 3).double())


def test_a_cache_among_the_outputs():
    with pytest.raises(CaptureError, match=r"DynamicCache'> in output.*use_cache = False"):
        capture(Caches().eval(), X)


def test_indices_that_are_no_whole_numbers():
    with pytest.raises(CaptureError, match="dtype='int64'"):
        capture(nn.Embedding(5, 2).eval(), Input((4, 3)))


def test_half_precision_with_half_inputs():
    captured = capture(nn.Linear(3, 3).half().eval(), Input((4, 3), dtype="float16"))
    assert [s.dtype for s in captured.signature.outputs] == ["float16"]


def test_a_cast_inside_forward_is_fine():
    class Casts(nn.Module):
        def __init__(self):
            super().__init__()
            self.proj = nn.Linear(3, 3).half()

        def forward(self, x):
            return self.proj(x.half()).float()

    assert capture(Casts().eval(), X).signature.outputs[0].dtype == "float32"
