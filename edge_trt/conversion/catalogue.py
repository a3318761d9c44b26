# SPDX-License-Identifier: Apache-2.0
"""What becomes of every ATen operator: one row each, for the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from edge_trt.conversion.registry import CONVERTERS, REFUSED, REFUSED_BY_NAME, lookup
from edge_trt.lowering.complex_as_pairs import RULES as ON_PAIRS
from edge_trt.lowering.decompositions import DECOMPOSITIONS, decomposition
from edge_trt.lowering.normalise_variants import RULES
from edge_trt.lowering.remove_no_ops import _RULES as NO_OPS

ALL_THREE = "numerics, validity, emission"


@dataclass(frozen=True)
class Fate:
    """What becomes of an operator, with what sizes, and which oracles hold it to eager."""

    status: str
    sizes: str
    oracles: str


CONVERTED = Fate("converter", "symbolic", ALL_THREE)
CONDITIONAL = Fate("converter", "symbolic; what must be known stands in its table", ALL_THREE)
EVALUATED = Fate("evaluator", "symbolic", ALL_THREE)
REWRITTEN = Fate("rewritten before conversion", "symbolic", "numerics")
REMOVED = Fate("removed where it changes nothing", "symbolic", "numerics")
DECOMPOSED = Fate("decomposed, by our own rule", "those of its parts", ALL_THREE)
PAIRED = Fate("rewritten, complex numbers as pairs of real ones", "symbolic", ALL_THREE)
BY_PYTORCH = Fate(
    "decomposed by PyTorch's rule, where all parts convert", "those of its parts", ALL_THREE
)
UNEXPORTED = Fate("torch.export does not take it", "", "")
STRIDED = Fate("rewritten where it views contiguous memory", "known", "numerics")
FOLDED = Fate("computed while compiling, from known numbers", "known", "numerics")
FALLBACK = Fate("fallback: nothing converts it or its parts", "any", "the fallback's own check")


NAMES = {
    "aten.logsigmoid": ("aten.log_sigmoid",),
    "aten.softsign": ("aten.abs", "aten.add", "aten.div"),
    "aten.resize_": ("aten.as_strided",),
    "aten.unique": ("aten._unique2", "aten.unique_dim"),
    "aten.nms": ("torchvision.nms",),
    "torchvision.batched_nms": ("edge_trt.batched_nms",),
    "tensorrt.conv_asym_pad": ("aten.constant_pad_nd", "aten.convolution"),
    "torch.cond": ("torch.ops.higher_order.cond",),
    "higher_order.scan": ("scan",),
    "higher_order.while_loop": ("while_loop",),
    "higher_order.map": ("map_impl",),
    "nn.LSTMCell": ("aten.lstm_cell",),
    "nn.GRUCell": ("aten.gru_cell",),
    "nn.RNNCell": ("aten.rnn_tanh_cell", "aten.rnn_relu_cell"),
}
"""Names under which an operator may be looked for -> what torch.export makes of it."""


NOT_EXPORTED = frozenset((
    "_pad_packed_sequence", "_reshape_from_tensor", "_shape_as_tensor", "_sobol_engine_draw",
    "_wrapped_linear_prepack", "allclose", "combinations", "corrcoef", "cov", "ctc_loss", "equal",
    "slow_conv3d",
))  # fmt: skip
"""They ask for values while they are traced, or have no kernel for that."""


def fates() -> Iterator[tuple[str, Fate]]:
    """Name and best fate of every operator on tensors that an exported program may hold."""
    lookup(None)
    found: dict[str, list[Fate]] = {}
    for name in _registered():
        packet, _, overload = name.removeprefix("aten::").partition(".")
        if not _ELSEWHERE.search(packet):
            target = getattr(getattr(torch.ops.aten, packet), overload or "default")
            if _on_tensors(target._schema):
                found.setdefault(packet, []).append(_fate(target))
    for name in sorted(found, key=str.lower):
        yield f"aten.{name}", min(found[name], key=_rank)


def table() -> str:
    """The fates as a table."""
    rows = "".join(f"| `{n}` | {f.status} | {f.sizes} | {f.oracles} |\n" for n, f in fates())
    return f"| operator | what becomes of it | sizes | oracles |\n|---|---|---|---|\n{rows}"


_FROM_THE_BEST = (
    CONVERTED, CONDITIONAL, EVALUATED, REWRITTEN, STRIDED, REMOVED, DECOMPOSED, PAIRED, BY_PYTORCH,
    FOLDED,
)  # fmt: skip


def _rank(fate: Fate) -> int:
    """Place of a fate from the best to the worst: of several overloads, the best counts."""
    return _FROM_THE_BEST.index(fate) if fate in _FROM_THE_BEST else len(_FROM_THE_BEST)


def _fate(overload: Any) -> Fate:
    if str(overload).split(".")[1] in NOT_EXPORTED:
        return UNEXPORTED
    entry = CONVERTERS.get(overload)
    if entry is not None:
        if entry.evaluates:
            return EVALUATED
        return CONDITIONAL if "known" in entry.note else CONVERTED
    if overload is torch.ops.aten.as_strided.default:
        return STRIDED
    for rules, fate in (
        (RULES, REWRITTEN),
        (NO_OPS, REMOVED),
        (DECOMPOSITIONS, DECOMPOSED),
        (ON_PAIRS, PAIRED),
    ):
        if overload in rules:
            return fate
    reason = REFUSED.get(overload) or REFUSED_BY_NAME.get(str(overload))
    if reason is not None:
        return Fate(f"fallback: {reason.partition(': ')[2]}", "any", FALLBACK.oracles)
    if decomposition(overload) is not None:
        return BY_PYTORCH
    return FALLBACK if _takes_tensors(overload._schema) else FOLDED


def _takes_tensors(schema: Any) -> bool:
    return any("Tensor" in str(argument.type) for argument in schema.arguments)


def _registered() -> list[str]:
    return [n for n in torch._C._dispatch_get_all_op_names() if n.startswith("aten::")]


_ELSEWHERE = re.compile(
    r"""(?<!_)_$ | backward | _grad$ | ^_?foreach | ^_fused_(adam|sgd|adagrad|moving) | ^_amp
    | ^_fw_prim | cudnn | miopen | mkldnn | mkl_ | mps | xpu | ^_cuda | ^_nnpack | triton | mtia
    | sparse | nested | jagged | ^_?coalesce | ^_?indices | ^_?values | _indices(_copy)?$ | ^_nnz
    | ^_?(c?col|c?row)_ | dense_dim | ^_?to_dense | ^_dim[IV]$ | spdiags | ^h?spmm | ^_?spsolve
    | ^ss?paddmm | ^smm$ | fbgemm | quantized | ^_?quantize_per | ^qscheme | ^q_ | ^int_repr
    | ^_make_per | ^dequantize$ | _qparams | dyn_quant | ^_int_mm | ^_weight_int | ^_mixed
    | ^_scaled_(?!dot) | ^_grouped | ^_convert_ | ^_transform_bias | ^_saturate | rowwise_prune
    | names?$ | ^_?test | ^_debug | ^_foobar | ^_philox | ^__i | ^_thnn | thnn_conv
    | _forward_only$ | assert | ^sym_ | constrain_range | ^_make_dep | ^_autocast | ^_copy_from
    | record_stream | ^_lazy | requires_grad | retain | ^_version | ^is_ | ^_is_ | ^_has_ | ^_use_
    | ^output_nr | ^set | ^_cslt | ^_local_scalar | ^rename | ^align_ | ^refine | ^_unsafe_masked
    | batch_dim$ | ^_propagate | pin_memory | from_file | ^lift | ^stride$ | ^storage_offset
    | ^(size|numel|dim|data)$ | ^get_ | ^result_type | hash_tensor | overrideable | ^_make_dual
    | ^_unpack_dual | batch_norm_(elemt|gather|stats|update|with|no_up) | ^_new_zeros | ^_empty_
    | ^_efficientzero | ^_resize_output | flatten_dense | fused_sdp_choice | ^_linalg_check
    """,
    re.VERBOSE,
)
"""What only autograd, optimizers, other devices and sparse or quantized tensors call."""


def _on_tensors(schema: Any) -> bool:
    """Whether an overload is a function of tensors or makes one, and writes to nothing."""
    written = any(a.alias_info is not None and a.alias_info.is_write for a in schema.arguments)
    types = [str(a.type) for a in (*schema.arguments, *schema.returns)]
    return not written and any("Tensor" in t for t in types)
