# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
import torch.nn.functional as F

from edge_trt.conversion.registry import support
from edge_trt.lowering import lower
from edge_trt.lowering.decompose_unsupported import decompose_unsupported
from edge_trt.lowering.decompositions import DECOMPOSITIONS, decomposition
from edge_trt.lowering.normalise_variants import normalise_variants
from edge_trt.lowering.remove_dead_code import remove_dead_code
from tests.lowering.graphs import agree, check, export, lines, ops, text, unlifted

aten = torch.ops.aten
BATCH = torch.export.Dim("batch", min=2, max=16)
BASIC = {
    "_to_copy", "abs", "add", "amax", "amin", "arange", "bitwise_and", "cat", "clamp", "cos",
    "div", "eq", "erf", "exp", "expand", "expm1", "floor", "full", "ge", "getitem", "gt",
    "hardsigmoid", "index_select", "isfinite", "le", "linalg_vector_norm", "log", "log1p",
    "logical_and", "logical_not", "logical_or", "lt", "matmul", "maximum", "mean", "minimum",
    "mul", "ne", "neg", "permute", "pow", "reciprocal", "relu", "reshape", "rsqrt", "select",
    "sigmoid", "sign", "sin", "slice", "softplus", "sqrt", "squeeze", "sub", "sum", "sym_size",
    "tanh", "unsqueeze", "var", "where",
}  # fmt: skip


def supported(node):
    """Stand-in for the converters' predicate: knows basic operators only."""
    name = str(node.target).split(".")[1] if "aten" in str(node.target) else node.target.__name__
    return None if name in BASIC else f"no converter for {name}"


def decomposed(function, *args, dynamic=None, **buffers):
    gm = unlifted(function, *args, dynamic=dynamic, **buffers)
    normalise_variants(gm)
    gm.changed = decompose_unsupported(gm, supported)
    check(gm)
    agree(gm, function, *args, **buffers)
    return gm


def test_text():
    gm = decomposed(lambda a, b, c: torch.addcmul(a, b, c), *torch.randn(3, 4))
    assert text(gm) == lines("""
        a = input
        b = input
        c = input
        mul = mul.Tensor(b, c)
        add = add.Tensor(a, mul)
        return (add)
    """)


A, B, C = torch.randn(4, 6), torch.randn(4, 6), torch.rand(4, 6)
ROWS = {
    "addcdiv": (lambda a, b, c: torch.addcdiv(a, b, c + 1, value=2), A, B, C),
    "addcmul": (lambda a, b, c: torch.addcmul(a, b, c, value=0.5), A, B, C),
    "addmm": (lambda a, b: torch.addmm(a[:, :4], a, b.t(), beta=2, alpha=0.5), A, B),
    "mm": (lambda a, b: torch.mm(a, b.t()), A, B),
    "bmm": (lambda a, b: torch.bmm(a, b), torch.randn(2, 3, 4), torch.randn(2, 4, 5)),
    "mv": (lambda a: torch.mv(a, a[0]), A),
    "dot": (lambda a: torch.dot(a[1], a[0]), A),
    "rms_norm": (lambda a: F.rms_norm(a, (6,), a[0], 1e-5), A),
    "rms_norm_eps": (lambda a: F.rms_norm(a, (6,)), A),
    "glu": (lambda a: F.glu(a, -1), A),
    "glu_0": (lambda a: F.glu(a, 0), A),
    "mish": (F.mish, A),
    "silu": (lambda a: F.silu(a), A),
    "hardswish": (lambda a: F.hardswish(a * 3), A),
    "square": (lambda a: torch.square(a), A),
    "rsub": (lambda a, b: torch.rsub(a, b, alpha=2), A, B),
    "rsub_scalar": (lambda a: 3.0 - a, A),
    "logsumexp": (lambda a: torch.logsumexp(a, 1), A),
    "var_mean": (lambda a: torch.var_mean(a, 1), A),
    "std": (lambda a: torch.std(a, 0), A),
    "std_mean": (lambda a: torch.std_mean(a, (0, 1), correction=2, keepdim=True), A),
    "var_mean_all": (lambda a: torch.var_mean(a), A),
    "lerp": (lambda a, b: torch.lerp(a, b, 0.3), A, B),
    "hstack": (lambda a, b: torch.hstack([a, b]), A, B),
    "cosine_similarity": (lambda a, b: F.cosine_similarity(a, b), A, B),
    "selu": (lambda a: F.selu(a), A),
    "logaddexp": (lambda a, b: torch.logaddexp(a, b), A, B),
    "stack": (lambda a, b: torch.stack([a, b], 1), A, B),
    "pairwise_distance": (lambda a, b: F.pairwise_distance(a, b), A, B),
    "mse_loss": (lambda a, b: F.mse_loss(a, b), A, B),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), torch.randn(1, 8, 3, 3)),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows(name):
    function, *args = ROWS[name]
    names = "abc"[: len(args)]
    wrapped = {
        1: lambda a: function(a),
        2: lambda a, b: function(a, b),
        3: lambda a, b, c: function(a, b, c),
    }
    gm = decomposed(wrapped[len(names)], *args)
    assert gm.changed
    assert set(ops(gm)) <= BASIC, text(gm)


@pytest.mark.parametrize("name", ["addmm", "glu", "rms_norm", "var_mean", "logsumexp", "hardswish"])
def test_rows_of_symbolic_size(name):
    function, *args = ROWS[name]
    if name == "addmm":
        function, args = (lambda a, b: torch.addmm(b[0, :4], a, b[:4].t())), [A, B]
    first = {"a": {0: BATCH}}
    dynamic = first if len(args) == 1 else {**first, "b": None}
    wrapped = (lambda a: function(a)) if len(args) == 1 else (lambda a, b: function(a, b))
    gm = decomposed(wrapped, *args, dynamic=dynamic)
    assert set(ops(gm)) <= BASIC, text(gm)
    agree(gm, wrapped, torch.randn(7, 6), *args[1:])


@pytest.mark.parametrize("missing", ["log1p", "exp"])
def test_all_or_nothing(missing):
    gm = unlifted(lambda a, b: torch.logaddexp(a, b) * 2, A, B)
    before = text(gm)

    def without(node):
        return "no" if f"aten.{missing}." in str(node.target) else supported(node)

    assert not decompose_unsupported(gm, without)
    assert text(gm) == before
    assert decompose_unsupported(gm, supported)
    assert "logaddexp" not in ops(gm)


def test_parts_are_decomposed_again():
    gm = unlifted(lambda a: F.mish(a), A)
    names = {"softplus", "tanh"}

    def without(node):
        name = str(node.target).split(".")[1]
        return "no" if name in names - {"tanh"} else supported(node)

    assert decompose_unsupported(gm, without)
    remove_dead_code(gm)
    check(gm)
    assert "softplus" not in ops(gm)
    assert "tanh" in ops(gm)
    agree(gm, lambda a: F.mish(a), A)


def test_origin_is_kept():
    gm = unlifted(lambda a: F.mish(a), A)
    source = next(node for node in gm.graph.nodes if node.op == "call_function").meta["stack_trace"]
    decompose_unsupported(gm, supported)
    made = [node for node in gm.graph.nodes if node.op == "call_function"]
    assert len(made) >= 3
    assert all(node.meta["stack_trace"] == source for node in made)


def test_random_operators_are_not_decomposed():
    gm = unlifted(lambda a: F.dropout(a, 0.5, training=True), A)
    assert not decompose_unsupported(gm, supported)


def test_the_predicate_sees_where_operands_come_from():
    """A converter may need constant weights: parts are judged within the whole graph."""

    def constant_only(node):
        if node.target is aten.matmul.default:
            return None if node.args[1].op == "get_attr" else "weight is not constant"
        return supported(node)

    def function(a, b, w):
        return torch.mm(a, w), torch.mm(a, b)

    gm = unlifted(function, A, torch.randn(6, 3), w=torch.randn(6, 3))
    assert decompose_unsupported(gm, constant_only)
    assert ops(gm) == ["matmul", "mm"]


def test_lower_decomposes_and_cleans_up():
    def function(a, w):
        return torch.addmm(w, a, w.t() @ w) * 1.0

    args = (torch.randn(6, 6),)
    names = []
    gm = lower(export(function, *args, w=torch.randn(6, 6)), names.append, supported)
    assert names.count("decompose_unsupported") == 1
    assert ops(gm) == ["matmul", "add"]
    check(gm)


def test_lower_without_predicate_decomposes_nothing():
    gm = lower(export(lambda a: F.mish(a), A))
    assert ops(gm) == ["mish"]


def test_the_table_is_for_operators_that_exist():
    assert all(isinstance(target, torch._ops.OpOverload) for target in DECOMPOSITIONS)
    assert decomposition(aten.hstack.default) is not None
    assert decomposition(torch.sym_max) is None


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_smooth_resizing_of_bytes_stays_whole(mode):
    """torch's decomposition is off by one there: PyTorch itself resizes in fixed point."""
    image = torch.randint(0, 256, (1, 3, 8, 8)).to(torch.uint8)
    program = export(lambda x: F.interpolate(x, scale_factor=2, mode=mode), image)
    gm = lower(program, supported=lambda node: "no" if "upsample" in str(node.target) else None)
    assert f"upsample_{mode}2d" in " ".join(ops(gm))


def test_a_decomposition_that_asks_for_a_symbolic_size_is_none(monkeypatch):
    def doubled(self):
        return self * 2 if self.shape[0] == 3 else self + 2

    monkeypatch.setitem(DECOMPOSITIONS, aten.erfc.default, doubled)
    gm = unlifted(lambda x: torch.erfc(x), torch.rand(3, 4), dynamic=({0: BATCH},))
    assert not decompose_unsupported(gm, supported)
    assert ops(gm) == ["erfc"]
    (x,) = gm.graph.find_nodes(op="placeholder")
    assert isinstance(x.meta["val"].shape[0], torch.SymInt)
    (call,) = gm.graph.find_nodes(op="call_function", target=aten.erfc.default)
    assert support(call) == (
        "aten.erfc.default is written in smaller operators only where sizes are known, and here "
        "they vary: fix the sizes that it works on"
    )


def test_a_result_that_a_decomposition_leaves_out_keeps_the_call_whole():
    def bags(weight, indices, offsets):
        result, bag, *_ = aten._embedding_bag.default(weight, indices, offsets)
        return result, bag

    inputs = torch.randn(5, 2), torch.tensor([1, 4, 0]), torch.tensor([0, 1])
    assert "_embedding_bag" in ops(decomposed(bags, *inputs))
