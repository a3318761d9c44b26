# SPDX-License-Identifier: Apache-2.0
"""Training mode, weights, wrappers, and writing to buffers or inputs."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

import edge_trt
from edge_trt.capture import CaptureWarning, Input, capture
from edge_trt.errors import CaptureError

X = torch.randn(2, 3)


def dropout_model():
    return nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.BatchNorm1d(3))


def training_flags(model):
    return [module.training for module in model.modules()]


def test_training_mode_is_warned_about_and_left_as_it_was():
    model = dropout_model()
    with pytest.warns(CaptureWarning, match="the model is in training mode"):
        captured = capture(model, X)
    assert training_flags(model) == [True] * 4
    model.eval()
    assert torch.equal(captured.program.module()(X), model(X))


def test_training_mode_of_one_module_is_named():
    model = dropout_model().eval()
    model[1].train()
    with pytest.warns(CaptureWarning, match="its module '1' is in training mode"):
        capture(model, X)
    assert training_flags(model) == [False, False, True, False]


def test_training_mode_comes_back_after_a_failure():
    class Fails(nn.Module):
        def forward(self, x):
            raise RuntimeError("no")

    model = nn.Sequential(Fails())
    with pytest.warns(CaptureWarning), pytest.raises(CaptureError):
        capture(model, X)
    assert training_flags(model) == [True, True]


def test_the_warning_points_at_the_caller():
    with pytest.warns(CaptureWarning) as caught:
        capture(nn.Linear(3, 3), X)
    assert caught[0].filename == __file__


def test_weights_are_shared_and_not_copied():
    model = nn.Linear(3, 3).eval()
    captured = capture(model, X)
    assert captured.program.state_dict["weight"].data_ptr() == model.weight.data_ptr()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_bad_weights_are_named(bad):
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).eval()
    with torch.no_grad():
        model[0].weight[1, 2] = bad
        model[1].running_var[0] = bad
    with pytest.warns(CaptureWarning, match=r"in the weights '0.weight', '1.running_var'$"):
        capture(model, X)


def test_large_weights_are_not_bad():
    model = nn.Linear(3, 3).eval()
    model.weight.data.fill_(3e38)  # the sum overflows
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        capture(model, X)


def test_many_bad_weights_are_counted():
    model = nn.Sequential(*(nn.Linear(3, 3) for _ in range(4))).eval()
    for parameter in model.parameters():
        parameter.data.fill_(float("nan"))
    with pytest.warns(CaptureWarning, match="'1.weight' and 5 more"):
        capture(model, X)


def test_weights_without_values():
    with pytest.raises(CaptureError, match="'weight' has no values"):
        capture(nn.Linear(3, 3, device="meta").eval(), X)


@pytest.mark.gpu
def test_a_model_on_the_gpu_is_copied():
    model = nn.Linear(3, 3).cuda().eval()
    captured = capture(model, X.cuda())
    assert model.weight.is_cuda
    assert captured.program.state_dict["weight"].device.type == "cpu"
    assert captured.examples[0].device.type == "cpu"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile warns about torch.jit
def test_wrappers_are_taken_off():
    model = nn.Linear(3, 3).eval()
    for wrapped in (nn.DataParallel(model), torch.compile(model)):
        captured = capture(wrapped, X)
        assert list(captured.program.state_dict) == ["weight", "bias"]
        assert captured.name == "Linear"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_script_modules_are_refused():
    with pytest.raises(CaptureError, match="TorchScript"):
        capture(torch.jit.script(nn.Linear(3, 3)), X)


@pytest.mark.parametrize(
    ("model", "says"), [(torch.relu, "is a function"), (3, "of type int"), (None, "of type None")]
)
def test_what_is_no_model(model, says):
    with pytest.raises(CaptureError, match=says):
        capture(model, X)


class Writes(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.register_buffer("count", torch.zeros(3))
        self.function = function

    def forward(self, x):
        return self.function(self, x)


def assign(self, x):
    self.count = self.count + 1
    return x + self.count


def dropped_then_relu(self, x):
    return nn.functional.relu(x.clone(), inplace=True)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda self, x: x + self.count.add_(1), "writes to its buffer 'count'"),
        (lambda self, x: x + self.count[1:].add_(1)[:1], "writes to its buffer 'count'"),
        (lambda self, x: x + self.count.view(1, 3).t().mul_(2)[0], "writes to its buffer 'count'"),
        (lambda self, x: x + self.count.split(1)[0].zero_(), "writes to its buffer 'count'"),
        (lambda self, x: x + self.count.copy_(x[0]), "writes to its buffer 'count'"),
        (lambda self, x: torch.add(x[0], 1, out=self.count), "writes to its buffer 'count'"),
        (assign, "writes to its buffer 'count'"),
        (lambda self, x: x.relu_(), "changes its input 'x' in place"),
        (lambda self, x: x.view(-1)[2:].sub_(1), "changes its input 'x' in place"),
        (lambda self, x: x.contiguous().mul_(2), "changes its input 'x' in place"),
        (
            lambda self, x: torch.broadcast_tensors(x, x)[1].mul_(2),
            "changes its input 'x' in place",
        ),
    ],
)
def test_writing_to_buffers_and_inputs_is_refused(function, says):
    with pytest.raises(CaptureError, match=says) as caught:
        capture(Writes(function).eval(), X.clone())
    if function is not assign:  # export writes the new value back at no line of the user
        assert caught.value.source.startswith(f"{__file__}:")


@pytest.mark.parametrize(
    "function",
    [
        dropped_then_relu,
        lambda self, x: (x + 1).relu_(),
        lambda self, x: (x + self.count).view(-1).mul_(2),
        lambda self, x: x.t().reshape(-1).add_(1),  # a copy: the transpose has no flat view
        lambda self, x: x.double().add_(1),
        lambda self, x: torch.zeros_like(x).copy_(x),
        lambda self, x: torch.tensor([1.0, 2.0, 3.0]).add_(x[0]),
    ],
)
def test_writing_to_what_is_its_own_is_fine(function):
    before = X.clone()
    capture(Writes(function).eval(), X)
    assert torch.equal(X, before)


def test_statistics_that_training_would_update():
    class Trains(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x):
            norm = self.norm
            return nn.functional.batch_norm(x, norm.running_mean, norm.running_var, training=True)

    with pytest.raises(CaptureError, match=r"buffer 'norm.running_mean'"):
        capture(Trains().eval(), X)
    # Without running statistics nothing is written: this is how an instance would be normalised.
    capture(nn.BatchNorm1d(3, track_running_stats=False).eval(), X)


def test_sizes_that_warn_do_not_warn_here():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        capture(dropout_model().eval(), Input(("n", 3), min=1, opt=2, max=8))


class Scaled(torch.Tensor):
    """Levels and a scale in one, as torchao's quantized weights are: it has no `sum`."""

    @staticmethod
    def __new__(cls, levels: torch.Tensor, scale: torch.Tensor):
        return torch.Tensor._make_wrapper_subclass(cls, levels.shape, dtype=scale.dtype)

    def __init__(self, levels: torch.Tensor, scale: torch.Tensor):
        self.levels, self.scale = levels, scale

    def __tensor_flatten__(self):
        return ["levels", "scale"], None

    @classmethod
    def __tensor_unflatten__(cls, inner, meta, size, stride):
        return cls(inner["levels"], inner["scale"])

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is nn.functional.linear:
            x, weight, bias = args
            return nn.functional.linear(x, weight.levels * weight.scale, bias)
        with torch._C.DisableTorchFunctionSubclass():
            return function(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        if function in (torch.ops.aten.detach.default, torch.ops.aten.clone.default):
            return cls(args[0].levels, args[0].scale)
        raise NotImplementedError(f"{function} of a quantized weight")


def test_weights_in_wrappers_are_unwrapped_in_a_copy():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU()).eval()
    levels = torch.randint(-127, 128, (3, 4), dtype=torch.int8)
    wrapped = Scaled(levels, torch.tensor(0.01))
    model[0].weight = nn.Parameter(wrapped, requires_grad=False)
    x = torch.randn(2, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bundle = edge_trt.compile(model, (x,))
    assert isinstance(model[0].weight, Scaled)
    torch.testing.assert_close(bundle.module()(x), model(x))
