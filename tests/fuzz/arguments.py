# SPDX-License-Identifier: Apache-2.0
"""Arguments for ATen calls, drawn by schema type and argument name.

What comes out is only likely to be valid: PyTorch itself is asked, and a call that it refuses is
left out. So nothing here repeats an operator's rules, except where chance would never meet them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from hypothesis import strategies as st
from torch.utils._pytree import tree_leaves

from edge_trt.lowering.edit import writes
from tests.fuzz.tensors import (
    SIZES,
    Draw,
    Values,
    dimensions,
    family,
    first_of,
    index_list,
    joinable,
    tensor_argument,
)


def draw_call(draw: Draw, target: Any, values: Values, about: Any = None) -> dict[str, Any]:
    """Arguments by name for one call of an ATen overload; `about` is the first, if it is given."""
    schema = target._schema.arguments
    bound: dict[str, Any] = {} if about is None else {schema[0].name: about}
    for argument in schema[len(bound) :]:
        optional = argument.has_default_value()
        if optional and (argument.name in UNTOUCHED or draw(st.booleans())):
            continue
        value = _argument(draw, target, argument, bound, values)
        if value is not SKIPPED:
            bound[argument.name] = value
    return bound


def is_allowed(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call is one whose result PyTorch defines.

    It searches what is sorted, counts right, reads nothing of what it writes to, has a value for
    each key, and gives the place of one of equal elements only where that is the first.
    """
    if family(target) in ("kthvalue", "median", "nanmedian", "mode"):
        return args[0].unique().numel() == args[0].numel()
    size = kwargs.get("output_size") if family(target) == "repeat_interleave" else None
    if size is not None and int(torch.as_tensor(args[1]).sum()) != size:
        return False
    if "attention" in family(target) and args[1].shape[-2:-1] != args[2].shape[-2:-1]:
        return False  # PyTorch's fast kernel does not ask, and gives anything
    if kwargs.get("enable_gqa") and args[0].numel() == 0:
        return False  # PyTorch divides by the number of heads, and crashes
    if writes(target) and _repeats(args[0]):
        return False
    if writes(target) and any(map(partial(_overlaps, args[0]), tree_leaves((args[1:], kwargs)))):
        return False
    place = {"searchsorted": 0, "bucketize": 1}.get(family(target))
    found = args[place] if place is not None and place < len(args) else None
    if not isinstance(found, torch.Tensor) or found.dim() == 0:
        return True
    return bool((found.diff() >= 0).all())


def _repeats(written: torch.Tensor) -> bool:
    """Whether an element is shown in several places."""
    return any(n > 1 and step == 0 for n, step in zip(written.shape, written.stride(), strict=True))


def _overlaps(written: torch.Tensor, other: Any) -> bool:
    """Whether two tensors share memory, and are not the same."""
    if not isinstance(other, torch.Tensor):
        return False
    same = written.stride() == other.stride() and written.data_ptr() == other.data_ptr()
    shared = written.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
    return shared and not same


SKIPPED = object()
UNTOUCHED = {
    "layout", "device", "pin_memory", "memory_format", "generator", "train", "training", "dtype",
    "cudnn_enabled", "cudnn_enable", "use_input_stats", "dropout_p", "non_blocking", "copy",
    "sparse", "scale_grad_by_freq", "max_norm", "norm_type", "benchmark", "deterministic",
    "allow_tf32", "unsafe", "out_int32", "sorted",
}  # fmt: skip
"""Arguments that keep their default: about devices, training, or what PyTorch leaves open."""
FIXED = {"training": False, "train": False, "sorted": True}
"""Training writes to the running statistics; unsorted results come in any order."""


def _argument(draw: Draw, target: Any, argument: Any, bound: dict[str, Any], values: Values) -> Any:
    kind, name = str(argument.type), argument.name
    if name in FIXED:
        return FIXED[name]
    first = first_of(bound, values)
    if kind == "List[Tensor]":
        return joinable(draw, values)
    if "List[Optional[Tensor]]" in kind:
        return index_list(draw, first, values)
    if "Tensor" in kind:
        return tensor_argument(draw, target, name, bound, values)
    rank = first.dim() if first is not None else draw(st.integers(0, 3))
    if name == "output_size" and kind.startswith("Optional") and draw(st.booleans()):
        return None
    if kind.startswith("List[int]") or kind == "Optional[List[int]]":
        return _integers(draw, target, name, first, rank)
    if kind in ("int", "Optional[int]"):
        return draw(_integer(name, first, rank))
    if kind == "bool":
        return draw(st.booleans())
    if kind in ("number", "Optional[number]"):
        return draw(NUMBERS)
    if kind in ("float", "Optional[float]"):
        return draw(POSITIVE if name in POSITIVE_NAMES else REALS)
    if kind == "Optional[List[float]]":  # of resizing, which takes either sizes or factors
        factors = [draw(st.sampled_from([0.5, 1.5, 2.0])) for _ in range(dimensions(target))]
        return factors if bound.get("output_size") is None else None
    if kind in ("str", "Optional[str]"):
        return draw(st.sampled_from(WORDS.get(name, WORDS["mode"])))
    return SKIPPED


REALS = st.sampled_from([0.5, -1.0, 2.0, 0.0, 1.5])
POSITIVE = st.sampled_from([0.5, 1.0, 2.0])
POSITIVE_NAMES = {
    "eps",
    "beta",
    "scale",
    "alpha",
    "threshold",
    "scales_h",
    "scales_w",
    "scales_d",
    "p",
}
NUMBERS = st.sampled_from([0, 1, 2, -1, 3, 0.5, -1.5, 2.0])
WORDS = {
    "mode": ["constant", "reflect", "replicate", "circular"],
    "padding": ["same", "valid"],
    "rounding_mode": ["floor", "trunc"],
    "approximate": ["none", "tanh"],
    "reduce": ["sum", "prod", "mean", "amax", "amin"],
    "indexing": ["ij", "xy"],
    "equation": ["ij,jk->ik", "bij,bjk->bik", "i,j->ij", "ii->i", "...i,...i->...", "ij->ji"],
}


def _integers(draw: Draw, target: Any, name: str, x: torch.Tensor | None, rank: int) -> Any:
    shape = list(x.shape) if x is not None else [2, 3]
    if name in ("size", "shape"):
        return _size(draw, target, shape)
    if name == "normalized_shape":
        return shape[-draw(st.integers(1, max(rank, 1))) :]
    if name == "dims" and "permute" in str(target):
        return draw(st.permutations(range(rank)))
    if name in ("dim", "dims"):
        count = min(rank, 3)
        axes = draw(st.lists(st.integers(0, max(rank - 1, 0)), max_size=count, unique=True))
        return [axis - rank if draw(st.booleans()) else axis for axis in axes]
    if name in ("pad", "padding") and "pad" in family(target):
        low = -1 if "constant" in str(target) else 0
        count = 2 * (draw(st.integers(1, max(rank, 1))) if name == "pad" else dimensions(target))
        return [draw(st.integers(low, 2)) for _ in range(count)]
    if name in ("repeats", "dims") or "tile" in str(target):
        return [draw(st.integers(1, 2)) for _ in range(rank + draw(st.integers(0, 1)))]
    if name == "split_sizes":
        axis = shape[0] if shape else 1
        cut = draw(st.integers(0, axis))
        return [cut, axis - cut]
    if name == "shifts":
        return [draw(st.integers(-3, 3)) for _ in range(max(rank, 1))]
    ranges = {"kernel_size": (1, 3), "output_size": (1, 4), "stride": (1, 3), "dilation": (1, 2)}
    low, high = ranges.get(name, (0, 1))
    if name == "stride" and draw(st.booleans()):
        return [1] * dimensions(target)
    return [draw(st.integers(low, high)) for _ in range(dimensions(target))]


def _size(draw: Draw, target: Any, shape: list[int]) -> list[int]:
    """Sizes for reshapes and expansions."""
    name = family(target)
    if "expand" in name or "broadcast" in name:
        front = [draw(SIZES) for _ in range(draw(st.integers(0, 1)))]
        return [*front, *(draw(SIZES) if n == 1 else n for n in shape)]
    if name not in ("view", "reshape", "_reshape_copy", "_unsafe_view"):
        return [draw(SIZES) for _ in range(draw(st.integers(0, 3)))]
    total = math.prod(shape)
    divisors = [n for n in range(1, total + 1) if total % n == 0]
    left = draw(st.sampled_from(divisors)) if divisors else 0
    sizes = draw(st.sampled_from([[left, -1], [-1], [-1, left, 1], [1, left, -1]]))
    return list(sizes) if left else shape


def _integer(name: str, x: torch.Tensor | None, rank: int) -> st.SearchStrategy[Any]:
    size = max([*x.shape, 1]) if x is not None else 3
    if "dim" in name or name in ("axis", "source", "destination"):
        return st.integers(-rank, max(rank - 1, 0))
    if name in ("index", "start", "end"):
        return st.integers(-size - 1, size + 1)
    ranges = {
        "diagonal": (-3, 3), "offset": (-2, 2), "k": (1, size), "step": (1, 3), "groups": (1, 2),
        "num_groups": (1, 2), "group": (1, 2), "chunks": (1, 3), "sections": (1, 3),
        "split_size": (1, 3), "upscale_factor": (1, 2), "downscale_factor": (1, 2),
        "interpolation_mode": (0, 2), "padding_mode": (0, 2), "decimals": (0, 2),
        "num_classes": (5, 6), "padding_idx": (0, 2), "shifts": (-3, 3), "n": (1, 4), "m": (1, 4),
        "repeats": (1, 3), "size": (1, 3), "length": (0, size),
    }  # fmt: skip
    low, high = ranges.get(name, (0, 3))
    return st.integers(low, high)
