# SPDX-License-Identifier: Apache-2.0
"""Einstein sums. TensorRT wants lower-case labels, an explicit right side and no ellipsis."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase

import torch
from torch import fx

from edge_trt.conversion.context import Context
from edge_trt.conversion.registry import converter
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import Einsum

aten = torch.ops.aten


def explicit(equation: str, ranks: Sequence[int]) -> str:
    """`equation` with plain labels: `"...Ij,jk"` of ranks 3 and 2 gives `"abc,cd->abd"`.

    Dimensions under an ellipsis are matched from the right; on an implied right side they come
    first, followed by the labels that occur once, in order.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    hidden = [r - len(t) + 3 if "..." in t else 0 for t, r in zip(terms, ranks, strict=True)]
    dots = [str(i) for i in range(max(hidden))]  # digits are labels that nobody writes
    if not arrow:
        labels = left.replace(",", "").replace(".", "")
        right = "..." + "".join(c for c in sorted(set(labels)) if labels.count(c) == 1)
    spelled = [
        t.replace("...", "".join(dots[len(dots) - n :])) for t, n in zip(terms, hidden, strict=True)
    ]
    result = f"{','.join(spelled)}->{right.replace('...', ''.join(dots))}"
    names = dict(zip(dict.fromkeys(c for c in result if c.isalnum()), ascii_lowercase))  # noqa: B905
    return "".join(names.get(c, c) for c in result)


def _is_one(size: object) -> bool:
    return isinstance(size, int) and size == 1


def _plain(equation: str, tensors: Sequence[fx.Node]) -> str | None:
    values = [t.meta["val"] for t in tensors]
    terms = explicit(equation, [v.dim() for v in values]).partition("->")[0].split(",")
    if any(len(set(term)) != len(term) for term in terms):
        return f"einsum {equation!r} repeats a label in one operand: take the diagonal before"
    sizes: dict[str, object] = {}
    for term, value in zip(terms, values, strict=True):
        for label, size in zip(term, value.shape, strict=True):
            if _is_one(size) != _is_one(sizes.setdefault(label, size)):
                return f"einsum {equation!r} broadcasts a size of 1: expand the operand before"
    if values[0].is_floating_point():
        return None
    return "TensorRT has no Einsum of integers: cast to float in the model"


def _linear(
    ctx: Context, equation: str, tensors: Sequence[Tensor], data: int, weight: int
) -> Tensor | None:
    """A sum over one axis of data and of a constant matrix as a product, which int8 knows.

    None where it is something else.
    """
    left, _, right = equation.partition("->")
    terms = left.split(",")
    x, w = terms[data], terms[weight]
    if tensors[data].is_constant or not tensors[weight].is_constant or len(w) != 2 or len(x) < 2:
        return None
    summed, new = (set(w) - set(right), set(w) - set(x))
    if len(summed) != 1 or len(new) != 1 or summed == new or set(x) - summed != set(right) - new:
        return None
    (axis,), (channel,) = summed, new
    rest = [label for label in right if label != channel]
    rows = ctx.permute(tensors[data], [x.index(label) for label in (*rest, axis)])
    result = ctx.matmul(rows, tensors[weight], transpose_b=w == channel + axis)
    labels = [*rest, channel]
    return ctx.permute(result, [labels.index(label) for label in right])


@converter(aten.einsum.default, when=_plain, note="float input, no diagonal, no broadcast")
def einsum(ctx: Context, equation: str, tensors: Sequence[Tensor]) -> Tensor:
    plain = explicit(equation, [t.rank for t in tensors])
    for order in ((0, 1), (1, 0)) if len(tensors) == 2 else ():
        product = _linear(ctx, plain, tensors, *order)
        if product is not None:
            return product
    return ctx.network.add(Einsum(plain), *tensors)
