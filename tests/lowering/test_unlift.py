# SPDX-License-Identifier: Apache-2.0
import torch
from torch import nn

from edge_trt.lowering import unlift
from tests.lowering.graphs import agree, export, lines, text


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("shift", torch.ones(4, 1, 1), persistent=False)
        self.constant = torch.full((1,), 2.0)

    def forward(self, x, unused, scale):
        y = self.norm(self.conv(x)) + self.shift
        return {"a": y * self.constant, "b": (x, 3, y * scale)}


ARGS = (torch.randn(2, 3, 4, 4), torch.ones(1), torch.randn(2, 4, 4, 4))


def test_placeholders_are_the_user_inputs_and_outputs_are_flat():
    gm = unlift(export(Block(), *ARGS))
    assert text(gm) == lines("""
        conv_weight = <conv.weight>
        conv_bias = <conv.bias>
        norm_weight = <norm.weight>
        norm_bias = <norm.bias>
        shift = <shift>
        norm_running_mean = <norm.running_mean>
        norm_running_var = <norm.running_var>
        constant = <constant>
        x = input
        unused = input
        scale = input
        conv2d = conv2d(x, conv_weight, conv_bias)
        batch_norm = batch_norm(conv2d, norm_weight, norm_bias, norm_running_mean, norm_running_var, False, 0.1, 1e-05, False)
        add = add.Tensor(batch_norm, shift)
        mul = mul.Tensor(add, constant)
        mul_1 = mul.Tensor(add, scale)
        return (mul, x, mul_1)
    """)  # noqa: E501


def test_weights_are_shared_and_the_program_is_untouched():
    block = Block()
    program = export(block, *ARGS)
    before = str(program.graph)
    gm = unlift(program)
    gm.graph.eliminate_dead_code()
    for node in list(gm.graph.nodes):
        node.meta.clear()
    assert gm.conv_weight.data_ptr() == block.conv.weight.data_ptr()
    assert not gm.conv_weight.requires_grad
    assert str(program.graph) == before
    assert all("val" in node.meta for node in program.graph.nodes if node.op == "call_function")


def test_meta_is_kept():
    gm = unlift(export(Block(), *ARGS))
    conv = next(node for node in gm.graph.nodes if node.name == "conv2d")
    assert "conv" in str(conv.meta["nn_module_stack"])
    assert "forward" in conv.meta["stack_trace"]
    assert tuple(conv.meta["val"].shape) == (2, 4, 4, 4)


def test_numerics():
    block = Block().eval()
    agree(unlift(export(block, *ARGS)), block, *ARGS)


def test_tied_weights_stay_one_tensor():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 4, bias=False)
            self.b = nn.Linear(4, 4, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(self.a(x))

    gm = unlift(export(Tied(), torch.randn(1, 4)))
    pointers = {buffer.data_ptr() for buffer in gm.buffers()}
    assert len(pointers) == 1


def test_names_that_collide_or_are_no_identifiers_get_fresh_ones():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.a_b = nn.Parameter(torch.ones(2))
            self.a = nn.Module()
            self.a.b = nn.Parameter(torch.full((2,), 2.0))
            self.graph = nn.Parameter(torch.full((2,), 3.0))
            self.seq = nn.ParameterList([torch.full((2,), 4.0)])

        def forward(self, x):
            return x * self.a_b + self.a.b * self.graph + self.seq[0]

    x = torch.randn(2)
    gm = unlift(export(Odd(), x))
    fqns = [node.meta["fqn"] for node in gm.graph.nodes if node.op == "get_attr"]
    assert sorted(fqns) == ["a.b", "a_b", "graph", "seq.0"]
    agree(gm, Odd(), x)


def test_no_input_is_needed():
    gm = unlift(export(lambda: (torch.arange(3),)))
    assert text(gm).endswith("return (arange)")
