# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edge_trt.lowering import FUNCTIONALISATION, lower
from edge_trt.lowering.edit import writes
from edge_trt.lowering.functionalise_writes import functionalise_writes, twin
from edge_trt.lowering.inline_contexts import inline_contexts
from edge_trt.lowering.normalise_variants import normalise_variants
from edge_trt.lowering.remove_dead_code import remove_dead_code
from tests.lowering.graphs import agree, check, export, lines, ops, text, unlifted

aten = torch.ops.aten


def functional(function, *args, dynamic=None, **buffers):
    """Run the writes pass alone, without a retrace to fall back on."""
    gm = unlifted(function, *args, dynamic=dynamic, **buffers)
    normalise_variants(gm)
    assert functionalise_writes(gm)
    remove_dead_code(gm)
    check(gm)
    agree(gm, function, *args, **buffers)
    return gm


def test_a_write_to_a_private_tensor_changes_one_word():
    gm = unlifted(lambda x: (x + 1).relu_().mul_(2), torch.randn(3))
    assert text(gm) == lines("""
        x = input
        add = add.Tensor(x, 1)
        relu_ = relu_(add)
        mul_ = mul_.Tensor(relu_, 2)
        return (mul_)
    """)
    assert functionalise_writes(gm)
    assert text(gm) == lines("""
        x = input
        add = add.Tensor(x, 1)
        relu = relu(add)
        mul = mul.Tensor(relu, 2)
        return (mul)
    """)
    assert not functionalise_writes(gm)


def test_a_write_through_a_slice_is_carried_to_the_tensor():
    def function(x):
        y = x + 0.5
        y[:, 1:] = x[:, :-1]
        return y * 2

    gm = functional(function, torch.randn(2, 3))
    assert text(gm) == lines("""
        x = input
        add = add.Tensor(x, 0.5)
        slice_1 = slice.Tensor(x, 1, 0, 2, 1)
        slice_2 = slice.Tensor(add, 1, 1, 3, 1)
        copy = copy(slice_2, slice_1)
        slice_scatter = slice_scatter(add, copy, 1, 1, 3, 1)
        mul = mul.Tensor(slice_scatter, 2)
        return (mul)
    """)


@pytest.mark.parametrize("name", ["less_", "not_equal_", "eq_", "logical_not_", "cumprod_"])
@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.float32])
def test_what_is_written_keeps_its_type(name, dtype):
    argument = {"cumprod_": (0,), "logical_not_": ()}.get(name, (1,))
    functional(lambda x: getattr(x + 1, name)(*argument), torch.arange(4).to(dtype))


def test_a_view_taken_before_a_write_is_taken_again():
    def function(x):
        y = x + 1
        row = y[0]
        before = row * 1.5
        y.add_(10)
        return before, row + 1

    gm = functional(function, torch.randn(2, 3))
    assert text(gm) == lines("""
        x = input
        add = add.Tensor(x, 1)
        select = select.int(add, 0, 0)
        mul = mul.Tensor(select, 1.5)
        add_2 = add.Tensor(add, 10)
        select_1 = select.int(add_2, 0, 0)
        add_1 = add.Tensor(select_1, 1)
        return (mul, add_1)
    """)


def test_dropout_in_eval_mode_is_an_alias_of_its_input():
    def function(x):
        y = x + 1
        F.dropout(y, 0.5, training=False).mul_(3)
        return y

    functional(function, torch.randn(4))


def test_sharing_is_not_seen_where_a_reshape_copies():
    def function(x):
        y = (x + 1).t()
        y.reshape(-1).mul_(3)  # a transposed tensor can't be flattened in place: this is a copy
        z = x + 2
        z.reshape(-1).mul_(3)
        return y, z

    functional(function, torch.randn(2, 3))


@pytest.mark.parametrize(
    "function",
    [
        lambda y: y.view(3, 2).mul_(2),
        lambda y: y.t().mul_(2),
        lambda y: y.permute(1, 0).add_(1),
        lambda y: y.unsqueeze(0).mul_(2),
        lambda y: y[:, None].squeeze(1).mul_(2),
        lambda y: y.select(1, -1).fill_(7),
        lambda y: y[0, 1:].zero_(),
        lambda y: y.diagonal().add_(5),
        lambda y: y.chunk(3, 1)[1].mul_(2),
        lambda y: y.unbind(0)[1].neg_(),
        lambda y: y[:, ::2].mul_(2),
        lambda y: y.flatten()[1:5].view(2, 2).t().copy_(torch.ones(2, 2)),
        lambda y: y.t_().mul_(2),
        lambda y: y.unsqueeze_(0).mul_(2),
        lambda y: y.detach()[0].clamp_(0, 1),
        lambda y: y.masked_fill_(y > 0, -1.0),
        lambda y: y.index_put_((torch.tensor([0]),), torch.tensor(9.0)),
        lambda y: y[0].copy_(y[1]),
        lambda y: y.narrow(1, 1, 2).mul_(y[:, :1]),
        lambda y: y.gt_(0),
        lambda y: y.logical_not_(),
        lambda y: y.add_(torch.ones(3, dtype=torch.float64)),
        lambda y: y.fill_(torch.tensor(3)),
        lambda y: y.movedim(0, 1).sub_(1),
    ],
)
def test_every_reader_of_the_memory_sees_the_write(function):
    def program(x):
        y = x * 1.5
        column = y[:, 0]
        flat = y.view(-1)
        result = function(y)
        return result, y, column + 1, flat + 1, y[1:] * 2

    functional(program, torch.randn(2, 3))


def test_writes_with_a_symbolic_batch():
    def program(x):
        y = x * 2
        y.view(-1, 2, 3)[:, 1].mul_(3)
        y[1:].add_(1)
        return y

    batch = torch.export.Dim("batch", min=3, max=8)
    gm = functional(program, torch.randn(4, 6), dynamic=({0: batch},))
    agree(gm, program, torch.randn(7, 6))


def test_an_input_may_be_scratch_space():
    functional(lambda x: x.relu_() + 1, torch.randn(3))


def test_half_precision_stays_half_when_float_is_added():
    gm = functional(lambda x, y: (x * 2).add_(y), torch.randn(3).half(), torch.randn(3))
    assert ops(gm) == ["mul", "add", "_to_copy"]


def test_twins():
    assert twin(aten.hardtanh_.default) is aten.hardtanh.default
    assert twin(aten.index_put_.default) is aten.index_put.default
    assert twin(aten.resize_.default) is None
    assert twin(aten.relu.default) is None
    assert twin(aten.add.out) is None


def test_what_can_not_be_carried_back_is_left_whole():
    def program(x):
        y = x * 2
        y.as_strided((2,), (2,)).mul_(3)
        return y

    gm = unlifted(program, torch.randn(4))
    before = text(gm)
    assert not functionalise_writes(gm)
    assert text(gm) == before


def test_the_retrace_takes_over_then():
    def program(x):
        y = x * 2
        y.relu_()
        y.as_strided((2,), (2,)).mul_(3)
        return y

    x, passes = torch.randn(4), []
    gm = lower(export(program, x), on_pass=passes.append)
    assert passes.count("retrace") == 1
    assert not any(writes(node.target) for node in gm.graph.nodes)
    agree(gm, program, x)


def grids(*, indexing, order, written):
    """Writes to one grid; where all but one input have one element, that is allowed."""

    def program(x):
        axes = [x.sum().reshape(1), x.reshape(-1)[:1] * 2, x[0] * 1.5]
        found = torch.meshgrid(*(axes[place] for place in order), indexing=indexing)
        found[written].add_(1)
        return *(grid * 2 for grid in found), *axes

    return program


@pytest.mark.parametrize("indexing", ["ij", "xy"])
@pytest.mark.parametrize(
    ("order", "written"),
    [((0, 0), 0), ((0, 0), 1), ((0, 1), 1), ((0, 1, 0), 2), ((0, 2), 1), ((2, 0), 0), ((2,), 0)],
)
def test_a_write_to_a_grid_is_seen_in_the_grids_that_share_memory(indexing, order, written):
    program, x = grids(indexing=indexing, order=order, written=written), torch.randn(2, 3)
    agree(lower(export(program, x)), program, x)


def both(views):
    """Writes to the second of some views of `y`; `y` and the views are read then."""

    def program(x):
        y = x * 1.5
        found = views(y)
        found[-1].add_(1)
        return y, *(view * 2 for view in found)

    return program


@pytest.mark.parametrize(
    ("views", "shape"),
    [
        (lambda y: torch.atleast_1d(y, y), (3,)),
        (lambda y: torch.atleast_1d(y, y), ()),
        (lambda y: torch.atleast_2d(y, y + 1, y), (3,)),
        (lambda y: torch.atleast_3d(y, y), (3,)),
        (lambda y: torch.broadcast_tensors(y, y), (3,)),
        (lambda y: torch.broadcast_tensors(y[:1], y[:1].unsqueeze(0)), (3,)),
        (lambda y: torch.broadcast_tensors(y.sum(1), y[0, :1]), (1, 3)),
        (lambda y: torch._C._nn.flatten_dense_tensors([y]).split(3), (6,)),
        (lambda y: torch._C._nn.unflatten_dense_tensors(y, [y[:2], y[2:]]), (6,)),
        (lambda y: y.split(2), (6,)),
        (lambda y: y.tensor_split((3, 1)), (6,)),
        (lambda y: torch.hsplit(y, 2), (2, 4)),
        (lambda y: y.unbind(1), (2, 3)),
        (lambda y: [y, y.expand(1, 1, 3)], (3,)),
        (lambda y: [y, y.sum_to_size(2, 3)], (2, 3)),
        (lambda y: [y, torch.einsum("ij->ji", y)], (2, 3)),
        (lambda y: [y, torch.einsum("ii->i", y)], (3, 3)),
        (lambda y: [y, y.type_as(y + 1).unfold(0, 2, 2)], (6,)),
        (lambda y: [y, aten.unsafe_split.Tensor(y, 4)[0].unfold(0, 2, 2)], (6,)),
        (lambda y: [y, aten.unsafe_chunk.default(y, 3)[1].unfold(0, 2, 2)], (6,)),
    ],
)
def test_a_write_to_one_of_several_results_is_seen_in_the_others(views, shape):
    program, x = both(views), torch.randn(shape)
    agree(lower(export(program, x)), program, x)


def test_the_retrace_keeps_layers_whole():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding="same")
            self.norm = nn.BatchNorm2d(4)
            self.layer_norm = nn.LayerNorm(8)
            self.fc = nn.Linear(8, 2)

        def forward(self, x):
            x = self.norm(self.conv(x)).relu_()
            x.as_strided((2,), (2,)).mul_(3)
            q = self.layer_norm(x)
            return self.fc(F.scaled_dot_product_attention(q, q, q)).softmax(-1)

    net = Net().eval()
    nn.init.uniform_(net.norm.running_var, 0.5, 2)
    x, passes = torch.randn(2, 3, 8, 8), []
    gm = lower(export(net, x), on_pass=passes.append)
    assert "retrace" in passes
    assert {"conv2d", "layer_norm", "linear", "softmax"} <= set(ops(gm))
    assert "scaled_dot_product_attention" in ops(gm)
    assert "batch_norm" not in ops(gm)
    agree(gm, net, x)


def test_contexts_are_inlined():
    def function(x):
        with torch.no_grad():
            y = x * 2
            with torch.autocast("cpu", enabled=False):
                y = y + 1
        return y * x

    x = torch.randn(3, requires_grad=True)
    gm = unlifted(function, x)
    assert "wrap_with_set_grad_enabled" in text(gm)
    assert inline_contexts(gm)
    remove_dead_code(gm)
    check(gm)
    assert text(gm) == lines("""
        x = input
        mul = mul.Tensor(x, 2)
        add_2 = add.Tensor(mul, 1)
        mul_1 = mul.Tensor(add_2, x)
        return (mul_1)
    """)


def test_autocast_becomes_casts():
    def function(x, y):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return (x @ y + 1).relu()

    gm = unlifted(function, torch.randn(2, 2), torch.randn(2, 2))
    assert inline_contexts(gm)
    remove_dead_code(gm)
    assert text(gm) == lines("""
        x = input
        y = input
        to = to.dtype(x, torch.bfloat16)
        to_1 = to.dtype(y, torch.bfloat16)
        matmul = matmul(to, to_1)
        add = add.Tensor(matmul, 1)
        relu_1 = relu(add)
        return (relu_1)
    """)


def test_dead_writes_stay():
    gm = unlifted(lambda x: (x.add_(1), x * 2)[1], torch.randn(3))
    remove_dead_code(gm)
    assert "add_" in text(gm)


def test_the_passes_that_see_writes_come_first():
    assert FUNCTIONALISATION[-3] is functionalise_writes
