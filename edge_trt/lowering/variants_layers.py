# SPDX-License-Identifier: Apache-2.0
"""Rules that restore the operators of ``torch.nn`` from core-ATen forms, and unify spellings.

A program may arrive decomposed (``run_decompositions``, an old ``.pt2``, our own retrace).
Converters take the whole operator, because TensorRT has a layer for it.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from torch import fx

from edge_trt.lowering.edit import arguments, aten, fake_mode, insert, replace, retarget, tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_trt.lowering.variants_views import Rule

_CONV = {1: aten.conv1d.default, 2: aten.conv2d.default, 3: aten.conv3d.default}
_CONV_TRANSPOSE = {
    1: aten.conv_transpose1d.default,
    2: aten.conv_transpose2d.input,
    3: aten.conv_transpose3d.input,
}


def _convolution(gm: fx.GraphModule, node: fx.Node) -> bool:
    bound, weight = arguments(node), tensor(node.args[1])
    if weight is None or weight.dim() - 2 not in _CONV:
        return False
    spatial = weight.dim() - 2
    head = (bound["input"], bound["weight"], bound["bias"], bound["stride"], bound["padding"])
    if bound["transposed"]:
        tail = (bound["output_padding"], bound["groups"], bound["dilation"])
        return retarget(node, _CONV_TRANSPOSE[spatial], (*head, *tail))
    return retarget(node, _CONV[spatial], (*head, bound["dilation"], bound["groups"]))


def _string_padding(gm: fx.GraphModule, node: fx.Node) -> bool:
    """``padding="same"``: the odd element goes to the end, which needs a pad of its own."""
    bound, weight = arguments(node), tensor(node.args[1])
    if weight is None or not all(isinstance(size, int) for size in weight.shape[2:]):
        return False
    spatial = weight.dim() - 2
    dilation = per_dim(bound["dilation"], spatial)
    total = [0] * spatial
    if bound["padding"] == "same":
        total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    source = bound["input"]
    odd = [size % 2 for size in total]
    if any(odd):
        image = tensor(source)
        if image is None:
            return False
        first = image.dim() - spatial
        sizes = [*image.shape[:first], *map(operator.add, image.shape[first:], odd)]
        with fake_mode(
            gm
        ):  # torch fixes symbolic sizes when it infers the shape of a padded tensor
            padded = image.new_empty(sizes)
        pads = [side for size in reversed(odd) for side in (0, size)]
        source = insert(gm, node, aten.constant_pad_nd.default, (source, pads, 0.0), val=padded)
    padding = [size // 2 for size in total]
    head = (source, bound["weight"], bound["bias"], per_dim(bound["stride"], spatial))
    return retarget(node, _CONV[spatial], (*head, padding, dilation, bound["groups"]))


def per_dim(sizes: Any, spatial: int) -> list[int]:
    """One number per dimension; PyTorch repeats a single one."""
    numbers = list(sizes) if isinstance(sizes, (list, tuple)) else [sizes]
    return numbers * spatial if len(numbers) == 1 else numbers


def _first_output(target: Any, build: Callable[[dict[str, Any]], tuple[Any, ...] | None]) -> Rule:
    """Make a rule for an operator with auxiliary outputs, applied when only the first is read."""

    def rule(gm: fx.GraphModule, node: fx.Node) -> bool:
        for user in list(node.users):  # export takes all outputs apart, read or not
            if user.target is operator.getitem and not user.users:
                gm.graph.erase_node(user)
        firsts = list(node.users)
        if not firsts or any(u.target is not operator.getitem or u.args[1] != 0 for u in firsts):
            return False
        args = build(arguments(node))
        if args is None:
            return False
        *args, kwargs = args if isinstance(args[-1], dict) else (*args, {})
        new = insert(gm, node, target, args, kwargs, like=node, val=firsts[0].meta["val"])
        for first in firsts:
            replace(first, new)
        gm.graph.erase_node(node)
        return True

    return rule


def _batch_norm(bound: dict[str, Any]) -> tuple[Any, ...] | None:
    if bound.get("training"):
        return None
    statistics = (bound["running_mean"], bound["running_var"])
    affine = (bound["input"], bound["weight"], bound["bias"])
    return (*affine, *statistics, False, bound["momentum"], bound["eps"], False)


def _layer_norm(b: dict[str, Any]) -> tuple[Any, ...]:
    return (b["input"], b["normalized_shape"], b["weight"], b["bias"], b["eps"])


def _group_norm(b: dict[str, Any]) -> tuple[Any, ...]:
    return (b["input"], b["group"], b["weight"], b["bias"], b["eps"])


def _max_pool(b: dict[str, Any]) -> tuple[Any, ...]:
    names = ("self", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
    return tuple(b[name] for name in names)


def _attention(b: dict[str, Any]) -> tuple[Any, ...] | None:
    if b["dropout_p"] or b.get("enable_gqa"):
        return None
    mask = b.get("attn_mask", b.get("attn_bias"))
    scale = {} if b["scale"] is None else {"scale": b["scale"]}
    return (b["query"], b["key"], b["value"], mask, 0.0, b["is_causal"], scale)


def _softmax(target: Any) -> Rule:
    def rule(gm: fx.GraphModule, node: fx.Node) -> bool:
        source, dim, half_to_float = node.args
        return not half_to_float and retarget(node, target, (source, dim))

    return rule


def _same_arguments(target: Any) -> Rule:
    def rule(gm: fx.GraphModule, node: fx.Node) -> bool:
        return retarget(node, target, node.args, node.kwargs)

    return rule


def _copy(gm: fx.GraphModule, node: fx.Node) -> bool:
    """``copy(self, src)`` yields ``src`` in the shape and type of ``self``."""
    source, result = tensor(node.args[1]), tensor(node)
    if source is None or result is None:
        return False
    new = node.args[1]
    if source.dtype != result.dtype:
        new = insert(gm, node, aten._to_copy.default, (new,), {"dtype": result.dtype})
    return retarget(node, aten.expand_as.default, (new, node.args[0]))


def _rrelu(gm: fx.GraphModule, node: fx.Node) -> bool:
    """Outside training the slope of ``rrelu`` is the mean of its bounds."""
    bound = arguments(node)
    slope = (bound["lower"] + bound["upper"]) / 2
    return not bound["training"] and retarget(node, aten.leaky_relu.default, (bound["self"], slope))


_SPELLING = {
    "absolute": "abs", "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh",
    "arctan": "atan", "arctan2": "atan2", "arctanh": "atanh", "clip": "clamp", "concat": "cat",
    "concatenate": "cat", "divide": "div", "fix": "trunc", "greater": "gt", "greater_equal": "ge",
    "less": "lt", "less_equal": "le", "multiply": "mul", "negative": "neg", "not_equal": "ne",
    "special_erf": "erf", "special_exp2": "exp2", "special_expit": "sigmoid",
    "special_expm1": "expm1", "special_log1p": "log1p", "special_round": "round",
    "special_softmax": "softmax", "subtract": "sub", "true_divide": "div",
    "native_channel_shuffle": "channel_shuffle",
    "_unsafe_index": "index", "_adaptive_avg_pool2d": "adaptive_avg_pool2d",
    "_adaptive_avg_pool3d": "adaptive_avg_pool3d",
}  # fmt: skip


def _spellings() -> dict[object, Rule]:
    """Pair the overloads of every synonym with the same overload of its canonical name."""
    rules: dict[object, Rule] = {}
    for synonym, name in _SPELLING.items():
        packet = getattr(aten, synonym)
        for overload in packet.overloads():
            canonical = getattr(getattr(aten, name), overload, None)
            spelled = getattr(packet, overload)
            if canonical is None or overload.endswith("out"):
                continue
            if _arguments(spelled) == _arguments(canonical):
                rules[spelled] = _same_arguments(canonical)
    return rules


def _arguments(target: Any) -> list[tuple[str, bool]]:
    """Names, and which go by name only; those of `special_round` and `round` differ."""
    return [(a.name, a.kwarg_only) for a in target._schema.arguments if not a.is_out]


RULES: dict[object, Rule] = {
    **_spellings(),
    aten.convolution.default: _convolution,
    aten._convolution.default: _convolution,
    aten.conv1d.padding: _string_padding,
    aten.conv2d.padding: _string_padding,
    aten.conv3d.padding: _string_padding,
    aten._native_batch_norm_legit_no_training.default: _first_output(
        aten.batch_norm.default, _batch_norm
    ),
    aten.native_batch_norm.default: _first_output(aten.batch_norm.default, _batch_norm),
    aten.native_layer_norm.default: _first_output(aten.layer_norm.default, _layer_norm),
    aten.native_group_norm.default: _first_output(aten.group_norm.default, _group_norm),
    aten.max_pool2d_with_indices.default: _first_output(aten.max_pool2d.default, _max_pool),
    aten.max_pool3d_with_indices.default: _first_output(aten.max_pool3d.default, _max_pool),
    aten._scaled_dot_product_flash_attention_for_cpu.default: _first_output(
        aten.scaled_dot_product_attention.default, _attention
    ),
    aten._scaled_dot_product_attention_math.default: _first_output(
        aten.scaled_dot_product_attention.default, _attention
    ),
    aten._scaled_dot_product_flash_attention.default: _first_output(
        aten.scaled_dot_product_attention.default, _attention
    ),
    aten._scaled_dot_product_efficient_attention.default: _first_output(
        aten.scaled_dot_product_attention.default, _attention
    ),
    aten._scaled_dot_product_cudnn_attention.default: _first_output(
        aten.scaled_dot_product_attention.default, _attention
    ),
    aten.fake_quantize_per_tensor_affine_cachemask.default: _first_output(
        aten.fake_quantize_per_tensor_affine.default, lambda b: tuple(b.values())
    ),
    aten.fake_quantize_per_channel_affine_cachemask.default: _first_output(
        aten.fake_quantize_per_channel_affine.default, lambda b: tuple(b.values())
    ),
    aten._softmax.default: _softmax(aten.softmax.int),
    aten._log_softmax.default: _softmax(aten.log_softmax.int),
    aten.copy.default: _copy,
    aten.rrelu.default: _rrelu,
}
